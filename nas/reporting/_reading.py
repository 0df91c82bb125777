"""From a name to a report: of the study, or of the comparison, that has it."""

from collections.abc import Mapping

from nas.reporting._record import environment, read
from nas.reporting._report import Report
from nas.reporting._study import study_report
from nas.store import Store, StoreError, hidden_password
from nas.store.comparisons import stored_comparison
from search_spaces import UsageError


def report_of(
    storage: str,
    name: str,
    *,
    comparison: bool = False,
    reference: Mapping[str, float] | None = None,
) -> Report:
    """The report of a study; of the comparison of that name, where there is no such study.

    Args:
        comparison: whether it is of the comparison, though there is a study of that name.
        reference: the point up to which a comparison of several objectives measures hypervolumes;
            by default one that the report chooses, for that of `compare` is not kept.

    Raises:
        StoreError: there is no database, or nothing of that name in it.
        UsageError: the comparison has not got far enough, or the reference point does not fit.
    """
    store = Store.open_existing(storage)
    if not comparison:
        try:
            record = read(store, name)
        except StoreError:
            if not stored_comparison(store, name):
                raise
        else:
            if reference is not None:
                raise UsageError(
                    f'reference: a point for a comparison, and "{name}" is a study; add '
                    "--comparison, or leave it out"
                )
            return study_report(record)
    rows = stored_comparison(store, name)
    if not rows:
        raise StoreError(f'no comparison "{name}" in {hidden_password(storage)}; see nas compare')
    from nas.reporting._comparison import comparison_report

    return comparison_report(name, rows, environment(), reference)
