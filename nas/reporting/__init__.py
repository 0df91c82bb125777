"""Reports: a study, or a comparison, as one file of HTML that asks for nothing.

`report_of` reads a database and gives a `Report`, which is data; `page` renders it. What comes from
outside (names, choices, messages of errors) is escaped, and cannot be more than text on the page.
"""

from nas.reporting._page import page
from nas.reporting._reading import report_of
from nas.reporting._record import Record
from nas.reporting._report import Chart, Report, Section, Table
from nas.reporting._study import study_report
from nas.reporting._writing import write

__all__ = [
    "Chart",
    "Record",
    "Report",
    "Section",
    "Table",
    "page",
    "report_of",
    "study_report",
    "write",
]
