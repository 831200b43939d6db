"""Formulas of several parts, decided inside out in three values.

`forall` holds when every member holds, each at alpha: an intersection-union test needs no
correction (Berger 1982). That it fails means that some member fails, and with 671 members at
their thresholds one of them would by chance; so that needs Holm's correction (Holm 1979).
`exists` is the dual. Each takes its error rate from outside, so nested quantifiers compose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

from circuitlang.judgement.leaf import Leaf, either_end, fewest, most, narrow
from circuitlang.judgement.node import Node, joined_leaves
from circuitlang.judgement.power import Needed
from circuitlang.judgement.verdict import (
    FAILS,
    HOLDS,
    INVALID,
    SURVIVED,
    UNDECIDED,
    Decision,
)


class Range:
    """`x in a..b`: it holds when both ends do, each at alpha, and fails when one of them does."""

    searched = False

    def __init__(self, lower: Leaf, upper: Leaf) -> None:
        self.lower, self.upper = lower, upper
        self.leaves = (lower, upper)

    def _fails_level(self, alpha: float) -> float:
        if max(len(self.lower.tests), len(self.upper.tests)) > 1:
            return alpha / 2
        return either_end(alpha, (*self.lower.tests, *self.upper.tests))

    @property
    def exact(self) -> bool:
        return self.lower.exact and self.upper.exact

    @property
    def invalid(self) -> str | None:
        return self.lower.invalid or self.upper.invalid

    @property
    def toward(self) -> float:
        return min(self.lower.toward, self.upper.toward)

    def holds(self, alpha: float) -> bool:
        return self.lower.holds(alpha) and self.upper.holds(alpha)

    def fails(self, alpha: float) -> bool:
        if self.invalid:
            return False
        level = self._fails_level(alpha)
        return self.lower.fails(level) or self.upper.fails(level)

    def strength(self, alpha: float) -> float:
        return min(self.lower.strength(alpha), self.upper.strength(alpha))

    def needed(self, alpha_holds: float, alpha_fails: float) -> Needed:
        return needed_by_all((self.lower, self.upper), alpha_holds, alpha_fails)

    def decision(self, alpha_holds: float, alpha_fails: float) -> Decision:
        low = self.lower.decision(alpha_holds, alpha_fails)
        high = self.upper.decision(alpha_holds, alpha_fails)
        threshold = f"in {low.threshold[3:]}..{high.threshold[3:]}"
        joint = replace(
            low, high=high.high, region_high=high.region_high, threshold=threshold,
            companions=self.companions, n_to_decide=None, power_note=None,
        )  # fmt: skip
        if self.invalid:
            return replace(joint, verdict=INVALID, reason=self.invalid)
        if self.holds(alpha_holds):
            return replace(joint, verdict=HOLDS, reason=None)
        if self.fails(alpha_fails):
            reason = low.reason if low.verdict == FAILS else high.reason
            return replace(joint, verdict=FAILS, reason=reason)
        need = self.needed(alpha_holds, alpha_fails)
        reason = low.reason if low.verdict != HOLDS else high.reason
        if FAILS in (low.verdict, high.verdict):
            reason = narrow(self._fails_level(alpha_fails))
        return replace(
            joint, verdict=UNDECIDED, reason=reason, n_to_decide=need.n, power_note=need.why
        )

    @cached_property
    def companions(self) -> tuple[tuple[str, float], ...]:
        return self.lower.companions


class Group:
    """`forall`, `exists`, or `and` (a forall over its parts).

    With `searched` the members are only some of those meant; `tried` of them were looked at,
    where that are more than the members.
    """

    def __init__(
        self,
        kind: str,
        members: Sequence[tuple[str, Node]],
        *,
        searched: bool = False,
        tried: int | None = None,
    ) -> None:
        self.kind, self.members = kind, members
        self.unbounded, self.tried = searched, tried
        self.nodes = [node for _, node in members]

    @property
    def exact(self) -> bool:
        return all(node.exact for node in self.nodes)

    @property
    def leaves(self) -> tuple[Leaf, ...] | None:
        return joined_leaves(self.nodes)

    @property
    def searched(self) -> bool:
        """Whether it, or something in it, speaks of more members than were looked at."""
        own = self.unbounded and self.kind == "forall"
        return own or any(node.searched for node in self.nodes)

    @cached_property
    def invalid(self) -> str | None:
        if not self.members:
            return "the list it ranges over is empty, so it says nothing"
        for label, node in self.members:
            if node.invalid:
                return f"{label}: {node.invalid}"
        return None

    def holds(self, alpha: float) -> bool:
        if self.invalid:
            return False
        if self.kind == "forall":
            return all(node.holds(alpha) for node in self.nodes)
        return any(node.holds(alpha / len(self.nodes)) for node in self.nodes)

    def fails(self, alpha: float) -> bool:
        if self.invalid:
            return False
        if self.kind == "forall":
            return any(node.fails(alpha / len(self.nodes)) for node in self.nodes)
        return not self.unbounded and all(node.fails(alpha) for node in self.nodes)

    @property
    def toward(self) -> float:
        found = [node.toward for node in self.nodes]
        return min(found) if self.kind == "forall" else max(found)

    def strength(self, alpha: float) -> float:
        found = [node.strength(alpha) for node in self.nodes]
        return min(found) if self.kind == "forall" else max(found)

    def needed(self, alpha_holds: float, alpha_fails: float) -> Needed:
        if self.kind == "forall":
            return needed_by_all(self.nodes, alpha_holds, alpha_fails)
        return needed_by_any(self.nodes, alpha_holds, alpha_fails)

    def decision(self, alpha_holds: float, alpha_fails: float) -> Decision:
        """Members are shown at the level that Holm's procedure ends with."""
        if self.invalid:
            bad = ((n, Decision(INVALID, reason=x.invalid)) for n, x in self.members if x.invalid)
            return Decision(INVALID, reason=self.invalid, members=tuple(bad))
        if self.kind == "forall":
            level = step_down([node.fails for node in self.nodes], alpha_fails)
            members = self._members(alpha_holds, level)
        else:
            level = step_down([node.holds for node in self.nodes], alpha_holds)
            members = self._members(level, alpha_fails)
        strengths = [node.strength(alpha_holds) for node in self.nodes]
        pick = min if self.kind == "forall" else max
        shown = pick(range(len(members)), key=lambda i: strengths[i])
        label, worst = members[shown]
        verdict = UNDECIDED
        if self.holds(alpha_holds):
            verdict = SURVIVED if self.searched else HOLDS
        elif self.fails(alpha_fails):
            verdict = FAILS
        need = self.needed(alpha_holds, alpha_fails) if verdict == UNDECIDED else Needed(None)
        found = replace(
            worst, verdict=verdict, worst=label, members=members,
            failed=tuple(name for name, d in members if d.verdict == FAILS),
            n=min(d.n for _, d in members), n_to_decide=need.n, power_note=need.why,
            reason=self._reason(verdict, members), companions=(), looked_at=self._looked_at(members),
        )  # fmt: skip
        if need.n and need.unit != worst.unit:
            note = f"about {need.n:,} {need.unit} would decide it"
            return replace(found, n_to_decide=None, reason=f"{found.reason}; {note}")
        return found

    def _looked_at(self, members: Sequence[tuple[str, Decision]]) -> int | None:
        """How many members of all that are meant were looked at, those inside members included."""
        if self.unbounded:
            return self.tried or len(members)
        return sum(d.looked_at or 0 for _, d in members) or None

    def _members(self, alpha_holds: float, alpha_fails: float) -> tuple[tuple[str, Decision], ...]:
        return tuple(
            (label, self._corrected(node, node.decision(alpha_holds, alpha_fails), alpha_holds))
            for label, node in self.members
        )

    def _corrected(self, node: Node, found: Decision, alpha: float) -> Decision:
        """Tell apart what is undecided and what only Holm's correction leaves undecided."""
        open_ = found.verdict in (UNDECIDED, SURVIVED)
        if self.kind == "forall" and open_ and node.fails(alpha):
            reason = (
                f"fails alone, but not after Holm's correction over {len(self.members)} members"
            )
            return replace(found, verdict=UNDECIDED, reason=reason)
        return found

    def _reason(self, verdict: str, members: tuple[tuple[str, Decision], ...]) -> str | None:
        count = len(members)
        if verdict == HOLDS:
            return None
        if verdict == SURVIVED:
            tried = self._looked_at(members)
            if tried is None:
                return next(d.reason for _, d in members if d.verdict == SURVIVED)
            return f"{tried:,} members were looked at and none refutes it; there are more"
        missing = [(name, d) for name, d in members if d.verdict not in (HOLDS, SURVIVED)]
        failed = [name for name, d in members if d.verdict == FAILS]
        if verdict == FAILS:
            some = f"{', '.join(failed[:5])}{' ...' if len(failed) > 5 else ''}"
            return f"{len(failed)} of {count} fail: {some}"
        if self.kind == "exists":
            rest = f" of {self.tried or count:,}, but not all were looked at"
            found = f"no member holds{rest if self.unbounded else ''}"
            return f"{found} after Holm's correction over {count}"
        name, first = missing[0] if missing else members[0]
        return f"{len(missing)} of {count} are not shown to hold; {name}: {first.reason}"


