"""A real Chromium, and what a page does in it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
Scheme = Literal["light", "dark"]


@dataclass
class Shown:
    """A page, what it has asked for, and what the browser has complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def drawn(self) -> None:
        """Wait for its charts."""
        self.page.wait_for_selector("html[data-drawn]", timeout=60_000)


Show = Callable[..., Shown]


@contextmanager
def chromium(program: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Its sandbox needs a user who is not root; the pages are our own.
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


def opened(
    browser: Browser,
    file: Path,
    scheme: Scheme = "light",
    width: int = 1200,
    *,
    touch: bool = False,
) -> Shown:
    """A file in a window of its own, of a phone with `touch`; the caller closes its context."""
    context = browser.new_context(
        color_scheme=scheme,
        viewport={"width": width, "height": 900},
        has_touch=touch,
        is_mobile=touch,
    )
    shown = Shown(context.new_page())
    shown.page.on("request", lambda request: shown.requests.append(request.url))
    shown.page.on("pageerror", lambda error: shown.complaints.append(str(error)))
    shown.page.on(
        "console",
        lambda said: shown.complaints.append(said.text) if said.type == "error" else None,
    )
    shown.page.goto(file.as_uri())
    return shown
