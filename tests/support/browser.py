"""Pages in a headless Chromium, for tests of what they show and do, and of what they ask the network for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking")
OWN = ("data:", "blob:", "about:")
"""How addresses begin for which nothing leaves the page."""

HEIGHT = 900


@dataclass
class Opened:
    """A page, and what happened on it since it was opened."""

    page: Any
    """Playwright's page: `locator`, `evaluate`, `keyboard`, `screenshot`, …"""
    errors: list[str] = field(default_factory=list)
    """Errors and warnings of the console, and exceptions that nobody caught."""
    requests: list[str] = field(default_factory=list)
    """Addresses that were asked for elsewhere than in the file itself."""

    @property
    def overflow(self) -> int:
        """How many pixels the page is wider than its window: more than 0 scrolls sideways."""
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


Open = Callable[..., Opened]


@contextmanager
def browsing() -> Iterator[Open]:
    """A browser; gives `open_page(path, width=1280, dark=False)`, which opens a file in a page of its own.

    The test is skipped where there is no Chromium. CHROMIUM may say where it is.
    """
    executable = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip("there is no Chromium to open pages in: CHROMIUM may say where it is")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=executable, args=FLAGS)
        try:
            yield lambda path, width=1280, dark=False: _open(browser, Path(path), width, dark)
        finally:
            browser.close()


def _open(browser: Any, path: Path, width: int, dark: bool) -> Opened:
    page = browser.new_page(viewport={"width": width, "height": HEIGHT}, color_scheme="dark" if dark else "light")
    opened = Opened(page)
    address = path.resolve().as_uri()
    page.on("console", lambda said: opened.errors.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: opened.errors.append(str(error)))
    page.on("request", lambda asked: opened.requests.append(asked.url) if not _own(asked.url, address) else None)
    page.goto(address)
    return opened


def _own(url: str, address: str) -> bool:
    return url.partition("#")[0] == address or url.startswith(OWN)
