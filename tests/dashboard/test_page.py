"""The page in a real browser: it draws what the record says, and loads nothing from elsewhere."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from .conftest import Page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    if CHROMIUM is None:
        pytest.skip("no Chromium here; install the package chromium to run this")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def test_the_study_is_drawn(browser: "Browser", page: Page) -> None:
    """From the index to the front and to a trial, without an error or a request elsewhere."""
    tab = browser.new_page()
    errors: list[str] = []
    asked: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(f"{page.base}/")
    tab.get_by_role("link", name="dashboard").click()
    tab.get_by_text("Pareto Front").wait_for()
    chosen = next(one for one in page.study()["trials"] if one["state"] == "Complete")
    tab.goto(f"{page.url}/trials?numbers={chosen['number']}")
    tab.get_by_text("layer0.operator").first.wait_for()
    assert "val_macro_f1" in tab.content()
    assert errors == []
    assert len(asked) > 5
    assert {url for url in asked if not url.startswith((page.base, "data:", "blob:"))} == set()
    tab.close()
