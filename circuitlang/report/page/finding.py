"""A page of a command that finds and decides nothing: heat maps and tables, offline and self-contained.

    finding_page(
        "Effects of likes",
        "A ranking to start from, no evidence: decide a claim on other prompts.",
        [HeatMap("heads", ("0", "1"), ("h0", "h1"), ((0.1, None), (-0.2, 0.3)), corner="layer")],
        [FindingTable("Edges", "the first 10 of 262", ("edge", "score"), rows, numbers=("score",))],
        facts=(("spec", "likes 1.0.0"), ("prompts", "128")),
        found=document.diagnostics,
        command="circ effects",
    )

gives the whole HTML as text, for `commands.targets.write_target`. All of it is escaped here. Colours
are classes, since the page's policy allows no style but the one it holds. A map is a table with
its numbers, so it can be read aloud, copied and printed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from markupsafe import Markup

from circuitlang.report.document import DiagnosticForm
from circuitlang.report.heat import HeatMap
from circuitlang.report.page.palette import HEAT_LEVELS, heat_colour, readable_on
from circuitlang.report.page.render import environment, policy, read


@dataclass(frozen=True)
class FindingTable:
    """Rows of text, one cell for each heading; the columns `numbers` stand on the right."""

    title: str
    caption: str
    headings: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    numbers: tuple[str, ...] = ()


def finding_page(
    title: str,
    caption: str,
    maps: Sequence[HeatMap],
    tables: Sequence[FindingTable] = (),
    *,
    facts: Sequence[tuple[str, str]] = (),
    found: Iterable[DiagnosticForm] = (),
    command: str,
) -> str:
    """The page as HTML. `caption` stands above all and says what the numbers are not."""
    style = read("report.css") + heat_style()
    page: str = (
        environment()
        .get_template("finding.html")
        .render(
            title=title,
            caption=caption,
            maps=maps,
            tables=tables,
            facts=facts,
            found=tuple(found),
            command=command,
            version=version("circuitlang"),
            policy=policy([], [style]),
            style=Markup(style),
        )
    )
    return page


def heat_style() -> str:
    """The style of heat maps, light and dark; it goes behind the report's."""
    light, dark = (_colours(is_dark) for is_dark in (False, True))
    return f"{read('heat.css')}{light}@media screen and (prefers-color-scheme: dark) {{ {dark} }}\n"


def _colours(dark: bool) -> str:
    rules = []
    for level in range(-HEAT_LEVELS, HEAT_LEVELS + 1):
        name = "up" if level > 0 else "down" if level < 0 else "even"
        fill = heat_colour(level, dark)
        rules.append(
            f".heat .{name}{abs(level)} {{ background: {fill}; color: {readable_on(fill)}; }}\n"
        )
    return "".join(rules)
