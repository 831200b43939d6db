"""The meaning of a spec: the same however it is written, and another where it means another."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from circuitlang.diff import Side, compare
from circuitlang.front import resolve_source
from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.graph.architecture import Shape, architecture
from circuitlang.language.graph.edges import EdgeSet, Layout, Place, Position, uniform
from circuitlang.language.resolve import load
from circuitlang.language.source import Source, Span
from circuitlang.language.text import syntax
from circuitlang.language.text.format import format_text, format_tree
from circuitlang.language.text.lex import lex
from circuitlang.language.text.parse import parse
from circuitlang.meaning import Meaning, canonical, meaning
from circuitlang.meaning.edges import by_condition, edges_content, edges_of

ROOT = Path(__file__).parents[2]
SPECS = sorted([*ROOT.glob("specs/*/*.circ"), *ROOT.glob("tests/language/good/[!.]*.circ")])


def of_text(text: str, folder: Path = ROOT / "specs" / "toy") -> Meaning:
    diagnostics = Diagnostics()
    front = resolve_source(Source("t.circ", text, folder), diagnostics)
    assert not diagnostics.has_errors, diagnostics.found
    return meaning(front)


@cache
def original(path: Path) -> tuple[Source, Meaning]:
    source = load(path, Diagnostics())
    assert source is not None
    return source, of_text(source.text, path.parent)


def assert_same(old: Meaning, new: Meaning) -> None:
    found = compare(Side("old", old), Side("new", new))
    assert found.is_empty, found.model_dump_json(indent=1)
    assert old.parts() == new.parts()


# ---------------------------------------------------------------- how it is written


@pytest.mark.parametrize("path", SPECS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_a_meaning_is_json(path: Path) -> None:
    _, stated = original(path)
    assert Meaning.model_validate_json(stated.model_dump_json()) == stated
    assert canonical(stated.model_dump(mode="json"))
    assert len(canonical(stated.parts())) < 60_000


@pytest.mark.parametrize("path", SPECS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_formatting_and_comments_mean_nothing(path: Path) -> None:
    source, stated = original(path)
    formatted = format_text(source, Diagnostics())
    assert formatted is not None
    spread = formatted.replace("\n", "  # said\n\n") if '"""' not in formatted else formatted
    assert_same(stated, of_text(spread, path.parent))


ORDERED = (syntax.Model, syntax.Task, syntax.Import)
"""The first model and the first task's seed are meant where nothing else is said."""


