"""Contents as one HTML file, a figure as an SVG. Jinja escapes every text; this is the only place
where anything is marked as safe: what Pygments made of the spec, our own style and script, and JSON.

The page's Content-Security-Policy allows no network and no script or style but those of the
page itself, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter

from circuitlang.highlight import CircLexer
from circuitlang.report.diagnostics import shown
from circuitlang.report.page.contents import Contents
from circuitlang.report.page.figure import Figure
from circuitlang.report.page.layout import HEIGHT as NODE_HEIGHT
from circuitlang.report.page.palette import PORTS

FOLDER = Path(__file__).resolve().parent
VENDORED = FOLDER / "vendor" / "cytoscape.min.js"
# What cytoscape would add itself, which the page's policy forbids.
_CYTOSCAPE_STYLE = ".__________cytoscape_container { position: relative; }"


def html(contents: Contents) -> str:
    """The whole report, self-contained."""
    styles = [read("report.css") + _port_colours(), _CYTOSCAPE_STYLE]
    scripts = [VENDORED.read_text(encoding="utf-8"), read("report.js")] if contents.figures else []
    page: str = (
        environment()
        .get_template("page.html")
        .render(
            it=contents,
            policy=policy(scripts, styles),
            styles=list(map(Markup, styles)),
            scripts=list(map(Markup, scripts)),
            data=data(contents),
            spec=_highlighted(contents.source),
            node_height=NODE_HEIGHT,
            ports=PORTS,
        )
    )
    return page


def svg(figure: Figure) -> str:
    """The figure alone: text as text, no scripts, light colours."""
    drawn: str = (
        environment()
        .get_template("figure.svg")
        .render(figure=figure, node_height=NODE_HEIGHT, ports=PORTS, alone=True)
    )
    return drawn


def policy(scripts: list[str], styles: list[str]) -> str:
    """No network, no frames, no forms; of scripts and styles only these."""
    allowed = {"script-src": scripts, "style-src": styles}
    parts = ["default-src 'none'", "base-uri 'none'", "form-action 'none'"]
    for directive, texts in allowed.items():
        sources = " ".join(f"'sha256-{_hash(text)}'" for text in texts) or "'none'"
        parts.append(f"{directive} {sources}")
    return "; ".join(parts)


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def data(contents: Contents) -> Markup:
    """What the script reads, as JSON that cannot end its element."""
    return htmlsafe_json_dumps(
        {
            "height": NODE_HEIGHT,
            "ports": PORTS,
            "figures": [_figure_data(figure) for figure in contents.figures],
            "claims": [
                {
                    "name": _shown(view.form.name),
                    "sentence": _shown(view.form.sentence or ""),
                    "written": _shown(view.form.written),
                    "said": _shown(_said(view)),
                    "about": contents.about[view.form.name],
                }
                for view in contents.claims
            ],
            "notes": {
                _shown(name): [[_shown(v) for v in vars(note).values()] for note in notes]
                for name, notes in contents.notes.items()
            },
        },
        allow_nan=False,
        separators=(",", ":"),
    )


def _said(view: Any) -> str:
    numbers = (view.value, view.interval, view.form.threshold)
    return f"{view.verdict}: {' '.join(filter(None, numbers))}"


def _figure_data(figure: Figure) -> dict[str, Any]:
    index = {node.name: i for i, node in enumerate(figure.nodes)}
    return {
        "name": figure.name,
        "size": figure.size,
        "places": [_shown(place) for place in figure.places],
        "ports": figure.ports,
        "rows": [[row.label, round(row.y, 1)] for row in figure.rows],
        "box": [round(x, 1) for x in figure.box],
        "nodes": [
            {
                "id": node.name,
                "x": round(node.place.x, 1),
                "y": round(node.place.y, 1),
                "w": round(node.place.width, 1),
                "group": _shown(node.group),
                "fill": node.look.fill,
                "text": node.look.text,
                "shape": node.look.shape,
                "corners": [c for corner in node.look.corners for c in corner],
                "stands": [] if len(node.nodes) == 1 else list(map(str, node.nodes)),
            }
            for node in figure.nodes
        ],
        "edges": [
            [
                edge.name,
                index[edge.sender],
                index[edge.receiver],
                edge.port,
                [round(w, 4) for w in edge.curve.weights],
                [round(d, 1) for d in edge.curve.distances],
                [figure.places.index(place) for place in edge.places],
            ]
            for edge in figure.edges
        ],
    }


def _highlighted(source: str) -> Markup:
    formatter = HtmlFormatter(linespans="line", classprefix="c-", nowrap=False)
    return Markup(highlight(_shown(source), CircLexer(stripnl=False), formatter))


def _port_colours() -> str:
    """The ports' colours as variables, light and dark."""
    light = "".join(f"--port-{name}:{colours[0]};" for name, colours in PORTS.items())
    dark = "".join(f"--port-{name}:{colours[1]};" for name, colours in PORTS.items())
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"


@cache
def environment() -> Environment:
    """The templates of pages. `finalize` takes from every text what would steer a reader's browser or break an SVG."""
    found = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: _shown(value) if type(value) is str else value,
    )
    found.filters["px"] = lambda value: f"{value:.1f}".removesuffix(".0")
    found.filters["corners"] = _corners
    return found


def _corners(node: Any) -> str:
    """A node's corners as an SVG polygon's points."""
    x, y, width = node.place.x, node.place.y, node.place.width
    points = ((x + cx * width / 2, y + cy * NODE_HEIGHT / 2) for cx, cy in node.look.corners)
    return " ".join(f"{px:.1f},{py:.1f}" for px, py in points)


def _shown(text: str) -> str:
    """Without controls and direction marks, and without what UTF-8 cannot hold."""
    return "".join(_storable(shown(text)))


def _storable(text: str) -> Iterator[str]:
    return ("\ufffd" if 0xD800 <= ord(c) <= 0xDFFF or c in "\ufffe\uffff" else c for c in text)


@cache
def read(name: str) -> str:
    """The text of a style or script that pages hold."""
    return (FOLDER / "templates" / name).read_text(encoding="utf-8")
