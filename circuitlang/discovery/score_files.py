"""Scores of edges in and out: EAP-IG's and MIB's files, JSON or `.pt`.

A file's score is high where an edge supports the behaviour: EAP-IG takes (corrupted - clean) times
the gradient of a loss, which is how much ablating the edge adds to the loss, and what it attributes
with `loss=True` is the negated metric. `Scores` say what the metric loses. The two are the same for
a metric that is better higher, and of opposite sign for one that is better lower, such as KL.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from circuitlang.discovery.scores import Scores
from circuitlang.exchange import format_of, read_listing, write_content
from circuitlang.language.graph.architecture import Architecture
from circuitlang.language.graph.circuit_edges import located
from circuitlang.language.graph.circuit_formats import BadCircuit, Listing
from circuitlang.language.graph.edges import NOTHING
from circuitlang.report.circuits import eap_ig

SIGN = "a score above 0 says that ablating the edge makes the metric worse"
# Keys of `cfg` that are the model's or the format's, and tell nothing of how scores were made.
_OF_THE_GRAPH = frozenset(
    {"n_layers", "n_heads", "parallel_attn_mlp", "d_model", "attn_only", "input", "sign"}
)


def read_scores(path: Path, graph: Architecture, *, lower_is_better: bool = False) -> Scores:
    """The scores in a file, whose format its content tells.

    An edge that the file leaves out, or whose score is NaN, is not scored. `lower_is_better` is that
    of the metric that was attributed. Raises `BadCircuit` for what is no circuit file, one of
    another model and one without any score.
    """
    import numpy as np

    listing = read_listing(path)
    values = np.full(graph.size, math.nan)
    for number, entry in located(listing, graph):
        if entry.score is not None:
            values[number] = entry.score
    if np.isnan(values).all():
        raise _without_scores(listing)
    return Scores(graph, -values if lower_is_better else values, _told(listing))


def write_scores(scores: Scores, path: Path, *, lower_is_better: bool = False) -> None:
    """Writes a file that EAP-IG, MIB and `edges_from(..., top = n)` read, by the suffix of `path`.

    Every scored edge is listed, none of them in the circuit; JSON leaves out the others, which
    EAP-IG then takes for 0, and a `.pt` has NaN there. How the scores were made stands in `cfg`.
    Raises `BadCircuit` where the file cannot be written.
    """
    format = format_of(path)
    clash = sorted(_OF_THE_GRAPH & scores.told.keys())
    if clash:
        raise ValueError(f"`{clash[0]}` is the graph's")
    values = -scores.values if lower_is_better else scores.values
    listed = dict(enumerate(values.tolist()))
    content: dict[str, Any] = eap_ig(
        NOTHING, scores.graph.shape, listed, config={**scores.told, "sign": SIGN}
    )
    if format != "pt":
        kept = {name: e for name, e in content["edges"].items() if not math.isnan(e["score"])}
        content["edges"] = kept
    write_content(content, path, format)


def _told(listing: Listing) -> dict[str, str]:
    return {
        key: value
        for key, value in listing.config.items()
        if isinstance(value, str) and key not in _OF_THE_GRAPH
    }


def _without_scores(listing: Listing) -> BadCircuit:
    return BadCircuit(
        "CL771",
        f"`{listing.file}` scores no edge.",
        "give EAP-IG's or MIB's file of scores, or one that `circ attribute` wrote",
    )
