"""Heat maps: readable in any terminal, and as tables of a page that needs nothing else."""

from __future__ import annotations

import io
import math
import re
from html.parser import HTMLParser

import pytest
from rich.cells import cell_len
from rich.console import Console

from circuitlang.report.document import DiagnosticForm
from circuitlang.report.heat import HeatMap, print_map
from circuitlang.report.page.finding import FindingTable, finding_page
from circuitlang.report.page.palette import HEAT_LEVELS, contrast, heat_colour, readable_on
from circuitlang.report.page.render import policy


def heat(columns: int = 3, heading: str = "h{}", **about) -> HeatMap:
    names = tuple(heading.format(i) for i in range(columns))
    values = tuple(
        tuple(None if (r, c) == (0, 1) else (r - 1) * 1.25 + c / 8 for c in range(columns))
        for r in range(3)
    )
    return HeatMap("what heads write", ("0", "1", "2"), names, values, corner="layer", **about)


def printed(one: HeatMap, width: int = 80, colour: str | None = None, **about) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, color_system=colour, force_terminal=bool(colour), **about
    )
    print_map(one, console)
    return stream.getvalue()


def numbers(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"(?<= )-?\d+\.\d+", text)]


def test_a_map_without_colour_is_its_numbers() -> None:
    text = printed(heat())
    assert numbers(text) == [-1.25, -1.0, 0.0, 0.12, 0.25, 1.25, 1.38, 1.5]
    assert "\x1b" not in text
    assert "blue" not in text
    header = next(line for line in text.splitlines() if line.startswith("layer"))
    assert header.split() == ["layer", "h0", "h1", "h2"]


@pytest.mark.parametrize("columns", [1, 9, 40])
@pytest.mark.parametrize("colour", [None, "truecolor", "256", "standard"])
def test_no_line_is_wider_than_the_terminal(columns: int, colour: str | None) -> None:
    text = printed(heat(columns, "a long heading {}"), colour=colour)
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert max(map(cell_len, plain.splitlines())) <= 80
    assert len(numbers(plain)) == 3 * columns - (columns > 1)


def test_a_wide_map_comes_in_blocks_that_say_so() -> None:
    text = printed(heat(40))
    assert re.findall(r"columns \d+ to \d+ of 40", text)[0] == "columns 1 to 12 of 40"
    assert text.count("layer") == 4


def test_with_colour_a_wide_map_of_short_headings_is_shaded() -> None:
    text = printed(heat(24, "{}"), colour="truecolor")
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert plain.splitlines()[2].split() == ["0"]
    assert "columns" not in plain
    assert "strongest colours" in plain


def test_no_color_gives_plain_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = printed(heat(24, "{}"), colour="truecolor", no_color=None)
    assert not re.search(r"\x1b\[[\d;]*[34]8;", text)
    assert len(numbers(text)) == 3 * 24 - 1


def test_hostile_headings_move_nothing() -> None:
    one = HeatMap(
        "t\x1b[2J", ("\x1b]0;r",), ("a\nb", "日本語日本語日本語", "\u202e"), ((1.0, 2.0, 3.0),)
    )
    text = printed(one)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text.splitlines()) == 3


def test_levels_run_from_end_to_end() -> None:
    diverging = HeatMap("", ("r",), ("a", "b", "c", "d"), ((-2.0, 0.0, 1.0, None),))
    assert [diverging.level(v) for v in diverging.values[0]] == [-HEAT_LEVELS, 0, 5, None]
    ranks = HeatMap("", ("r",), ("a", "b", "c"), ((10.0, 20.0, 30.0),), diverging=False)
    assert [ranks.level(v) for v in ranks.values[0]] == [0, 5, HEAT_LEVELS]
    assert ranks.texts == (("10", "20", "30"),)
    assert "10 (white)" in ranks.legend


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, 0.0, 1e-9, 1e9, -1e300])
def test_any_number_can_be_shown(value: float | None) -> None:
    one = HeatMap("t", ("r",), ("a", "b"), ((value, 0.5),))
    assert printed(one, colour="truecolor")
    assert printed(HeatMap("t", ("r",), ("a",), ((value,),)))
    assert one.level(value) in (None, *range(-HEAT_LEVELS, HEAT_LEVELS + 1))


def test_a_map_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="2 rows of 1"):
        HeatMap("t", ("a", "b"), ("c",), ((1.0,),))


@pytest.mark.parametrize("dark", [False, True])
def test_numbers_stand_out_from_every_colour(dark: bool) -> None:
    colours = [heat_colour(level, dark) for level in range(-HEAT_LEVELS, HEAT_LEVELS + 1)]
    assert len(set(colours)) == len(colours)
    assert min(contrast(fill, readable_on(fill)) for fill in colours) >= 4.5


class Page(HTMLParser):
    """Elements that are open, all tags, and what would load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


def page(name: str = "likes") -> str:
    found = DiagnosticForm(
        code="CL103", severity="warning", title="t", message="<b>m</b>", help="<i>h</i>",
        file=None, line=None, column=None, end_line=None, end_column=None,
    )  # fmt: skip
    rows = (("a1.h0", "0.25"), ("<script>alert(1)</script>", "0.1"))
    return finding_page(
        name, "no evidence", [heat(unit="logits"), heat(diverging=False)],
        [FindingTable("Nodes", "the first", ("node", "score"), rows, numbers=("score",))],
        facts=(("spec", "<u>x</u>"),), found=[found], command="circ effects",
    )  # fmt: skip


def test_a_page_is_well_formed_and_holds_every_number() -> None:
    text = page()
    parsed = Page(text)
    assert parsed.open == []
    assert text.startswith("<!doctype html>")
    assert sum(tag == "table" for tag, _ in parsed.tags) == 4
    assert sum(tag == "caption" for tag, _ in parsed.tags) == 4
    for cells in heat().texts:
        assert all(f">{cell}</td>" in text for cell in cells)


def test_a_page_loads_nothing_and_runs_nothing() -> None:
    parsed = Page(page())
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in parsed.tags}
    for _, attributes in parsed.tags:
        assert not {"src", "style", "onclick"} & attributes.keys()
        assert (attributes.get("href") or "#").startswith("#")
    style = re.search(r"<style>(.*?)</style>", page(), re.DOTALL)
    assert style is not None
    (content,) = [a["content"] for _, a in parsed.tags if a.get("http-equiv")]
    assert content == policy([], [style[1]])
    assert "url(" not in style[1]


def test_a_page_escapes_what_it_is_given() -> None:
    text = page("<script>title</script>")
    for hostile in ("<script", "<b>m", "<i>h", "<u>x"):
        assert hostile not in text


def test_every_colour_of_a_page_has_a_style() -> None:
    text = page()
    used = set(re.findall(r'<td class="((?:up|down|even)\d+)"', text))
    assert used
    for name in used:
        assert text.count(f".heat .{name} {{") == 2
