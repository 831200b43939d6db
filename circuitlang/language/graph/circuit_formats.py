"""Circuits as other tools write them: EAP-IG and MIB, AutoCircuit, Edge-Pruning.

Takes a file's bytes and gives a `Listing`, the edges as they are named there. The format is told
by the content. Whatever cannot be read is a `BadCircuit`, and nothing is left out silently.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

EAP_IG = "EAP-IG"
AUTOCIRCUIT = "AutoCircuit"
EDGE_PRUNING = "Edge-Pruning"

# What a file's node for the embeddings stands for.
WHOLE = "token and position embedding"
TOKEN = "token embedding"
UNABLATED = "never ablated"

READABLE = (
    "circuits are read from EAP-IG's or MIB's JSON, AutoCircuit's list of edge names "
    "and Edge-Pruning's edges.json"
)
LONGEST_NAME = 60
TORCH_STARTS = (b"PK\x03\x04", b"\x80")


class BadCircuit(Exception):
    """Content that is no circuit, or none of this model: a code, a sentence and what to do."""

    def __init__(self, code: str, message: str, help: str) -> None:
        super().__init__(message)
        self.code, self.message, self.help = code, message, help


class Entry(NamedTuple):
    """An edge as a file names it. `included` and `score` are None where the file is silent."""

    name: str
    included: bool | None
    score: float | None


@dataclass(frozen=True)
class Listing:
    """A file's edges. `config` says which model it is for; `node_scores` are by EAP-IG's names."""

    file: str
    format: str
    inputs: str
    entries: tuple[Entry, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    node_scores: Mapping[str, float] = field(default_factory=dict)


# ---------------------------------------------------------------- text -> listing


def parse_circuit(content: bytes, file: str) -> Listing:
    """What the bytes of `file` list; raises `BadCircuit`."""
    if content.startswith(TORCH_STARTS):
        raise BadCircuit(
            "CL112",
            f"`{file}` is a PyTorch file, and a spec reads none.",
            f"convert it once: `circ convert {file} {file.removesuffix('.pt')}.json`",
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadCircuit("CL112", f"`{file}` is not UTF-8 text.", "save it as UTF-8") from None
    return listing_of(_json(text, file), file)


def listing_of(content: Any, file: str) -> Listing:
    """As `parse_circuit`, of decoded JSON."""
    match content:
        case dict():
            return _eap_ig(content, file)
        case [[*_], *_]:
            return _edge_pruning(content, file)
        case list():
            entries = tuple(_autocircuit_entry(item, i, file) for i, item in enumerate(content, 1))
            return Listing(file, AUTOCIRCUIT, WHOLE, entries)
    raise BadCircuit("CL112", f"`{file}` holds no circuit.", READABLE)


def _json(text: str, file: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
            raise BadCircuit(
                "CL112",
                f"`{file}` has `{shortened(twice)}` twice in one object.",
                "keep the one that is meant; JSON readers disagree which of them counts",
            )
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as problem:
        place = f" (line {problem.lineno})" if isinstance(problem, json.JSONDecodeError) else ""
        raise BadCircuit("CL112", f"`{file}` is not JSON{place}.", READABLE) from None


def _eap_ig(content: dict[str, Any], file: str) -> Listing:
    edges, config, nodes = content.get("edges"), content.get("cfg", {}), content.get("nodes", {})
    if not isinstance(edges, dict):
        raise BadCircuit("CL112", f"`{file}` has no `edges` object.", READABLE)
    for name, part in (("cfg", config), ("nodes", nodes)):
        if not isinstance(part, dict):
            raise BadCircuit("CL112", f"`{name}` of `{file}` is not an object.", READABLE)
    _refuse_neurons(nodes, file)
    inputs = WHOLE if config.get("input") == WHOLE else TOKEN
    entries = tuple(_eap_ig_entry(name, properties, file) for name, properties in edges.items())
    given = {name: _of(properties).get("score") for name, properties in nodes.items()}
    scores = {n: found for n, score in given.items() if (found := _number(score)) is not None}
    return Listing(file, EAP_IG, inputs, entries, config, scores)


def _eap_ig_entry(name: str, properties: Any, file: str) -> Entry:
    included = _of(properties).get("in_graph")
    if included is not None and not isinstance(included, bool):
        raise without_in_graph(name, file)
    return Entry(name, included, _score(_of(properties).get("score"), name, file))


def without_in_graph(name: str, file: str) -> BadCircuit:
    return BadCircuit(
        "CL112",
        f"Edge `{shortened(name)}` of `{file}` has no `in_graph` true or false.",
        'write `{"in_graph": true}` for every edge of the circuit',
    )


def _refuse_neurons(nodes: Mapping[str, Any], file: str) -> None:
    """EAP-IG's neuron circuits keep a part of a node's output, which no edge set says."""
    for name, properties in nodes.items():
        neurons = _of(properties).get("neurons")
        kept = _of(properties).get("in_graph") is not False
        if kept and isinstance(neurons, list) and not all(neurons):
            raise BadCircuit(
                "CL112",
                f"`{file}` keeps only some neurons of `{shortened(name)}`, and edges here carry "
                "all that a node puts out.",
                "export the circuit at the level of edges",
            )


def _autocircuit_entry(item: Any, place: int, file: str) -> Entry:
    if isinstance(item, str):
        return Entry(item, True, None)
    name = _of(item).get("name", _of(item).get("edge"))
    if not isinstance(name, str):
        raise BadCircuit(
            "CL112",
            f"Entry {place} of `{file}` names no edge.",
            'edges are listed like "A9.9->Resid End" or {"name": "A9.9->Resid End"}',
        )
    unread = sorted(set(item) - {"name", "edge", "seq_idx", "score"})
    if unread:
        raise BadCircuit(
            "CL112",
            f"Edge `{shortened(name)}` of `{file}` has a `{shortened(unread[0])}`, "
            "which is not read.",
            "leave it out if the circuit means the same without it",
        )
    if item.get("seq_idx") is not None:
        raise BadCircuit(
            "CL112",
            f"Edge `{shortened(name)}` of `{file}` stands at one token (`seq_idx`), and token "
            "numbers are not read: they differ between prompts.",
            "leave `seq_idx` out for the edge at every token, or write it in a circuit with `@`",
        )
    return Entry(name, True, _score(item.get("score"), name, file))


def _edge_pruning(content: list[Any], file: str) -> Listing:
    for place, pair in enumerate(content, 1):
        if not (isinstance(pair, list) and len(pair) == 2 and all(type(n) is str for n in pair)):
            raise BadCircuit(
                "CL112",
                f"Entry {place} of `{file}` is no pair of nodes.",
                'edges are listed like ["a9.h9", "resid_post"]',
            )
    entries = tuple(Entry(f"{sender}->{receiver}", True, None) for sender, receiver in content)
    has_inputs = any(sender in ("tok_embeds", "pos_embeds") for sender, _ in content)
    return Listing(file, EDGE_PRUNING, TOKEN if has_inputs else UNABLATED, entries)


def _score(value: Any, name: str, file: str) -> float | None:
    if value is None:
        return None
    if (found := _number(value)) is not None:
        return found
    raise BadCircuit(
        "CL112",
        f"The score of edge `{shortened(name)}` of `{file}` is not a number.",
        "write a number, or NaN where there is none",
    )


def _number(value: Any) -> float | None:
    """A JSON number; None for anything else, and for integers that no float can hold."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _of(properties: Any) -> Mapping[str, Any]:
    return properties if isinstance(properties, dict) else {}


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}..."
