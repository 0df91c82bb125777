"""A report to a file."""

from pathlib import Path

from evaluators.replacing import replacing
from nas.reporting._page import page
from nas.reporting._reading import report_of
from search_spaces import UsageError


def write(storage: str, name: str, to: Path, *, comparison: bool = False) -> Path:
    """Write the report of a study or comparison; what was in its place is replaced.

    Raises:
        UsageError: plotly is not installed, or the file cannot be written.
        StoreError: nothing of that name.
    """
    text = page(report_of(storage, name, comparison=comparison))
    try:
        with replacing(to) as partial:
            partial.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{to} cannot be written: {error.strerror}") from error
    return to
