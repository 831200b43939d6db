"""Claims around values that are known exactly.

A `Quantity` is what a claim compares with a threshold: its text, its exact value over the whole
population, and how wide its interval is on a sample of n prompts, by the textbook formula and not by
the code that is under test. A `Statement` puts a threshold at a distance from the value.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from truth.exact import EdgeSet, Exact, Vector, one_edge

ALPHA = 0.05
MISTAKES = (
    "missing edge",
    "extra edge",
    "wrong head",
    "wrong port",
    "wrong position",
    "wrong sign",
)
KINDS = ("faithfulness", "necessity", "completeness", "minimality", "share", "quantifier")
NEAR = (0.001, 0.01, 0.05, 0.1, 0.2)
FAR = (0.3, 0.5, 0.8)
SMALL = 0.02  # values below are idle: distances from them are in units of the effect
VARYING = 0.8  # the share of statements about quantities that vary, where there are some
MANY = 100
MOST_TRIES = 100_000
PLACED_EDGES = 6  # how many edges at single places a model is asked about
PER_MISTAKE = 5  # how many circuits of each mistake a model gets

HalfWidth = Callable[[int], float]


@dataclass(frozen=True)
class Side:
    """What decides a claim in one direction: a value, and its distance from its interval's end."""

    value: float
    half_width: HalfWidth


@dataclass(frozen=True)
class Quantity:
    """`left >= t scale` or `left <= t scale`, after `prefix`; the value may depend on which."""

    subject: str
    kind: str
    mistake: str | None
    left: str
    sides: dict[str, Side]
    scale: str = ""
    prefix: str = ""
    highest: float = math.inf

    @property
    def varies(self) -> bool:
        """Whether a sample may be wrong about it: prompts differ, by more than rounding."""
        return all(side.half_width(MANY) > SMALL / 100 for side in self.sides.values())


@dataclass(frozen=True)
class Statement:
    """A claim in the language, whether it is true, and how it came about.

    `distance` is the threshold's from the value as a share of the value (of the effect, where the
    value is idle); None where it is two half-widths of an interval from `samples` prompts.
    """

    name: str
    quantity: Quantity
    operator: str
    threshold: str
    distance: float | None
    samples: int
    seed: int

    @property
    def text(self) -> str:
        q = self.quantity
        return f"claim {self.name}: {q.prefix}{q.left} {self.operator} {self.threshold}{q.scale}"

    @property
    def true(self) -> bool:
        value, threshold = self.quantity.sides[self.operator].value, float(self.threshold)
        return value >= threshold if self.operator == ">=" else value <= threshold

    @property
    def verdict(self) -> str:
        """The right one."""
        return "holds" if self.true else "fails"

    @property
    def near(self) -> bool:
        return self.distance is not None and self.distance <= max(NEAR)

    @property
    def half_widths(self) -> float:
        """How far the threshold is from the value, in half-widths of the interval to be expected."""
        side = self.quantity.sides[self.operator]
        half_width = side.half_width(self.samples)
        apart = abs(float(self.threshold) - side.value)
        return apart / half_width if half_width else math.inf


# ------------------------------------------------------------------------------------ quantities


@dataclass(frozen=True)
class Ratio:
    """mean(top) / mean(bottom) over a population whose templates are sampled evenly."""

    top: Vector
    bottom: Vector
    templates: Vector

    @property
    def value(self) -> float:
        return float(self.top.mean() / self.bottom.mean())

    def half_width(self, n: int, alpha: float = ALPHA) -> float:
        """Of Fieller's interval to first order, stratified by template."""
        names = np.unique(self.templates)
        contrast = self.top - self.value * self.bottom
        variance = np.mean([contrast[self.templates == name].var(ddof=1) for name in names])
        quantile = stats.t.ppf(1 - alpha, n - len(names))
        return float(quantile * math.sqrt(variance / n) / abs(self.bottom.mean()))

    def side(self, alpha: float = ALPHA) -> Side:
        return Side(self.value, lambda n: self.half_width(n, alpha))

    def absolute(self, alpha: float = ALPHA) -> Side:
        """Of the absolute value: `abs(x) >= t` is decided by two contrasts, each at half of alpha."""
        return Side(abs(self.value), lambda n: self.half_width(n, alpha / 2))


