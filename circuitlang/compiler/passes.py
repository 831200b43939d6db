"""The compiler: passes from a program to a plan, each a pure function over a printable form.

    Program --prefix--> Program --number--> Graph --rebase--> Graph --drop--> Demand
            --fuse--> Schedule --order--> Schedule --allocate--> Plan

Every pass that optimises has switches; off, it is the plain way to the same numbers.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

from circuitlang.compiler.allocate import Plan, allocate
from circuitlang.compiler.drop import drop
from circuitlang.compiler.number import number
from circuitlang.compiler.program import Program, whole_suffix
from circuitlang.compiler.rebase import rebase
from circuitlang.compiler.schedule import fuse, order


@dataclass(frozen=True)
class Switches:
    """What the passes may do; everything, unless said otherwise.

    prefix: positions before the first corrupted token are the clean run's
    prune: skip nodes that no read depends on, run by run
    share: equal values of different runs are one
    fold: a node that reads one run's values alone is not computed again
    deltas: inputs are a stream plus differences, not sums over all summands
    dead: values nobody asks for are dropped
    demand: values are computed only at the positions asked for
    batch: values of one kind and layer are computed together
    layers: steps go layer by layer
    free: tensors are freed after their last use
    """

    prefix: bool = True
    prune: bool = True
    share: bool = True
    fold: bool = True
    deltas: bool = True
    dead: bool = True
    demand: bool = True
    batch: bool = True
    layers: bool = True
    free: bool = True

    def without(self, *names: str) -> Switches:
        return replace(self, **dict.fromkeys(names, False))


ALL = Switches()
SWITCHES = tuple(field.name for field in fields(Switches))


@dataclass(frozen=True)
class Pass:
    """`run` takes a form and the switches and gives the next form."""

    name: str
    does: str
    run: Callable[[Any, Switches], Any]


PASSES: tuple[Pass, ...] = (
    Pass(
        "prefix",
        "positions before the first corrupted token are the clean run's",
        lambda form, on: form if on.prefix else whole_suffix(form),
    ),
    Pass(
        "number",
        "nodes that read the same are one value, and fold into a source's",
        lambda form, on: number(form, share=on.share, fold=on.fold, lazy=on.prune),
    ),
    Pass(
        "rebase",
        "inputs become a stream plus differences",
        lambda form, on: rebase(form, deltas=on.deltas),
    ),
    Pass(
        "drop",
        "values are kept where they are asked for",
        lambda form, on: drop(form, dead=on.dead, positions=on.demand),
    ),
    Pass("fuse", "values make batches", lambda form, on: fuse(form, together=on.batch)),
    Pass("order", "steps go layer by layer", lambda form, on: order(form, by_layer=on.layers)),
    Pass(
        "allocate",
        "tensors are freed after their last use",
        lambda form, on: allocate(form, free=on.free),
    ),
)


def compile_program(
    form: Program, switches: Switches = ALL, see: Callable[[str, Any], None] | None = None
) -> Plan:
    """All passes in order; `see` gets every pass's name and result."""
    result: Any = form
    with _no_collection():
        for one in PASSES:
            result = one.run(result, switches)
            if see is not None:
                see(one.name, result)
    assert isinstance(result, Plan)
    return result


@contextmanager
def _no_collection() -> Iterator[None]:
    """Forms are many small tuples without cycles; looking for some takes half of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