class Shuffle:
    """The same spec with its statements, lines and lists in another order."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def file(self, file: syntax.File) -> syntax.File:
        fixed = iter([s for s in file.statements if isinstance(s, ORDERED)])
        mixed = self.mixed(file.statements)
        kept = [next(fixed) if isinstance(s, ORDERED) else s for s in mixed]
        return syntax.File(tuple(map(self.part, kept)))

    def mixed(self, parts: Any) -> tuple[Any, ...]:
        parts = list(parts)
        self.random.shuffle(parts)
        return tuple(parts)

    def part(self, part: Any) -> Any:
        match part:
            case tuple():
                return tuple(map(self.part, part))
            case syntax.Task(items=items):
                return replace(part, items=self.items(items))
            case syntax.Circuit(lines=lines):
                found = replace(part, lines=())
                return replace(self.fields(found), lines=self.mixed(map(self.part, lines)))
            case syntax.ListExpression(items, None):
                return replace(part, items=self.mixed(map(self.part, items)))
        return self.fields(part)

    def items(self, items: tuple[Any, ...]) -> tuple[Any, ...]:
        """Prompts without a name are numbered in order."""
        prompts = iter([i for i in items if isinstance(i, syntax.PromptTemplate)])
        mixed = self.mixed(map(self.part, items))
        return tuple(next(prompts) if isinstance(i, syntax.PromptTemplate) else i for i in mixed)

    def fields(self, part: Any) -> Any:
        if not is_dataclass(part) or isinstance(part, (Span, type)):
            return part
        names = [f.name for f in fields(part) if f.name != "span"]
        return replace(part, **{name: self.part(getattr(part, name)) for name in names})


@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.sampled_from(SPECS), st.randoms(use_true_random=False))
def test_order_means_nothing(path: Path, random: Random) -> None:
    source, stated = original(path)
    tree = Shuffle(random).file(parse(source, Diagnostics()))
    assert_same(stated, of_text(format_tree(tree), path.parent))


def slipped(source: Source, random: Random) -> tuple[str, str]:
    """The text with another number, node or relation somewhere, and the line it is in."""
    kinds = ("NUMBER", "NODE", "RELATION")
    token = random.choice([t for t in lex(source, Diagnostics()).tokens if t.type in kinds])
    old = str(token)
    turned = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "!=", "!=": "=="}.get(old)
    new = turned or (f"9{old}" if token.type == "NUMBER" else old.replace("0", "1"))
    assert token.start_pos is not None
    text = source.text[: token.start_pos] + new + source.text[token.start_pos + len(old) :]
    return text, source.line(token.line or 1)


@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    st.sampled_from([p for p in SPECS if p.parent.name != "gpt2"]),
    st.randoms(use_true_random=False),
)
def test_another_number_node_or_relation_means_something_else(path: Path, random: Random) -> None:
    source, stated = original(path)
    text, line = slipped(source, random)
    diagnostics = Diagnostics()
    front = resolve_source(Source("t.circ", text, path.parent), diagnostics)
    if text == source.text or front.resolved is None or diagnostics.has_errors:
        return
    document = compare(Side("old", stated), Side("new", meaning(front)))
    assert not document.is_empty, line
    assert len(document.changes) <= 3, (line, [c.key for c in document.changes])


# ---------------------------------------------------------------- edge sets

SHAPE = Shape(3, 4, 4, 96, 24, 48, 32)
GRAPH = architecture(SHAPE)
POSITIONS = [Position("A"), Position("B"), Position("END"), Position("B", shift=1)]
MASKS = st.integers(0, GRAPH.everything)
PLACES = st.lists(st.sampled_from(POSITIONS), min_size=1, max_size=3, unique=True).map(
    lambda positions: Place(tuple(positions))
)
SETS = st.recursive(
    MASKS.map(uniform),
    lambda inner: st.one_of(
        st.tuples(inner, PLACES).map(lambda t: t[0].at(t[1])),
        st.tuples(inner, inner).map(lambda t: t[0] | t[1]),
        st.tuples(inner, inner).map(lambda t: t[0] - t[1]),
        st.tuples(inner, inner).map(lambda t: t[0] & t[1]),
    ),
    max_leaves=6,
)
LAYOUTS = [
    Layout(6, (("A", 0, 1), ("B", 2, 3))),
    Layout(5, (("A", 1, 3), ("B", 3, 4))),
    Layout(4, (("A", 1, 2), ("B", 1, 2))),
    Layout(4, (("A", 3, 4), ("B", 2, 3))),
]


def live(found: dict[str, int], layout: Layout) -> tuple[int, ...]:
    """One mask per token, from the conditions alone."""
    rows = []
    at = {str(p): p.tokens(layout) for p in POSITIONS}
    for token in range(layout.length):
        mask = 0
        for condition, edges in found.items():
            cases = [case.split(" & ") for case in condition.split(", ")]
            if condition == "" or any(
                all((token in at[c.removeprefix("not ")]) != c.startswith("not ") for c in case)
                for case in cases
            ):
                mask |= edges
        rows.append(mask)
    return tuple(rows)


@settings(max_examples=150, derandomize=True, deadline=None, database=None)
@given(SETS)
def test_conditions_say_what_the_tree_says(edges: EdgeSet) -> None:
    found = by_condition(edges)
    for layout in LAYOUTS:
        assert live(found, layout) == edges.rows(layout)


@settings(max_examples=100, derandomize=True, deadline=None, database=None)
@given(SETS)
def test_edges_are_read_back(edges: EdgeSet) -> None:
    read = edges_of(edges_content(edges, SHAPE), SHAPE)
    expected = {
        at: frozenset(map(str, GRAPH.edges(mask))) for at, mask in by_condition(edges).items()
    }
    assert read == expected


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(SETS, SETS, PLACES)
def test_one_set_has_one_form(one: EdgeSet, other: EdgeSet, place: Place) -> None:
    assert by_condition(one | other) == by_condition(other | one)
    assert by_condition((one - other) | (one & other)) == by_condition(one)
    assert by_condition((one | other).at(place)) == by_condition(one.at(place) | other.at(place))


def test_a_set_of_123_211_edges_is_small() -> None:
    shape = Shape(30, 9, 3, 576, 64, 1536, 49152)
    graph = architecture(shape)
    head = graph.senders[100]
    for mask in (graph.everything, graph.everything & ~graph.leaving(head), graph.leaving(head)):
        assert len(canonical(edges_content(uniform(mask), shape))) < 3_000


@pytest.mark.parametrize("text", ["a0.h[0..999999999]", "m[0..999999999]", "x", "a0.h9 ->", "a0"])
def test_edges_that_no_spec_says_are_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        edges_of({"": {"edges": {"input": text}}}, SHAPE)
