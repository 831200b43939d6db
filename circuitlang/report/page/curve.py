"""Faithfulness against size as a picture: sizes on a logarithmic axis, a line for each ranking.

Takes a `CurveDocument` and gives coordinates, in pixels. Bands are intervals over prompts, that of
the random circuits is from the least to the largest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from circuitlang.report.curve import CurveDocument, CurveForm, RandomForm, captions, share, shown
from circuitlang.report.page.axis import Axis, axis, finite
from circuitlang.report.page.palette import PORTS

WIDTH, PLOT_HEIGHT = 640.0, 330.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 54.0, WIDTH - 18.0, 34.0, PLOT_HEIGHT
_ROW = 18.0
# How far an interval may stretch the axis beyond the values.
_MOST_AIR = 1.0

Coordinates = tuple[tuple[float, float], ...]

_COLOURS = tuple(PORTS[name] for name in ("q", "k", "v", "mlp", "heads"))
_DASHES = ("", "7 3", "2 3", "9 3 2 3")
CHANCE = PORTS["logits"]


@dataclass(frozen=True)
class Line:
    """`index` numbers its colours, light and dark; `band` goes round what lies between two lines."""

    name: str
    said: str
    index: int
    colours: tuple[str, str]
    dash: str
    points: Coordinates
    band: Coordinates


@dataclass(frozen=True)
class CurvePicture:
    """Ticks are (pixel, written number)."""

    title: str
    description: str
    width: float
    height: float
    plot: tuple[float, float, float, float]
    lines: tuple[Line, ...]
    chance: Line | None
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]
    whole: float
    legend: tuple[tuple[float, Line], ...]


def curve_picture(document: CurveDocument) -> CurvePicture:
    across = Axis(0.0, max(math.log10(document.edges), 0.1), _LEFT, _RIGHT)
    up = _upwards(document)
    lines = tuple(_line(i, curve, across, up) for i, curve in enumerate(document.curves))
    chance = _chance(document.random, len(lines), across, up) if document.random else None
    named = (*lines, chance) if chance is not None else lines
    legend = tuple((_BOTTOM + 58 + _ROW * i, line) for i, line in enumerate(named))
    return CurvePicture(
        f"Faithfulness by size: {document.by} on {document.on} with {document.with_}",
        "; ".join((*captions(document), *(line.said for line in named))),
        WIDTH,
        _BOTTOM + 58 + _ROW * len(named),
        (_LEFT, _TOP, _RIGHT - _LEFT, _BOTTOM - _TOP),
        lines,
        chance,
        tuple(_sizes(document.edges, across)),
        tuple((up(t), f"{t:g}") for t in up.ticks),
        up(1.0),
        legend,
    )


def _upwards(document: CurveDocument) -> Axis:
    """An axis from 0 to 1 at least, with all values and the intervals as far as there is room."""
    points = [p for curve in document.curves for p in curve.points]
    chance = document.random.points if document.random else ()
    values = [*(p.value for p in points), *(e for p in chance for e in (p.least, p.largest))]
    known = [0.0, 1.0, *finite(values)]
    low, high = min(known) - _MOST_AIR, max(known) + _MOST_AIR
    ends = (min(max(e, low), high) for e in finite(e for p in points for e in (p.low, p.high)))
    return axis((*known, *ends), _BOTTOM, _TOP, air=0.04)


def _sizes(edges: int, across: Axis) -> Iterator[tuple[float, str]]:
    for power in range(len(str(edges))):
        yield across(power), f"{10**power:,}"


def _line(index: int, curve: CurveForm, across: Axis, up: Axis) -> Line:
    drawn = [p for p in curve.points if p.edges]
    known = [p for p in drawn if p.low is not None and p.high is not None]
    xs = [across(math.log10(p.edges)) for p in known]
    lows = [up(p.low) for p in known if p.low is not None]
    highs = [up(p.high) for p in known if p.high is not None]
    said = f"{curve.name}: " + ", ".join(f"{shown(p)} at {p.edges:,} edges" for p in drawn)
    cpr = f" (CPR {shown(curve.cpr)})" if curve.cpr is not None else ""
    return Line(
        f"{curve.name}{cpr}",
        said,
        index,
        _COLOURS[index % len(_COLOURS)],
        _DASHES[index // len(_COLOURS) % len(_DASHES)],
        _path((p.edges for p in drawn), (p.value for p in drawn), across, up),
        _around(xs, lows, highs),
    )


def _chance(random: RandomForm, index: int, across: Axis, up: Axis) -> Line:
    drawn = [p for p in random.points if p.edges]
    xs = [across(math.log10(p.edges)) for p in drawn]
    said = ", ".join(f"{share(p.mean)} at {p.edges:,} edges" for p in drawn)
    return Line(
        f"mean of {random.circuits} random rankings, with the least and the largest",
        f"random: {said}",
        index,
        CHANCE,
        "3 3",
        _path((p.edges for p in drawn), (p.mean for p in drawn), across, up),
        _around(xs, [up(p.least) for p in drawn], [up(p.largest) for p in drawn]),
    )


def _path(sizes: Iterable[int], values: Iterable[float], across: Axis, up: Axis) -> Coordinates:
    return tuple(
        (across(math.log10(size)), up(value))
        for size, value in zip(sizes, values, strict=True)
        if math.isfinite(value)
    )


def _around(xs: Sequence[float], lows: Sequence[float], highs: Sequence[float]) -> Coordinates:
    there, back = zip(xs, lows, strict=True), zip(reversed(xs), reversed(highs), strict=True)
    return (*there, *back)
