"""The share of members for which a condition holds, decided in three values.

Takes the members' nodes and the region claimed for the share, as `most(95%) K in D: ...` or
`share(... for K in D) <= 10%` state it. Two things are uncertain. Whether a member satisfies the
condition is read off its interval, at a level at which the intervals of all members hold
together; a member whose interval decides nothing counts against either verdict. Where the members
are a random sample, the share in the domain has Clopper-Pearson bounds. Each of the two gets half
of alpha, or all of it where the other has nothing to err about.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from scipy import stats

from circuitlang.judgement.intervals import clopper_pearson
from circuitlang.judgement.leaf import Leaf
from circuitlang.judgement.node import Node, joined_leaves
from circuitlang.judgement.power import POWER, Needed
from circuitlang.judgement.regions import Region
from circuitlang.judgement.simultaneous import Family
from circuitlang.judgement.verdict import FAILS, HOLDS, INVALID, SURVIVED, UNDECIDED, Decision

LEVEL = 0.05
MOST_MEMBERS = 100_000


class Share:
    """The node of a share; `drawn` says that the members are a random sample of the domain."""

    def __init__(self, members: Sequence[tuple[str, Node]], region: Region, *, drawn: bool) -> None:
        self.members, self.region, self.drawn = members, region, drawn
        self.nodes = [node for _, node in members]
        self.family = Family(self.nodes)
        self._counts: dict[float, tuple[int, int]] = {}

    @property
    def searched(self) -> bool:
        return any(node.searched for node in self.nodes)

    @property
    def exact(self) -> bool:
        return not self.drawn and not self.family.estimated

    @property
    def leaves(self) -> tuple[Leaf, ...] | None:
        return None if self.drawn else joined_leaves(self.nodes)

    @cached_property
    def invalid(self) -> str | None:
        return next((f"{name}: {n.invalid}" for name, n in self.members if n.invalid), None)

    # ---------------------------------------------------------------- the bounds

    def _levels(self, alpha: float) -> tuple[float, float]:
        """The level of each member's interval, and that of the bounds over members."""
        both = self.drawn and bool(self.family.estimated)
        part = alpha / 2 if both else alpha
        return self.family.level(part), part

    def counts(self, level: float) -> tuple[int, int]:
        """How many members are shown to satisfy the condition, and how many not to."""
        if level not in self._counts:
            held = sum(node.holds(level) for node in self.nodes)
            self._counts[level] = held, sum(node.fails(level) for node in self.nodes)
        return self._counts[level]

    def bounds(self, alpha: float) -> tuple[float, float]:
        inner, outer = self._levels(alpha)
        held, refuted = self.counts(inner)
        return self._bounds(held, refuted, outer)

    def _bounds(self, held: int, refuted: int, alpha: float) -> tuple[float, float]:
        count = len(self.nodes)
        if not self.drawn:
            return held / count, 1 - refuted / count
        low, _ = clopper_pearson(held, count, alpha)
        _, high = clopper_pearson(count - refuted, count, alpha)
        return low, high

    @property
    def method(self) -> str:
        inner = {"exact": "exact members", "one interval": "one member"}.get(
            self.family.method, f"{self.family.method} members"
        )
        return f"Clopper-Pearson over {inner}" if self.drawn else f"share of {inner}"

    @cached_property
    def inside(self) -> int:
        """How many members satisfy the condition by their estimates."""
        return sum(n.holds(LEVEL) if n.exact else n.toward > 0 for n in self.nodes)

    @property
    def value(self) -> float:
        return self.inside / len(self.nodes)

    # ---------------------------------------------------------------- three values

    def holds(self, alpha: float) -> bool:
        return not self.invalid and self.region.contains(*self.bounds(alpha))

    def fails(self, alpha: float) -> bool:
        return not self.invalid and self.region.misses(*self.bounds(alpha))

    @property
    def toward(self) -> float:
        return self.region.distance(self.value)

    def strength(self, alpha: float) -> float:
        return min(map(self.region.distance, self.bounds(alpha)))

    # ---------------------------------------------------------------- what would decide

    def needed(self, alpha_holds: float, alpha_fails: float) -> Needed:
        inner, outer = self._levels(alpha_holds if self.toward > 0 else alpha_fails)
        count = len(self.nodes)
        if self.drawn and not self._decides(self.inside, count - self.inside, outer):
            return members_needed(self.value, self.region, outer, count)
        return self._prompts_needed(inner, outer)

    def _decides(self, held: int, refuted: int, alpha: float) -> bool:
        ends = self._bounds(held, refuted, alpha)
        return self.region.contains(*ends) or self.region.misses(*ends)

    def _prompts_needed(self, inner: float, outer: float) -> Needed:
        """At which n enough of the open members are decided, the easiest first."""
        held, refuted = self.counts(inner)
        open_ = [n for n in self.nodes if not n.holds(inner) and not n.fails(inner)]
        wanted = [(node.needed(inner, inner), node.toward > 0) for node in open_]
        possible = [(need, up) for need, up in wanted if need.n is not None]
        for need, up in sorted(possible, key=lambda pair: pair[0].n or 0):
            held, refuted = held + up, refuted + (not up)
            if self._decides(held, refuted, outer):
                return need
        why = next((need.why for need, _ in wanted if need.n is None), None)
        return Needed(None, why or "there is nothing left to sample")

    # ---------------------------------------------------------------- what the report shows

    def decision(self, alpha_holds: float, alpha_fails: float) -> Decision:
        if self.invalid:
            bad = ((n, Decision(INVALID, reason=x.invalid)) for n, x in self.members if x.invalid)
            return Decision(INVALID, reason=self.invalid, members=tuple(bad))
        alpha = min(alpha_holds, alpha_fails)
        inner, _ = self._levels(alpha)
        members = tuple((name, node.decision(inner, inner)) for name, node in self.members)
        failed = tuple(name for name, d in members if d.verdict == FAILS)
        low, high = self.bounds(alpha)
        found = Decision(
            UNDECIDED, self.value, low, high, 1 - 2 * alpha, str(self.region),
            None if self.region.low == -math.inf else self.region.low,
            None if self.region.high == math.inf else self.region.high,
            len(members), "members", self.method, members=members, failed=failed,
            looked_at=len(members) if self.drawn else None, noise=0.0,
        )  # fmt: skip
        if self.holds(alpha_holds):
            verdict = SURVIVED if self.searched else HOLDS
            why = "nothing that was tried refutes it" if self.searched else None
            return replace(found, verdict=verdict, reason=why)
        if self.fails(alpha_fails):
            return replace(found, verdict=FAILS, reason=self._split(members))
        need = self.needed(alpha_holds, alpha_fails)
        reason = f"{self._split(members)}; {self._asked(alpha)}"
        if need.unit == "members":
            return replace(found, n_to_decide=need.n, power_note=need.why, reason=reason)
        enough = need.n and f"about {need.n:,} {need.unit} would decide enough of them"
        return replace(found, reason=f"{reason}; {enough or need.why}")

    def _split(self, members: Sequence[tuple[str, Decision]]) -> str:
        """How many hold, fail and are open."""
        verdicts = [d.verdict for _, d in members]
        held, failed = sum(v in (HOLDS, SURVIVED) for v in verdicts), verdicts.count(FAILS)
        said = f"of {len(verdicts)} members {held} hold and {failed} fail"
        rest = len(verdicts) - held - failed
        return f"{said}, {rest} {'is' if rest == 1 else 'are'} undecided" if rest else said

    def _asked(self, alpha: float) -> str:
        """How many members would have to be shown to satisfy the condition."""
        _, outer = self._levels(alpha)
        count, (low, high) = len(self.nodes), (self.region.low, self.region.high)
        if high != math.inf and low != -math.inf:
            return f"the share has to lie {self.region}"
        upward = high == math.inf

        def shown(k: int) -> bool:
            ends = (k, count - k) if upward else (count - k, k)
            return self.region.contains(*self._bounds(*ends, outer))

        fewest = bisect_left(range(count + 1), True, key=shown)
        if fewest > count:
            return f"{count} members are too few to show a share {self.region} at all"
        return f"at least {fewest} would have to {'hold' if upward else 'fail'}"


def members_needed(share: float, region: Region, alpha: float, count: int) -> Needed:
    """How many drawn members would decide with 80% power, were `share` the true one."""
    border = region.border(share)
    if share == border:
        return Needed(None, "the share lies on the threshold", "members")
    # Clopper-Pearson decides when so few lie on the border's other side that a share at the
    # border would give as few with probability alpha at most.
    rare, at_border = (1 - share, 1 - border) if share > border else (share, border)
    n = count
    while n < MOST_MEMBERS:
        n += max(1, n // 50)
        few = int(stats.binom.ppf(alpha, n, at_border))
        if stats.binom.cdf(few, n, at_border) > alpha:
            few -= 1
        if few >= 0 and stats.binom.cdf(few, n, rare) >= POWER:
            return Needed(n, unit="members")
    return Needed(None, f"more than {MOST_MEMBERS:,} members would be needed", "members")
