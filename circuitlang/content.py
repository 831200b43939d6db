"""What a measured number depends on, as a digest.

Takes the model's content, one task's prompts, a run and a metric, and gives a key that is equal
exactly where the numbers are, up to float noise. No name is part of it: sets are masks, places
are token positions, answers and corruptions are token ids, a mean is its reference prompts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from circuitlang.compiler.reads import compared_at
from circuitlang.language.graph.edges import EdgeSet, Place, Position
from circuitlang.language.models.find import Found
from circuitlang.language.prompt import Prompt, PromptSet, mean_key, tokens_under
from circuitlang.language.spec import (
    Ablation,
    AttentionScore,
    CopyScore,
    Divergence,
    Loss,
    Metric,
    MetricConstant,
    MetricExpression,
    MetricOperation,
    ModelReference,
    Run,
    TokenScore,
    TopToken,
)

SEMANTICS = 1
"""Raised when the same model, prompts, masks and metric come to give another number."""

ENGINES = ("torch", "transformers", "transformer-lens")


def digest(content: Any) -> bytes:
    """SHA-256 of strings, whole numbers, None and lists of these, by their canonical JSON."""
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).digest()


def model_content(found: Found, file_digest: Callable[[Path], str]) -> str | None:
    """The hub commit, or a digest of config and weights; None where neither is at hand."""
    if found.commit is not None:
        return f"commit {found.commit}"
    files = weight_files(found)
    try:
        return digest([[file.name, file_digest(file)] for file in files]).hex() if files else None
    except OSError:
        return None


def weight_files(found: Found) -> list[Path]:
    """The config and the safetensors files of a model, as far as they are on this machine."""
    if found.folder is None:
        return []
    return [found.folder / "config.json", *sorted(found.folder.glob("*.safetensors*"))]


class Contents:
    """Keys of runs on one task's prompts; `model` is what `model_content` gives.

    Only the kind of `device` counts: two GPUs differ by float noise. Raises `UnresolvedPosition`
    for a place that a prompt does not have.
    """

    def __init__(
        self, model: str, reference: ModelReference, device: str, drawn: PromptSet
    ) -> None:
        self.prompts, self.references = drawn.prompts, drawn.references
        self.layouts = [prompt.layout for prompt in drawn.prompts]
        kind = device.partition(":")[0]
        self.tokens = [prompt.tokens for prompt in drawn.prompts]
        made_of = [SEMANTICS, _engines(), model, reference.dtype, kind, self.tokens]
        self.base = digest(made_of).hex()
        self._run = cache(self._run_digest)
        self._ablation = cache(self._ablation_digest)
        self._metric = cache(self._metric_digest)

    def key(self, run: Run, metric: Metric) -> bytes:
        return digest([self.base, self._run(run), self._metric(metric.expression)])

    def asked(self, run: Run, metric: Metric) -> str:
        """As `key`, of what is asked alone, whatever model, device and version answers."""
        made_of = [SEMANTICS, self.tokens, self._run(run), self._metric(metric.expression)]
        return digest(made_of).hex()

    def _run_digest(self, run: Run) -> str:
        ablation = None if run.ablation is None else self._ablation(run.ablation)
        readings = [[self._live(one.edges), self._run(one.run)] for one in run.readings]
        return digest([self._live(run.live), ablation, *([readings] if readings else [])]).hex()

    def _metric_digest(self, expression: MetricExpression) -> str:
        return digest(self._expression(expression)).hex()

    def _live(self, live: EdgeSet) -> Any:
        """The mask, or the distinct masks and which of them holds at each position."""
        if live.is_uniform:
            return f"{live.mask:x}"
        rows = {layout: live.rows(layout) for layout in set(self.layouts)}
        masks = dict.fromkeys(mask for layout in self.layouts for mask in rows[layout])
        number = {mask: i for i, mask in enumerate(masks)}
        at = [[number[mask] for mask in rows[layout]] for layout in self.layouts]
        return [[f"{mask:x}" for mask in masks], at]

    def _ablation_digest(self, ablation: Ablation) -> str:
        match ablation.kind:
            case "resample":
                assert ablation.corruption is not None
                carried: Any = [prompt.corrupted[ablation.corruption] for prompt in self.prompts]
            case "donors":
                carried = [self._donors(ablation, prompt) for prompt in self.prompts]
            case "donor":
                carried = [tokens_under(ablation, prompt) for prompt in self.prompts]
            case "mean":
                carried = self._means(ablation)
            case "constants":
                assert ablation.constants is not None
                carried = ablation.constants.digest
            case _:
                carried = None
        return digest([ablation.kind, carried]).hex()

    def _donors(self, ablation: Ablation, prompt: Prompt) -> list[tuple[int, ...]]:
        """The tokens of each draw's donor."""
        draws = range(ablation.draws)
        return [tokens_under(ablation.at_draw(draw), prompt) for draw in draws]

    def _means(self, ablation: Ablation) -> Any:
        """The groups of reference prompts that are averaged, and each prompt's group."""
        members: dict[Any, list[tuple[int, ...]]] = {}
        for one in self.references:
            members.setdefault(mean_key(ablation, one), []).append(tokens_under(ablation, one))
        keys = [mean_key(ablation, prompt) for prompt in self.prompts]
        number = {key: i for i, key in enumerate(dict.fromkeys(keys))}
        return [[members.get(key, []) for key in number], [number[key] for key in keys]]

    def _expression(self, expression: MetricExpression) -> Any:
        match expression:
            case MetricConstant(value):
                return float(value).hex()
            case MetricOperation(operator, operands):
                return [operator, *map(self._expression, operands)]
            case TokenScore(kind, tokens, position, pool, lens):
                own = [] if lens is None else [str(lens.node)]
                own += [] if lens is None or lens.norm == "own" else [lens.norm]
                return [kind, pool, self._answers(tokens), self._at([position]), *own]
            case TopToken(tokens, position):
                return ["top", self._answers(tokens), self._at([position])]
            case Divergence(reference, kind=kind):
                at = [compared_at(expression, layout) for layout in self.layouts]
                return [kind, self._run(reference), at]
            case Loss(place):
                return ["loss", self._in(place)]
            case CopyScore(head, place, among):
                return ["copies", str(head), self._in(place), among]
            case AttentionScore(head, query, key):
                return ["attention", str(head), self._in(query), self._in(key)]

    def _answers(self, name: str) -> list[tuple[int, ...]]:
        return [prompt.answers.get(name, ()) for prompt in self.prompts]

    def _at(self, positions: Iterable[Position]) -> list[list[int]]:
        return self._in(Place(tuple(positions)))

    def _in(self, place: Place) -> list[list[int]]:
        return [sorted(place.tokens(layout)) for layout in self.layouts]


@cache
def _engines() -> list[str | None]:
    """Versions of what computes a model's numbers."""
    return [_version(package) for package in ENGINES]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
