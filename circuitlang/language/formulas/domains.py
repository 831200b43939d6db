"""What can be iterated: lists, ranges, and the functions that give domains."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from circuitlang.language.diagnostics import suggestion
from circuitlang.language.formulas.drawn import Drawable, Searched
from circuitlang.language.formulas.values import (
    AblationValue,
    Data,
    Edges,
    ExampleDomain,
    Interval,
    Items,
    Nodes,
    kind,
)
from circuitlang.language.graph import sets
from circuitlang.language.graph.edges import Place
from circuitlang.language.spec import Constant, Rows
from circuitlang.language.tasks.text_values import shown
from circuitlang.language.text import syntax
from circuitlang.language.text.syntax import Expression
from circuitlang.language.text.unparse import unparse

if TYPE_CHECKING:
    from circuitlang.language.formulas.environment import Environment
    from circuitlang.language.formulas.evaluate import Evaluator

LARGEST_EXPANSION = 20_000


def only_argument(ev: Evaluator, e: syntax.Call) -> Expression:
    if len(e.arguments) != 1 or e.named or e.generator is not None:
        raise ev.fail(
            "CL105", f"`{e.name.text}` takes one argument.", e, f"write `{e.name.text}(...)` of one"
        )
    return e.arguments[0]


def listed(ev: Evaluator, e: Expression, value: Any, env: Environment) -> list[tuple[Any, str]]:
    """Members of a listed domain with their printed names."""
    if isinstance(value, Items):
        labels = value.labels or tuple(map(str, range(len(value.members))))
        return list(zip(value.members, labels, strict=True))
    if isinstance(value, Nodes):
        return [(Nodes((m,)), str(m)) for m in value.members]
    if isinstance(value, Interval):
        return _numbers(ev, e, value)
    text = unparse(e)
    if isinstance(value, Edges):
        raise ev.fail(
            "CL304",
            f"`{text}` is a circuit: iterate its edges or its nodes?",
            e,
            f"write `edges({text})`, `nodes({text})`, `groups({text})` or `arrows({text})`",
        )
    if isinstance(value, Data):
        raise ev.fail(
            "CL106", f"`{text}` is data.", e, f"write `examples({text})` or `templates({text})`"
        )
    if isinstance(value, (Drawable, Searched)):
        domain = value.domain if isinstance(value, Searched) else value
        raise ev.fail(
            "CL316",
            f"`{text}` is too large to list.",
            e,
            f"draw members of it: `random({domain.written}, 100)`",
        )
    if isinstance(value, Place):
        return _tokens(ev, e, value)
    raise ev.fail(
        "CL106",
        f"{kind(value).capitalize()} cannot be iterated.",
        e,
        "iterate a list, a group, `edges(C)`, `nodes(C)`, `groups(C)`, `examples` or a range",
    )


def _tokens(ev: Evaluator, e: Expression, place: Place) -> list[tuple[Any, str]]:
    """Token by token, where a span's length is known before any prompt is drawn."""
    found = []
    for position in place.positions:
        length = 1 if position.pick != "span" else ev.definitions.span_length(position.label)
        if length is None:
            raise ev.fail(
                "CL307",
                f"How many tokens `{position.label}` has depends on the tokenizer and the prompt.",
                e,
                f"list positions: `[first({position.label}), last({position.label})]`",
            )
        _bounded(ev, e, length)
        first = position.pick if position.pick != "span" else "first"
        found += [replace(position, pick=first, shift=position.shift + i) for i in range(length)]
    return [(Place((p,)), str(p)) for p in found]


def _numbers(ev: Evaluator, e: Expression, value: Interval) -> list[tuple[Any, str]]:
    low, high = value.low, value.high
    whole = (
        isinstance(low, Constant)
        and isinstance(high, Constant)
        and low.value.is_integer()
        and high.value.is_integer()
    )
    if not whole:
        raise ev.fail(
            "CL106", "Only a range of whole numbers can be iterated.", e, "write `for i in 0..9`"
        )
    length = int(high.value) - int(low.value) + 1
    _bounded(ev, e, length)
    return [(Constant(float(i)), str(i)) for i in range(int(low.value), int(high.value) + 1)]


def _bounded(ev: Evaluator, e: Expression, number: int) -> None:
    if number > LARGEST_EXPANSION:
        raise ev.fail(
            "CL302",
            f"This expands into {number:,} members; the limit is {LARGEST_EXPANSION:,}.",
            e,
            "take a smaller circuit or quantify over groups",
        )


def edges_of(ev: Evaluator, e: syntax.Call, env: Environment) -> Items:
    found = ev.edges(only_argument(ev, e), env)
    _bounded(ev, e, sets.size(found))
    pairs = list(sets.members(found, ev.graph(env)))
    return Items(tuple(Edges(s) for _, s in pairs), tuple(label for label, _ in pairs))


