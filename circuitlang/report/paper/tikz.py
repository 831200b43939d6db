"""A figure as TikZ, with the coordinates, colours and shapes of the report's SVG."""

from __future__ import annotations

from collections.abc import Iterator

from circuitlang.report.page.figure import DrawnEdge, DrawnNode, Figure, Group
from circuitlang.report.page.layout import HEIGHT, Curve
from circuitlang.report.page.palette import PORTS, Look
from circuitlang.report.paper.escape import escape

# Of a page in points, and of one pixel at most.
_WIDEST, _TALLEST, _LARGEST = 400.0, 500.0, 0.75
_LINE = 20.0

Point = tuple[float, float]


def tikz(figure: Figure) -> str:
    """A `tikzpicture`; it is no wider than the line that it stands on."""
    left, top, width, height = figure.box
    below = top + height + 16
    total = height + 16 + _LINE * (1 + len(figure.groups))
    wide = f"{width * min(_LARGEST, _WIDEST / width, _TALLEST / total):.1f}pt"
    lines = [
        rf"\resizebox{{\ifdim\linewidth<{wide}\linewidth\else{wide}\fi}}{{!}}{{%",
        r"\begin{tikzpicture}[x=1pt,y=-1pt,"
        r"every node/.style={inner sep=0pt,font=\sffamily\fontsize{12}{14}\selectfont}]",
        *_colours(figure),
        *(_row(left + 62, row.y, row.label) for row in figure.rows),
        *(_edge(edge, len(figure.edges)) for edge in figure.edges),
        *(line for node in figure.nodes for line in _node(node)),
        *_legend(figure, left + 16, below),
        r"\end{tikzpicture}}",
    ]
    return "\n".join(lines)


def _colours(figure: Figure) -> Iterator[str]:
    looks = [*(node.look for node in figure.nodes), *(group.look for group in figure.groups)]
    used = {look.fill for look in looks} | {look.text for look in looks} | {"#2b3036", "#5b636b"}
    used |= {PORTS[port][0] for port in figure.ports}
    for value in sorted(used):
        yield rf"\definecolor{{{_colour(value)}}}{{HTML}}{{{value[1:].upper()}}}"


def _colour(value: str) -> str:
    return f"circ{value[1:]}"


def _at(point: Point) -> str:
    return f"({point[0]:.1f},{point[1]:.1f})"


def _row(x: float, y: float, label: str) -> str:
    return rf"\node[anchor=east,text={_colour('#5b636b')}] at {_at((x, y))} {{{escape(label)}}};"


def _edge(edge: DrawnEdge, many: int) -> str:
    width, opacity = (1.6, 0.9) if many < 80 else (1.0, 0.55 if many < 300 else 0.35)
    style = f"draw={_colour(PORTS[edge.port][0])},line width={width}pt,opacity={opacity}"
    return rf"\path[{style}] {_path(edge.curve)};"


def _path(curve: Curve) -> str:
    """Two parabolas as the cubic curves that TikZ draws."""
    return (
        f"{_at(curve.start)} {_parabola(curve.start, curve.first, curve.middle)} "
        f"{_parabola(curve.middle, curve.second, curve.end)}"
    )


def _parabola(start: Point, control: Point, end: Point) -> str:
    one, two = (
        (p[0] + 2 / 3 * (control[0] - p[0]), p[1] + 2 / 3 * (control[1] - p[1]))
        for p in (start, end)
    )
    return f".. controls {_at(one)} and {_at(two)} .. {_at(end)}"


def _node(node: DrawnNode) -> Iterator[str]:
    place = node.place
    yield _outline(node.look, (place.x, place.y), place.width, HEIGHT)
    yield rf"\node[text={_colour(node.look.text)}] at {_at((place.x, place.y))} {{{escape(node.name)}}};"


def _outline(look: Look, centre: Point, width: float, height: float) -> str:
    style = f"draw={_colour('#2b3036')},fill={_colour(look.fill)},line width=1.2pt"
    x, y = centre
    if look.corners:
        corners = [_at((x + cx * width / 2, y + cy * height / 2)) for cx, cy in look.corners]
        return rf"\path[{style}] {' -- '.join(corners)} -- cycle;"
    radius = 6 if look.shape == "round" else height / 2 - 0.1
    ends = [_at((x + side * width / 2, y + side * height / 2)) for side in (-1, 1)]
    return rf"\path[{style},rounded corners={radius:.1f}pt] {ends[0]} rectangle {ends[1]};"


def _legend(figure: Figure, x: float, y: float) -> Iterator[str]:
    ports = " ".join(
        rf"\textcolor{{{_colour(PORTS[port][0])}}}{{\bfseries {port}}}" for port in figure.ports
    )
    if ports:
        heads = "; q at a head's left, k in the middle, v at its right"
        sides = heads if set("qkv") & set(figure.ports) else ""
        yield rf"\node[anchor=west] at {_at((x, y))} {{edges run upwards and enter {ports}{sides}}};"
    for number, group in enumerate(figure.groups, 1):
        yield from _of_group(group, x, y + _LINE * number)


def _of_group(group: Group, x: float, y: float) -> Iterator[str]:
    members = ", ".join(group.members)
    text = members if len(members) <= 90 else f"{members[:90].rpartition(',')[0]}, ..."
    yield _outline(group.look, (x + 14, y), 28, 14)
    yield rf"\node[anchor=west] at {_at((x + 36, y))} {{{escape(f'{group.name}: {text}')}}};"
