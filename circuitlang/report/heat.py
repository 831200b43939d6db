"""Heat maps: a number for each row and column, in colour where there is colour, and always as text.

    HeatMap --print_map--> the terminal
    HeatMap --report/page/finding.py--> a table of a page

The strongest colour stands for the largest number there is, so colours of two maps compare only
by their numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from circuitlang.report.diagnostics import shown
from circuitlang.report.page.palette import HEAT_LEVELS, heat_colour, readable_on
from circuitlang.report.terminal import number

_WIDEST_HEADING, _GAP, _SHADED = 12, 1, 3


@dataclass(frozen=True)
class HeatMap:
    """`values` is [row][column], None where there is nothing.

    `diverging` numbers are coloured by their distance from 0, above it in one colour and below it
    in another; others from the smallest to the largest. `corner` says what rows and columns are.
    Raises ValueError where the values are not as many as rows and columns.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    unit: str = ""
    diverging: bool = True
    corner: str = ""

    def __post_init__(self) -> None:
        if [len(row) for row in self.values] != [len(self.columns)] * len(self.rows):
            raise ValueError(f"values are not {len(self.rows)} rows of {len(self.columns)}")

    @cached_property
    def _finite(self) -> list[float]:
        return [v for row in self.values for v in row if v is not None and math.isfinite(v)]

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The numbers that the strongest colour and the other end of the scale stand for."""
        low, high = min(self._finite, default=0.0), max(self._finite, default=0.0)
        if self.diverging:
            return -max(-low, high), max(-low, high)
        return low, high

    def level(self, value: float | None) -> int | None:
        """How strong a number's colour is, from -HEAT_LEVELS to HEAT_LEVELS; None: no colour."""
        if value is None or math.isnan(value):
            return None
        low, high = self.ends
        value = min(max(value, low), high)
        if self.diverging:
            return round(value / high * HEAT_LEVELS) if high else 0
        return round((value - low) / (high - low) * HEAT_LEVELS) if high > low else 0

    @cached_property
    def _decimals(self) -> int | None:
        """So many that the largest number has three digits; None: powers of ten."""
        if all(v == round(v) and abs(v) < 1e5 for v in self._finite):
            return 0
        largest = max(map(abs, self._finite))
        if not 1e-4 <= largest < 1e5:
            return None
        return min(6, max(0, 2 - math.floor(math.log10(largest))))

    def text(self, value: float | None) -> str:
        """A number with as many decimals as the map's others; nothing for None."""
        if value is None:
            return ""
        if not math.isfinite(value):
            return number(value)
        if self._decimals is None:
            return f"{value:.1e}" if value else "0"
        written = f"{value:.{self._decimals}f}"
        return written.removeprefix("-") if float(written) == 0 else written

    @property
    def texts(self) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(map(self.text, row)) for row in self.values)

    @property
    def legend(self) -> str:
        """What the colours stand for, in one line."""
        low, high = map(self.text, self.ends)
        of = f" {self.unit}" if self.unit else ""
        if not self._finite:
            return "nothing was measured here"
        if self.diverging:
            return f"blue above 0, orange below; the strongest colours are ±{high}{of}"
        return f"from {low}{of} (white) to {high}{of} (blue)"


def print_map(heat: HeatMap, console: Console) -> None:
    """A title, the rows, and what the colours stand for.

    Where not all columns fit the console's width with their numbers, they are shaded without, if
    there is colour and their headings are short; else they follow in blocks below each other.
    """
    coloured = console.color_system is not None and not console.no_color
    headings = [_fitted(heading) for heading in heat.columns]
    names = [shown(row) for row in heat.rows]
    first = max(map(cell_len, (*names, heat.corner)), default=0)
    cells = [t for row in heat.texts for t in row]
    width = max(map(cell_len, (*headings, *cells)), default=0) + _GAP
    room = max(console.width - first, width)
    numbers = True
    if coloured and len(headings) * width > room and len(headings) * _SHADED <= room:
        numbers = any(cell_len(h) >= _SHADED for h in headings)
        width = width if numbers else _SHADED
    each = max(1, room // width)
    blocks = [range(at, min(at + each, len(headings))) for at in range(0, len(headings), each)]
    of = f" ({heat.unit})" if heat.unit else ""
    console.print(Text(f"{shown(heat.title)}{of}", style="italic"), soft_wrap=True)
    for block in blocks:
        if len(blocks) > 1:
            said = f"columns {block.start + 1} to {block.stop} of {len(headings)}"
            console.print(Text(said, style="dim"), soft_wrap=True)
        for line in _lines(heat, block, names, headings, (first, width), numbers, coloured):
            console.print(line, no_wrap=True, overflow="ignore", crop=False)
    if coloured:
        console.print(Text(heat.legend, style="dim"), soft_wrap=True)


def _lines(
    heat: HeatMap,
    block: range,
    names: Sequence[str],
    headings: Sequence[str],
    widths: tuple[int, int],
    numbers: bool,
    coloured: bool,
) -> Iterator[Text]:
    first, width = widths
    line = Text(set_cell_size(heat.corner, first), style="bold")
    for column in block:
        line.append(_right(headings[column], width))
    yield line
    for name, texts, values in zip(names, heat.texts, heat.values, strict=True):
        line = Text(set_cell_size(name, first), style="bold")
        for column in block:
            text = texts[column] if numbers else ""
            style = _style(heat.level(values[column])) if coloured else "not bold"
            line.append(_right(text, width), style=style)
        yield line


def _style(level: int | None) -> str:
    if level is None:
        return "not bold"
    fill = heat_colour(level)
    return f"not bold {readable_on(fill)} on {fill}"


def _right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text


def _fitted(heading: str) -> str:
    """A heading of at most so many cells, without anything that moves the cursor."""
    heading = shown(heading).replace("\n", "⏎").replace("\t", "⇥")
    if cell_len(heading) <= _WIDEST_HEADING:
        return heading
    return set_cell_size(heading, _WIDEST_HEADING - 1).rstrip() + "…"
