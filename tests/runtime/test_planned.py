"""Runs by plan against the reference executor, pass by pass, and within their memory."""

from __future__ import annotations

import random
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.circuits import connected_circuit, draw_nodes, edges_between
from circuitlang.compiler import pieces
from circuitlang.compiler.allocate import Plan
from circuitlang.compiler.graph import Graph, Value
from circuitlang.compiler.passes import ALL, SWITCHES, compile_program
from circuitlang.compiler.pieces import Budget, BudgetTooSmall, Planner
from circuitlang.compiler.verify import verify
from circuitlang.language.graph.architecture import (
    INPUT,
    LOGITS,
    Architecture,
    Node,
    architecture,
    bits,
    parse_edge,
)
from circuitlang.language.graph.edges import END, NOTHING, EdgeSet, Place, Position, uniform
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.spec import (
    Ablation,
    AttentionScore,
    CopyScore,
    Divergence,
    Lens,
    Loss,
    Metric,
    MetricOperation,
    ModelReference,
    Reading,
    Run,
    TokenScore,
    TopToken,
)
from circuitlang.runtime.adapters import Adapter
from circuitlang.runtime.measure import measure
from circuitlang.runtime.models import load
from circuitlang.runtime.planned import PlannedExecution
from circuitlang.runtime.unavailable import ModelUnavailable
from tests.tiny_models import CONTEXT, FAMILIES, VOCABULARY, prompt_set, reference_to

HERE = Position(END)
A, B = Position("A"), Position("B")
PLACES = [Place((A,)), Place((B,)), Place((HERE,)), Place((Position("B", "last"), HERE))]
ABLATIONS = [
    Ablation("other", "resample", "other"),
    Ablation("late", "resample", "late"),
    Ablation("clean mean", "mean", None, ("template",)),
    Ablation("mean", "mean", "other", ("template", "parity")),
    Ablation("zero", "zero"),
]


@pytest.fixture(autouse=True)
def plans(monkeypatch) -> list[Plan]:
    """Every plan that is made, each form of it looked at."""
    found: list[Plan] = []

    def compiled(form, switches=ALL):
        found.append(compile_program(form, switches, see=verify))
        return found[-1]

    monkeypatch.setattr(pieces, "compile_program", compiled)
    return found


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads wait for each other longer than these models compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# ---------------------------------------------------------------- what is measured


def with_late_corruption(prompts: PromptSet) -> PromptSet:
    """A second corruption, which changes one of the last two tokens alone."""
    rng = random.Random(0)

    def changed(prompt: Prompt) -> Prompt:
        tokens = list(prompt.tokens)
        tokens[-rng.randint(1, 2)] = rng.randrange(2, VOCABULARY)
        return replace(prompt, corrupted={**prompt.corrupted, "late": tuple(tokens)})

    both = (tuple(map(changed, some)) for some in (prompts.prompts, prompts.references))
    own, references = both
    return replace(prompts, prompts=own, references=references)


EXAMPLES = 3


def alike(prompts: PromptSet, number: int) -> PromptSet:
    """The first prompts have one layout, and corruptions that begin at different tokens."""
    total, spans = len(prompts.prompts), prompts.prompts[0].spans

    def placed(some: tuple[Prompt, ...]) -> tuple[Prompt, ...]:
        return tuple(
            replace(one, spans=spans) if i % total < number else one for i, one in enumerate(some)
        )

    own, references = placed(prompts.prompts), placed(prompts.references)
    return with_late_corruption(replace(prompts, prompts=own, references=references))


PROMPTS = alike(prompt_set([8, 8, 8, 8, 11], references=25), 3)


def written(node: Node, position: Position, norm: str) -> TokenScore:
    return TokenScore("logit", "answer", position, None, Lens(node, norm))


