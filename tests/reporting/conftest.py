"""Pages in a browser, and reports of records that were not run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes.browser import Scheme, Show, Shown, opened
from fakes.searched import NAME, confirmed, searched, timed
from playwright.sync_api import Browser

from nas.reporting import Report, page, report_of

TRIALS = 150


@pytest.fixture
def show(browser: Browser) -> Iterator[Show]:
    """Open a file, and wait for its charts."""
    pages: list[Shown] = []

    def open_(
        file: Path,
        scheme: Scheme = "light",
        width: int = 1200,
        *,
        wait: bool = True,
        touch: bool = False,
    ) -> Shown:
        pages.append(opened(browser, file, scheme, width, touch=touch))
        if wait:
            pages[-1].drawn()
        return pages[-1]

    yield open_
    for shown in pages:
        shown.page.context.close()


@dataclass(frozen=True)
class Written:
    """A report with something in every section, and the file that it is in."""

    storage: str
    report: Report
    file: Path
    complete: list[int]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("report")
    storage = f"sqlite:///{folder / 'nas.db'}"
    complete = searched(storage, TRIALS)
    confirmed(storage, complete[:3])
    timed(storage, complete[:8])
    report, file = report_of(storage, NAME), folder / "report.html"
    file.write_text(page(report), encoding="utf-8")
    return Written(storage, report, file, complete)
