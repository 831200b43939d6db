"""The benchmark measures what it says: its circuits, its dense twin, its counts and ratios."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import benchmarks.rows
from benchmarks.circuits import connected_circuit, draw_nodes, usual_nodes
from benchmarks.dense import DenseTwin, token_ids
from benchmarks.fast import Measured
from benchmarks.prompts import random_prompts
from benchmarks.rows import IOI_MIX, Setting, Workload, each_edge_left_out, rows, subsets_left_out
from benchmarks.table import COLUMNS, Line, markdown_head, markdown_row, record, table
from benchmarks.timing import Reading, Round, plain_flops, read
from circuitlang.compiler.collect import all_runs
from circuitlang.front import resolve_file
from circuitlang.language.graph.architecture import architecture, parse_node
from circuitlang.language.graph.edges import uniform
from circuitlang.language.graph.sets import reached_from_input, reaching_logits
from circuitlang.language.models.find import Found
from circuitlang.language.models.known import KNOWN, SMOLLM2_SHAPE
from circuitlang.language.spec import Ablation, ModelReference, Run
from circuitlang.runtime import reference
from circuitlang.runtime.ablation import Ablations
from circuitlang.runtime.measure import measure
from circuitlang.runtime.models import load
from tests.tiny_models import VOCABULARY, reference_to, save_model

GPT2 = architecture(KNOWN["gpt2"])
ABLATIONS = (
    Ablation("patch", "resample", "corrupted"),
    Ablation("average", "mean", "corrupted", ("template",)),
    Ablation("clean_average", "mean", None, ("template",)),
    Ablation("zero", "zero"),
)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def model(request, tmp_path_factory):
    folder = save_model(request.param, tmp_path_factory.mktemp("benchmark") / request.param)
    return load(reference_to(folder), Path(), "cpu", lambda stage: None)


@pytest.fixture
def prompts():
    return random_prompts(VOCABULARY, random.Random(0))


@pytest.fixture
def no_weights(monkeypatch):
    """GPT-2 small for rows that are only built."""
    shape = KNOWN["gpt2"]
    stand_in = SimpleNamespace(
        reference=ModelReference("gpt2", "gpt2", None, False, "float32", shape),
        found=Found("folder", "gpt2", shape=shape),
        architecture=GPT2,
        shape=shape,
    )
    monkeypatch.setattr(benchmarks.rows.models, "random_gpt2", lambda device: stand_in)


# ---------------------------------------------------------------- circuits


@pytest.mark.parametrize("shape", [KNOWN["gpt2"], KNOWN["EleutherAI/pythia-160m"], SMOLLM2_SHAPE])
@pytest.mark.parametrize("edges", [3, 10, 30, 120, 1000])
def test_every_edge_is_on_a_path_from_input_to_logits(shape, edges):
    graph, rng = architecture(shape), random.Random(edges)
    nodes = draw_nodes(graph, *usual_nodes(graph, edges), rng)
    circuit = connected_circuit(graph, nodes, edges, rng)
    assert circuit.bit_count() == edges
    assert reached_from_input(circuit, graph) == circuit == reaching_logits(circuit, graph)
    used = {node for e in graph.edges(circuit) for node in (e.sender, e.receiver.node)}
    assert used >= set(nodes)
    assert len(used) <= len(nodes) + 2


def test_a_circuit_follows_from_its_seed():
    def drawn(seed):
        rng = random.Random(seed)
        return connected_circuit(GPT2, draw_nodes(GPT2, 26, 6, rng), 120, rng)

    assert drawn(1) == drawn(1) != drawn(2)


def test_a_circuit_that_cannot_be_is_refused():
    nodes = draw_nodes(GPT2, 2, 0, random.Random(0))
    for edges in (0, 3, 20):
        with pytest.raises(ValueError, match=f"no connected circuit of {edges} edges"):
            connected_circuit(GPT2, nodes, edges, random.Random(0))


def test_ioi_json_is_drawn_between_the_classes_and_the_mlps():
    resolved = resolve_file(IOI_MIX).resolved
    assert resolved is not None
    heads = [parse_node(name) for names in resolved.spec.groups.values() for name in names]
    mlps = [node for node in GPT2.senders if node.kind == "mlp"]
    drawn = connected_circuit(GPT2, [*heads, *mlps], 300, random.Random(0))
    assert resolved.spec.circuits["ioi"].mask == drawn


# ---------------------------------------------------------------- rows


def test_rows_hold_the_runs_they_name(no_weights):
    built = {name: row.build(0, Setting()) for name, row in rows().items() if "smollm2" not in name}
    sizes = {name: len(all_runs(workload.requests)) for name, workload in built.items()}
    assert sizes == {
        "minimality": 121,
        "completeness": 40,
        "ioi-mix": 1 + 3 * 2 + 2 * 7 + 2 * 124 + 38,
        **{f"{edges}-edges": edges + 1 for edges in (10, 30, 100, 300, 1000)},
    }


def test_sets_of_nodes_are_taken_out_of_circuit_and_model():
    rng = random.Random(0)
    circuit = connected_circuit(GPT2, draw_nodes(GPT2, 26, 6, rng), 120, rng)
    masks = subsets_left_out(circuit, 20, GPT2, rng)
    assert len(set(masks)) == 40
    for inside, rest in zip(masks[::2], masks[1::2], strict=True):
        gone = {edge.sender for edge in GPT2.edges(GPT2.everything & ~rest)}
        assert rest == GPT2.everything & ~sum(GPT2.leaving(node) for node in gone)
        assert inside == circuit & rest


def test_corruptions_change_position_8_alone(prompts):
    assert {len(p.tokens) for p in prompts.prompts} == {16}
    for prompt in prompts.prompts:
        pairs = zip(prompt.tokens, prompt.corrupted["corrupted"], strict=True)
        assert [i for i, (clean, other) in enumerate(pairs) if clean != other] == [8]


# ---------------------------------------------------------------- the dense twin


@pytest.mark.parametrize("ablation", ABLATIONS, ids=str)
def test_dense_runs_are_the_reference_executors(model, prompts, ablation):
    graph, rng = model.architecture, random.Random(0)
    circuit = connected_circuit(graph, draw_nodes(graph, 5, 2, rng), 30, rng)
    halves = [rng.getrandbits(graph.size) for _ in range(3)]
    twin, tokens = DenseTwin(model), token_ids(prompts.prompts, None)
    ablated = twin.ablated(ablation, prompts)
    values = Ablations(model, prompts.references).values(ablation, prompts.prompts)
    last = tokens.shape[1] - 1
    for mask in (graph.everything, 0, circuit, graph.everything & ~circuit, *halves):
        regions = [reference.Region(mask, None)]
        expected = reference.run(model, tokens, regions, values, [last]).logits[:, 0]
        found = twin.logits(tokens, mask, ablated)
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


# ---------------------------------------------------------------- counts and ratios


def test_flops_of_a_plain_forward_are_those_torch_counts(model, prompts):
    tokens = token_ids(prompts.prompts, None)
    with FlopCounterMode(display=False) as counter:
        model.unhooked(tokens, torch.tensor([tokens.shape[1] - 1]))
    assert plain_flops(model.shape, *tokens.shape) == counter.get_total_flops()


def executed(model, prompts, requests, *, shift=0.0):
    results = {key: value + shift for key, value in measure(model, prompts, requests).items()}
    return Measured(0.1, 0.9, 5, 1e6, results)


def workload_of(model, prompts):
    rng = random.Random(0)
    circuit = connected_circuit(
        model.architecture, draw_nodes(model.architecture, 3, 1, rng), 12, rng
    )
    run = Run(model.reference, prompts.task, ABLATIONS[0], uniform(0))
    masks = each_edge_left_out(circuit)
    metrics = (benchmarks.rows.LOGIT_DIFFERENCE,)
    return Workload(model, prompts, {replace(run, live=uniform(m)): metrics for m in masks})


def test_a_reading_compares_every_timed_run_with_the_dense_twin(model, prompts, monkeypatch):
    workload = workload_of(model, prompts)
    monkeypatch.setattr("benchmarks.timing.fast", executed)
    right = read(workload, repeats=2)
    assert (right.runs, len(right.rounds)) == (13, 2)
    assert all(one.plain > 0 and one.dense > 0 for one in right.rounds)
    assert right.error < 1e-5
    monkeypatch.setattr("benchmarks.timing.fast", partial(executed, shift=1.0))
    assert read(workload, repeats=2).error > 1e-3


READING = Reading(
    121,
    20e9,
    (
        Round(0.2, 0.3, Measured(0.1, 0.9, 2000, 80e9, {})),
        Round(0.4, 0.4, Measured(0.2, 3.0, 2000, 80e9, {})),
        Round(0.1, 0.2, Measured(0.1, 0.4, 2000, 80e9, {})),
    ),
    1e-6,
)


def test_ratios_are_medians_of_each_rounds_own():
    assert READING.forwards == pytest.approx(5)
    assert READING.dense_forwards == pytest.approx(1.5)
    assert READING.speedup == pytest.approx(121 * 0.3)
    assert READING.over_ideal == pytest.approx(1.25)
    assert READING.rate_share == pytest.approx(80e9 / 0.9 / (20e9 / 0.2))
    assert READING.compile_share == pytest.approx(0.1 / 0.9)
    assert (READING.compile_seconds, READING.execute_seconds) == (0.1, 0.9)


def test_the_table_shows_each_target_as_met_or_missed():
    line = Line(rows()["minimality"], 0, READING)
    columns = table([line]).columns
    cells = {
        column.name: next(iter(cells.cells))
        for column, cells in zip(COLUMNS, columns[1:], strict=True)
    }
    styles = {
        name: next(str(s.style) for s in text.spans) for name, text in cells.items() if text.spans
    }
    assert styles == {
        "compile_share": "bold red",
        "forwards": "green",
        "dense_forwards": "green",
        "speedup": "bold red",
        "over_ideal": "green",
    }
    assert cells["speedup"].plain == "36.3 >= 60"
    written = json.loads(json.dumps(record(line)))
    assert written["runs"] == 121
    assert written["targets"]["forwards"] == "<=5"


def test_markdown_has_a_cell_for_every_column():
    row = markdown_row(Line(rows()["minimality"], 2, READING))
    assert row.startswith("| minimality, seed 2 | 121 | 2,000 | 80 | 0.10 | 0.90 |")
    counts = [line.count("|") for line in (*markdown_head().split("\n"), row)]
    assert counts == [len(COLUMNS) + 2] * 3