def nodes_of(ev: Evaluator, e: syntax.Call, env: Environment) -> Nodes:
    argument = only_argument(ev, e)
    value = ev.value(argument, env)
    if isinstance(value, Nodes):
        return value
    return sets.nodes_of(ev.as_edges(value, argument, env), ev.runs.free(e, env), ev.graph(env))


def groups_of(ev: Evaluator, e: syntax.Call, env: Environment) -> Items:
    present = sets.nodes_of(
        ev.edges(only_argument(ev, e), env), ev.runs.free(e, env), ev.graph(env)
    )
    members, labels = [], []
    for name in ev.definitions.groups(_module(ev, only_argument(ev, e))):
        group = ev.as_nodes(ev.definition(name, e, env), e)
        meet = sets.intersection(group, present)
        if meet.members:
            members.append(meet)
            places = {m.place for m in meet.members}
            place = places.pop() if len(places) == 1 else None
            labels.append(f"{name} @ {place}" if place else name)
    return Items(tuple(members), tuple(labels))


def _module(ev: Evaluator, e: Expression) -> str:
    """The import whose circuit is named, "" for this file: a circuit is grouped as its file does."""
    name = ev.definitions.qualified(e.parts) if isinstance(e, syntax.Name) else None
    return name.rpartition(".")[0] if name else ""


def arrows_of(ev: Evaluator, e: syntax.Call, env: Environment) -> Items:
    argument = only_argument(ev, e)
    value = ev.value(argument, env)
    if not isinstance(value, Edges) or not value.lines:
        raise ev.fail(
            "CL106", "`arrows` needs a circuit written as lines.", e, "name a `circuit ... { }`"
        )
    return Items(tuple(Edges(s) for _, s in value.lines), tuple(text for text, _ in value.lines))


def templates_of(ev: Evaluator, e: syntax.Call, env: Environment) -> Items:
    task = _task(ev, e, env)
    names = tuple(p.name for p in task.templates)
    return Items(tuple(Data(task.name, Rows("template", n)) for n in names), names)


def corruptions_of(ev: Evaluator, e: syntax.Call, env: Environment) -> Items:
    names = tuple(_task(ev, e, env).corruptions)
    return Items(tuple(AblationValue("corruption", n, None, n) for n in names), names)


def examples_of(ev: Evaluator, e: syntax.Call, env: Environment) -> ExampleDomain:
    value = ev.data_value(only_argument(ev, e), env)
    if isinstance(value, ExampleDomain):
        return value
    if not isinstance(value, Data) or value.each:
        raise ev.fail(
            "CL106", f"`examples` needs a task, not {kind(value)}.", e, "write `examples(task)`"
        )
    return ExampleDomain(value)


def parts_of(ev: Evaluator, e: syntax.Call, env: Environment) -> Items:
    if len(e.arguments) != 2 or not isinstance(e.arguments[1], syntax.Name):
        raise ev.fail("CL105", "`parts` takes a task and a slot.", e, "write `parts(task, slot)`")
    first = replace(e, arguments=e.arguments[:1])
    task, slot = _task(ev, first, env), e.arguments[1].text
    for candidate in task.slots:
        if slot in candidate.names:
            if candidate.needs_tokenizer:
                raise ev.fail(
                    "CL307",
                    f"The values of `{slot}` depend on the tokenizer.",
                    e,
                    "give the slot a list of its own, without `token_count`",
                )
            if candidate.sequences is not None:
                raise ev.fail(
                    "CL302",
                    f"The sequences of token ids that `{slot}` draws are too many to list.",
                    e,
                    "name a slot that has a list of values",
                )
            column = candidate.names.index(slot)
            values = tuple(dict.fromkeys(shown(row[column]) for row in candidate.rows))
            _bounded(ev, e, len(values))
            return Items(tuple(Data(task.name, Rows("part", v, slot)) for v in values), values)
    known = [name for s in task.slots for name in s.names]
    raise ev.fail(
        "CL101",
        f"Task `{task.name}` has no slot `{slot}`.",
        e.arguments[1],
        suggestion(slot, known) or f"its slots are {', '.join(known)}",
    )


def _task(ev: Evaluator, e: syntax.Call, env: Environment) -> Any:
    value = ev.data_value(only_argument(ev, e), env)
    if not isinstance(value, Data) or value.rows.kind != "all":
        raise ev.fail(
            "CL106",
            f"`{e.name.text}` needs a task, not {kind(value)}.",
            e,
            f"write `{e.name.text}(task)`",
        )
    return ev.definitions.task(value.task, e)
