"""From a name to a report: of the study, or of the comparison, that has it."""

from nas.reporting._record import read
from nas.reporting._report import Report
from nas.reporting._study import study_report
from nas.store import Store


def report_of(storage: str, name: str) -> Report:
    """The report of a study.

    Raises:
        StoreError: there is no database, or nothing of that name in it.
    """
    return study_report(read(Store.open_existing(storage), name))