def step_down(rejects: Sequence[Callable[[float], bool]], alpha: float) -> float:
    """The level at which Holm's procedure stops: what is rejected there is rejected.

    Holm tests the smallest p-value at alpha / m, the next at alpha / (m - 1), and so on until
    one is not rejected; with intervals instead of p-values, by rounds.
    """
    count = len(rejects)
    candidates = [reject for reject in rejects if reject(alpha)]
    left = count
    while True:
        level = alpha / max(left, 1)
        now = count - sum(reject(level) for reject in candidates)
        if now == left:
            return level
        left = now


def needed_by_all(nodes: Sequence[Node], alpha_holds: float, alpha_fails: float) -> Needed:
    """To refute, the first member outside; to confirm, the last one not shown to hold."""
    outside = [node for node in nodes if node.toward <= 0]
    if outside:
        level = alpha_fails / len(nodes)
        return fewest([node.needed(alpha_holds, level) for node in outside])
    open_ = [node for node in nodes if not node.holds(alpha_holds)]
    return most([node.needed(alpha_holds, alpha_fails) for node in open_ or nodes])


def needed_by_any(nodes: Sequence[Node], alpha_holds: float, alpha_fails: float) -> Needed:
    """The dual of `needed_by_all`."""
    inside = [node for node in nodes if node.toward > 0]
    if inside:
        level = alpha_holds / len(nodes)
        return fewest([node.needed(level, alpha_fails) for node in inside])
    open_ = [node for node in nodes if not node.fails(alpha_fails)]
    return most([node.needed(alpha_holds, alpha_fails) for node in open_ or nodes])
