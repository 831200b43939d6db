"""Checks that a form is well made: `compile_program(form, see=verify)` looks at every pass.

Takes the name of a pass and the form it gave; raises `Malformed` with a sentence that says
what is wrong. What a form *means* is not checked here: that is what executing it is for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from circuitlang.compiler.allocate import Plan, width
from circuitlang.compiler.drop import Demand, positions_text
from circuitlang.compiler.graph import Final, Graph, Value, value_text
from circuitlang.compiler.program import CLEAN, Program, Request
from circuitlang.compiler.rebase import BIASES
from circuitlang.compiler.schedule import ABSENT, PORTS, Schedule, Step
from circuitlang.language.graph.architecture import bits

NODES = {"embed", "out", "mlp"}
READ = {"q", "k", "v", "z", "pattern"}
SOURCED = {"stream", "attn", "mix"}
SUMS = {"sum", "mixture"}
BASED = {"input", "excess", "delta", "minus", "bundle", "constant"}
UNSOURCED = {"out", "mlp", "delta", "minus", "bundle"} | READ
ADDED = frozenset(NODES | {"constant", "mix", "delta", "minus", "bundle", "excess"})


class Malformed(Exception):
    """A form that no pass may give."""


def verify(name: str, form: Program | Graph | Demand | Schedule | Plan) -> None:
    """Raises `Malformed` for the first thing that is wrong with what pass `name` gave.

    The forms that a form is built on are taken to be well made.
    """
    for problem in _problems(name, form):
        raise Malformed(f"after {name}: {problem}")


def _problems(name: str, form: Program | Graph | Demand | Schedule | Plan) -> Iterator[str]:
    match form:
        case Program():
            yield from _program(form)
        case Graph():
            yield from _graph(form, NODES | READ | SOURCED | (SUMS if name == "number" else BASED))
        case Demand():
            yield from _demand(form)
        case Schedule():
            yield from _schedule(form, ordered=name != "fuse")
        case Plan():
            yield from _plan(form)


# ---------------------------------------------------------------- programs


def _program(form: Program) -> Iterator[str]:
    stop = 0
    for segment in form.segments:
        if segment.start != stop or segment.stop <= segment.start:
            yield f"segment [{segment.start},{segment.stop}) does not begin at {stop} or is empty"
        stop = segment.stop
    if not form.segments:
        yield "there are no segments"
    for i, source in enumerate(form.sources):
        if (source.ablation is None) != (i == CLEAN):
            yield f"source {i} is {source}, but source {CLEAN} and no other is the clean run"
        if source.first and not source.is_run:
            yield f"source {i}, {source}, is no run and cannot begin at {source.first}"
        if source.first not in {0, *(segment.stop for segment in form.segments)}:
            yield f"source {i} begins at {source.first}, inside a segment"
    for i, request in enumerate(form.requests):
        yield from (f"run {i}: {problem}" for problem in _request(form, request))


def _request(form: Program, request: Request) -> Iterator[str]:
    shape = form.wiring.shape
    if len(request.masks) != len(form.segments):
        yield f"{len(request.masks)} edge masks for {len(form.segments)} segments"
    if not all(0 <= mask <= form.wiring.architecture.everything for mask in request.masks):
        yield "an edge is beyond the last"
    if not 0 <= request.source < len(form.sources):
        yield f"there is no source {request.source}"
    if not 0 <= request.positions < 1 << form.length:
        yield f"logits are read at {positions_text(request.positions)} of {form.length} positions"
    receivers = len(form.wiring.architecture.receivers)
    for masks, other in request.readings:
        if len(masks) != len(form.segments) or not 0 <= other < len(form.requests):
            yield f"it reads from run {other} in {len(masks)} segments"
        if not all(0 <= mask < 1 << receivers for mask in masks):
            yield "a receiver is beyond the last"
    for layer, head, queries in request.heads:
        if not (0 <= layer < shape.layers and 0 <= head < shape.heads):
            yield f"there is no head a{layer}.h{head}"
        if not 0 < queries < 1 << form.length:
            yield f"a{layer}.h{head} is read at {positions_text(queries)}"


# ---------------------------------------------------------------- graphs


@dataclass(frozen=True)
class _Fit:
    """What an operand has to be; None fits all."""

    kinds: frozenset[str]
    segment: int
    layer: int | None = None
    which: int | None = None
    source: int | None = None

    def fits(self, value: Value) -> bool:
        return (
            value.kind in self.kinds
            and value.segment == self.segment
            and self.layer in (None, value.layer)
            and self.which in (None, value.which)
            and self.source in (None, value.source)
        )


def _graph(form: Graph, allowed: set[str]) -> Iterator[str]:
    for n, value in enumerate(form.values):
        if value.kind not in allowed:
            yield f"%{n} is {value.kind}, of which there should be none"
        yield from (f"%{n}, {value.kind}, {x}" for x in _names(form, value, allowed))
        if not all(0 <= operand < n for operand in value.operands):
            yield f"{_text(form, n)} reads a value that does not come before it"
        yield from (f"{_text(form, n)} {x}" for x in _operands(form, value))
    if "sum" in allowed and len(set(form.values)) < len(form.values):
        (value, count), *_ = Counter(form.values).most_common(1)
        yield f"{value_text(form, value)} is there {count} times"
    if len(form.finals) != len(form.program.requests):
        yield f"{len(form.finals)} runs are delivered of {len(form.program.requests)}"
    for i, (final, request) in enumerate(zip(form.finals, form.program.requests, strict=False)):
        yield from (f"run {i}: {problem}" for problem in _final(form, final, request))


def _text(form: Graph, number: int) -> str:
    return f"%{number} = {value_text(form, form.values[number])}"


def _names(form: Graph, value: Value, allowed: set[str]) -> Iterator[str]:
    """What is wrong with a value's segment, layer, number within the layer, and source."""
    program, wiring = form.program, form.program.wiring
    shape = wiring.shape
    layers, none = range(shape.layers), range(-1, 0)
    layer, which = {
        "embed": (none, none),
        "constant": (none, range(wiring.senders)),
        "stream": (wiring.counts, none),
        "sum": (wiring.counts, none),
        "input": (wiring.counts, none),
        "k": (layers, range(shape.kv_heads)),
        "v": (layers, range(shape.kv_heads)),
        "attn": (layers, none),
        "mix": (layers, none),
        "mixture": (layers, none),
        "mlp": (layers if shape.mlps else range(0), none),
        "bundle": (layers, range(1, shape.heads + 1)),
        "excess": (none, none),
        "delta": (none, none),
        "minus": (none, none),
    }.get(value.kind, (layers, range(shape.heads)))
    if value.segment not in range(len(program.segments)):
        yield f"is in segment {value.segment} of {len(program.segments)}"
    if value.layer not in layer or value.which not in which:
        yield f"has layer {value.layer} and number {value.which}"
    if value.kind in ("mix", "mixture") and not shape.post_norm:
        yield "is there in a model that norms no mixture"
    if value.source == BIASES:
        if value.kind not in UNSOURCED and not (SUMS.isdisjoint(allowed) and _based(value)):
            yield "has no source"
        return
    if value.source not in range(len(program.sources)):
        yield f"has the unknown source {value.source}"
        return
    source = program.sources[value.source]
    if value.kind in UNSOURCED:
        yield f"has a source, {source}"
    if program.canonical(value.source, value.segment) != value.source:
        yield f"has the source {source}, which is the clean run in segment {value.segment}"
    if value.kind == "embed" and not source.is_run:
        yield f"has tokens of {source}, which is no run"
    if value.kind == "constant" and (source.is_run or source.is_zero):
        yield f"is stored for {source}, which is no mean"


