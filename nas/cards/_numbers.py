"""Numbers for people."""


def number(value: float) -> str:
    """Whole numbers with commas, others with four significant digits, as 0.9100."""
    return tick(value) if _is_whole(value) else f"{value:#.4g}".removesuffix(".")


def tick(value: float) -> str:
    """The same for a place on an axis, without zeros at the end."""
    return f"{int(value):,}" if _is_whole(value) else f"{value:.4g}"


def _is_whole(value: float) -> bool:
    return float(value).is_integer() and abs(value) < 1e15
