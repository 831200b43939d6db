"""Circuits between specs and the files of other tools.

`convert` takes a circuit from one format to another, `export` one of a spec's circuits out of it.
Both write a file and say what changes its meaning there. Only a `.pt` on either side needs torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from circuitlang.front import resolve_file
from circuitlang.language.diagnostics import Diagnostic, Diagnostics, Reject, suggestion
from circuitlang.language.formulas.inline import count
from circuitlang.language.formulas.values import Edges
from circuitlang.language.graph.architecture import INPUT, Shape, architecture
from circuitlang.language.graph.circuit_edges import located, mask_of, selected, shape_of
from circuitlang.language.graph.circuit_file import ALL, LEARNED_POSITIONS, warn_of_nothing
from circuitlang.language.graph.circuit_formats import (
    AUTOCIRCUIT,
    TOKEN,
    TORCH_STARTS,
    UNABLATED,
    WHOLE,
    BadCircuit,
    Listing,
    listing_of,
    parse_circuit,
)
from circuitlang.language.graph.edges import EdgeSet, uniform
from circuitlang.language.models.find import ModelNotFound, find, suggestions
from circuitlang.language.resolve import Resolved
from circuitlang.language.text import syntax
from circuitlang.report.circuits import autocircuit_names, eap_ig

FORMATS = ("eap-ig", "autocircuit", "pt")
OF_SUFFIX = {".json": "eap-ig", ".pt": "pt"}


@dataclass(frozen=True)
class Exchanged:
    """What was found, and, where nothing was an error, what was written."""

    found: tuple[Diagnostic, ...]
    written: str = ""

    @property
    def failed(self) -> bool:
        return any(d.severity == "error" for d in self.found)


@dataclass(frozen=True)
class Circuit:
    """Edges of a model to be written, with what their source says besides."""

    edges: EdgeSet
    shape: Shape
    inputs: str = WHOLE
    scores: Mapping[int, float] | None = None
    node_scores: Mapping[str, float] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)


def convert(
    source: Path, target: Path, to: str | None = None, model: str | None = None
) -> Exchanged:
    """Writes the circuit in `source`, whose format its content tells, as `target`.

    `to` is one of `FORMATS`, by default what the suffix of `target` says. `model` is a model's
    name, needed where the file does not say which shape its edges are of.
    """
    diagnostics = Diagnostics()
    try:
        format = format_of(target, to)
        listing = read_listing(source)
        circuit = _circuit(listing, _shape(listing, model), diagnostics)
        if format == "autocircuit" or circuit.scores is None:
            warn_of_nothing(listing, circuit.edges.reach, None, diagnostics)
        if format == "autocircuit" and circuit.scores is not None:
            diagnostics.note(
                "CL213",
                "AutoCircuit's names have no scores: those of the file are not written.",
                None,
            )
        return _write(circuit, target, format, False, diagnostics)
    except BadCircuit as problem:
        diagnostics.error(problem.code, problem.message, None, problem.help)
    return Exchanged(diagnostics.sorted)


def export(
    spec: Path,
    circuit: str,
    target: Path,
    to: str | None = None,
    model: str | None = None,
    flatten: bool = False,
) -> Exchanged:
    """Writes a circuit that `spec` defines as `target`.

    `model` is one of the spec's models, by default that of its `default with`, else its first.
    `flatten` puts edges that stand at certain positions at all of them.
    """
    front = resolve_file(spec)
    if front.resolved is None or front.diagnostics.has_errors:
        return Exchanged(front.found)
    diagnostics = Diagnostics()
    try:
        edges, shape = _defined(front.resolved, circuit, model)
        return _write(Circuit(edges, shape), target, format_of(target, to), flatten, diagnostics)
    except BadCircuit as problem:
        diagnostics.error(problem.code, problem.message, None, problem.help)
    except Reject:
        return Exchanged(front.found)
    return Exchanged(diagnostics.sorted)


# ---------------------------------------------------------------- from a file


def read_listing(source: Path) -> Listing:
    """What a file lists, in any format, told by its content; raises `BadCircuit`."""
    try:
        with source.open("rb") as file:
            content = file.read()
        if content.startswith(TORCH_STARTS):
            from circuitlang.runtime.circuit_pt import read_pt

            return listing_of(read_pt(source), str(source))
    except OSError as problem:
        raise _unusable(source, "read", problem) from None
    return parse_circuit(content, str(source))


def _shape(listing: Listing, model: str | None) -> Shape:
    if model is not None:
        return _shape_of_model(model)
    return shape_of(listing.config, listing.file)


def _shape_of_model(model: str) -> Shape:
    try:
        shape = find(model, None, Path()).shape
    except ModelNotFound as problem:
        near = f"did you mean `{problem.suggestions[0]}`?" if problem.suggestions else None
        help = problem.help or near or "give a shipped model, a folder or a hub name"
        raise BadCircuit(problem.code, f"The model {problem}.", help) from None
    if shape is None:
        close = suggestions(model)
        raise BadCircuit(
            "CL209",
            f"The shape of `{model}` is not known on this machine.",
            f"did you mean `{close[0]}`?"
            if close
            else "give a folder with its config.json, or a well-known model of the same shape",
        )
    return shape


def _circuit(listing: Listing, shape: Shape, diagnostics: Diagnostics) -> Circuit:
    graph = architecture(shape)
    edges = located(listing, graph)
    foreign = [n for n in listing.node_scores if n not in set(map(str, graph.nodes))]
    if foreign:
        raise BadCircuit(
            "CL207",
            f"`{listing.file}` scores a node that its model does not have: `{foreign[0]}`.",
            "give the model it was found on with `--model`",
        )
    mask = mask_of(selected(listing, edges, ALL), graph.size)
    inputs = listing.inputs
    if inputs == UNABLATED:
        mask, inputs = mask | graph.leaving(INPUT), TOKEN
        diagnostics.note(
            "CL212",
            f"In `{listing.file}` the embeddings are never ablated: "
            f"{count(graph.leaving(INPUT).bit_count(), 'edge')} from `input` were added.",
            None,
        )
    _note_positions(listing, diagnostics)
    scores = {number: entry.score for number, entry in edges if entry.score is not None}
    return Circuit(
        uniform(mask), shape, inputs, scores or None, listing.node_scores, listing.config
    )


def _note_positions(listing: Listing, diagnostics: Diagnostics) -> None:
    apart = sum(entry.name.startswith("pos_embeds->") for entry in listing.entries)
    if apart:
        diagnostics.note(
            "CL212",
            f"{count(apart, 'edge')} from `pos_embeds` in `{listing.file}` are not written: "
            "position embeddings are no node of their own here.",
            None,
            "resample ablation gives the same numbers, as both prompts have the same positions",
        )


# ---------------------------------------------------------------- from a spec


def _defined(resolved: Resolved, circuit: str, model: str | None) -> tuple[EdgeSet, Shape]:
    from circuitlang.language.formulas.environment import Environment
    from circuitlang.language.formulas.evaluate import Evaluator

    spec = resolved.spec
    if circuit not in spec.circuits:
        raise BadCircuit(
            "CL101",
            f"`{spec.name}` defines no circuit `{circuit}`.",
            suggestion(circuit, spec.circuits) or f"its circuits are {', '.join(spec.circuits)}",
        )
    name = model or _default_model(resolved)
    if name not in spec.models:
        raise BadCircuit(
            "CL101",
            f"`{spec.name}` declares no model `{name}`.",
            suggestion(name, spec.models) or f"its models are {', '.join(spec.models)}",
        )
    evaluator, env = Evaluator(resolved.definitions), Environment(spec.models[name], {}, {})
    span = resolved.source.span(0, 0)
    value = evaluator.definition(circuit, syntax.Name((circuit,), span), env)
    assert isinstance(value, Edges)
    return value.set, spec.models[name].shape


def _default_model(resolved: Resolved) -> str:
    for clause in resolved.definitions.defaults:
        if clause.word == "with" and isinstance(clause.value, syntax.Name):
            return clause.value.text
    return next(iter(resolved.spec.models))


# ---------------------------------------------------------------- to a file


def format_of(target: Path, to: str | None = None) -> str:
    """One of `FORMATS`: `to`, or what the file's suffix says; raises `BadCircuit`."""
    format = to or OF_SUFFIX.get(target.suffix)
    if format in FORMATS:
        return format
    if to is not None:
        raise BadCircuit(
            "CL105",
            f"There is no format `{to}`.",
            suggestion(to, FORMATS) or f"formats are {', '.join(FORMATS)}",
        )
    raise BadCircuit(
        "CL105",
        f"`{target}` does not say which format is meant.",
        "name the file .json or .pt, or give `--to autocircuit`",
    )