def _based(value: Value) -> bool:
    """Whether it may be written relative to output biases alone."""
    return value.kind in ("stream", "attn", "mix", "input", "excess")


def _operands(form: Graph, value: Value) -> Iterator[str]:
    operands = [form.values[n] for n in value.operands]
    wanted = list(_wanted(form, value))
    if len(operands) != len(wanted):
        yield f"has {len(operands)} operands, not {len(wanted)}"
    for n, operand, fit in zip(value.operands, operands, wanted, strict=False):
        if not fit.fits(operand):
            yield f"cannot read {_text(form, n)}"
    if value.kind in ("sum", "mixture", "input", "excess", "mix"):
        first = 1 if value.kind in ("input", "mix") else 0
        senders = list(_summands(form, value.operands[first:]))
        if len(set(senders)) < len(senders):
            yield "has two values of one summand"
        if value.kind in ("sum", "input") and max(senders, default=0) >= value.layer:
            yield f"has a summand that is not among the first {value.layer}"
        head_bits = form.program.wiring.head_bits(value.layer) if "mix" in value.kind else 0
        if head_bits and any(not head_bits >> sender & 1 for sender in senders):
            yield "mixes heads of another layer"
    if value.kind == "bundle":
        heads = [operand.which for operand in operands[: value.which]]
        if len(heads) != value.which or len(set(heads)) < len(heads):
            yield f"adds {len(set(heads))} heads, not {value.which}"
    if value.kind == "delta" and len(set(_summands(form, value.operands))) > 1:
        yield "is a difference of two summands"


