"""The page in a real browser: it draws what the record says, and loads nothing from elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING

from fakes.searched import searched

from .conftest import Page, dashboard

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_the_index_fits_a_phone(browser: "Browser", page: Page, tmp_path: Path) -> None:
    """Four hundred pixels: nothing of the page is beside the window."""
    storage = f"sqlite:///{tmp_path / 'nas.db'}"
    searched(storage, 10, name="a_study_with_a_name_that_somebody_has_thought_about_for_long")
    with dashboard("--storage", storage) as running:
        tab = browser.new_page(viewport={"width": 400, "height": 800})
        for base in (running.base, page.base):
            tab.goto(f"{base}/")
            assert tab.evaluate("document.documentElement.scrollWidth") <= 400
            assert tab.locator(".wide table").count() == 1
            # No word of a link is broken.
            heights = "[...document.querySelectorAll('a')].map(link => link.offsetHeight)"
            assert max(tab.evaluate(heights)) < 30
        # A control: without its frame the table of such a study would be.
        tab.goto(f"{running.base}/")
        tab.evaluate("document.querySelector('.wide').style.overflow = 'visible'")
        tab.evaluate("document.querySelector('table').style.minWidth = '470px'")
        assert tab.evaluate("document.documentElement.scrollWidth") > 400
        tab.close()


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
