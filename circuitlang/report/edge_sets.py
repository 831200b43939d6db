"""Edge sets in documents: by name, whichever of a set and its complement is shorter."""

from __future__ import annotations

from collections import defaultdict

from circuitlang.language.graph.architecture import Architecture
from circuitlang.language.graph.edges import EdgeSet, Layout
from circuitlang.language.prompt import Prompt
from circuitlang.report.document import EdgesForm, PositionedForm, ReceiversForm


def edges_form(mask: int, architecture: Architecture) -> EdgesForm:
    flipped = mask.bit_count() * 2 > architecture.size
    named = architecture.everything & ~mask if flipped else mask
    return EdgesForm(all_except=flipped, edges=tuple(map(str, architecture.edges(named))))


def receivers_forms(
    edges: EdgeSet, prompts: tuple[Prompt, ...], architecture: Architecture
) -> tuple[ReceiversForm, ...]:
    """The receivers that the set has edges into."""
    if edges.is_uniform:
        found = _receivers(edges.mask, architecture)
        return (ReceiversForm(prompts=None, positions=None, receivers=found),)
    forms = []
    for layout, indices in _by_layout(prompts).items():
        for mask, positions in _by_mask(edges, layout).items():
            if mask:
                found = _receivers(mask, architecture)
                forms.append(ReceiversForm(prompts=indices, positions=positions, receivers=found))
    return tuple(forms)


def _receivers(mask: int, architecture: Architecture) -> tuple[str, ...]:
    return tuple(str(architecture.receivers[i]) for i in architecture.entered(mask))


def positioned_forms(
    live: EdgeSet, prompts: tuple[Prompt, ...], architecture: Architecture
) -> tuple[PositionedForm, ...]:
    """Prompts with the same layout share an entry per distinct mask."""
    return tuple(
        PositionedForm(prompts=indices, positions=positions, live=edges_form(mask, architecture))
        for layout, indices in _by_layout(prompts).items()
        for mask, positions in _by_mask(live, layout).items()
    )


def _by_layout(prompts: tuple[Prompt, ...]) -> dict[Layout, tuple[int, ...]]:
    found = defaultdict(list)
    for prompt in prompts:
        found[prompt.layout].append(prompt.index)
    return {layout: tuple(indices) for layout, indices in found.items()}


def _by_mask(edges: EdgeSet, layout: Layout) -> dict[int, tuple[int, ...]]:
    found = defaultdict(list)
    for position, mask in enumerate(edges.rows(layout)):
        found[mask].append(position)
    return {mask: tuple(positions) for mask, positions in found.items()}
