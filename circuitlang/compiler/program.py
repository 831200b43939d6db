"""Runs on prompts of one layout -> a program: live edges per segment of positions.

The prompts of a program have equal length, and every position that a run or a metric
names is the same token in all of them. Positions are cut into segments inside which no edge
set changes and no corruption begins, so below this a run is a few integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from circuitlang.compiler.reads import Reads
from circuitlang.compiler.wiring import Wiring, wiring
from circuitlang.language.prompt import Prompt
from circuitlang.language.spec import Ablation, Run

CLEAN = 0


@dataclass(frozen=True)
class Source:
    """Where values that are not recomputed come from; source 0 is the clean run.

    At positions below `first` a resampled run has the clean run's values; donors differ from the
    prompt, and each other, almost anywhere, so theirs begin at 0.
    """

    ablation: Ablation | None
    first: int = 0

    @property
    def is_run(self) -> bool:
        """Whether its values are those of one run, so that a node fed by them alone is one of them."""
        return self.ablation is None or self.ablation.is_run

    @property
    def is_zero(self) -> bool:
        return self.ablation is not None and self.ablation.kind == "zero"

    def __str__(self) -> str:
        return "clean" if self.ablation is None else str(self.ablation)


@dataclass(frozen=True)
class Segment:
    start: int
    stop: int

    @property
    def bits(self) -> int:
        """Its positions as a bit mask."""
        return (1 << self.stop) - (1 << self.start)


@dataclass(frozen=True)
class Request:
    """One run: its live edges in each segment, its source, and what is read of it.

    `positions` is a bit mask: where the logits are read. `heads` are (layer, head, query
    positions) whose attention is read, `outputs` (sender, positions) of nodes whose own output is.
    `early` is a bit mask: where the stream after block 0 is. Each of `readings` has the receivers, as bits in each segment, that read what they do in an
    other request, by number; the last that has a receiver counts.
    """

    masks: tuple[int, ...]
    source: int
    positions: int
    heads: tuple[tuple[int, int, int], ...]
    outputs: tuple[tuple[int, int], ...] = ()
    readings: tuple[tuple[tuple[int, ...], int], ...] = ()
    early: int = 0


@dataclass(frozen=True)
class Program:
    wiring: Wiring
    segments: tuple[Segment, ...]
    sources: tuple[Source, ...]
    requests: tuple[Request, ...]

    @property
    def length(self) -> int:
        return self.segments[-1].stop

    def canonical(self, source: int, segment: int) -> int:
        """The source whose values `source` has in this segment: the clean run before it differs."""
        found = self.sources[source]
        return CLEAN if found.is_run and self.segments[segment].stop <= found.first else source

    def segment_of(self, position: int) -> int:
        return next(i for i, s in enumerate(self.segments) if position < s.stop)

    def __str__(self) -> str:
        cuts = " ".join(f"[{s.start},{s.stop})" for s in self.segments)
        sources = [
            f"{s} from {s.first}" if s.ablation and s.is_run else str(s) for s in self.sources
        ]
        lines = [f"{len(self.requests)} runs, segments {cuts}, sources {', '.join(sources)}"]
        for number, request in enumerate(self.requests):
            live = "+".join(str(mask.bit_count()) for mask in request.masks)
            lines.append(f"  run {number}: {live} edges, else {sources[request.source]}")
            for receivers, other in request.readings:
                counts = "+".join(str(mask.bit_count()) for mask in receivers)
                lines.append(f"    {counts} receivers read as in run {other}")
        return "\n".join(lines)


def program(runs: Sequence[Run], reads: Mapping[Run, Reads], prompts: Sequence[Prompt]) -> Program:
    """The program of `runs` of one model and task on prompts of one layout.

    The runs that some of them read from are among them. Raises `UnresolvedPosition` like
    `EdgeSet.rows`.
    """
    length, layout = len(prompts[0].tokens), prompts[0].layout
    ablations = dict.fromkeys(run.ablation for run in runs if run.ablation is not None)
    sources = (Source(None), *(Source(a, _first(a, prompts)) for a in ablations))
    number = {source.ablation: i for i, source in enumerate(sources)}
    rows = [run.live.rows(layout) for run in runs]
    graph = wiring(runs[0].model.shape)
    index = {run: i for i, run in enumerate(runs)}
    read = [
        [(_receivers(one.edges.rows(layout), graph), index[one.run]) for one in run.readings]
        for run in runs
    ]
    cutting = [*rows, *(receivers for found in read for receivers, _ in found)]
    segments = _segments(cutting, [s.first for s in sources], length)
    requests = tuple(
        Request(
            tuple(row[s.start] for s in segments),
            number[run.ablation],
            sum(1 << position for position in reads[run].residuals),
            tuple(
                (a.head.layer, a.head.head, sum(1 << q for q in a.queries))
                for a in reads[run].attention
            ),
            tuple(
                (graph.architecture.sender_index[node], sum(1 << p for p in positions))
                for node, positions in reads[run].outputs.items()
            ),
            tuple(
                (tuple(receivers[s.start] for s in segments), other) for receivers, other in found
            ),
            sum(1 << position for position in reads[run].early),
        )
        for run, row, found in zip(runs, rows, read, strict=True)
    )
    return Program(graph, segments, sources, requests)


def _receivers(rows: Sequence[int], graph: Wiring) -> list[int]:
    """The receivers (bits) that each mask has edges into."""
    entered = graph.architecture.entered
    found = {mask: sum(1 << i for i in entered(mask)) for mask in dict.fromkeys(rows)}
    return [found[mask] for mask in rows]


def whole_suffix(form: Program) -> Program:
    """The program without the prefix that corruptions share with the clean prompts."""

    def by_position(masks: Sequence[int]) -> list[int]:
        pairs = zip(masks, form.segments, strict=True)
        return [mask for mask, s in pairs for _ in range(s.start, s.stop)]

    rows = [by_position(r.masks) for r in form.requests]
    read = [[by_position(masks) for masks, _ in r.readings] for r in form.requests]
    segments = _segments([*rows, *(row for found in read for row in found)], [], form.length)
    sources = tuple(replace(source, first=0) for source in form.sources)

    def by_segment(row: Sequence[int]) -> tuple[int, ...]:
        return tuple(row[s.start] for s in segments)

    requests = tuple(
        replace(
            r,
            masks=by_segment(row),
            readings=tuple(
                (by_segment(receivers), other)
                for receivers, (_, other) in zip(found, r.readings, strict=True)
            ),
        )
        for r, row, found in zip(form.requests, rows, read, strict=True)
    )
    return Program(form.wiring, segments, sources, requests)


def first_difference(prompt: Prompt, corruption: str) -> int:
    """The first position at which the corrupted prompt has another token; its length if none."""
    pairs = zip(prompt.tokens, prompt.corrupted[corruption], strict=True)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), len(prompt.tokens))


def _first(ablation: Ablation, prompts: Sequence[Prompt]) -> int:
    if ablation.kind != "resample":
        return 0
    assert ablation.corruption is not None
    return min(first_difference(prompt, ablation.corruption) for prompt in prompts)


def _segments(
    rows: Sequence[Sequence[int]], firsts: Sequence[int], length: int
) -> tuple[Segment, ...]:
    cuts = {0, length} | {first for first in firsts if 0 < first < length}
    for row in rows:
        cuts |= {i for i in range(1, length) if row[i] != row[i - 1]}
    ordered = sorted(cuts)
    return tuple(Segment(a, b) for a, b in pairwise(ordered))
