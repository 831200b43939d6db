"""`edges_from("graph.json")`: the edges of a circuit in a file beside the spec.

Takes the call, and gives its edges in the graph of the model at hand. Which file they are from,
in what format and by which convention, is kept in the definitions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from circuitlang.language.diagnostics import Diagnostics, suggestion
from circuitlang.language.files import read_bytes_inside
from circuitlang.language.formulas.values import Edges
from circuitlang.language.graph.architecture import INPUT, Architecture
from circuitlang.language.graph.circuit_edges import Selection, located, mask_of, selected
from circuitlang.language.graph.circuit_formats import (
    TOKEN,
    UNABLATED,
    BadCircuit,
    Listing,
    parse_circuit,
)
from circuitlang.language.graph.edges import uniform
from circuitlang.language.source import Span
from circuitlang.language.spec import CircuitFile, Constant, Run
from circuitlang.language.text import syntax
from circuitlang.language.text.unparse import unparse

if TYPE_CHECKING:
    from circuitlang.language.formulas.environment import Environment
    from circuitlang.language.formulas.evaluate import Evaluator

LARGEST = 64_000_000
LEARNED_POSITIONS = frozenset({"gpt2"})
ALL = Selection()
OPTIONS = ("top", "threshold", "scores")


def edges_from(ev: Evaluator, e: syntax.Call, env: Environment) -> Edges:
    """The file's circuit, read once for each model and selection."""
    name = _file_name(ev, e)
    selection = _selection(ev, e, env)
    key = (name.value, name.span.source.folder, selection, env.model)
    files = ev.definitions.circuit_files
    if key not in files:
        content = read_bytes_inside(
            name.value, name.span.source.folder, name.span, ev.diagnostics, LARGEST
        )[1]
        try:
            listing = parse_circuit(content, name.value)
            mask = circuit_of(listing, ev.graph(env), selection)
        except BadCircuit as problem:
            raise ev.diagnostics.reject(
                problem.code, problem.message, name.span, problem.help
            ) from None
        warn_of_nothing(listing, mask, name.span, ev.diagnostics, selection)
        files[key] = CircuitFile(
            name.value,
            listing.format,
            listing.inputs,
            hashlib.sha256(content).hexdigest(),
            env.model.name,
            uniform(mask),
            name.span,
        )
    return Edges(files[key].edges)


def circuit_of(listing: Listing, architecture: Architecture, selection: Selection) -> int:
    """The circuit's edges as a mask; raises `BadCircuit`."""
    edges = located(listing, architecture)
    return mask_of(selected(listing, edges, selection), architecture.size)


def warn_of_nothing(
    listing: Listing,
    mask: int,
    span: Span | None,
    diagnostics: Diagnostics,
    selection: Selection = ALL,
) -> None:
    if mask:
        return
    if selection.by_score:
        help = "lower the threshold"
    elif any(entry.score for entry in listing.entries):
        help = "take the best by score: `edges_from(..., top = 200)`"
    else:
        help = "set `in_graph` true for the edges of the circuit"
    diagnostics.warn("CL207", f"`{listing.file}` has no edge in its circuit.", span, help)


def tell_of_inputs(
    files: Iterable[CircuitFile], run: Run, architecture: Architecture, diagnostics: Diagnostics
) -> None:
    """Says of the files in a run whose convention of what `input` is makes a difference there."""
    if run.ablation is None:
        return
    files = [file for file in files if file.model == run.model.name]
    dead = architecture.everything & ~run.live.lasting
    inputs = architecture.leaving(INPUT)
    if not inputs & run.live.reach:
        _warn_of_embeddings(files, run, diagnostics)
    constant = run.ablation.kind in ("zero", "constants")
    if constant and dead & inputs and run.model.shape.family in LEARNED_POSITIONS:
        _note_positions(files, run, dead, diagnostics)


def _warn_of_embeddings(files: list[CircuitFile], run: Run, diagnostics: Diagnostics) -> None:
    """Of files without embeddings, where the run has their circuit and no edge from `input`."""
    for file in files:
        circuit = file.edges.reach
        if file.inputs == UNABLATED and circuit and not circuit & ~run.live.reach:
            diagnostics.warn(
                "CL212",
                f"`{file.name}` has no edge from the embeddings, which are never ablated where it "
                "is from; here no node of its circuit would read them.",
                file.span,
                "declare them free: `default free input`",
            )


def _note_positions(
    files: list[CircuitFile], run: Run, dead: int, diagnostics: Diagnostics
) -> None:
    """Of files whose `input` lacks the position embedding, which a constant replaces too.

    Resampled values, donors and means are of the same position, and so have the same embedding.
    """
    for file in files:
        circuit = file.edges.reach
        is_used = circuit & run.live.reach or not dead & ~circuit
        if file.inputs == TOKEN and is_used:
            diagnostics.note(
                "CL212",
                f"`input` in `{file.name}` is the token embedding alone ({file.format}); here it "
                "has the position embedding too, and zeros or constants remove both.",
                file.span,
                "resample or mean ablation gives the same numbers under either convention",
            )


# ---------------------------------------------------------------- the call


def _file_name(ev: Evaluator, e: syntax.Call) -> syntax.StringLiteral:
    if len(e.arguments) != 1 or e.generator is not None:
        raise ev.fail(
            "CL105", "`edges_from` takes one file.", e, 'write `edges_from("graph.json")`'
        )
    argument = e.arguments[0]
    if not isinstance(argument, syntax.StringLiteral):
        raise ev.fail(
            "CL106",
            "`edges_from` takes a file name in quotes.",
            argument,
            f'write `edges_from("{unparse(argument)}.json")`',
        )
    return argument


def _selection(ev: Evaluator, e: syntax.Call, env: Environment) -> Selection:
    given: dict[str, Any] = {}
    for name, value in e.named:
        if name not in OPTIONS or name in given:
            raise ev.fail(
                "CL105",
                f"`edges_from` takes `{name}` once."
                if name in given
                else f"`edges_from` takes no `{name}`.",
                value,
                suggestion(name, OPTIONS) or f"it takes {', '.join(OPTIONS)}",
            )
        given[name] = _option(ev, name, value, env)
    selection = Selection(
        given.get("top"), given.get("threshold"), given.get("scores") == "absolute"
    )
    if "top" in given and "threshold" in given:
        raise ev.fail("CL105", "Both `top` and `threshold` choose edges.", e, "give one of them")
    if "scores" in given and not selection.by_score:
        raise ev.fail(
            "CL105",
            "`scores` says how edges are compared, and none are.",
            e,
            "add `top = 200` or `threshold = 0.01`",
        )
    return selection


def _option(ev: Evaluator, name: str, e: syntax.Expression, env: Environment) -> Any:
    value = ev.value(e, env)
    if name == "scores":
        if value in ("signed", "absolute"):
            return value
        raise ev.fail(
            "CL105",
            "`scores` says how edges are compared.",
            e,
            'write `scores = "signed"`, the highest first, or `scores = "absolute"`, '
            "the farthest from 0 first",
        )
    if not isinstance(value, Constant):
        raise ev.fail("CL106", f"`{name}` is not a number.", e, f"write `{name} = {_SHOWN[name]}`")
    if name == "threshold":
        return value.value
    if value.value < 1 or not value.value.is_integer():
        raise ev.fail(
            "CL106",
            "The number of edges is not a whole number of at least 1.",
            e,
            f"write `top = {_SHOWN[name]}`",
        )
    return int(value.value)


_SHOWN = {"top": "200", "threshold": "0.01"}
