"""A report to a file."""

from collections.abc import Mapping
from pathlib import Path

from evaluators.replacing import replacing
from nas.reporting._page import page
from nas.reporting._reading import report_of
from search_spaces import UsageError


def write(
    storage: str,
    name: str,
    to: Path | None = None,
    *,
    comparison: bool = False,
    reference: Mapping[str, float] | None = None,
) -> Path:
    """Write the report of a study or comparison; what was in its place is replaced.

    Args:
        to: the file; by default NAME.html of a study, NAME-comparison.html of a comparison.
        comparison, reference: as for `report_of`.

    Raises:
        UsageError: plotly is not installed, the reference point does not fit, or the file cannot
            be written.
        StoreError: nothing of that name.
    """
    report = report_of(storage, name, comparison=comparison, reference=reference)
    text = page(report)
    if to is None:
        # Both may have one name, and neither takes the other's place.
        to = Path(f"{name}-comparison.html" if report.kind == "comparison" else f"{name}.html")
    try:
        with replacing(to) as partial:
            partial.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{to} cannot be written: {error.strerror}") from error
    return to
