"""Domains too large to list (`subsets`, `circuits`, `paths`, `inputs`) and what makes them finite.

`random(D, n)` draws members, `search` and `greedy` look for the most violating ones when the
claim is checked. The call gives a value; `iteration` makes a formula of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from circuitlang.language.diagnostics import suggestion
from circuitlang.language.formulas.domains import (
    LARGEST_EXPANSION,
    examples_of,
    listed,
    only_argument,
)
from circuitlang.language.formulas.drawn import (
    Circuits,
    Drawable,
    Listed,
    NothingToDraw,
    Paths,
    Searched,
    Subsets,
)
from circuitlang.language.formulas.values import Edges, ExampleDomain, Items, Nodes, kind
from circuitlang.language.spec import Constant
from circuitlang.language.text import syntax
from circuitlang.language.text.syntax import Expression
from circuitlang.language.text.unparse import unparse

if TYPE_CHECKING:
    from circuitlang.language.formulas.environment import Environment
    from circuitlang.language.formulas.evaluate import Evaluator

EXHAUSTED = 1_000
LARGEST_DRAW = 200_000_000
BUDGET = 100
GREEDY = {"runs": 10, "steps": 10, "width": 10}
SAMPLERS = ("paths", "edges")


# ---------------------------------------------------------------- domains


def subsets_of(ev: Evaluator, e: syntax.Call, env: Environment) -> Subsets:
    argument = only_argument(ev, e)
    value = ev.value(argument, env)
    if isinstance(value, (Nodes, Items)):
        members = listed(ev, argument, value, env)
        wrong = next((m for m, _ in members if not isinstance(m, (Nodes, Edges, Items))), None)
        if wrong is not None:
            raise ev.fail(
                "CL106",
                f"`subsets` takes nodes or sets of edges, not {kind(wrong)}.",
                argument,
                "write `subsets(nodes(C))` or `subsets(groups(C))`",
            )
        if not all(isinstance(m, Nodes) for m, _ in members):
            members = [(Edges(ev.as_edges(m, argument, env)), label) for m, label in members]
        if not members:
            raise _nothing(ev, argument, "it has no members")
        return Subsets(f"subsets({ev.printed(argument, env)})", tuple(members))
    raise ev.fail(
        "CL106",
        f"`subsets` takes nodes or a list, not {kind(value)}.",
        argument,
        f"write `subsets(nodes({unparse(argument)}))`" if isinstance(value, Edges) else None,
    )


def circuits_of(ev: Evaluator, e: syntax.Call, env: Environment) -> Circuits:
    if len(e.arguments) != 1 or e.generator is not None:
        raise ev.fail(
            "CL105", "`circuits` takes a number of edges.", e, "write `circuits(size(C))`"
        )
    sampler = "paths"
    for name, value in e.named:
        _check_name(ev, e, name, ("sampler",))
        text = ev.value(value, env)
        if text not in SAMPLERS:
            raise ev.fail(
                "CL105",
                "`sampler` says how a random circuit is drawn.",
                value,
                'write `sampler = "paths"`, random paths from input to logits, or '
                '`sampler = "edges"`, exactly so many edges',
            )
        sampler = text
    edges, graph = _whole(ev, e.arguments[0], env, "edges"), ev.graph(env)
    if edges > graph.size:
        raise ev.fail(
            "CL105",
            f"This model has {graph.size:,} edges, not {edges:,}.",
            e.arguments[0],
            "ask for circuits as large as the one they are compared with: `circuits(size(C))`",
        )
    written = f'circuits({edges}, sampler = "{sampler}")'
    return Circuits(written, graph.shape, edges, sampler)


def paths_of(ev: Evaluator, e: syntax.Call, env: Environment) -> Paths:
    argument = only_argument(ev, e)
    edges = ev.edges(argument, env)
    return Paths(f"paths({ev.printed(argument, env)})", ev.graph(env).shape, edges)


def inputs_of(ev: Evaluator, e: syntax.Call, env: Environment) -> ExampleDomain:
    found = examples_of(ev, e, env)
    return replace(found, whole=True, budget=BUDGET)


# ---------------------------------------------------------------- wrappers


def random_of(ev: Evaluator, e: syntax.Call, env: Environment) -> Items | ExampleDomain:
    if len(e.arguments) != 2 or e.named or e.generator is not None:
        raise ev.fail(
            "CL105",
            "`random` takes a domain and how many members to draw.",
            e,
            "write `random(subsets(nodes(C)), 124)`",
        )
    domain, number = _domain(ev, e, env), _whole(ev, e.arguments[1], env, "members")
    if isinstance(domain, ExampleDomain):
        return _limited(ev, e, domain, number)
    return _drawn(ev, e, domain, number, env)


def search_of(ev: Evaluator, e: syntax.Call, env: Environment) -> Items | ExampleDomain | Searched:
    domain, given = _domain(ev, e, env), _parameters(ev, e, env, {"budget": BUDGET})
    if isinstance(domain, ExampleDomain):
        return _beyond(ev, e, domain, given["budget"])
    return _searched(ev, e, Searched(domain, "search", tuple(given.items())), env)


def greedy_of(ev: Evaluator, e: syntax.Call, env: Environment) -> Items | Searched:
    domain, given = _domain(ev, e, env), _parameters(ev, e, env, GREEDY)
    if not isinstance(domain, Subsets):
        raise ev.fail(
            "CL106",
            "`greedy` grows sets member by member, so it needs `subsets(...)`.",
            e.arguments[0],
            "write `greedy(subsets(nodes(C)))`, or `search(D, budget = 100)` for another domain",
        )
    return _searched(ev, e, Searched(domain, "greedy", tuple(given.items())), env)


def default_search(ev: Evaluator, e: Expression, domain: Drawable, env: Environment) -> Any:
    """What `forall K in subsets(...)` means."""
    return _searched(ev, e, Searched(domain, "search", (("budget", BUDGET),)), env)


def _searched(ev: Evaluator, e: Expression, found: Searched, env: Environment) -> Items | Searched:
    """All members, where they are few and the budget reaches them: then there is nothing to find."""
    if found.budget > LARGEST_EXPANSION:
        raise ev.fail(
            "CL302",
            f"This search looks at up to {found.budget:,} members; the limit is "
            f"{LARGEST_EXPANSION:,}.",
            e,
            "ask for less",
        )
    if found.domain.is_all(min(found.budget, EXHAUSTED)):
        return _drawn(ev, e, found.domain, found.budget, env)
    _check_cost(ev, e, found.domain, 1)
    try:
        found.domain.members(1, ev.definitions.seed)
    except NothingToDraw as problem:
        raise _nothing(ev, e, str(problem)) from None
    return found


def _drawn(ev: Evaluator, e: Expression, domain: Drawable, number: int, env: Environment) -> Items:
    _check_cost(ev, e, domain, number)
    try:
        members = domain.members(number, ev.definitions.seed)
    except NothingToDraw as problem:
        raise _nothing(ev, e, str(problem)) from None
    drawn = "" if domain.is_all(number) else f"random({domain.written}, {number})"
    if isinstance(domain, Listed):
        drawn = drawn or domain.drawn_from
    values, labels = tuple(m for m, _ in members), tuple(label for _, label in members)
    return Items(values, labels, drawn, unwritten=True)


def _check_cost(ev: Evaluator, e: Expression, domain: Drawable, number: int) -> None:
    if number > LARGEST_EXPANSION or number * domain.cost > LARGEST_DRAW:
        limit = min(LARGEST_EXPANSION, LARGEST_DRAW // domain.cost)
        raise ev.fail(
            "CL302",
            f"This draws {number:,} members; the limit is {limit:,} here.",
            e,
            "draw fewer",
        )


def _check_whole(ev: Evaluator, e: syntax.Call, domain: ExampleDomain) -> None:
    if not domain.whole:
        task = domain.data.task
        raise ev.fail(
            "CL106",
            "`examples` are the sampled prompts already.",
            e.arguments[0],
            f"write `forall x in examples: ...`, or `{e.name.text}(inputs({task}), ...)`",
        )


def _beyond(ev: Evaluator, e: syntax.Call, domain: ExampleDomain, budget: int) -> ExampleDomain:
    """The sampled prompts, and so many others."""
    _check_whole(ev, e, domain)
    if budget > LARGEST_EXPANSION:
        raise ev.fail(
            "CL302",
            f"This search looks at up to {budget:,} prompts; the limit is {LARGEST_EXPANSION:,}.",
            e,
            "ask for less",
        )
    return replace(domain, budget=budget)


def _limited(ev: Evaluator, e: syntax.Call, domain: ExampleDomain, number: int) -> ExampleDomain:
    """So many of the sampled prompts, which are a random sample already."""
    _check_whole(ev, e, domain)
    sample = ev.definitions.task(domain.data.task, e).sample
    if number > sample:
        ev.diagnostics.warn(
            "CL507",
            f"This looks at {number:,} prompts, and `{domain.data.task}` draws {sample:,}.",
            e.span,
            f"write `sample {number}` in the task",
        )
    return replace(domain, limit=number, budget=0)


# ---------------------------------------------------------------- arguments


def _domain(ev: Evaluator, e: syntax.Call, env: Environment) -> Drawable | ExampleDomain:
    if not e.arguments or e.generator is not None:
        raise ev.fail(
            "CL105",
            f"`{e.name.text}` takes a domain first.",
            e,
            f"write `{e.name.text}(subsets(nodes(C)), ...)`",
        )
    argument = e.arguments[0]
    value = ev.value(argument, env)
    if isinstance(value, (Drawable, ExampleDomain)):
        return value
    if isinstance(value, Searched):
        raise ev.fail(
            "CL106",
            f"`{unparse(argument)}` is searched already.",
            argument,
            f"wrap the domain once: `{e.name.text}({value.domain.written}, ...)`",
        )
    members = listed(ev, argument, value, env)
    drawn = value.drawn if isinstance(value, Items) else ""
    return Listed(ev.printed(argument, env), tuple(members), drawn)


def _whole(ev: Evaluator, e: Expression, env: Environment, what: str) -> int:
    value = ev.value(e, env)
    if isinstance(value, Constant) and value.value == int(value.value) and value.value >= 1:
        return int(value.value)
    said = f"{value.value:g}" if isinstance(value, Constant) else kind(value)
    raise ev.fail(
        "CL105", f"A whole number of {what} is needed here, not {said}.", e, "write `100`"
    )


def _parameters(
    ev: Evaluator, e: syntax.Call, env: Environment, defaults: Mapping[str, int]
) -> dict[str, int]:
    if len(e.arguments) > 1:
        names = ", ".join(f"{name} = {value}" for name, value in defaults.items())
        raise ev.fail(
            "CL105",
            f"What `{e.name.text}` may spend is said by name.",
            e.arguments[1],
            f"write `{e.name.text}({unparse(e.arguments[0])}, {names})`",
        )
    found = dict(defaults)
    for name, value in e.named:
        _check_name(ev, e, name, tuple(defaults))
        found[name] = _whole(ev, value, env, name)
    return found


def _check_name(ev: Evaluator, e: syntax.Call, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise ev.fail(
            "CL105",
            f"`{e.name.text}` has no argument `{name}`.",
            e,
            suggestion(name, known) or f"it takes {', '.join(f'`{k} = ...`' for k in known)}",
        )


def _nothing(ev: Evaluator, e: Expression, why: str) -> Exception:
    return ev.fail(
        "CL301",
        f"There is nothing to draw from `{unparse(e)}`: {why}.",
        e,
        "check that the circuit and the groups meet",
    )
