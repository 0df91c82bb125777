"""Drawings of architectures."""

from html import escape

from search_spaces import Architecture, Task


def svg(architecture: Architecture, task: Task | None) -> str:  # noqa: ARG001
    """A stand-in: the decisions that name operators, one box under the other."""
    boxes = [f"{n}: {c}" for n, c in architecture.choices.items() if n.endswith("operator")]
    height = 44 * len(boxes) + 8
    drawn = "".join(
        f'<rect x="4" y="{44 * i + 4}" width="232" height="32" rx="6" fill="none" '
        'stroke="currentColor"/>'
        f'<text x="120" y="{44 * i + 25}" text-anchor="middle" fill="currentColor" '
        f'font-size="14">{escape(box)}</text>'
        for i, box in enumerate(boxes)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="network" '
        f'viewBox="0 0 240 {height}" width="240">{drawn}</svg>'
    )