def _both(side: Side) -> dict[str, Side]:
    return {">=": side, "<=": side}


def _members(kind: str, sides: Sequence[Side]) -> dict[str, Side]:
    """A `forall` is decided by its worst member, `exists` by its best, `most(60%)` by one between."""
    ordered = sorted(sides, key=lambda side: side.value)
    needed = {"forall": len(ordered), "exists": 1, "most(60%)": math.ceil(0.6 * len(ordered))}[kind]
    return {">=": ordered[-needed], "<=": ordered[needed - 1]}


class Pool:
    """All quantities of one subject."""

    def __init__(self, exact: Exact, draw: random.Random) -> None:
        self.exact, self.draw = exact, draw
        self.name = exact.subject.name
        self.effect = self._score(exact.everything) - self._score(exact.nothing)

    def _score(self, edges: EdgeSet) -> Vector:
        return self.exact.score(edges)

    def _ratio(self, top: Vector) -> Ratio:
        return Ratio(top, self.effect, self.exact.templates)

    def quantities(self) -> Iterator[Quantity]:
        planted = self.exact.planted
        for node in self.exact.subject.nodes:
            yield from self._about(planted, None, node, edges=6)
        yield from self._quantifiers()
        yield from self._parts()
        yield from self._signs()
        for mistake, circuits in self._mistaken():
            for circuit in self.draw.sample(circuits, min(len(circuits), PER_MISTAKE)):
                node = self.draw.choice(self.exact.subject.nodes)
                yield from self._about(circuit, mistake, node, edges=3)

    def _about(self, c: EdgeSet, mistake: str | None, node: str, edges: int) -> Iterator[Quantity]:
        """Every kind of claim about one circuit."""
        exact, k = self.exact, self.exact.leaving(node)
        whole, floor = exact.everything, self._score(exact.nothing)
        faithful = self._ratio(self._score(c) - floor)
        yield self._quantity("faithfulness", mistake, f"faithfulness({c.text})", faithful.side())
        necessary = self._ratio(self._score(whole) - self._score(whole - c))
        yield self._quantity("necessity", mistake, f"necessity({c.text})", necessary.side())
        left = f"abs(F({c.text} - {node}) - F(M - {node}))"
        apart = self._ratio(self._score(c - k) - self._score(whole - k)).absolute()
        yield self._quantity("completeness", mistake, left, apart, scale=" * effect")
        chosen = [one_edge(e) for e in self.draw.sample(sorted(c.edges), min(len(c.edges), edges))]
        drops = [self._ratio(self._score(c) - self._score(c - e)).absolute() for e in chosen]
        yield Quantity(
            self.name, "minimality", mistake, f"abs(drop({c.text}, e))", _members("forall", drops),
            " * effect", f"forall e in [{', '.join(e.text for e in chosen)}]: ",
        )  # fmt: skip
        yield from self._share(c, mistake)

    def _quantity(
        self, kind: str, mistake: str | None, left: str, side: Side, scale: str = ""
    ) -> Quantity:
        return Quantity(self.name, kind, mistake, left, _both(side), scale)

    def _share(self, c: EdgeSet, mistake: str | None) -> Iterator[Quantity]:
        """The share of prompts on which the circuit scores at least so much."""
        scores = self._score(c)
        levels = np.unique(np.round(scores, 2))
        gaps = [(low + high) / 2 for low, high in itertools.pairwise(levels) if high - low > 0.05]
        shares = [(float((scores >= gap).mean()), gap) for gap in gaps]
        usable = [(share, gap) for share, gap in shares if 0.1 <= share <= 0.9]
        if usable:
            share, gap = self.draw.choice(usable)

            def half_width(n: int) -> float:
                successes = round(share * n)
                return share - float(stats.beta.ppf(ALPHA, successes, n - successes + 1))

            left = f"share(F({c.text} on x) >= {gap:.4f} for x in examples)"
            yield Quantity(
                self.name, "share", mistake, left, _both(Side(share, half_width)), highest=0.995
            )

    def _drop(self, part: EdgeSet) -> Ratio:
        """What the model loses without the part, as a share of the effect."""
        whole = self.exact.everything
        return self._ratio(self._score(whole) - self._score(whole - part))

    def _edges_at_places(self) -> list[EdgeSet]:
        """Edges of the circuit, each at one place of the prompt."""
        edges, places = sorted(self.exact.planted.edges), self.exact.subject.places
        pairs = list(itertools.product(edges, places))
        drawn = self.draw.sample(pairs, min(len(pairs), PLACED_EDGES))
        return [one_edge(edge, place) for edge, place in drawn]

    def _quantifiers(self) -> Iterator[Quantity]:
        nodes = [self.exact.leaving(node) for node in self.exact.subject.nodes]
        for domain in (nodes, self._edges_at_places()):
            drops = [(part, self._drop(part)) for part in domain]
            for kind in ("forall", "exists", "most(60%)"):
                for size in range(2, len(drops) + 1):
                    chosen = self.draw.sample(drops, size)
                    alpha = ALPHA if kind == "forall" else ALPHA / size
                    sides = _members(kind, [drop.side(alpha) for _, drop in chosen])
                    prefix = f"{kind} k in [{', '.join(part.text for part, _ in chosen)}]: "
                    yield Quantity(
                        self.name, "quantifier", None, "drop(M, k)", sides, " * effect", prefix
                    )

    def _parts(self) -> Iterator[Quantity]:
        """How necessary single edges are at single places, and how complete the circuit without."""
        c, whole = self.exact.planted, self.exact.everything
        for part in self._edges_at_places():
            side = self._drop(part).side()
            yield self._quantity("necessity", None, f"necessity({part.text})", side)
            left = f"abs(F(planted - {part.text}) - F(M - {part.text}))"
            apart = self._ratio(self._score(c - part) - self._score(whole - part)).absolute()
            yield self._quantity("completeness", None, left, apart, scale=" * effect")

    def _signs(self) -> Iterator[Quantity]:
        """Which of two sets matters more: the sign of drop(A) - c * drop(B), at the c where it is 0."""
        whole = self.exact.everything
        sets = [self.exact.leaving(node) for node in self.exact.subject.nodes]
        sets += [one_edge(e) for e in self.exact.planted.edges]
        drops = [(s, self._score(whole) - self._score(whole - s)) for s in sets]
        large = [(s, d) for s, d in drops if abs(d.mean()) > 0.05 * self.effect.mean()]
        for (a, one), (b, other) in itertools.permutations(large, 2):
            if other.mean() > 0 and (one != other).any():
                ratio = Ratio(one, other, self.exact.templates)
                left, scale = f"drop(M, {a.text})", f" * drop(M, {b.text})"
                yield self._quantity("sign", "wrong sign", left, ratio.side(), scale)

    # -------------------------------------------------------------------------------- mistakes

    def _mistaken(self) -> Iterator[tuple[str, list[EdgeSet]]]:
        c, everything = self.exact.planted, self.exact.everything.edges
        written = {e: one_edge(e, next(iter(where.labels), None)) for e, where in c.edges.items()}
        outside = [e for e in everything if e not in c]
        yield "missing edge", [c - one for one in written.values()]
        yield "extra edge", [c + one_edge(e) for e in outside]
        renamed = [self._renamed(c, old, new) for old, new in self._other_heads()]
        yield "wrong head", [one for one in renamed if one is not None]
        other_ports = [
            c - one + one_edge(other)
            for e, one in written.items()
            for other in _other_ports(e)
            if other not in c
        ]
        yield "wrong port", other_ports
        yield (
            "wrong position",
            [
                c - one + one_edge(e, place)
                for e, one in written.items()
                for place in self.exact.subject.places
                if place not in c.edges[e].labels
            ],
        )

    def _other_heads(self) -> Iterator[tuple[str, str]]:
        """A head of the circuit and another of its layer."""
        inside = {e.split("->")[0] for e in self.exact.planted.edges} - {"input"}
        for old in sorted(node for node in inside if node.startswith("a")):
            layer = old.split(".")[0]
            for number in range(self.exact.architecture.shape.heads):
                if f"{layer}.h{number}" != old:
                    yield old, f"{layer}.h{number}"

    def _renamed(self, c: EdgeSet, old: str, new: str) -> EdgeSet | None:
        """The circuit with the edges of one head given to another; None where that changes nothing."""
        found = c
        for edge, where in c.edges.items():
            sender, receiver = edge.split("->")
            node, port = receiver.partition("<")[0], receiver.partition("<")[2]
            if old not in (sender, node):
                continue
            place = next(iter(where.labels), None)
            found -= one_edge(edge, place)
            given = f"{new if sender == old else sender}->{new if node == old else node}"
            found += one_edge(f"{given}<{port}" if port else given, place)
        return found if dict(found.edges) != dict(c.edges) else None


