from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli import invoke

TOY = Path(__file__).resolve().parents[2] / "specs" / "toy"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A browser, or why there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs Playwright: pip install 'circuitlang[browser]'"
    )
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("needs a Chromium on the path, or CHROMIUM")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page, and what it did that no report may do."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def canvas(self) -> Any:
        return self.page.locator("#canvas")

    def shown(self, name: str) -> str:
        """What the figure says of itself: shown, hit, claim, zoom, pan, over."""
        return str(self.canvas.get_attribute(f"data-{name}"))


@pytest.fixture
def opened(chromium: Any) -> Iterator[Callable[..., Opened]]:
    contexts = []

    def open_page(path: Path, **options: Any) -> Opened:
        settings = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
        contexts.append(chromium.new_context(**{**settings, **options}))
        page = contexts[-1].new_page()
        found = Opened(page)
        page.on("console", lambda message: found.complaints.append(message.text))
        page.on("pageerror", lambda error: found.complaints.append(str(error)))
        page.on("request", lambda request: found.requests.append(request.url))
        page.goto(path.as_uri())
        return found

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def edges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of specs/toy/edges.circ: three circuits, one of them with positions."""
    target = tmp_path_factory.mktemp("report") / "edges.html"
    code, _, errors = invoke("report", TOY / "edges.circ", "-o", target, "--no-store")
    assert code == 0, errors
    return target