def smooth_metrics(whole: Run, compared: Run) -> list[Metric]:
    """Metrics that change little when logits do."""
    difference = tuple(TokenScore("logit", *x) for x in (("answer", HERE), ("foil", HERE, "mean")))
    expressions = {
        "difference": MetricOperation("-", difference),
        "probability": TokenScore("prob", "foil", HERE),
        "inside": TokenScore("logprob", "foil", A),
        "from M": Divergence(whole),
        "from another": Divergence(compared, Place((B, HERE))),
        "js from another": Divergence(compared, None, "js"),
        "js from M": Divergence(whole, Place((B,)), "js"),
        "loss": Loss(Place((B, HERE))),
        "attention": AttentionScore(Node("head", 1, 2), Place((HERE,)), Place((A, B))),
        "lens of a head": TokenScore("prob", "foil", HERE, None, Lens(Node("head", 1, 2))),
        "lens of an MLP": TokenScore("logit", "answer", A, None, Lens(Node("mlp", 0))),
        "lens of the input": TokenScore(
            "logprob", "answer", Position("B", "last"), None, Lens(INPUT)
        ),
        "written by a head": written(Node("head", 1, 2), HERE, "frozen"),
        "written by an MLP": written(Node("mlp", 0), A, "frozen"),
        "written without norm": written(Node("mlp", 0), A, "none"),
        "early attention": AttentionScore(Node("head", 0, 1), Place((B, HERE)), Place((A,))),
    }
    return [Metric(name, expression, False) for name, expression in expressions.items()]


JUMPING = [
    Metric("rank", TokenScore("rank", "answer", HERE), True),
    Metric("top", TopToken("foil", Position("B", "last")), False),
    Metric("copies", CopyScore(Node("head", 1, 3), Place((A, B, HERE)), 9), False),
]


