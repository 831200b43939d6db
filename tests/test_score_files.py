"""Scores in and out: round trips, what EAP-IG's readers ask for, signs, and files that are refused."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from circuitlang.discovery.score_files import read_scores, write_scores
from circuitlang.discovery.scores import Scores
from circuitlang.language.graph.architecture import Architecture, Shape, architecture
from circuitlang.language.graph.circuit_formats import BadCircuit
from tests.test_cli import invoke
from tests.test_exchange import SHAPES
from tests.test_paths_and_curves import SPEC

TOLD = {"method": "eap-ig", "steps": "5", "metric": "logit_diff", "model": "toy", "seed": "0"}


def drawn(graph: Architecture, seed: int = 0, unscored: int = 0) -> Scores:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(graph.size)
    values[rng.permutation(graph.size)[:unscored]] = math.nan
    return Scores(graph, values, TOLD)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("suffix", ["json", "pt"])
@pytest.mark.parametrize("unscored", [0, 5])
@pytest.mark.parametrize("lower", [False, True])
def test_round_trips_are_exact(
    shape: Shape, suffix: str, unscored: int, lower: bool, tmp_path: Path
) -> None:
    scores = drawn(architecture(shape), unscored=unscored)
    path = tmp_path / f"scores.{suffix}"
    write_scores(scores, path, lower_is_better=lower)
    back = read_scores(path, scores.graph, lower_is_better=lower)
    assert np.array_equal(back.values, scores.values, equal_nan=True)
    assert int(np.isnan(back.values).sum()) == unscored
    assert back.told == TOLD


@pytest.mark.parametrize("shape", SHAPES)
def test_every_edge_is_listed_with_what_readers_ask_for(shape: Shape, tmp_path: Path) -> None:
    graph = architecture(shape)
    scores = drawn(graph)
    write_scores(scores, tmp_path / "scores.json")
    written = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert set(written) == {"cfg", "nodes", "edges"}
    assert list(written["edges"]) == [str(graph.edge(e)) for e in range(graph.size)]
    for number, entry in enumerate(written["edges"].values()):
        assert entry == {"score": scores.values[number], "in_graph": False}
    assert written["cfg"].items() >= {**TOLD, "n_layers": shape.layers}.items()
    assert "makes the metric worse" in written["cfg"]["sign"]


def test_a_pt_has_the_tensors_that_mib_reads(tmp_path: Path) -> None:
    shape = SHAPES[0]
    graph = architecture(shape)
    scores = drawn(graph)
    write_scores(scores, tmp_path / "scores.pt")
    saved = torch.load(tmp_path / "scores.pt", weights_only=True)
    cells = (1 + shape.layers * (shape.heads + 1), shape.layers * (3 * shape.heads + 1) + 1)
    assert saved["edges_scores"].shape == saved["edges_in_graph"].shape == cells
    assert saved["nodes_in_graph"].shape == cells[:1]
    assert saved["edges_scores"][0, -1].item() == scores.values[graph.offsets[-1]]
    assert saved["cfg"]["method"] == "eap-ig"


def test_a_score_of_a_metric_that_is_better_lower_changes_sign(tmp_path: Path) -> None:
    """Ablating an edge that keeps KL low raises it: F(M) - F(M - e) < 0, and the file has it first."""
    graph = architecture(SHAPES[0])
    values = np.zeros(graph.size)
    values[7] = -2.0
    write_scores(Scores(graph, values), tmp_path / "kl.json", lower_is_better=True)
    as_it_stands = json.loads((tmp_path / "kl.json").read_text(encoding="utf-8"))["edges"]
    assert as_it_stands[str(graph.edge(7))]["score"] == 2.0
    assert read_scores(tmp_path / "kl.json", graph, lower_is_better=True).values[7] == -2.0
    assert read_scores(tmp_path / "kl.json", graph).values[7] == 2.0


def test_nan_null_and_absent_edges_are_not_scored(tmp_path: Path) -> None:
    graph = architecture(SHAPES[0])
    names = [str(graph.edge(e)) for e in range(4)]
    text = (
        '{"cfg": {"n_layers": 2, "n_heads": 2, "d_model": 8, "parallel_attn_mlp": false}, "edges": {'
        f'"{names[0]}": {{"score": NaN, "in_graph": false}}, "{names[1]}": {{"score": -1.5}}, '
        f'"{names[2]}": {{"score": null, "in_graph": true}}}}}}'
    )
    (tmp_path / "f.json").write_text(text, encoding="utf-8")
    scores = read_scores(tmp_path / "f.json", graph)
    assert np.flatnonzero(~np.isnan(scores.values)).tolist() == [1]
    assert scores.values[1] == -1.5


def listed(entries: dict[str, object], **config: object) -> str:
    given = {"n_layers": 2, "n_heads": 2, "d_model": 8, "parallel_attn_mlp": False, **config}
    return json.dumps({"cfg": given, "nodes": {}, "edges": entries})


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("CL771", listed({"input->m0": {"in_graph": True}})),
        ("CL771", listed({"input->m0": {"score": math.nan, "in_graph": True}})),
        ("CL771", '["Resid Start->A0.1.K"]'),
        ("CL207", listed({"input->m0": {"score": 1.0}}, n_layers=12)),
        ("CL207", listed({"input->m7": {"score": 1.0}})),
        ("CL112", listed({"input->m0": {"score": "high"}})),
        ("CL112", "{"),
        ("CL112", '{"cfg": {}}'),
    ],
)
def test_what_is_no_file_of_scores_is_refused(code: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text(text, encoding="utf-8")
    with pytest.raises(BadCircuit) as problem:
        read_scores(tmp_path / "f.json", architecture(SHAPES[0]))
    assert problem.value.code == code


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    scores = drawn(architecture(SHAPES[0]))
    for target, code in ((tmp_path / "no" / "s.json", "CL110"), (tmp_path / "s.txt", "CL105")):
        with pytest.raises(BadCircuit) as problem:
            write_scores(scores, target)
        assert problem.value.code == code
    with pytest.raises(BadCircuit) as problem:
        read_scores(tmp_path / "nowhere.json", scores.graph)
    assert problem.value.code == "CL110"


def test_what_is_told_cannot_replace_the_graph(tmp_path: Path) -> None:
    graph = architecture(SHAPES[0])
    with pytest.raises(ValueError, match="n_layers"):
        write_scores(Scores(graph, np.ones(graph.size), {"n_layers": "3"}), tmp_path / "s.json")


def test_json_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from circuitlang.discovery.score_files import read_scores, write_scores\n"
        "from circuitlang.discovery.scores import Scores\n"
        "from circuitlang.language.graph.architecture import Shape, architecture\n"
        "graph = architecture(Shape(2, 2, 2, 8, 4, 16, 50))\n"
        f"path = Path({str(tmp_path / 's.json')!r})\n"
        "write_scores(Scores(graph, np.arange(graph.size) / 7), path)\n"
        "print(read_scores(path, graph).values[1] * 7, 'torch' in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.split() == ["1.0", "False"], run.stderr


def test_a_spec_takes_circuits_from_written_scores(tmp_path: Path) -> None:
    """`edges_from(..., top = n)` has the n highest, whether or not every edge has a score."""
    from circuitlang.pipeline import resolve_file

    (tmp_path / "s.circ").write_text(
        SPEC
        + 'circuit best = edges_from("scores.json", top = 40)\n'
        + 'circuit far = edges_from("scores.json", top = 40, scores = "absolute")\n'
        + "report r: F(best) + F(far)\n",
        encoding="utf-8",
    )
    graph = architecture(Shape(3, 4, 4, 96, 24, 384, 50))
    scores = drawn(graph, unscored=100)
    write_scores(scores, tmp_path / "scores.json")
    front = resolve_file(tmp_path / "s.circ")
    assert front.resolved is not None, front.found
    for name, key in (("best", lambda v: v), ("far", abs)):
        known = [e for e in range(graph.size) if not math.isnan(scores.values[e])]
        wanted = sorted(known, key=lambda e: -key(scores.values[e]))[:40]
        mask = front.resolved.spec.circuits[name].mask
        assert {str(e) for e in graph.edges(mask)} == {str(graph.edge(e)) for e in wanted}


def test_written_scores_convert(tmp_path: Path) -> None:
    scores = drawn(architecture(SHAPES[1]))
    write_scores(scores, tmp_path / "scores.json")
    assert invoke("convert", tmp_path / "scores.json", tmp_path / "scores.pt")[0] == 0
    back = read_scores(tmp_path / "scores.pt", scores.graph)
    assert np.array_equal(back.values, scores.values)
    assert back.told == TOLD
