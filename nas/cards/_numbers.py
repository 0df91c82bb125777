"""Numbers for people."""


def number(value: float) -> str:
    """Whole numbers with commas, others with four significant digits."""
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}"