def _summands(form: Graph, numbers: Iterable[int]) -> Iterator[int]:
    """The senders whose values, or changes of values, are added up; of mixed heads the first."""
    wiring = form.program.wiring
    for number in numbers:
        value = form.values[number]
        match value.kind:
            case "embed":
                yield 0
            case "out":
                yield wiring.first(value.layer) + value.which
            case "mlp":
                yield wiring.mlp(value.layer)
            case "mix" | "mixture":
                yield wiring.first(value.layer)
            case "bundle":
                for z in value.operands[: value.which]:
                    yield wiring.first(value.layer) + form.values[z].which
            case "delta" | "minus":
                yield from _summands(form, value.operands[:1])
            case "excess":
                yield from _summands(form, value.operands)
            case _:
                yield value.which


def _wanted(form: Graph, value: Value) -> Iterator[_Fit]:
    """What each operand of a value has to be; as many as it should have."""
    wiring, here, layer = form.program.wiring, value.segment, value.layer
    is_run = value.source != BIASES and form.program.sources[value.source].is_run
    heads = wiring.shape.heads
    match value.kind:
        case "stream" if is_run:
            yield from _stream_wanted(form, value)
        case "attn" if is_run:
            for head in range(heads):
                yield _Fit(frozenset({"z"}), here, layer, head)
        case "q" | "k" | "v":
            yield _Fit(frozenset({"stream", "sum", "input"}), here, wiring.first(layer))
        case "mlp":
            yield _Fit(frozenset({"stream", "sum", "input"}), here, wiring.mlp_count(layer))
        case "z" | "pattern":
            group = value.which // (heads // wiring.shape.kv_heads)
            yield _Fit(frozenset({"q"}), here, layer, value.which)
            for port in "kv" if value.kind == "z" else "k":
                for segment in range(here + 1):
                    yield _Fit(frozenset({port}), segment, layer, group)
        case "out":
            yield _Fit(frozenset({"z"}), here, layer, value.which)
        case "mix":
            yield _Fit(frozenset({"attn"}), here, layer, source=value.source)
            for _ in value.operands[1:]:
                yield _Fit(frozenset({"out", "constant", "delta", "minus"}), here)
        case "mixture":
            for _ in value.operands or (0,):
                yield _Fit(frozenset({"out"}), here, layer)
        case "sum":
            for _ in value.operands or (0,):
                yield _Fit(frozenset(NODES | {"mix", "mixture"}), here)
        case "input":
            yield _Fit(frozenset({"stream"}), here, layer, source=value.source)
            for _ in value.operands[1:] or (0,):
                yield _Fit(ADDED, here)
        case "excess":
            for _ in value.operands or (0,):
                yield _Fit(ADDED, here)
        case "bundle":
            own, based = value.operands[: value.which], len(value.operands) > value.which
            for n in own * (1 + based):
                yield _Fit(frozenset({"z"}), here, layer, form.values[n].which)
        case "delta" | "minus":
            for _ in range(1 + (value.kind == "delta")):
                yield _Fit(frozenset(NODES | {"constant", "mix"}), here)