def _write(
    circuit: Circuit, target: Path, format: str, flatten: bool, diagnostics: Diagnostics
) -> Exchanged:
    content: Any
    if format == "autocircuit":
        content = autocircuit_names(circuit.edges, circuit.shape, flatten=flatten)
    else:
        content = eap_ig(
            circuit.edges,
            circuit.shape,
            circuit.scores,
            inputs=circuit.inputs,
            config=circuit.config,
            node_scores=circuit.node_scores,
            flatten=flatten,
        )
    _note_convention(circuit, format, diagnostics)
    write_content(content, target, format)
    edges = count(circuit.edges.reach.bit_count(), "edge")
    return Exchanged(diagnostics.sorted, f"{target}: {edges}, {format}")


def write_content(content: Any, target: Path, format: str) -> None:
    """Writes what one of `FORMATS` holds, the file whole or not at all; raises `BadCircuit`."""
    try:
        if format == "pt":
            from circuitlang.runtime.circuit_pt import write_pt

            write_pt(content, target)
        else:
            _write_json(content, target, indent=1 if format == "autocircuit" else None)
    except OSError as problem:
        raise _unusable(target, "written", problem) from None


def _note_convention(circuit: Circuit, format: str, diagnostics: Diagnostics) -> None:
    """Says where the node for the embeddings is not what readers of the format take it for."""
    family = circuit.shape.family
    if family and family not in LEARNED_POSITIONS:
        return
    read_as = WHOLE if format == "autocircuit" else TOKEN
    if circuit.inputs != read_as:
        name = {WHOLE: f"{AUTOCIRCUIT}'s `Resid Start`", TOKEN: "EAP-IG's `input`"}[read_as]
        diagnostics.note(
            "CL212",
            f"{name} is the {read_as}, and the circuit's the {circuit.inputs}: where positions "
            "are learned, ablation with zeros or constants gives other numbers there.",
            None,
            "resample ablation gives the same numbers under either convention",
        )


def _write_json(content: Any, target: Path, indent: int | None) -> None:
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        partial.write_text(json.dumps(content, indent=indent) + "\n", encoding="utf-8")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _unusable(file: Path, verb: str, problem: OSError) -> BadCircuit:
    reason = problem.strerror or str(problem)
    return BadCircuit(
        "CL110",
        f"`{file}` cannot be {verb}: {reason}.",
        "give a file" if file.is_dir() else "check its name and folder",
    )
