"""Edge sets in documents: by name, whichever of a set and its complement is shorter."""

from __future__ import annotations

from collections import defaultdict

from circuitlang.language.graph.architecture import Architecture
from circuitlang.language.graph.edges import EdgeSet
from circuitlang.language.prompt import Prompt
from circuitlang.report.document import EdgesForm, PositionedForm


def edges_form(mask: int, architecture: Architecture) -> EdgesForm:
    flipped = mask.bit_count() * 2 > architecture.size
    named = architecture.everything & ~mask if flipped else mask
    return EdgesForm(all_except=flipped, edges=tuple(map(str, architecture.edges(named))))


def positioned_forms(
    live: EdgeSet, prompts: tuple[Prompt, ...], architecture: Architecture
) -> tuple[PositionedForm, ...]:
    """Prompts with the same layout share an entry per distinct mask."""
    by_layout = defaultdict(list)
    for prompt in prompts:
        by_layout[prompt.layout].append(prompt.index)
    forms = []
    for layout, indices in by_layout.items():
        by_mask = defaultdict(list)
        for position, mask in enumerate(live.rows(layout)):
            by_mask[mask].append(position)
        forms += [
            PositionedForm(
                prompts=tuple(indices),
                positions=tuple(positions),
                live=edges_form(mask, architecture),
            )
            for mask, positions in by_mask.items()
        ]
    return tuple(forms)