def _stream_wanted(form: Graph, value: Value) -> Iterator[_Fit]:
    """A stream below a count: an earlier one of its source, and what was added since."""
    wiring, here, count = form.program.wiring, value.segment, value.layer
    if count == 1:
        yield _Fit(frozenset({"embed"}), here, source=value.source)
        return
    layer = wiring.layer_of(count - 1)
    attention = _Fit(frozenset({"attn", "mix"}), here, layer, source=value.source)
    mlp = _Fit(frozenset({"mlp"}), here, layer)
    if count == wiring.mlp(layer):
        before, after = wiring.first(layer), [attention]
    elif wiring.shape.parallel:
        before, after = wiring.first(layer), [attention, mlp]
    else:
        before, after = wiring.mlp(layer), [mlp]
    yield _Fit(frozenset({"stream"}), here, before, source=value.source)
    yield from after


def _final(form: Graph, final: Final, request: Request) -> Iterator[str]:
    if [position for position, _ in final.residuals] != list(bits(request.positions)):
        yield "its logits are not at the positions that are read"
    if [position for position, _ in final.early] != list(bits(request.early)):
        yield "its early stream is not at the positions that are read"
    if not all(0 <= n < len(form.values) for n, _ in final.values):
        yield "it delivers a value that is not there"
        return
    wiring = form.program.wiring
    for what, count, of in (
        ("last stream", wiring.senders, final.residuals),
        ("early stream", wiring.first(1), final.early),
    ):
        for position, n in of:
            value = form.values[n]
            fits = value.kind in ("stream", "sum", "input") and value.layer == count
            if not fits or value.segment != form.program.segment_of(position):
                yield f"its {what} at {position} is of {_text(form, n)}"
    read: Counter[tuple[int, int]] = Counter()
    for layer, head, queries, n in final.patterns:
        value = form.values[n]
        read[layer, head] += queries
        segment = form.program.segments[value.segment]
        if value[:3] != ("pattern", layer, head) or queries & ~segment.bits or not queries:
            yield f"its attention of a{layer}.h{head} is {_text(form, n)}"
    if read != {(layer, head): queries for layer, head, queries in request.heads}:
        yield "its attention is not that of the heads and queries that are read"
    yield from _outputs(form, final, request)


def _outputs(form: Graph, final: Final, request: Request) -> Iterator[str]:
    written: Counter[int] = Counter()
    for sender, positions, n in final.outputs:
        value = form.values[n]
        written[sender] += positions
        segment = form.program.segments[value.segment]
        node = form.program.wiring.architecture.senders[sender]
        kind = {"head": "out", "mlp": "mlp"}.get(node.kind, "embed")
        place = (node.layer, node.head) if kind == "out" else (node.layer, -1)
        mine = value.kind == kind and (kind == "embed" or value[1:3] == place)
        if not mine or positions & ~segment.bits or not positions:
            yield f"what {node} writes is {_text(form, n)}"
    if written != dict(request.outputs):
        yield "its outputs are not those of the nodes and positions that are read"


# ---------------------------------------------------------------- demands


def _demand(form: Demand) -> Iterator[str]:
    graph, segments = form.graph, form.graph.program.segments
    if len(form.positions) != len(graph.values):
        yield f"{len(form.positions)} demands for {len(graph.values)} values"
        return
    for n, value, have in form.kept:
        if have & ~segments[value.segment].bits:
            yield f"%{n} is asked for at {positions_text(have)}, beyond its segment"
        for operand, asked in _asked(graph, value, have):
            if missing := asked & ~form.positions[operand]:
                yield f"%{n} reads %{operand} at {positions_text(missing)}, where it is dropped"
    for i, final in enumerate(graph.finals):
        for n, read in final.values:
            if missing := read & ~form.positions[n]:
                yield f"run {i} reads %{n} at {positions_text(missing)}, where it is dropped"


