"""The exact value of F for any edge set, by the slow reference executor on every prompt there is.

An `EdgeSet` here is a text of the language beside what it means, edge by edge. The two are made
together and read apart: the text by the compiler, the meaning by this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from circuitlang.front import Options, Silent, fetched_front
from circuitlang.language.graph.architecture import INPUT, Architecture, parse_edge
from circuitlang.language.prompt import Prompt
from circuitlang.runtime.models import load
from circuitlang.runtime.reference import Region, run, run_live
from truth.subjects import Subject

Vector = NDArray[np.float64]

MOST_PROMPTS = 5_000
CHUNK = 256
CORRUPTION = "other"


@dataclass(frozen=True)
class Where:
    """Everywhere but at `labels`, or only there. Labels stand for different tokens."""

    everywhere: bool
    labels: frozenset[str] = frozenset()


@dataclass(frozen=True)
class EdgeSet:
    """`text` in the language, and where each edge is live."""

    text: str
    edges: Mapping[str, Where]

    def __sub__(self, other: EdgeSet) -> EdgeSet:
        left = dict(self.edges)
        for edge, gone in other.edges.items():
            here = left.pop(edge, None)
            if here is None or gone == Where(True):
                continue
            if gone.everywhere:
                raise ValueError(f"{other.text} is no set that can be taken away")
            labels = here.labels | gone.labels if here.everywhere else here.labels - gone.labels
            if here.everywhere or labels:
                left[edge] = Where(here.everywhere, labels)
        return EdgeSet(f"({self.text} - {other.text})", left)

    def __add__(self, other: EdgeSet) -> EdgeSet:
        joined = dict(self.edges)
        for edge, more in other.edges.items():
            here = joined.get(edge, Where(False))
            if more.everywhere:
                joined[edge] = Where(
                    True,
                    more.labels & here.labels if here.everywhere else more.labels - here.labels,
                )
            else:
                labels = here.labels - more.labels if here.everywhere else here.labels | more.labels
                joined[edge] = Where(here.everywhere, labels)
        return EdgeSet(f"({self.text} + {other.text})", joined)

    def __contains__(self, edge: str) -> bool:
        return edge in self.edges


def one_edge(edge: str, place: str | None = None) -> EdgeSet:
    """`"a0.h0->a1.h0<k>"` as a set, everywhere or at one place."""
    sender, receiver = edge.split("->")
    arrow = f"({sender} -> {receiver.replace('<', '.').rstrip('>')})"
    if place is None:
        return EdgeSet(arrow, {edge: Where(True)})
    return EdgeSet(f"({arrow} @ {place})", {edge: Where(False, frozenset([place]))})


class Exact:
    """One subject's model and whole population. `score` is per prompt, logit(answer) - logit(foil)."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        front = fetched_front(subject.spec, Options(samples=MOST_PROMPTS), Silent())
        assert front.resolved is not None
        [((_, name), drawn)] = front.prompts.items()
        if not drawn.enumerated:
            raise ValueError(f"{subject.spec.name} has more than {MOST_PROMPTS} prompts")
        reference = front.resolved.spec.models[name]
        self.prompts = drawn.prompts
        self.model = load(reference, subject.spec.parent, "cpu", lambda text: None)
        self.templates = np.array([prompt.template for prompt in self.prompts])
        self._known: dict[frozenset[tuple[str, Where]], Vector] = {}

    @property
    def architecture(self) -> Architecture:
        return self.model.architecture

    @cached_property
    def everything(self) -> EdgeSet:
        names = map(str, self.architecture.edges(self.architecture.everything))
        return EdgeSet("M", {name: Where(True) for name in names})

    @property
    def nothing(self) -> EdgeSet:
        return EdgeSet("none", {})

    @cached_property
    def planted(self) -> EdgeSet:
        edges: dict[str, Where] = {}
        for written in self.subject.planted:
            edge, _, label = written.partition("@")
            edges[edge] = Where(False, frozenset([label])) if label else Where(True)
        return EdgeSet("planted", edges)

    def leaving(self, *nodes: str) -> EdgeSet:
        found = [e for e in self.everything.edges if e.split("->")[0] in nodes]
        text = nodes[0] if len(nodes) == 1 else f"[{', '.join(nodes)}]"
        return EdgeSet(text, {edge: Where(True) for edge in found})

    def score(self, edges: EdgeSet) -> Vector:
        """Float64, one number for every prompt of the population."""
        key = frozenset(edges.edges.items())
        if key not in self._known:
            rows = range(0, len(self.prompts), CHUNK)
            parts = [self._chunk(start, edges) for start in rows]
            self._known[key] = np.concatenate(parts)
        return self._known[key]

    def _chunk(self, start: int, edges: EdgeSet) -> Vector:
        prompts = self.prompts[start : start + CHUNK]
        tokens, last = self._tokens[start], len(prompts[0].tokens) - 1
        outcome = run(
            self.model, tokens, self._regions(prompts, edges), self._ablated[start], [last]
        )
        logits = outcome.logits[:, 0].double()
        every = torch.arange(len(prompts))
        answer, foil = (
            torch.tensor([prompt.answers[name][0] for prompt in prompts])
            for name in ("answer", "foil")
        )
        return (logits[every, answer] - logits[every, foil]).numpy()

    @cached_property
    def _tokens(self) -> dict[int, torch.Tensor]:
        starts = range(0, len(self.prompts), CHUNK)
        return {
            start: torch.tensor([p.tokens for p in self.prompts[start : start + CHUNK]])
            for start in starts
        }

    @cached_property
    def _ablated(self) -> dict[int, tuple[torch.Tensor, ...]]:
        found = {}
        for start in self._tokens:
            chunk = self.prompts[start : start + CHUNK]
            tokens = torch.tensor([prompt.corrupted[CORRUPTION] for prompt in chunk])
            found[start] = run_live(self.model, tokens).outputs
        return found

    def _regions(self, prompts: Iterable[Prompt], edges: EdgeSet) -> list[Region]:
        """The places of a chunk, prompt by prompt and token by token, by the edges live there."""
        bit = self._bits
        base = sum(bit[edge] for edge, where in edges.edges.items() if where.everywhere)
        changed: dict[str, int] = {}
        for edge, where in edges.edges.items():
            for label in where.labels:
                changed[label] = changed.get(label, 0) | bit[edge]
        if not changed:
            return [Region(base, None)]
        places: dict[int, list[int]] = {}
        count = 0
        for prompt in prompts:
            masks = [base] * len(prompt.tokens)
            for label, mask in changed.items():
                start, stop = prompt.spans.get(label, (len(masks) - 1, len(masks)))
                if label != "END" and (label not in prompt.spans or stop - start != 1):
                    raise ValueError(f"{label} is no single token of {prompt.text!r}")
                masks[start] ^= mask
            for mask in masks:
                places.setdefault(mask, []).append(count)
                count += 1
        return [Region(mask, tuple(index)) for mask, index in places.items()]

    @cached_property
    def _bits(self) -> dict[str, int]:
        found = {}
        for name in self.everything.edges:
            edge = parse_edge(name)
            assert edge is not None
            found[name] = self.architecture.mask([edge])
        return found


def is_input(edge: str) -> bool:
    return edge.split("->")[0] == str(INPUT)
