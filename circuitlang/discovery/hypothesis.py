"""A found circuit as a spec: its definitions, its groups, and claims for other prompts to decide.

Takes the spec that the circuit was searched for in and gives the text of a new one, whose task
draws from the half of the prompts that the search has not seen. Its thresholds come from numbers of
the searched half, with so much room that sampling error alone should seldom cross them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal
from itertools import count
from pathlib import Path

from circuitlang.discovery.experiment import Experiment
from circuitlang.discovery.roles import Role, names
from circuitlang.front import Front, Options, Progress, draw_prompts, resolve_source
from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.formulas.check_names import words_of_task
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
ROOM, LEAST_ROOM = 2.5, 0.02
ROUNDED = 0.9
LEAST_ATTENTION = 0.1
MOST_PROMPTS = 0.75
TAIL = 0.05
CIRCUIT = "found"
_EMPTY_LINE = re.compile(r"\n[ \t\r]*(?=\n)")


@dataclass(frozen=True)
class Measured:
    """A number on the searched half, with the half-width of its one-sided 95% interval."""

    value: float
    half: float

    @property
    def room(self) -> float:
        return max(ROOM * self.half, LEAST_ROOM)

    def above(self) -> Decimal | None:
        """What it exceeds with room; None where that is not above 0."""
        found = _floor(self.value - self.room)
        return found if found > 0 else None


def _floor(number: float) -> Decimal:
    """Down to a multiple of 0.05, of 0.01 below 0.1, of 1 from 10 on."""
    exact = Decimal(repr(number))
    if not exact.is_finite():
        return exact
    size = abs(exact)
    step = "1" if size >= 10 else "0.05" if size >= Decimal("0.1") else "0.01"
    return (exact / Decimal(step)).to_integral_value(ROUND_FLOOR) * Decimal(step)


def _plain(number: Decimal) -> str:
    """Its digits, without an exponent."""
    return f"{number.normalize():f}"


@dataclass(frozen=True)
class Hypothesis:
    """What is to be written: `told` are the lines that say how it was found.

    `circuit` and `groups` are the names of the circuit and of each role.
    """

    name: str
    mask: int
    roles: tuple[Role, ...]
    told: tuple[str, ...]
    circuit: str
    groups: tuple[str, ...]
    circuit_file: str | None = None

    @property
    def drops(self) -> tuple[str, ...]:
        """For each role, how much of the effect the circuit loses without it."""
        return tuple(f"drop({self.circuit}, {group}) / effect" for group in self.groups)


def hypothesis(
    experiment: Experiment,
    name: str,
    mask: int,
    found: Sequence[Role],
    told: Sequence[str],
    circuit_file: str | None = None,
) -> Hypothesis:
    """With names that nothing else in the new spec has."""
    taken = set(_words(experiment))
    circuit = next(c for c in _numbered(CIRCUIT) if c not in taken)
    groups = names(found, experiment.graph.shape.layers, {*taken, circuit})
    return Hypothesis(name, mask, tuple(found), tuple(told), circuit, groups, circuit_file)


def with_signs(
    experiment: Experiment, made: Hypothesis, measured: Mapping[str, Measured]
) -> tuple[Hypothesis, dict[str, Measured]]:
    """Roles with the sign of what the circuit loses without them, where that can be told from 0.

    The numbers come back by the expressions that the new names make.
    """
    drops = [measured[drop] for drop in made.drops]
    signed = [
        replace(role, supports=drop.value > 0)
        if not role.rest and abs(drop.value) > drop.half
        else role
        for role, drop in zip(made.roles, drops, strict=True)
    ]
    named = hypothesis(experiment, made.name, made.mask, signed, made.told, made.circuit_file)
    return named, {**measured, **dict(zip(named.drops, drops, strict=True))}


# ---------------------------------------------------------------- definitions


def definitions(experiment: Experiment) -> str:
    """The searched spec's definitions that claims there need, with the task's other half.

    A comment goes with the statement that it stands over or beside. Raises `Reject` where they are
    not all in the spec itself.
    """
    resolved = experiment.front.resolved
    assert resolved is not None
    kept, text, lines = _kept(experiment, resolved), "", resolved.source.text
    statements = resolved.file.statements
    starts = [s.span.start for s in statements]
    for before, s, after in zip(
        [0, *(s.span.end for s in statements)], statements, [*starts[1:], len(lines)], strict=False
    ):
        if s in kept:
            text += _over(lines[before : s.span.start], first=not text)
            text += _written(s, experiment.drawn.task)
            beside = lines[s.span.end : after].partition("\n")[0].rstrip()
            text += beside if beside.lstrip().startswith("#") else ""
    return f"{text}\n\n{_default(experiment, resolved)}"


def _over(gap: str, *, first: bool) -> str:
    """Of what stands between a statement and the one before it, the comments that adjoin it."""
    _, newline, over = gap.partition("\n")
    comments = _EMPTY_LINE.split(newline + over)[-1].lstrip("\n")
    if first:
        return comments
    return ("\n\n" if _EMPTY_LINE.search(gap) else "\n") + comments


def _written(s: syntax.Statement, task: str) -> str:
    text = s.span.text
    if not isinstance(s, syntax.Task) or s.name != task:
        return text
    for item in s.items:
        if isinstance(item, syntax.Setting) and item.name == "split":
            start, end = item.span.start - s.span.start, item.span.end - s.span.start
            return f"{text[:start]}split decide{text[end:]}"
    head, brace, _ = text.rpartition("}")
    return f"{head.rstrip()}\n  # Prompts that had no part in finding the circuit.\n  split decide\n{brace}"


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
    written |= experiment.context.given
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
    lines = [*(f"# {line}".rstrip() for line in hypothesis.told), f'spec {hypothesis.name} "0.1.0"']
    lines += ["", definitions(experiment), ""]
    if hypothesis.roles:
        lines.append(
            "# Proposed by where nodes act, what they look at, and their sign; name them better."
        )
    for name, role in zip(hypothesis.groups, hypothesis.roles, strict=True):
        lines.append(f"group {name} = {nodes_text(role.nodes)}")
    lines.append("")
    if hypothesis.circuit_file is not None:
        lines.append(f'circuit {hypothesis.circuit} = edges_from("{hypothesis.circuit_file}")')
    else:
        inner = (f"  {line}" for line in circuit_lines(graph, hypothesis.mask))
        lines.append("\n".join((f"circuit {hypothesis.circuit} {{", *inner, "}")))
    if claims:
        lines += [
            "",
            "# Thresholds leave room for sampling error below what the searched half gave.",
        ]
    for claim in claims:
        lines += [f"# {claim.because}", f"claim {claim.name}: {claim.formula}"]
    circuit = hypothesis.circuit
    lines += ["", f"report share_of_edges: size({circuit}) / size(M)"]
    lines.append(f"report far_from_the_model: kl_from_model({circuit})")
    if hypothesis.groups:
        share = f"drop({circuit}, K) / effect for K in groups({circuit})"
        lines.append(f"report share_of_each_group: [{share}]")
    text = "\n".join(lines) + "\n"
    return format_text(Source(hypothesis.name, text, Path()), Diagnostics()) or text


def _words(experiment: Experiment) -> Iterator[str]:
    """Names that the new spec has besides its own, and those of the language."""
    resolved = experiment.front.resolved
    assert resolved is not None
    yield from ("heads", "mlps")
    for s in _kept(experiment, resolved):
        if isinstance(s, Definition | syntax.Import) and s.name is not None:
            yield s.name
        if isinstance(s, syntax.Task):
            yield from words_of_task(s)


def propose(
    experiment: Experiment, hypothesis: Hypothesis, measured: Mapping[str, Measured]
) -> tuple[Claim, ...]:
    """Claims with thresholds from what was measured, by expression, on the searched half."""
    circuit, lower = hypothesis.circuit, experiment.metric.lower_is_better
    found: list[Claim] = []
    faithful, necessary = (measured[one] for one in asked(hypothesis)[:2])
    because = f"on the searched half: {faithful.value:.2f}"
    if (least := faithful.above()) is not None:
        most = -_floor(-(faithful.value + faithful.room))
        formula = f"faithfulness({circuit}) in {_plain(least)}..{_plain(most)}"
        found.append(Claim(_of_range(least, most), formula, because))
    if (least := necessary.above()) is not None:
        because = f"on the searched half: {necessary.value:.2f}"
        found.append(Claim("necessary", f"necessity({circuit}) >= {_plain(least)}", because))
    drops = {
        name: measured[one] for name, one in zip(hypothesis.groups, hypothesis.drops, strict=True)
    }
    by_size = sorted(drops, key=lambda name: -abs(drops[name].value))[:MOST_CLAIMED]
    for name, role in zip(hypothesis.groups, hypothesis.roles, strict=True):
        if name in by_size:
            found += _matters(circuit, name, drops[name], lower_is_better=lower)
        if role.looks_at is not None and role.attention:
            found += _looks(name, role)
    return tuple(found)


def _of_range(least: Decimal, most: Decimal) -> str:
    """What a claim of such a faithfulness is called."""
    if least > 1:
        return "overshoots"
    return "faithful" if most >= 1 else "partly_faithful"


def _matters(circuit: str, name: str, share: Measured, *, lower_is_better: bool) -> Iterator[Claim]:
    """That a group's drop is a share of the effect, divided by it where it is below 0 (P2)."""
    sign = 1 if share.value >= 0 else -1
    least = replace(share, value=abs(share.value)).above()
    if least is None:
        return
    relation, threshold = ">=" if sign > 0 else "<=", _percent(sign * least)
    formula = f"drop({circuit}, {name}) {relation} {threshold} * effect"
    if lower_is_better:
        formula = f"drop({circuit}, {name}) / effect {relation} {threshold}"
    because = f"on the searched half: {100 * share.value:.0f}% of the effect"
    yield Claim(f"{name}_matters", formula, because)


def _percent(share: Decimal) -> str:
    return f"{_plain(100 * share)}%"


def _looks(name: str, role: Role) -> Iterator[Claim]:
    """That on most prompts every head pays about as much attention as on nine of ten here."""
    lowest = min(role.attention.values())
    least = _floor(ROUNDED * lowest)
    if least < LEAST_ATTENTION:
        return
    each = f"attends(h, {role.at}, {role.looks_at} on x) >= {_percent(least)}"
    formula = f"forall h in {name}: share({each} for x in examples) >= {MOST_PROMPTS:.0%}"
    because = f"on the searched half, at least {lowest:.0%} on nine prompts of ten"
    yield Claim(f"{name}_look", formula, because)


def asked(hypothesis: Hypothesis) -> tuple[str, ...]:
    """The expressions whose numbers claims are made of."""
    circuit = hypothesis.circuit
    return f"faithfulness({circuit})", f"necessity({circuit})", *hypothesis.drops


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}_{number}" for number in count(2))


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
