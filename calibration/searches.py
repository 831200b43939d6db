"""Rows on searches: the worst members on one half of the prompts are decided on the other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from calibration.claims import F, compare, op, sample, verdict
from calibration.populations import EXPONENTIAL, NORMAL, Generator, Population
from calibration.row import Row, seed
from circuitlang.language.formulas.drawn import Drawable, Subsets
from circuitlang.language.formulas.values import Located, Nodes
from circuitlang.language.graph.architecture import Node
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.spec import Formula, Quantified, Search
from circuitlang.measurement.search import halves, restricted, with_members

PARTS = 12


def claim(strategy: str, **parameters: int) -> Quantified:
    """forall K in subsets of twelve parts: the sum of what its parts have is at least 0."""
    base = tuple((Nodes((Located(Node("head", 0, i)),)), f"p{i}") for i in range(PARTS))

    def instantiate(value: Nodes, label: str) -> Formula:
        parts = [F(f"p{part.node.head}") for part in value.members]
        return compare(op("+", 0.0, 0.0, *parts), ">=", 0)

    candidates: Drawable = Subsets("subsets(parts)", base)
    search = Search(
        strategy,
        tuple(parameters.items()),
        candidates,
        0,
        instantiate(Nodes(()), "none"),
        instantiate,
    )
    return Quantified("forall", "K", "subsets(parts)", (), extent="found", search=search)


CLAIMS = {
    "search": claim("search", budget=200),
    "greedy": claim("greedy", runs=5, steps=6, width=4),
}


def found(rng: Generator, strategy: str, population: Population, n: int, decide_on: int) -> str:
    """No part has an effect, so every set is on its threshold; `decide_on` is the half that decides."""
    whole = sample({f"p{i}": population.draw(rng, n) for i in range(PARTS)}, seed=seed(rng))
    prompts = tuple(Prompt(i, "t", {}, "", (i,), {}, {}, {}, {}) for i in range(n))
    rows = halves(PromptSet("task", ("t",), prompts, (), None, False))
    parts = [restricted(whole, {"task": half}) for half in rows]
    (chosen,) = with_members([CLAIMS[strategy]], lambda formulas: parts[0], lambda stage: None)
    return verdict(chosen, parts[decide_on])


def searches() -> Iterator[Row]:
    for strategy, said in (("search", "200 drawn"), ("greedy", "greedy")):
        for population in (NORMAL, EXPONENTIAL):
            trial = partial(found, strategy=strategy, population=population, n=512, decide_on=1)
            name = f"{said} of 4,096 sets, {population.name}"
            yield Row("searches", name, "n = 256 and 256", trial, ("fails",), 0.2)


def same_half() -> Row:
    trial = partial(found, strategy="search", population=NORMAL, n=512, decide_on=0)
    return Row(
        "shown wrong", "200 sets searched and decided on the same prompts", "n = 256", trial,
        ("fails",), 0.2, shown_wrong=True,
    )  # fmt: skip
