"""A real browser for the page's tests: Debian's chromium, driven by Playwright, without a network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
NEVER_SKIPS = "EXPLAINER_CI"  # set where everything has to be tested


def browser_program() -> str:
    """Return where a browser is, or skip with what to type; where everything is tested, fail instead."""
    try:
        import playwright  # noqa: F401 – is it there?
    except ImportError:
        _lacking("playwright is not installed: ./do setup")
    wanted = os.environ.get("EXPLAINER_CHROMIUM")
    found = next(filter(None, map(shutil.which, [wanted] if wanted else NAMES)), None)
    if found is None:
        _lacking("there is no chromium: apt-get install chromium, or name one with EXPLAINER_CHROMIUM")
    return str(found)


def _lacking(what: str) -> None:
    if os.environ.get(NEVER_SKIPS):
        pytest.fail(what)
    pytest.skip(what)


@contextmanager
def browser() -> Iterator[Any]:
    """Start a browser."""
    program = browser_program()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


class Visit:
    """A page in a window of its own, with all that it asked for and complained of.

    Attributes:
        requests: The addresses that it asked for, its own file left out.
        complaints: Errors on its console, and exceptions.
    """

    def __init__(self, browser: Any, file: Path, **options: Any) -> None:
        chosen = {"viewport": {"width": 1280, "height": 800}, "offline": True, **options}
        self.context = browser.new_context(**chosen)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self._asked(request.url, file))
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type != "log" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("html[data-ready]", timeout=20_000)

    def _asked(self, url: str, file: Path) -> None:
        if not url.startswith((file.as_uri(), "data:", "blob:")):
            self.requests.append(url)

    def show(self, index: int) -> None:
        """Move the slider to a step, by its place among the shown ones, as a hand does."""
        self.page.evaluate(
            "n => { const slider = document.getElementById('slider'); slider.value = n;"
            " slider.dispatchEvent(new Event('input')); }",
            index,
        )
        self.settle()

    def settle(self) -> None:
        """Wait until what was asked for is drawn, in sight or not."""
        self.page.evaluate(
            "() => new Promise(done => requestAnimationFrame(done)).then(() => window.lessonStore?.rest())"
        )

    def numbers(self, view: str) -> dict[str, float]:
        """Return a view's numbers by what they are of."""
        found = self.page.evaluate(
            "view => [...document.querySelectorAll(`#${view} [data-of]`)].map(e => [e.dataset.of, e.dataset.value])",
            view,
        )
        return {name: float(value.replace("Infinity", "inf")) for name, value in found if value is not None}

    def close(self) -> None:
        self.context.close()