def _asked(graph: Graph, value: Value, here: int) -> Iterator[tuple[int, int]]:
    """Each operand with the positions at which it is read, when the value is asked for `here`."""
    attends = value.kind in ("z", "pattern")
    for place, operand in enumerate(value.operands):
        if attends and place:
            segment = graph.program.segments[graph.values[operand].segment]
            yield operand, ((1 << here.bit_length()) - 1) & segment.bits
        else:
            yield operand, here


# ---------------------------------------------------------------- schedules


def _schedule(form: Schedule, *, ordered: bool) -> Iterator[str]:
    graph = form.demand.graph
    for i, step in enumerate(form.steps):
        yield from (f"step {i}, {step.kind}: {problem}" for problem in _step(form, step))
    delivered = {n for final in graph.finals for n, _ in final.values}
    made = Counter(n for step in form.steps for n in step.produced)
    kept = {n for n, _, _ in form.demand.kept}
    for n, value in enumerate(graph.values):
        stored = n in kept and (value.kind != "input" or n in delivered)
        if made[n] > 1 or (stored and not made[n]) or (made[n] and n not in kept):
            yield f"{_text(graph, n)} is computed {made[n]} times"
    ready: set[int] = set()
    for i, step in enumerate(form.steps) if ordered else ():
        for n in _reads(graph, step):
            if n not in ready:
                yield f"step {i}, {step.kind}, reads %{n} before it is there"
        ready.update(step.produced)


def _reads(graph: Graph, step: Step) -> set[int]:
    """The stored values that a step reads; inputs are not stored but added up by their reader."""
    if step.inputs:
        direct = set(step.inputs)
    else:
        direct = {operand for n in step.produced for operand in graph.values[n].operands}
    found: set[int] = set()
    for n in direct:
        is_input = graph.values[n].kind == "input"
        found.update(graph.values[n].operands if is_input else (n,))
    return found


def _step(form: Schedule, step: Step) -> Iterator[str]:
    graph = form.demand.graph
    produced = list(step.produced)
    if not produced or not all(0 <= n < len(graph.values) for n in (*produced, *step.inputs)):
        yield "it computes nothing, or a value that is not there"
        return
    if step.kind == "project":
        yield from _projection(form, step)
        return
    if step.ports or step.inputs:
        yield "it is no projection and has inputs"
    yield from _batch(form, step)
    if step.kind in ("embed", "constant", "stream", "attn") and len(produced) > 1:
        yield "such values are computed one by one"
    if step.kind in ("z", "pattern"):
        yield from _attended(graph, step)


def _projection(form: Schedule, step: Step) -> Iterator[str]:
    positions = 0
    for port in step.ports:
        positions |= port.positions
        if port.kind not in PORTS:
            yield f"a port is {port.kind}"
        if port.layer != step.layer:
            yield "a port is of another layer"
        if len(port.values) != len(step.inputs):
            yield f"{len(port.values)} rows for {len(step.inputs)} inputs"
        yield from _batch(form, port)
        for read, row in zip(step.inputs, port.values, strict=False):
            for n in row:
                if n != ABSENT and form.demand.graph.values[n].operands != (read,):
                    yield f"%{n} does not read %{read}"
    if step.values or positions != step.positions:
        yield "its positions are not those of its ports"


