"""What names are bound while an expression is evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from circuitlang.language.formulas.inline import count
from circuitlang.language.formulas.values import AblationValue, Edges, Items, Nodes
from circuitlang.language.graph import sets
from circuitlang.language.graph.edges import NOTHING
from circuitlang.language.spec import Constant, ModelReference


@dataclass(frozen=True)
class Environment:
    """Bound variables with their printed form, and the model whose graph is meant.

    `drawn` says what a random sample some variable is from, `chosen` which member each variable of
    a generator has; `searching` and `each` that a search or a quantifier over prompts is around.
    """

    model: ModelReference
    bindings: Mapping[str, Any]
    labels: Mapping[str, str]
    drawn: str = ""
    chosen: tuple[int, ...] = ()
    searching: bool = False
    each: bool = False

    def bind(self, names: tuple[str, ...], value: Any, label: str) -> Environment:
        values = value.members if len(names) > 1 else (value,)
        texts = [label] if len(names) == 1 else [describe(v) for v in values]
        return replace(
            self,
            bindings={**self.bindings, **dict(zip(names, values, strict=True))},
            labels={**self.labels, **dict(zip(names, texts, strict=True))},
        )


def describe(value: Any) -> str:
    """A short printed form of a value bound to a name."""
    if isinstance(value, Nodes):
        return ", ".join(map(str, value.members))
    if isinstance(value, Edges):
        return "none" if value.set == NOTHING else f"{count(sets.size(value.set), 'edge')}"
    if isinstance(value, Items):
        return "[" + ", ".join(value.labels or map(describe, value.members)) + "]"
    if isinstance(value, Constant):
        return f"{value.value:g}"
    if isinstance(value, ModelReference):
        return value.name
    if isinstance(value, AblationValue):
        return value.written
    return str(getattr(value, "name", value))
