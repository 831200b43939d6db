"""What a reader can do with a report, by keyboard, by mouse, without scripts, and on paper."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.report_browser.conftest import Opened
from tests.report_page.reading import data_of, read

Open = Callable[..., Opened]


def spot(found: Opened, node: str) -> tuple[float, float]:
    """Where a node of the shown figure is on the screen."""
    data = data_of(read(found.page.content()))
    name = found.page.locator("#pick-figure option:checked").inner_text().split(" (")[0]
    figure = next(f for f in data["figures"] if f["name"] == name)
    place = next(n for n in figure["nodes"] if n["id"] == node)
    found.canvas.scroll_into_view_if_needed()
    box, zoom = found.canvas.bounding_box(), float(found.shown("zoom"))
    x, y = map(float, found.shown("pan").split(","))
    return box["x"] + x + zoom * place["x"], box["y"] + y + zoom * place["y"]


def test_nothing_is_complained_of_and_nothing_is_fetched(opened: Open, edges: Path) -> None:
    found = opened(edges)
    assert found.shown("shown") == "13"
    assert found.complaints == []
    assert found.requests == [edges.as_uri()]


def test_by_keyboard(opened: Open, edges: Path) -> None:
    found = opened(edges)
    keys = found.page.keyboard
    reached = []
    for _ in range(40):
        keys.press("Tab")
        reached.append(found.page.evaluate("document.activeElement.dataset.claim || ''"))
        if reached[-1] == "lean_is_faithful":
            break
    assert reached[-2:] == ["able", "lean_is_faithful"]
    keys.press("Enter")
    assert (found.shown("claim"), found.shown("hit")) == ("lean_is_faithful", "11")
    assert (
        found.page.locator("button[data-claim=lean_is_faithful]").get_attribute("aria-pressed")
        == "true"
    )
    assert "faithfulness(lean) in 0.95..1.05" in found.page.locator("#panel").inner_text()
    keys.press("Escape")
    assert (found.shown("claim"), found.shown("hit")) == ("", "0")
    found.canvas.focus()
    at, zoom = found.shown("pan"), float(found.shown("zoom"))
    keys.press("ArrowUp")
    assert found.shown("pan") != at
    keys.press("+")
    assert float(found.shown("zoom")) > zoom
    keys.press("-")
    keys.press("-")
    assert float(found.shown("zoom")) < zoom
    keys.press("Escape")
    assert float(found.shown("zoom")) == pytest.approx(zoom, abs=0.002)
    seen = []
    for _ in range(18 + 3):
        keys.press("n")
        seen.append(found.page.locator("#panel h3").inner_text())
    assert {"input", "a1.h0", "logits", "m0->a2.h2<v>"} <= set(seen)


def test_by_mouse(opened: Open, edges: Path) -> None:
    found = opened(edges)
    found.page.locator("tr[data-claim-row=full_is_minimal]").first.click()
    assert (found.shown("claim"), found.shown("hit")) == ("full_is_minimal", "13")
    found.page.mouse.move(*spot(found, "a0.h0"))
    assert found.shown("over") == "a0.h0"
    panel = found.page.locator("#panel").inner_text()
    assert "group previous" in panel
    assert "full_is_complete of previous" in panel
    found.page.mouse.move(5, 5)
    assert found.shown("over") == ""
    assert "full_is_minimal" in found.page.locator("#panel h3").inner_text()
    found.page.locator("button[data-claim=full_is_minimal]").click()
    assert found.shown("claim") == ""


def test_an_edge_shows_its_drop_with_its_interval(opened: Open, edges: Path) -> None:
    found = opened(edges)
    (x1, y1), (x2, y2) = spot(found, "a0.h0"), spot(found, "a1.h0")
    found.page.mouse.move((x1 + x2) / 2, (y1 + y2) / 2)
    assert found.shown("over") == "a0.h0->a1.h0<k>"
    panel = found.page.locator("#panel").inner_text()
    assert "lean_is_minimal 5.98 [5.79, 6.18], holds" in panel
    assert "at every position" in panel


def test_the_figure_moves_with_the_mouse_and_the_wheel(opened: Open, edges: Path) -> None:
    found = opened(edges)
    found.canvas.scroll_into_view_if_needed()
    box, at, zoom = found.canvas.bounding_box(), found.shown("pan"), found.shown("zoom")
    mouse = found.page.mouse
    mouse.move(box["x"] + 10, box["y"] + 10)
    mouse.down()
    mouse.move(box["x"] + 90, box["y"] + 60, steps=4)
    mouse.up()
    assert found.shown("pan") != at
    found.page.wait_for_timeout(400)  # a wheel that scrolls the page does not zoom
    mouse.wheel(0, -300)
    found.page.locator(f'#canvas:not([data-zoom="{zoom}"])').wait_for()
    found.page.locator("#zoom-reset").click()
    assert found.shown("zoom") == zoom


def test_filters(opened: Open, edges: Path) -> None:
    found = opened(edges)
    found.page.locator("#pick-ports input[value=v]").uncheck()
    assert found.shown("shown") == "8"
    found.page.locator("#pick-ports input[value=v]").check()
    assert found.shown("shown") == "13"
    assert not found.page.locator("#pick-place").is_visible()
    found.page.locator("#pick-figure").select_option(label="placed (13 edges)")
    found.page.locator("#pick-place").select_option(label="END")
    assert found.shown("shown") == "4"
    found.page.locator("#pick-claim").select_option(label="placed_is_faithful")
    assert found.shown("hit") == "4"
    found.page.locator("#pick-figure").select_option(label="lean (11 edges)")
    assert (found.shown("shown"), found.shown("claim")) == ("11", "placed_is_faithful")
    assert found.complaints == []


def test_without_scripts(opened: Open, edges: Path) -> None:
    found = opened(edges, java_script_enabled=False)
    page = found.page
    assert not page.locator(".live").is_visible()
    assert page.locator("figure.static svg").count() == 3
    assert all(figure.is_visible() for figure in page.locator("figure.static svg").all())
    page.locator("a[data-claim=wrong_port]").click()
    assert page.url.endswith("#claim-wrong_port")
    assert page.locator("table.verdicts .interval").count() == 16
    assert "lean_is_minimal" in page.locator(".measured").inner_text()


def test_on_paper(opened: Open, edges: Path) -> None:
    found = opened(edges, color_scheme="dark")
    found.page.emulate_media(media="print")
    assert not found.page.locator(".live").is_visible()
    assert all(figure.is_visible() for figure in found.page.locator("figure.static svg").all())
    ink = found.page.evaluate("getComputedStyle(document.body).color")
    assert ink == "rgb(27, 31, 36)"
    pdf: bytes = found.page.pdf(format="A4")
    pages = len(re.findall(rb"/Type\s*/Page\b", pdf))
    assert pdf.startswith(b"%PDF")
    assert 4 <= pages <= 30


def test_in_the_dark(opened: Open, edges: Path) -> None:
    found = opened(edges, color_scheme="dark")
    look = (
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert found.page.evaluate(look) == ["rgb(20, 23, 26)", "rgb(231, 235, 239)"]
    found.page.emulate_media(color_scheme="light")
    assert found.page.evaluate(look) == ["rgb(255, 255, 255)", "rgb(27, 31, 36)"]
    assert found.complaints == []


def test_a_narrow_screen_does_not_scroll_sideways(opened: Open, edges: Path) -> None:
    found = opened(edges, viewport={"width": 380, "height": 800})
    wide: Any = found.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 380


def test_a_script_that_slips_in_does_not_run(opened: Open, edges: Path, tmp_path: Path) -> None:
    target = tmp_path / "slipped.html"
    text = edges.read_text(encoding="utf-8")
    slip = '<script>window.slipped = 1</script><img src="x" onerror="window.slipped = 2">'
    target.write_text(text.replace("<main>", f"<main>{slip}"), encoding="utf-8")
    found = opened(target)
    assert found.page.evaluate("window.slipped") is None
    assert found.shown("shown") == "13"
    assert any("Content Security Policy" in complaint for complaint in found.complaints)


def test_names_of_javascript_are_names(opened: Open, tmp_path: Path) -> None:
    from tests.test_report import SMALL, run

    spec, target = tmp_path / "names.circ", tmp_path / "names.html"
    lines = "input -> a0.h2.v constructor -> a1.h0.q a1.h0 -> logits"
    spec.write_text(
        f"{SMALL}group constructor = a0.h2\ncircuit __proto__ {{ {lines} }}\n"
        "claim toString: faithfulness(__proto__) >= 0.5\n"
        "claim valueOf: forall g in groups(__proto__): drop(__proto__, g) >= 1\n"
    )
    done = run("report", str(spec), "-o", str(target), "--no-store")
    assert done.exit_code == 0, done.stderr
    found = opened(target)
    found.page.locator("button[data-claim=toString]").click()
    assert (found.shown("claim"), found.shown("hit")) == ("toString", "3")
    assert found.complaints == []
