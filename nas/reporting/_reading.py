"""From a name to a report: of the study, or of the comparison, that has it."""

from nas.reporting._record import environment, read
from nas.reporting._report import Report
from nas.reporting._study import study_report
from nas.store import Store, StoreError, hidden_password
from nas.store.comparisons import stored_comparison


def report_of(storage: str, name: str, *, comparison: bool = False) -> Report:
    """The report of a study; of the comparison of that name, where there is no such study.

    Args:
        comparison: whether it is of the comparison, though there is a study of that name.

    Raises:
        StoreError: there is no database, or nothing of that name in it.
        UsageError: the comparison has not got far enough.
    """
    store = Store.open_existing(storage)
    if not comparison:
        try:
            return study_report(read(store, name))
        except StoreError:
            if not stored_comparison(store, name):
                raise
    rows = stored_comparison(store, name)
    if not rows:
        raise StoreError(f'no comparison "{name}" in {hidden_password(storage)}; see nas compare')
    from nas.reporting._comparison import comparison_of, comparison_report

    return comparison_report(name, comparison_of(name, rows), environment())