def _other_ports(edge: str) -> list[str]:
    if not edge.endswith(">"):
        return []
    return [f"{edge[:-2]}{port}>" for port in "qkv" if port != edge[-2]]


# ------------------------------------------------------------------------------------- thresholds


def placed(
    quantity: Quantity,
    true: bool,
    distance: float | None,
    samples: int,
    draw: random.Random,
    name: str,
) -> Statement | None:
    """A true or false statement with its threshold at `distance`; None where there is no such."""
    operators = [">=", "<="]
    draw.shuffle(operators)
    for operator in operators:
        side = quantity.sides[operator]
        if distance is None:
            step = 2 * side.half_width(samples)
            if step < SMALL / 10 or step > max(abs(side.value), SMALL):
                continue
        else:
            step = distance * (abs(side.value) if abs(side.value) >= SMALL else 1)
        sign = 1 if (operator == ">=") != true else -1
        threshold = side.value + sign * step
        absolute = "abs(" in quantity.left or quantity.kind == "share"
        if threshold > quantity.highest or (absolute and threshold <= 0):
            continue
        written = f"{threshold:.8f}"
        made = Statement(name, quantity, operator, written, distance, samples, draw.getrandbits(30))
        if made.true == true:
            return made
    return None


class Writer:
    """Draws statements from pools of quantities, each kind of quantity and each model in turn."""

    def __init__(self, quantities: Sequence[Quantity], sizes: Sequence[int], seed: int) -> None:
        self.quantities, self.sizes = quantities, sizes
        self.draw = random.Random(seed)
        self.count = 0

    def statements(
        self,
        number: int,
        true: bool,
        distances: Sequence[float | None],
        *,
        kind: str | None = None,
        mistake: str | None = None,
    ) -> list[Statement]:
        """So many statements of a kind, on any circuit, or with a mistake, of any kind."""
        fitting = [
            q
            for q in self.quantities
            if (kind is None or q.kind == kind) and (mistake is None or q.mistake == mistake)
        ]
        groups: dict[tuple[str, str], list[Quantity]] = {}
        for quantity in fitting:
            groups.setdefault((quantity.subject, quantity.kind), []).append(quantity)
        found: list[Statement] = []
        for group in itertools.islice(itertools.cycle(groups.values()), MOST_TRIES):
            if len(found) == number:
                return found
            made = placed(
                self._one_of(group),
                true,
                self.draw.choice(distances),
                self.draw.choice(self.sizes),
                self.draw,
                f"c{self.count}",
            )
            if made is not None:
                found.append(made)
                self.count += 1
        raise ValueError(f"there are no {number} statements on {kind or mistake}")

    def _one_of(self, group: Sequence[Quantity]) -> Quantity:
        varying = [quantity for quantity in group if quantity.varies]
        return self.draw.choice(varying if varying and self.draw.random() < VARYING else group)