def live_sets(graph: Architecture, rng: random.Random) -> list[EdgeSet]:
    """A connected circuit and what claims make of it: parts left out of it and of the model, parts
    kept at places, edges that come from or lead nowhere, free nodes, and the floor."""
    nodes = draw_nodes(graph, rng.randint(3, 6), rng.randint(1, graph.shape.layers), rng)
    possible = edges_between(graph, [INPUT, *nodes, LOGITS]).bit_count()
    size = rng.randint(2 * len(nodes), max(2 * len(nodes), 2 * possible // 3))
    circuit = uniform(connected_circuit(graph, nodes, size, rng))
    whole = uniform(graph.everything)
    floor = uniform(graph.leaving(rng.choice(graph.senders)))
    anything = uniform(rng.getrandbits(graph.size) & rng.getrandbits(graph.size))

    def edge(inside: EdgeSet) -> EdgeSet:
        return uniform(1 << rng.choice([i for i in range(graph.size) if inside.mask >> i & 1]))

    def group() -> EdgeSet:
        return uniform(sum(graph.leaving(node) for node in rng.sample(nodes, 2)))

    def all_but_one_head() -> EdgeSet:
        """What a node sends to all heads of the last layer but one."""
        last = graph.shape.layers - 1
        heads = [Node("head", last, head) for head in range(graph.shape.heads)]
        return uniform(edges_between(graph, [rng.choice(nodes)], rng.sample(heads, len(heads) - 1)))

    def place() -> Place:
        return rng.choice(PLACES)

    one, other, somewhere, more = group(), edge(circuit), place(), edge(whole)
    return [
        circuit,
        circuit - edge(circuit),
        circuit - other,
        circuit - one,
        circuit - one.at(place()),
        circuit.at(somewhere) | more,
        (circuit - one).at(somewhere) | more,
        (circuit - edge(circuit)).at(somewhere) | more,
        (circuit - group()) | anything.at(place()),
        whole - one,
        whole - group(),
        whole - other,
        whole - all_but_one_head(),
        whole - other.at(place()),
        circuit | anything,
        anything,
        circuit | floor,
        floor,
        NOTHING,
    ]


def reading_runs(runs: list[Run], graph: Architecture, rng: random.Random) -> list[Run]:
    """Runs in which some receivers, at some positions, read what they do in other runs, and runs
    that read from these."""

    def into(number: int) -> EdgeSet:
        chosen = rng.sample(graph.receivers, number)
        return uniform(sum(graph.entering(receiver) for receiver in chosen))

    found: list[Run] = []
    for _ in range(4):
        run, *others = rng.sample([*runs, *found], 3)
        edges = [into(rng.randint(1, 8)), into(2).at(rng.choice(PLACES))]
        readings = tuple(Reading(*pair) for pair in zip(edges, others, strict=True))
        found.append(replace(run, readings=readings))
    return found


def workload(model: ModelReference, rng: random.Random) -> dict[Run, list[Metric]]:
    """Requests for runs of two ablations, some with everything read from them."""
    graph = architecture(model.shape)
    whole = Run(model, "task", None, uniform(graph.everything))
    first, second = rng.sample(ABLATIONS, 2)
    runs = [Run(model, "task", first, live) for live in live_sets(graph, rng)]
    runs += [replace(run, ablation=second) for run in runs[::5]]
    runs += reading_runs(runs, graph, rng)
    smooth = smooth_metrics(whole, rng.choice(runs))
    requests = {run: [smooth[0], *JUMPING] for run in (whole, *runs)}
    for run in rng.sample(runs, 5):
        requests[run] = [*smooth, *JUMPING]
    return requests


def largest_logit(model, prompts: PromptSet) -> float:
    tokens = [torch.tensor([p.tokens], device=model.device) for p in prompts.prompts]
    return max(model.unhooked(one).abs().max().item() for one in tokens)


def assert_equal(one, other, limit: float, jumping: bool = True) -> None:
    """All numbers agree: those of smooth metrics within `limit`, ranks and indicators exactly."""
    assert one.keys() == other.keys()
    for asked, vector in one.items():
        if asked[1] not in JUMPING:
            assert np.abs(vector - other[asked]).max() <= limit, asked[1].name
        elif jumping:
            assert (vector == other[asked]).all(), asked[1].name


def own_share(plans: Iterable[Plan]) -> float:
    """Of all heads' and MLPs' values that are computed, the share that is no source's own."""
    kinds = [
        is_own(plan.graph, value)
        for plan in plans
        for _, value, _ in plan.schedule.demand.kept
        if value.kind in ("z", "mlp")
    ]
    return sum(kinds) / len(kinds)


def is_own(graph: Graph, value: Value) -> bool:
    """Whether what a node reads is not all one run-valued source's."""
    values, program = graph.values, graph.program
    direct = value.operands
    if value.kind == "z":
        direct = tuple(values[n].operands[0] for n in value.operands)
    reads = [values[n] for n in direct]
    runs = [i for i, source in enumerate(program.sources) if source.is_run]
    return not any(
        all(r.kind == "stream" and r.source == program.canonical(i, r.segment) for r in reads)
        for i in runs
    )


def examples(number: int, name: str):
    """Calls a test with so many random generators, always the same under one name."""

    def decorate(check):
        seeds = st.integers(0, 2**32 - 1)
        drawn = given(seeds)(lambda seed: check(random.Random(f"{name} {seed}")))
        settings(max_examples=number, derandomize=True, deadline=None, database=None)(drawn)()

    return decorate


# ---------------------------------------------------------------- against the reference executor


@pytest.mark.parametrize("family", FAMILIES)
def test_numbers_are_the_reference_executors(tiny, family, plans):
    """In float64, and in float32 those of float64; at least half of what is computed is computed
    for some run alone."""
    model, single = tiny(family, "float64"), tiny(family)
    scale = largest_logit(model, PROMPTS)
    shares = []

    @examples(EXAMPLES, family)
    def check(rng):
        requests = workload(model.reference, rng)
        plans.clear()
        planned = measure(model, PROMPTS, requests)
        shares.append(own_share(plans))
        slow = measure(model, PROMPTS, requests, reference=True)
        assert_equal(planned, slow, 1e-9 * scale)
        rounded = measure(single, PROMPTS, with_model(requests, single.reference))
        for asked, vector in zip(planned, rounded.values(), strict=True):
            if asked[1] not in JUMPING:
                largest = max(scale, np.abs(planned[asked]).max())  # parts may exceed their sum
                assert np.abs(vector - planned[asked]).max() <= 1e-5 * largest, asked[1].name

    print(f"{family}: {np.mean(shares):.0%} of heads and MLPs are no source's")
    assert np.mean(shares) >= 0.5


def with_model(requests, model: ModelReference):
    """The same requests of another model."""

    def of(run: Run) -> Run:
        readings = tuple(replace(one, run=of(one.run)) for one in run.readings)
        return replace(run, model=model, readings=readings)

    def metric(one: Metric) -> Metric:
        if isinstance(one.expression, Divergence):
            compared = of(one.expression.reference)
            return replace(one, expression=replace(one.expression, reference=compared))
        return one

    return {of(run): [metric(m) for m in metrics] for run, metrics in requests.items()}


# ---------------------------------------------------------------- every pass, on and off


@pytest.mark.parametrize("family", ["gpt2", "neox", "qwen3", "gemma2"])
def test_every_pass_leaves_the_numbers_alone(tiny, family):
    """Each switch off alone, and random combinations."""
    model, prompts = tiny(family, "float64"), replace(PROMPTS, prompts=PROMPTS.prompts[:2])
    scale = largest_logit(model, PROMPTS)

    @examples(1, family)
    def check(rng):
        requests = workload(model.reference, rng)
        fewer = {run: requests[run] for run in rng.sample(list(requests), 6)}
        everything = measure(model, prompts, fewer)
        off = [(switch,) for switch in SWITCHES]
        off += [rng.sample(SWITCHES, rng.randint(2, len(SWITCHES))) for _ in range(6)]
        for switches in off:
            plain = measure(model, prompts, fewer, switches=ALL.without(*switches))
            assert_equal(plain, everything, 1e-9 * scale)


# ---------------------------------------------------------------- what others get wrong


def difference_of(logits: torch.Tensor, prompt: Prompt) -> float:
    """`smooth_metrics`' difference from the logits of one prompt's last position."""
    answer, foils = prompt.answers["answer"], prompt.answers["foil"]
    return (logits[answer[0]] - logits[list(foils)].mean()).item()


def runs_of(model: ModelReference, ablation: Ablation, seed: int = 0) -> list[Run]:
    graph = architecture(model.shape)
    return [Run(model, "task", ablation, live) for live in live_sets(graph, random.Random(seed))]


def test_prefixes_that_differ_are_not_mixed_up(tiny):
    """Prompts of one chunk have different tokens from the first on, and two corruptions that
    begin at different positions: where one begins late in a prompt, the other begins early."""
    model, prompts = tiny("gpt2", "float64"), alike(prompt_set([10] * 8), 8)
    begin = {"other": range(2, 10), "late": range(9, 1, -1)}
    own = tuple(
        replace(p, corrupted={name: changed_from(p, first[i]) for name, first in begin.items()})
        for i, p in enumerate(prompts.prompts)
    )
    assert len({prompt.tokens[0] for prompt in own}) > 3
    prompts = replace(prompts, prompts=own)
    whole = Run(model.reference, "task", None, uniform(model.architecture.everything))
    nothing = [Run(model.reference, "task", ablation, NOTHING) for ablation in ABLATIONS[:2]]
    circuits = [run for run in runs_of(model.reference, ABLATIONS[0]) if run.live.is_uniform]
    difference = smooth_metrics(whole, whole)[0]
    requests = {run: [difference] for run in (whole, *nothing, *circuits)}
    (piece,) = Planner(requests, prompts.prompts, Budget(1 << 30, 8)).pieces()
    assert len(piece.rows) == 8
    assert [source.first for source in piece.program.sources] == [0, 2, 2]
    found = measure(model, prompts, requests)
    for row, prompt in enumerate(own):
        tokens = [prompt.tokens, *prompt.corrupted.values()]
        for run, sequence in zip((whole, *nothing), tokens, strict=True):
            plain = difference_of(model.unhooked(torch.tensor([sequence]))[0, -1], prompt)
            assert found[run, difference][row] == pytest.approx(plain, abs=1e-12)


def changed_from(prompt: Prompt, first: int) -> tuple[int, ...]:
    """The prompt's tokens with all from number `first` on replaced by other words."""
    return prompt.tokens[:first] + tuple(
        2 + (t - 1) % (VOCABULARY - 2) for t in prompt.tokens[first:]
    )


def test_a_mean_over_one_prompt_is_that_prompt(tiny):
    """Each node's mean is its own: over one reference all runs are those of resampling from it."""
    for family in ("gpt2", "gemma2"):
        model = tiny(family, "float64")
        scale = largest_logit(model, PROMPTS)
        one = PROMPTS.prompts[0]
        prompts = replace(PROMPTS, prompts=(one,), references=(one,))
        mean = Ablation("mean", "mean", "other", ("template",))
        resampled, averaged = (runs_of(model.reference, a) for a in (ABLATIONS[0], mean))
        metrics = smooth_metrics(resampled[0], resampled[1])[:1]
        requests = dict.fromkeys([*resampled, *averaged], metrics)
        found = measure(model, prompts, requests)
        for run, other in zip(resampled, averaged, strict=True):
            assert found[run, metrics[0]] == pytest.approx(
                found[other, metrics[0]], abs=1e-9 * scale
            )


def test_measuring_changes_neither_the_circuit_nor_the_next_measurement(tiny):
    model = tiny("llama")
    requests = workload(model.reference, random.Random(1))
    before = deepcopy((PROMPTS, requests))
    shown = [repr(run.live) for run in requests]
    first, second = (measure(model, PROMPTS, requests) for _ in range(2))
    assert (PROMPTS, requests) == before
    assert [repr(run.live) for run in requests] == shown
    for asked, vector in first.items():
        assert (vector == second[asked]).all()


@pytest.mark.parametrize("name", ["m1->a1.h0<q>", "a0.h0->a0.h1<k>", "a0.h4->logits", "m0->m0"])
def test_edges_that_do_not_exist_make_no_set(tiny, name):
    edge = parse_edge(name)
    assert edge is not None
    with pytest.raises(KeyError, match="->"):
        tiny("gpt2").architecture.mask([edge])


# ---------------------------------------------------------------- memory


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that were made under it and are still there."""

    def __init__(self) -> None:
        super().__init__()
        self.storages: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.note((args, kwargs), made=False)
        result = function(*args, **kwargs or {})
        self.note(result, made=True)
        live = {key: x for key, x in self.storages.items() if not x[0].expired()}
        self.storages = live
        self.peak = max(self.peak, sum(size for _, size in live.values()))
        return result

    def note(self, tensors, *, made: bool) -> None:
        """What is an argument before it was a result was there before, and does not count."""
        for tensor in tree_leaves(tensors):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                known = self.storages.get(storage._cdata)
                if known is None or known[0].expired():
                    size = storage.nbytes() if made else 0
                    self.storages[storage._cdata] = StorageWeakRef(storage), size


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    """Four layers of four heads, 64 wide."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    sizes = {"n_layer": 4, "n_head": 4, "n_embd": 64, "n_positions": CONTEXT}
    folder = tmp_path_factory.mktemp("larger")
    GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, **sizes)).save_pretrained(folder)
    return load(reference_to(folder), Path(), "cpu", lambda stage: None)


