"""Heat maps: a number for each row and column, in colour where there is colour, and always as text.

    HeatMap --print_map--> the terminal
    HeatMap --report/page/finding.py--> a table of a page

The strongest colour stands for the largest number there is, so colours of two maps compare only
by their numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from circuitlang.language.graph.architecture import parse_node
from circuitlang.report.diagnostics import shown
from circuitlang.report.page.palette import HEAT_LEVELS, heat_colour, readable_on
from circuitlang.report.terminal import number

_WIDEST_HEADING, _WIDEST_NAME, _GAP, _SHADED = 12, 24, 1, 3


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
    scale_rows: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if [len(row) for row in self.values] != [len(self.columns)] * len(self.rows):
            raise ValueError(f"values are not {len(self.rows)} rows of {len(self.columns)}")

    @cached_property
    def _finite(self) -> list[float]:
        return [v for row in self.values for v in row if v is not None and math.isfinite(v)]

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The numbers that the strongest colour and the other end of the scale stand for."""
        rows = zip(self.rows, self.values, strict=True)
        chosen = [row for name, row in rows if not self.scale_rows or name in self.scale_rows]
        finite = [v for row in chosen for v in row if v is not None and math.isfinite(v)]
        low, high = min(finite, default=0.0), max(finite, default=0.0)
        return (-max(-low, high), max(-low, high)) if self.diverging else (low, high)

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
        return shared_decimals(self._finite)

    def text(self, value: float | None) -> str:
        """A number with as many decimals as the map's others; nothing for None."""
        return "" if value is None else fixed(value, self._decimals)

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
        beyond = " and beyond" if self._is_beyond else ""
        if self.diverging:
            return f"blue above 0, orange below; the strongest colours are ±{high}{of}{beyond}"
        return f"from {low}{of} (no colour) to {high}{of} (blue){beyond}"

    @property
    def _is_beyond(self) -> bool:
        low, high = self.ends
        return any(not low <= value <= high for value in self._finite)


def shared_decimals(values: Sequence[float]) -> int | None:
    """So many that the largest of finite numbers has three digits; None: powers of ten."""
    if all(v == round(v) and abs(v) < 1e5 for v in values):
        return 0
    largest = max(map(abs, values))
    if not 1e-4 <= largest < 1e5:
        return None
    return min(6, max(0, 2 - math.floor(math.log10(largest))))


def fixed(value: float, decimals: int | None) -> str:
    """A number with so many decimals; one that is 0 there has no sign."""
    if not math.isfinite(value):
        return number(value)
    if decimals is None:
        return f"{value:.1e}" if value else "0"
    written = f"{value:.{decimals}f}"
    return written.removeprefix("-") if float(written) == 0 else written


def by_layer(title: str, values: Mapping[str, float], unit: str) -> HeatMap:
    """Numbers of nodes, by name: a row for each layer, a column for each head and one for the MLP."""
    found = {parse_node(name): number for name, number in values.items()}
    cells = {(n.layer, n.head): v for n, v in found.items() if n is not None and n.layer >= 0}
    layers = range(max((layer for layer, _ in cells), default=-1) + 1)
    heads = range(max((head for _, head in cells), default=-1) + 1)
    columns = [*heads, *([-1] if any(head < 0 for _, head in cells) else [])]
    return HeatMap(
        title,
        tuple(map(str, layers)),
        tuple("mlp" if head < 0 else f"h{head}" for head in columns),
        tuple(tuple(cells.get((layer, head)) for head in columns) for layer in layers),
        unit,
        corner="layer",
    )


def print_map(heat: HeatMap, console: Console) -> None:
    """A title, the rows, and what the colours stand for.

    Where not all columns fit the console's width with their numbers, they are shaded without, if
    there is colour and their headings are short; else they follow in blocks below each other.
    """
    coloured = console.color_system is not None and not console.no_color
    headings = [_fitted(heading) for heading in heat.columns]
    names = [_fitted(row, _WIDEST_NAME) for row in heat.rows]
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


def _fitted(heading: str, widest: int = _WIDEST_HEADING) -> str:
    """A heading of at most so many cells, without anything that moves the cursor."""
    heading = shown(heading).replace("\n", "⏎").replace("\t", "⇥")
    if cell_len(heading) <= widest:
        return heading
    return set_cell_size(heading, widest - 1).rstrip() + "…"
