"""Whether one claim asks for more or for less than another.

Claims are compared where they are about the same number: by quantifier, bounds, target and what
is expected. Of what is expected to fail more is said where less is asserted. A multiple of something, such as `20% * effect`, counts as rising with its factor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from circuitlang.meaning import Entry
from circuitlang.meaning.terms import Assertion, Bound, Quantifier, Terms

Direction = Literal["strengthened", "weakened", "changed", "same"]

_RANK = {"exists": 0, "most": 1, "forall": 2}
_MORE, _LESS = 1, -1


def direction(before: Entry, after: Entry) -> Direction:
    """From one claim to the other, by what they assert and not by what their names stand for."""
    if before.terms is None or after.terms is None:
        return "same" if before.form == after.form else "changed"
    steps = _steps(before.terms, after.terms)
    if steps is None:
        return "changed"
    if before.content["expect"] == after.content["expect"] == "fails":
        steps = {-step for step in steps}
    found = {*steps, *_of_head(before.content, after.content)} - {0}
    if not found:
        return "same"
    if found == {_MORE}:
        return "strengthened"
    return "weakened" if found == {_LESS} else "changed"


def _steps(before: Terms, after: Terms) -> set[int] | None:
    """Signs of what differs; None where the claims are about something else."""
    if before.context != after.context:
        return None
    quantifiers = _quantifiers(before.quantifiers, after.quantifiers)
    asserts = _asserts(before.asserts, after.asserts)
    return None if quantifiers is None or asserts is None else quantifiers | asserts


def _of_head(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[int]:
    if before.get("over") != after.get("over"):
        wide = [content.get("over") == "templates" for content in (before, after)]
        yield wide[1] - wide[0]
    expected = before.get("expect"), after.get("expect")
    if expected[0] != expected[1]:
        if None in expected:
            yield _MORE if expected[1] is None else _LESS
        else:
            yield from (_MORE, _LESS)


def _quantifiers(before: tuple[Quantifier, ...], after: tuple[Quantifier, ...]) -> set[int] | None:
    if [q.domain for q in before] != [q.domain for q in after]:
        return None
    pairs = zip(before, after, strict=True)
    return {
        _sign(_RANK[b.kind] - _RANK[a.kind]) or _sign((b.level or 0.0) - (a.level or 0.0))
        for a, b in pairs
    }


def _asserts(before: tuple[Assertion, ...], after: tuple[Assertion, ...]) -> set[int] | None:
    """A conjunct more is stronger, one less weaker."""
    old, new = _by_number(before), _by_number(after)
    if not old.keys() & new.keys() or (old.keys() - new.keys() and new.keys() - old.keys()):
        return None
    found = {_LESS} if old.keys() - new.keys() else set()
    found |= {_MORE} if new.keys() - old.keys() else set()
    for number in old.keys() & new.keys():
        if len(old[number]) != len(new[number]):
            found.add(_sign(len(new[number]) - len(old[number])))
            continue
        for a, b in zip(old[number], new[number], strict=True):
            for step in (_bound(a.low, b.low, _MORE), _bound(a.high, b.high, _LESS)):
                if step is None:
                    return None
                found |= step
    return found


def _by_number(asserts: Iterable[Assertion]) -> dict[str, list[Assertion]]:
    found: dict[str, list[Assertion]] = {}
    for a in asserts:
        found.setdefault(a.number, []).append(a)
    return found


def _bound(before: Bound | None, after: Bound | None, rising: int) -> set[int] | None:
    """`rising` is what a larger bound makes of the claim; None where nothing can be said."""
    if before is None or after is None:
        return {_sign((after is not None) - (before is not None))}
    if before.terms.keys() != after.terms.keys():
        return None
    differences = {t: _sign(after.terms[t] - before.terms[t]) for t in before.terms}
    steps = {rising * step for step in differences.values()} - {0}
    return steps or {_sign(after.strict - before.strict)}


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