def larger_runs(model: ModelReference, kind: str, ablation: Ablation) -> list[Run]:
    graph, rng = architecture(model.shape), random.Random(kind)
    nodes = draw_nodes(graph, 8, 3, rng)
    whole = uniform(graph.everything)
    circuit = uniform(connected_circuit(graph, nodes, 40, rng))
    match kind:
        case "C - e":
            sets = [circuit - uniform(1 << edge) for edge in bits(circuit.mask)]
        case "C - e @ B":
            sets = [circuit - uniform(1 << edge).at(PLACES[1]) for edge in bits(circuit.mask)]
        case "M - K":
            groups = [rng.sample(graph.senders, 6) for _ in range(30)]
            sets = [whole - uniform(sum(map(graph.leaving, group))) for group in groups]
        case "random":
            sets = [uniform(rng.getrandbits(graph.size)) for _ in range(20)]
    return [Run(model, "task", ablation, live) for live in sets]


PLANS = [
    ("C - e", ABLATIONS[0]),
    ("C - e @ B", ABLATIONS[0]),
    ("M - K", ABLATIONS[0]),
    ("random", ABLATIONS[1]),
    ("C - e", ABLATIONS[2]),
    ("M - K", ABLATIONS[2]),
    ("C - e", ABLATIONS[3]),
    ("C - e", ABLATIONS[4]),
    ("M - K", ABLATIONS[4]),
]