def _batch(form: Schedule, step: Step) -> Iterator[str]:
    """What is wrong with the rows and columns of one batch."""
    graph, columned = form.demand.graph, step.kind in (*PORTS, "z", "pattern", "out")
    if list(step.heads) != sorted(set(step.heads)):
        yield f"its heads are {step.heads}"
    if bool(step.heads) != (columned or step.kind == "bundle"):
        yield f"it is of {len(step.heads)} heads"
    for row in step.values:
        if len(row) != (len(step.heads) if columned else 1) or set(row) == {ABSENT}:
            yield f"a row is {row}"
        for column, n in enumerate(row):
            if n == ABSENT:
                continue
            value = graph.values[n]
            layer = -1 if value.kind in ("stream", "input") else value.layer
            if value.kind != step.kind or (layer >= 0 and layer != step.layer):
                yield f"{_text(graph, n)} does not belong to it"
            if columned and step.heads[column] != value.which:
                yield f"%{n} is not of head {step.heads[column]}"
            if not {m.which for m in _heads(graph, value)} <= set(step.heads):
                yield f"%{n} is of more heads than {step.heads}"
            if form.demand.positions[n] != step.positions:
                yield f"%{n} is asked for at [{positions_text(form.demand.positions[n])}]"


def _heads(graph: Graph, value: Value) -> Iterator[Value]:
    if value.kind == "bundle":
        yield from (graph.values[n] for n in value.operands)


def _attended(graph: Graph, step: Step) -> Iterator[str]:
    """Members attend over the same segments, and heads of one group to the same keys and values."""
    shape = graph.program.wiring.shape
    if len({graph.values[n].segment for n in step.produced}) > 1:
        yield "its values are of several segments"
    for row in step.values:
        groups: dict[int, Sequence[int]] = {}
        for n in row:
            if n != ABSENT:
                value = graph.values[n]
                group = value.which // (shape.heads // shape.kv_heads)
                if groups.setdefault(group, value.operands[1:]) != value.operands[1:]:
                    yield f"heads of key-value head {group} attend to different keys in one row"


# ---------------------------------------------------------------- plans


def _plan(form: Plan) -> Iterator[str]:
    graph = form.graph
    if not len(form.steps) == len(form.frees) == len(form.live):
        yield f"{len(form.steps)} steps, {len(form.frees)} frees and {len(form.live)} live sizes"
        return
    delivered = {n for final in graph.finals for n, _ in final.values}
    stored: dict[int, int] = {}
    held = 0
    for i, (step, freed) in enumerate(zip(form.steps, form.frees, strict=True)):
        for n in _reads(graph, step):
            if n not in stored:
                yield f"step {i}, {step.kind}, reads %{n} after it was freed"
        overwritten = [n for n in step.produced if n in form.in_place]
        yield from (f"step {i}: {x}" for n in overwritten for x in _overwrites(form, i, n))
        for n in step.produced:
            size = width(graph, graph.values[n]) * form.positions[n].bit_count()
            stored[n] = size
            held += 0 if n in overwritten else size
        if form.live[i] < held:
            yield f"step {i} holds {held:,} numbers, not {form.live[i]:,}"
        held += sum(stored[n] for n in overwritten)
        for n in freed:
            if n not in stored:
                yield f"step {i} frees %{n}, which is not there"
                return
            if n in delivered:
                yield f"step {i} frees %{n}, which a run delivers"
            held -= stored.pop(n)
    if unknown := form.in_place - {n for step in form.steps for n in step.produced}:
        yield f"%{min(unknown)} is to overwrite its operand and is never computed"


def _overwrites(form: Plan, i: int, n: int) -> Iterator[str]:
    """What is wrong with a value that overwrites its first operand in step i."""
    graph = form.graph
    if graph.values[n].kind != "delta":
        yield f"%{n} is no difference and overwrites its operand"
        return
    first, _ = graph.values[n].operands
    readers = [m for m in form.steps[i].produced if first in graph.values[m].operands]
    if first not in form.frees[i]:
        yield f"%{n} overwrites %{first}, which is needed later"
    if readers != [n]:
        yield f"%{n} overwrites %{first}, which others read in the same step"
    if form.positions[first] != form.positions[n]:
        yield f"%{n} overwrites %{first}, which has other positions"
    if not graph.values[first].operands:
        yield f"%{n} overwrites %{first}, which is looked up in a table"
