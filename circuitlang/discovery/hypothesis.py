"""A found circuit as a spec: its definitions, its groups, and claims for other prompts to decide.

Takes the spec that the circuit was searched for in and gives the text of a new one, whose task
draws from the half of the prompts that the search has not seen. Its thresholds come from numbers of
the searched half, with so much room that sampling error alone should seldom cross them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from circuitlang.discovery.experiment import Experiment
from circuitlang.discovery.roles import Role, names
from circuitlang.front import Front, Options, Progress, draw_prompts, resolve_source
from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.graph.architecture import Architecture, Node, bits
from circuitlang.language.imports import Definition, names_in, qualified, reached
from circuitlang.language.resolve import Resolved, resolve_expression
from circuitlang.language.source import Source
from circuitlang.language.text import syntax
from circuitlang.language.text.format import format_text
from circuitlang.language.text.parse import parse_expression
from circuitlang.measurement.measured import sample_of
from circuitlang.measurement.measuring import measured_front

MOST_LISTED = 80
MOST_CLAIMED = 8
ROOM = 2.5
ROUNDED = 0.9
LEAST_ATTENTION = 0.1
MOST_PROMPTS = 0.75
TAIL = 0.05
CIRCUIT = "found"


@dataclass(frozen=True)
class Measured:
    """A number on the searched half, with the half-width of its one-sided 95% interval."""

    value: float
    half: float

    def above(self) -> float | None:
        """What it exceeds with room, in plain numbers; None where that is not above 0."""
        room = _floor(self.value - ROOM * self.half)
        return room if room > 0 else None


def _floor(number: float) -> float:
    """Down to one significant digit, or to a multiple of 0.05 from 0.1 on."""
    if not math.isfinite(number) or number == 0:
        return 0.0
    step = 0.05 if abs(number) >= 0.1 else 10.0 ** math.floor(math.log10(abs(number)))
    if abs(number) >= 10:
        step = 10.0 ** (math.floor(math.log10(abs(number))) - 1)
    return round(math.floor(number / step + 1e-9) * step, 10)


@dataclass(frozen=True)
class Hypothesis:
    """What is to be written: `told` are the lines that say how it was found."""

    name: str
    mask: int
    roles: tuple[Role, ...]
    told: tuple[str, ...]
    circuit_file: str | None = None


# ---------------------------------------------------------------- definitions


def definitions(experiment: Experiment) -> str:
    """The searched spec's definitions that claims there need, with the task's other half.

    Raises `Reject` where they are not all in the spec itself.
    """
    resolved = experiment.front.resolved
    assert resolved is not None
    kept, text, before = _kept(experiment, resolved), "", 0
    for s in resolved.file.statements:
        if s in kept:
            text += _gap(resolved.source.text[before : s.span.start], first=not text)
            text += _written(s, experiment.drawn.task)
        before = s.span.end
    return f"{text}\n\n{_default(experiment, resolved)}"


def _gap(text: str, *, first: bool) -> str:
    """What stands between a statement and the one before it: its own comments, if they adjoin it."""
    comments = text.rpartition("\n\n")[2].lstrip("\n")
    if first:
        return comments
    blank = "\n\n" if "\n\n" in text or "#" in text else "\n"
    return blank + comments


def _written(s: syntax.Statement, task: str) -> str:
    text = s.span.text
    if not isinstance(s, syntax.Task) or s.name != task:
        return text
    splits = [i for i in s.items if isinstance(i, syntax.Setting) and i.name == "split"]
    for split in splits:
        start = split.span.start - s.span.start
        text = text[:start] + text[start + len(split.span.text) :]
    head, brace, _ = text.rpartition("}")
    return f"{head}  # Prompts that had no part in finding the circuit.\n  split decide\n{brace}"


def _kept(experiment: Experiment, resolved: Resolved) -> list[syntax.Statement]:
    """Models, the task, settings of the file, and what these and the context words mention."""
    statements = resolved.file.statements
    own: dict[str, tuple[Definition, ...]] = {}
    for s in statements:
        if isinstance(s, Definition) and s.name is not None:
            own[s.name] = (*own.get(s.name, ()), s)
    task = experiment.drawn.task
    if not any(isinstance(s, syntax.Task) and s.name == task for s in statements):
        raise experiment.front.diagnostics.reject(
            "CL794",
            f"Task `{task}` is not defined in `{resolved.source.name}` itself.",
            None,
            "copy it there: the new spec draws from its other half",
        )
    words = tuple(_context(experiment, resolved).values())
    said = [e for word in words if (e := _expression(word)) is not None]
    roots: list[syntax.Statement] = [
        s
        for s in statements
        if isinstance(s, syntax.Model)
        or (isinstance(s, syntax.Task) and s.name == task)
        or (isinstance(s, syntax.Setting) and s.name == "dtype")
        or isinstance(s, syntax.Import)
    ]
    mentioned = {
        name for e in said for n in names_in(e) if (name := qualified(n.parts, own)) is not None
    }
    found = mentioned | reached([*roots, *(s for n in mentioned for s in own[n])], own)
    return [
        s
        for s in statements
        if s in roots
        or (isinstance(s, Definition) and s.name in found and not isinstance(s, syntax.Task))
    ]


def _expression(text: str) -> syntax.Expression | None:
    return parse_expression(Source("", text, Path()), Diagnostics())


def _context(experiment: Experiment, resolved: Resolved) -> dict[str, str]:
    """The context words in force, as text."""
    written = {c.word: c.value.span.text for c in resolved.definitions.defaults}
    given = experiment.context
    said = {"on": given.on, "under": given.under, "by": given.by, "with": given.with_}
    said["free"] = given.free
    written |= {word: value for word, value in said.items() if value is not None}
    written.setdefault("on", experiment.drawn.task)
    written.setdefault("by", str(experiment.metric))
    written.setdefault("under", str(experiment.floor.ablation))
    written["over"] = "prompts"
    return written


def _default(experiment: Experiment, resolved: Resolved) -> str:
    order = ("on", "by", "under", "with", "free", "over")
    words = _context(experiment, resolved)
    return "default " + " ".join(f"{word} {words[word]}" for word in order if word in words)


# ---------------------------------------------------------------- edges and groups


def circuit_lines(graph: Architecture, mask: int) -> list[str]:
    """Edges as `senders -> receivers`: receivers with the same senders share a line."""
    senders: dict[int, list[Node]] = {}
    for number in bits(mask):
        senders.setdefault(graph.receiver_of(number), []).append(graph.edge(number).sender)
    shared: dict[tuple[Node, ...], list[str]] = {}
    for index, nodes in senders.items():
        receiver = graph.receivers[index]
        port = f".{receiver.port}" if receiver.port else ""
        shared.setdefault(tuple(nodes), []).append(f"{receiver.node}{port}")
    return [f"{_list(map(str, nodes))} -> {_list(ports)}" for nodes, ports in shared.items()]


def _list(parts: Iterable[str]) -> str:
    found = list(parts)
    return found[0] if len(found) == 1 else f"[{', '.join(found)}]"


def nodes_text(nodes: Sequence[Node]) -> str:
    """Nodes in the language: heads of a layer and MLPs share their brackets."""
    heads: dict[int, list[int]] = {}
    for node in nodes:
        if node.kind == "head":
            heads.setdefault(node.layer, []).append(node.head)
    mlps = [node.layer for node in nodes if node.kind == "mlp"]
    parts = [f"a{layer}.h{_numbers(found)}" for layer, found in heads.items()]
    parts += [f"m{_numbers(mlps)}"] if mlps else []
    return _list(parts)


def _numbers(found: Sequence[int]) -> str:
    return str(found[0]) if len(found) == 1 else f"[{', '.join(map(str, found))}]"


# ---------------------------------------------------------------- the whole text


@dataclass(frozen=True)
class Claim:
    """A claim to be made of what was measured, or, where that leaves no room, none."""

    name: str
    formula: str
    because: str


def spec_text(experiment: Experiment, hypothesis: Hypothesis, claims: Sequence[Claim]) -> str:
    """The formatted text of the new spec."""
    graph = experiment.graph
    groups = names(hypothesis.roles, graph.shape.layers, _words(experiment))
    lines = [*(f"# {line}".rstrip() for line in hypothesis.told), f'spec {hypothesis.name} "0.1.0"']
    lines += ["", definitions(experiment), ""]
    if hypothesis.roles:
        lines.append(
            "# Proposed by where nodes act, what they look at, and their sign; name them better."
        )
    for name, role in zip(groups, hypothesis.roles, strict=True):
        lines.append(f"group {name} = {nodes_text(role.nodes)}")
    lines.append("")
    if hypothesis.circuit_file is not None:
        lines.append(f'circuit {CIRCUIT} = edges_from("{hypothesis.circuit_file}")')
    else:
        inner = (f"  {line}" for line in circuit_lines(graph, hypothesis.mask))
        lines.append("\n".join((f"circuit {CIRCUIT} {{", *inner, "}")))
    if claims:
        lines += [
            "",
            "# Thresholds leave room for sampling error below what the searched half gave.",
        ]
    for claim in claims:
        lines += [f"# {claim.because}", f"claim {claim.name}: {claim.formula}"]
    lines += ["", f"report share_of_edges: size({CIRCUIT}) / size(M)"]
    lines.append(f"report far_from_the_model: kl_from_model({CIRCUIT})")
    text = "\n".join(lines) + "\n"
    return format_text(Source(hypothesis.name, text, Path()), Diagnostics()) or text


def _words(experiment: Experiment) -> Iterator[str]:
    """Names that the new spec uses already."""
    resolved = experiment.front.resolved
    assert resolved is not None
    yield CIRCUIT
    for s in resolved.file.statements:
        if isinstance(s, Definition | syntax.Import) and s.name is not None:
            yield s.name
    yield from resolved.tasks[experiment.drawn.task].some_labels


def propose(
    experiment: Experiment, hypothesis: Hypothesis, measured: Mapping[str, Measured]
) -> tuple[Claim, ...]:
    """Claims with thresholds from what was measured, by expression, on the searched half."""
    groups = names(hypothesis.roles, experiment.graph.shape.layers, _words(experiment))
    found: list[Claim] = []
    faithful = measured[f"faithfulness({CIRCUIT})"]
    low, high = (faithful.value + side * ROOM * faithful.half for side in (-1, 1))
    if low > 0:
        formula = f"faithfulness({CIRCUIT}) in {_floor(low):g}..{-_floor(-high):g}"
        found.append(Claim("faithful", formula, f"on the searched half: {faithful.value:.2f}"))
    necessary = measured[f"necessity({CIRCUIT})"]
    if (least := necessary.above()) is not None:
        formula = f"necessity({CIRCUIT}) >= {least:g}"
        found.append(Claim("necessary", formula, f"on the searched half: {necessary.value:.2f}"))
    drops = {name: measured[_drop(name)] for name in groups}
    by_size = sorted(drops, key=lambda name: -abs(drops[name].value))[:MOST_CLAIMED]
    for name, role in zip(groups, hypothesis.roles, strict=True):
        if name in by_size:
            found += _matters(name, drops[name])
        if role.looks_at is not None and role.attention:
            found += _looks(name, role)
    return tuple(found)


def _drop(name: str) -> str:
    return f"drop({CIRCUIT}, {name}) / effect"


def _matters(name: str, share: Measured) -> Iterator[Claim]:
    sign = 1 if share.value >= 0 else -1
    least = replace(share, value=sign * share.value).above()
    if least is None:
        return
    compared = f">= {100 * least:g}%" if sign > 0 else f"<= -{100 * least:g}%"
    formula = f"drop({CIRCUIT}, {name}) {compared} * effect"
    label = "matters" if sign > 0 else "works_against"
    yield Claim(
        f"{name}_{label}", formula, f"on the searched half: {100 * share.value:.0f}% of the effect"
    )


def _looks(name: str, role: Role) -> Iterator[Claim]:
    """That on most prompts every head pays about as much attention as on nine of ten here."""
    least = _floor(ROUNDED * min(role.attention.values()))
    if least < LEAST_ATTENTION:
        return
    each = f"attends(h, {role.at}, {role.looks_at} on x) >= {100 * least:g}%"
    formula = f"forall h in {name}: share({each} for x in examples) >= {100 * MOST_PROMPTS:g}%"
    because = f"on the searched half, at least {100 * min(role.attention.values()):.0f}% on nine prompts of ten"
    yield Claim(f"{name}_look", formula, because)


def asked(experiment: Experiment, hypothesis: Hypothesis) -> list[str]:
    """The expressions whose numbers claims are made of."""
    groups = names(hypothesis.roles, experiment.graph.shape.layers, _words(experiment))
    return [f"faithfulness({CIRCUIT})", f"necessity({CIRCUIT})", *map(_drop, groups)]


def numbers(
    text: str, folder: Path, expressions: Sequence[str], options: Options, progress: Progress
) -> tuple[Front, dict[str, Measured] | None]:
    """Expressions in the context of a spec's text, on the searched half; None with errors."""
    from circuitlang.judgement.decide import estimate_number
    from circuitlang.judgement.estimator import Estimator

    searched = replace(options, split="search")
    source = Source(str(folder / "found.circ"), text, folder)
    front = resolve_source(source, Diagnostics(), dtype=options.dtype, split="search")
    if front.resolved is None or front.diagnostics.has_errors:
        return front, None
    forms = {text: resolve_expression(text, front.resolved) for text in expressions}
    if not all(forms.values()):
        return front, None
    front.asked = tuple((number, span) for ((_, number, span),) in forms.values())
    draw_prompts(front, searched)
    front.prompts = {key: replace(d, enumerated=False) for key, d in front.prompts.items()}
    measured = measured_front(front, searched, progress)
    if measured is None:
        return front, None
    estimator = Estimator(sample_of(measured, options.seed))
    found: dict[str, Measured] = {}
    for expression, ((_, number, _),) in forms.items():
        estimate = estimate_number(number, estimator, "prompts")
        low, high = estimate.bounds(TAIL)
        half = max(estimate.value - low, high - estimate.value)
        found[expression] = Measured(estimate.value, half if math.isfinite(half) else math.inf)
    return front, found