@pytest.mark.parametrize(("kind", "ablation"), PLANS)
@pytest.mark.parametrize("chunk", [4, 16])
def test_planned_bytes_are_those_of_live_tensors(larger, kind, ablation, chunk):
    prompts = alike(prompt_set([12] * 16, references=16), 16)
    runs = larger_runs(larger.reference, kind, ablation)
    requests = dict.fromkeys(runs, smooth_metrics(runs[0], runs[0])[:1])
    execution = PlannedExecution(larger, prompts, requests, 1 << 32, chunk)
    first, *others = execution.planner.pieces()
    execution.execute(first, lambda pairs, share: None)  # averages are taken once, and kept
    piece = (others or [first])[-1]
    assert len(piece.rows) == chunk
    with LiveBytes() as live:
        execution.execute(piece, lambda pairs, share: None)
    print(f"{kind} {ablation}: {piece.bytes:,} planned, {live.peak:,} measured")
    assert piece.bytes == pytest.approx(live.peak, rel=0.25)


def test_a_small_budget_changes_pieces_but_not_numbers(tiny):
    """Chunks become single prompts, and the runs are cut in parts; what KL compares with is in
    each of them."""
    model, prompts, rng = tiny("qwen3", "float64"), alike(prompt_set([9] * 3), 3), random.Random(2)
    sets = [uniform(rng.getrandbits(model.architecture.size)) for _ in range(12)]
    runs = [Run(model.reference, "task", ABLATIONS[0], live) for live in sets]
    metrics = [Metric("kl", Divergence(runs[0]), True)]
    least = max(needed({run: metrics}, prompts) for run in runs)
    requests = dict.fromkeys(runs, metrics)
    small = list(Planner(requests, prompts.prompts, Budget(least, 8)).pieces())
    assert {len(piece.rows) for piece in small} == {1}
    assert len(small) > 2 * len(prompts.prompts)
    assert all(piece.bytes <= least for piece in small)
    assert all(runs[0] in piece.runs for piece in small)
    parts = [(row, run) for piece in small for row in piece.rows for run in piece.requests]
    assert len(parts) == len(set(parts)) == len(prompts.prompts) * len(requests)
    found = measure(model, prompts, requests, memory=least)
    assert_equal(found, measure(model, prompts, requests), 1e-9 * largest_logit(model, prompts))


