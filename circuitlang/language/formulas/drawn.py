"""Domains too large to list, and the members that are drawn from them.

A `Drawable` says what it is in words, draws members from a seed, and lists them all where they
are few. What is drawn depends on the seed and on the domain's content alone: two claims that draw
from the same domain see the same members, and a smaller draw is the beginning of a larger one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import islice
from random import Random
from typing import Any

from circuitlang.language.formulas.values import Edges, Nodes
from circuitlang.language.graph import sets
from circuitlang.language.graph.architecture import INPUT, LOGITS, Node, Shape, architecture, bits
from circuitlang.language.graph.edges import NOTHING, EdgeSet, uniform
from circuitlang.language.tasks.population import random_stream

Member = tuple[Any, str]
Ways = dict[Node, list[tuple[int, Node]]]
NAMED = 4
MOST_PATHS = 10_000


class NothingToDraw(Exception):
    """Why a domain has no members, or none that could be found."""


@dataclass(frozen=True)
class Drawable(ABC):
    """`written` is the domain as a reader sees it, with its defaults."""

    noun = "a domain too large to list"
    written: str = field(compare=False)

    @property
    @abstractmethod
    def size(self) -> int | None:
        """How many members it has; None where each draw is independent of the others."""

    @property
    @abstractmethod
    def content(self) -> str:
        """What tells it from other domains."""

    @property
    @abstractmethod
    def cost(self) -> int:
        """How many parts one member can have, for the limit on what is drawn."""

    @abstractmethod
    def drawn(self, random: Random) -> Iterator[Member]:
        """Members in random order, without end where they are independent."""

    def members(self, number: int, seed: int) -> list[Member]:
        """`number` members, or all where there are no more; raises `NothingToDraw`."""
        stream = self.drawn(random_stream(seed, "members", self.content))
        return list(islice(stream, number if self.size is None else min(number, self.size)))

    def is_all(self, number: int) -> bool:
        """Whether so many members are all of them."""
        return self.size is not None and self.size <= number


@dataclass(frozen=True)
class Listed(Drawable):
    """The members of a list, without replacement; `drawn_from` when they were drawn themselves."""

    listed: tuple[Member, ...]
    drawn_from: str = ""

    @property
    def size(self) -> int:
        return len(self.listed)

    @property
    def content(self) -> str:
        return "\0".join(("list", *(label for _, label in self.listed)))

    @property
    def cost(self) -> int:
        return 1

    def drawn(self, random: Random) -> Iterator[Member]:
        order = list(self.listed)
        random.shuffle(order)
        yield from order


@dataclass(frozen=True)
class Subsets(Drawable):
    """Subsets of nodes, or of a list of node or edge sets, each part with probability 1/2.

    A subset is drawn once. `base` are the parts with their labels.
    """

    base: tuple[Member, ...]

    @property
    def size(self) -> int:
        return 1 << len(self.base)

    @property
    def content(self) -> str:
        return "\0".join(("subsets", *(label for _, label in self.base)))

    @property
    def cost(self) -> int:
        return max(1, len(self.base))

    def drawn(self, random: Random) -> Iterator[Member]:
        return map(self.member, self._masks(random))

    def masks(self, number: int, seed: int) -> list[int]:
        """The members that `members` gives, as bits over `base`."""
        stream = self._masks(random_stream(seed, "members", self.content))
        return list(islice(stream, min(number, self.size)))

    def _masks(self, random: Random) -> Iterator[int]:
        seen: set[int] = set()
        while len(seen) < self.size:
            mask = random.getrandbits(len(self.base)) if self.base else 0
            if mask not in seen:
                seen.add(mask)
                yield mask

    def member(self, mask: int, *, whole: bool = False) -> Member:
        """The subset of the parts whose bits are set; `whole` names all of them."""
        chosen = [self.base[i] for i in bits(mask)]
        labels = [label for _, label in chosen]
        return _union([v for v, _ in chosen]), " + ".join(labels) if whole else _named(labels)


@dataclass(frozen=True)
class Paths(Drawable):
    """Random walks from input to logits: at each node one of the edges that lead on, equally likely."""

    shape: Shape
    edges: EdgeSet

    @property
    def size(self) -> None:
        return None

    @property
    def content(self) -> str:
        return f"paths\0{self.shape}\0{self.edges.reach:x}\0{self.edges.places}"

    @property
    def cost(self) -> int:
        return architecture(self.shape).size

    def drawn(self, random: Random) -> Iterator[Member]:
        graph, ways = architecture(self.shape), _ways(self.shape, self.edges.reach)
        while True:
            walk = _walk(ways, random)
            mask = sum(1 << number for number in walk)
            found = uniform(mask)
            receivers = (graph.edge(number).receiver for number in walk)
            stops = (f"{r.node}.{r.port}" if r.port else str(r.node) for r in receivers)
            path = found if self.edges.is_uniform else found & self.edges
            yield Edges(path), " -> ".join(("input", *stops))


@dataclass(frozen=True)
class Circuits(Drawable):
    """Random circuits of at least `edges` edges.

    `sampler` "paths" joins random walks from input to logits until there are so many (Shi et al.
    2024), "edges" takes exactly so many edges of the model, equally likely.
    """

    shape: Shape
    edges: int
    sampler: str

    @property
    def size(self) -> None:
        return None

    @property
    def content(self) -> str:
        return f"circuits\0{self.shape}\0{self.edges}\0{self.sampler}"

    @property
    def cost(self) -> int:
        return architecture(self.shape).size

    def drawn(self, random: Random) -> Iterator[Member]:
        number = 0
        while True:
            number += 1
            mask = self._by_paths(random) if self.sampler == "paths" else self._by_edges(random)
            yield Edges(uniform(mask)), f"circuit {number} of {mask.bit_count()} edges"

    def _by_edges(self, random: Random) -> int:
        whole = range(architecture(self.shape).size)
        return sum(1 << number for number in random.sample(whole, self.edges))

    def _by_paths(self, random: Random) -> int:
        mask, ways = 0, _ways(self.shape, architecture(self.shape).everything)
        for _ in range(MOST_PATHS):
            for number in _walk(ways, random):
                mask |= 1 << number
            if mask.bit_count() >= self.edges:
                return mask
        raise NothingToDraw(
            f"{MOST_PATHS:,} random paths have {mask.bit_count():,} edges together, "
            f"not {self.edges:,}"
        )


def _walk(ways: Ways, random: Random) -> list[int]:
    """The numbers of the edges of one random walk from input to logits."""
    found, node = [], INPUT
    while node != LOGITS:
        number, node = random.choice(ways[node])
        found.append(number)
    return found


@lru_cache(maxsize=64)
def _ways(shape: Shape, mask: int) -> Ways:
    """The edges of `mask` that lead on to logits: sender -> their numbers and receiving nodes."""
    graph = architecture(shape)
    ways: Ways = {}
    for number in bits(sets.reaching_logits(mask, graph)):
        edge = graph.edge(number)
        ways.setdefault(edge.sender, []).append((number, edge.receiver.node))
    if INPUT not in ways:
        raise NothingToDraw("it has no path from input to logits")
    return ways


def _union(values: Sequence[Any]) -> Nodes | Edges:
    if all(isinstance(value, Nodes) for value in values):
        return Nodes(tuple(dict.fromkeys(m for value in values for m in value.members)))
    return Edges(_joined([value.set for value in values]))


def _joined(parts: Sequence[EdgeSet]) -> EdgeSet:
    """The union, as a tree of little depth."""
    if len(parts) <= 1:
        return parts[0] if parts else NOTHING
    half = len(parts) // 2
    return _joined(parts[:half]) | _joined(parts[half:])


def _named(labels: Sequence[str]) -> str:
    if not labels:
        return "none"
    rest = len(labels) - NAMED
    return " + ".join(labels[:NAMED]) + (f" + {rest} more" if rest > 0 else "")


@dataclass(frozen=True)
class Searched:
    """A domain whose members are looked for when the claim is checked; see `spec.Search`."""

    noun = "a searched domain"
    domain: Drawable
    strategy: str
    parameters: tuple[tuple[str, int], ...]

    @cached_property
    def written(self) -> str:
        named = ", ".join(f"{name} = {value}" for name, value in self.parameters)
        return f"{self.strategy}({self.domain.written}, {named})"

    @property
    def budget(self) -> int:
        """How many members are looked at at most."""
        given = dict(self.parameters)
        if self.strategy == "search":
            return given["budget"]
        return given["runs"] * given["steps"] * given["width"]
