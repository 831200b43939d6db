"""Where the nodes and edges of a figure are: layers are rows, the input below, the logits on top.

Takes what is to be drawn and gives coordinates in pixels, y growing downwards. Both the static
SVG and cytoscape draw these, so a figure looks the same with scripts and without.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

HEIGHT = 24
COLUMN, ROW = 78.0, 84.0
LOWEST_ROW, WIDEST_COLUMN, ASPECT = 60.0, 220.0, 1.25
CHARACTER = 7.2
PORT_OFFSETS = {"q": -0.3, "k": 0.0, "v": 0.3}
STEEPEST = 130.0


@dataclass(frozen=True)
class Placed:
    """A node's centre and width."""

    x: float
    y: float
    width: float


@dataclass(frozen=True)
class Cell:
    """A node to place. Rows are counted from the input's, which is 0; columns are any sortable keys."""

    name: str
    row: float
    column: tuple[int, int, str]


@dataclass(frozen=True)
class Curve:
    """From a sender's top over two control points to a receiver's bottom, as a pair of parabolas.

    `weights` and `distances` say where the control points are as cytoscape wants it: along the
    straight line, as a share of it, and beside it, in pixels.
    """

    start: tuple[float, float]
    first: tuple[float, float]
    second: tuple[float, float]
    end: tuple[float, float]

    @property
    def middle(self) -> tuple[float, float]:
        return (self.first[0] + self.second[0]) / 2, (self.first[1] + self.second[1]) / 2

    def _relative(self, point: tuple[float, float]) -> tuple[float, float]:
        dx, dy = self.end[0] - self.start[0], self.end[1] - self.start[1]
        length = math.hypot(dx, dy)
        px, py = point[0] - self.start[0], point[1] - self.start[1]
        return (px * dx + py * dy) / length**2, (py * dx - px * dy) / length

    @property
    def weights(self) -> tuple[float, float]:
        return self._relative(self.first)[0], self._relative(self.second)[0]

    @property
    def distances(self) -> tuple[float, float]:
        return self._relative(self.first)[1], self._relative(self.second)[1]


def width_of(label: str) -> float:
    return max(46.0, 18 + CHARACTER * len(label))


def place(cells: Sequence[Cell], ends: Sequence[str]) -> dict[str, Placed]:
    """The nodes' places; `ends` are those that stand in the middle of their row."""
    columns = {
        key: i for i, key in enumerate(sorted({c.column for c in cells if c.name not in ends}))
    }
    top = max((c.row for c in cells), default=0.0)
    height = row_height(top)
    widest = max((width_of(c.name) for c in cells), default=46.0)
    wanted = ASPECT * height * top / max(len(columns), 1)
    pitch = max(COLUMN, widest + 16, min(wanted, WIDEST_COLUMN))
    middle = pitch * (max(len(columns), 1) - 1) / 2
    return {
        c.name: Placed(
            middle if c.name in ends else pitch * columns[c.column],
            height * (top - c.row),
            width_of(c.name),
        )
        for c in cells
    }


def row_height(top: float) -> float:
    """Less where there are many rows, so that a deep model is not a thread."""
    return max(LOWEST_ROW, min(ROW, 9 * ROW / max(top, 1.0)))


def curve(sender: Placed, receiver: Placed, port: str, middle: float) -> Curve:
    """The edge's way; one that would run through what is between its ends goes round it."""
    start = (sender.x, sender.y - HEIGHT / 2)
    end = (receiver.x + PORT_OFFSETS.get(port, 0.0) * receiver.width, receiver.y + HEIGHT / 2)
    rise = start[1] - end[1]
    bend = min(rise * 0.45, STEEPEST)
    aside = 0.0
    if abs(sender.x - receiver.x) < COLUMN / 2 and rise > 1.5 * LOWEST_ROW:
        outside = 1 if sender.x > middle else -1
        aside = outside * min(24 + 0.09 * rise, COLUMN * 0.9)
    return Curve(start, (start[0] + aside, start[1] - bend), (end[0] + aside, end[1] + bend), end)
