"""Times the figure of a report in headless Chromium: one frame of dragging it, and choosing a claim.

    python scripts/report_frames.py [EDGES ...]

Draws so many random edges of SmolLM2-135M's graph, by default 2,000, on the page of
specs/toy/first.circ. Needs `pip install playwright` and a Chromium, `CHROMIUM` or one on the path.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles

from playwright.sync_api import Page, sync_playwright

from circuitlang import reporting
from circuitlang.front import Options, Silent
from circuitlang.language.graph.architecture import Shape, architecture
from circuitlang.language.graph.edges import uniform
from circuitlang.report.page.contents import Contents
from circuitlang.report.page.figure import figure
from circuitlang.report.page.render import html

SPEC = Path(__file__).resolve().parent.parent / "specs" / "toy" / "first.circ"
SMOLLM2 = Shape(30, 9, 3, 576, 64, 1536, 49152, family="llama")
FRAMES = 60
DRAG = """() => new Promise((done) => {
  const canvas = document.getElementById("canvas");
  const box = canvas.getBoundingClientRect();
  const at = (i) => ({
    clientX: box.x + 12 + 4 * i, clientY: box.y + box.height / 2, bubbles: true, buttons: 1, view: window,
  });
  const on = canvas.querySelector("canvas").parentElement;
  on.dispatchEvent(new MouseEvent("mousedown", at(0)));
  const times = [], start = canvas.dataset.pan;
  let before = performance.now(), i = 0;
  const step = (now) => {
    times.push(now - before);
    before = now;
    if (++i > FRAMES) {
      window.dispatchEvent(new MouseEvent("mouseup", at(i)));
      done(canvas.dataset.pan === start ? [] : times.slice(1));
      return;
    }
    window.dispatchEvent(new MouseEvent("mousemove", at(i)));
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})""".replace("FRAMES", str(FRAMES))
CHOOSE = """() => new Promise((done) => {
  const before = performance.now();
  document.querySelector("button[data-claim=faithful]").click();
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - before)));
})"""


def page_of(contents: Contents, number: int) -> str:
    """The page with a figure of random edges, of which half belong to each claim."""
    graph, chance = architecture(SMOLLM2), random.Random(0)
    chosen = sum(1 << edge for edge in chance.sample(range(graph.size), number))
    drawn = figure("random", uniform(chosen), SMOLLM2, {}, most=number)
    half = tuple(range(0, number, 2))
    about = {name: {"random": (half, ())} for name in contents.about}
    return html(replace(contents, figures=(drawn,), about=about))


def measured(page: Page, text: str, folder: Path) -> tuple[list[float], float]:
    """Milliseconds of each frame of a drag, and from a click on a claim to the next frame."""
    file = folder / "page.html"
    file.write_text(text, encoding="utf-8")
    page.goto(file.as_uri())
    page.locator("#canvas").scroll_into_view_if_needed()
    page.wait_for_timeout(1000)
    frames = page.evaluate(DRAG)
    if not frames:
        raise RuntimeError("the figure did not follow the mouse")
    return frames, page.evaluate(CHOOSE)


def main() -> None:
    numbers = [int(text) for text in sys.argv[1:]] or [2000]
    contents = reporting.contents_of(SPEC, Options(), Silent())[1]
    assert contents is not None
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        for number in numbers:
            frames, chosen = measured(page, page_of(contents, number), Path(name))
            print(
                f"{number:,} edges: a frame of dragging takes {median(frames):.0f} ms "
                f"(95%: {quantiles(frames, n=20)[-1]:.0f} ms), choosing a claim {chosen:.0f} ms"
            )
        browser.close()


if __name__ == "__main__":
    main()
