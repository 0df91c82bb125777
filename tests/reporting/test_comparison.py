"""Reports of comparisons: the random strategy's row, intervals, and what is not known."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fakes.browser import Show

from nas.api import compare
from nas.compare import Comparison
from nas.reporting import Report, page, report_of
from nas.store import Store
from nas.store.schema import comparisons
from search_spaces import UsageError

SPEC: dict[str, Any] = {
    "study": {"name": "beside", "objectives": {"worth": "maximize"}},
    "space": {"name": "fakes.space"},
    "evaluator": {"name": "fakes.evaluator"},
    "budget": {"trials": 12},
}