def needed(requests, prompts: PromptSet) -> int:
    """Bytes that one run on one prompt needs."""
    with pytest.raises(BudgetTooSmall) as caught:
        list(Planner(requests, prompts.prompts, Budget(0, 8)).pieces())
    return caught.value.needed


def test_a_budget_for_nothing_says_what_is_needed(tiny):
    model = tiny("gpt2")
    requests = workload(model.reference, random.Random(3))
    with pytest.raises(BudgetTooSmall):
        list(Planner(requests, PROMPTS.prompts, Budget(100, 4)).pieces())
    with pytest.raises(ModelUnavailable, match=r"one run on one prompt needs \d+ MiB") as caught:
        measure(model, PROMPTS, requests, memory=100)
    assert "--memory" in caught.value.help


@pytest.mark.parametrize("failing", ["prompts", "runs"])
def test_a_piece_that_does_not_fit_is_halved(tiny, monkeypatch, failing):
    """Allocations fail as long as more than one prompt, or more than six inputs, go together."""
    model = tiny("gpt2", "float64")
    prompts, runs = alike(prompt_set([9] * 5), 5), runs_of(model.reference, ABLATIONS[0])
    requests = dict.fromkeys(runs, smooth_metrics(*runs[:2]))
    expected = measure(model, prompts, requests)
    mlp, failed, seen = Adapter.mlp, [], []

    def limited(adapter, layer, x):
        too_large = x.shape[-2] > 1 if failing == "prompts" else x.shape[0] > 6
        if too_large:
            failed.append(x.shape)
            raise torch.OutOfMemoryError("out of memory")
        return mlp(adapter, layer, x)

    monkeypatch.setattr(Adapter, "mlp", limited)
    found = measure(model, prompts, requests, progress=lambda *at: seen.append(at))
    assert len(failed) > 1
    assert_equal(found, expected, 1e-9 * largest_logit(model, prompts))
    assert seen[-1] == (len(requests) * 5, len(requests) * 5)
