"""The data sets behind a contrast: which prompts of which task each of its means is over."""

from __future__ import annotations

from circuitlang.judgement.forms import Affine, Atom
from circuitlang.judgement.parts import measurements, walk
from circuitlang.language.spec import (
    Each,
    Mean,
    MetricOperation,
    Rows,
    TopToken,
)
from circuitlang.language.text.syntax import RELATIONS

DataSet = tuple[str, Rows]


def data_set(atom: Atom) -> DataSet:
    """The prompts an atom averages over; inside an aggregate those it goes through one by one."""
    if isinstance(atom, Mean):
        return atom.measurement.run.task, atom.measurement.rows
    inside = [part.measurement for part in walk(atom) if isinstance(part, Each)]
    first = (inside or list(measurements(atom)))[0]
    return first.run.task, first.rows


def data_sets(affine: Affine) -> list[DataSet]:
    return list(dict.fromkeys(data_set(atom) for atom in affine.terms))


def restricted(affine: Affine, group: DataSet) -> Affine:
    """The terms over one data set, without the constant."""
    return Affine({a: c for a, c in affine.terms.items() if data_set(a) == group})


def is_indicator(atom: Atom) -> bool:
    """Whether an atom is 0 or 1 on every prompt whatever the sample, by what it measures.

    A rank or a divergence that happens to be 0 in this sample is not.
    """
    if isinstance(atom, Mean):
        expression = atom.measurement.metric.expression
        if isinstance(expression, MetricOperation):
            return expression.operator in RELATIONS
        return isinstance(expression, TopToken)
    return atom.kind == "share"
