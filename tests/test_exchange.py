"""Circuits from and for other tools: round trips, conventions, and files that are refused."""

from __future__ import annotations

import itertools
import json
import pickle
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitlang.exchange import Circuit, _circuit, convert, export
from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.graph.architecture import Architecture, Shape, architecture, bits
from circuitlang.language.graph.circuit_formats import BadCircuit, listing_of
from circuitlang.language.graph.edges import uniform
from circuitlang.language.models.known import KNOWN
from circuitlang.report.circuits import autocircuit_names, eap_ig
from circuitlang.runtime.circuit_pt import read_pt, write_pt
from tests.test_cli import invoke

ROOT = Path(__file__).parent.parent
SPECS = ROOT / "specs"
SHAPES = [
    Shape(2, 2, 2, 8, 4, 16, 50),
    Shape(3, 4, 2, 16, 4, 32, 50),
    Shape(2, 3, 3, 12, 4, 24, 50, parallel=True),
    Shape(2, 2, 2, 8, 4, 0, 50, mlps=False),
]
MASKS = st.sampled_from(SHAPES).flatmap(
    lambda shape: st.tuples(st.just(shape), st.integers(0, 2 ** architecture(shape).size - 1))
)


def names(graph: Architecture, mask: int) -> set[str]:
    return {str(graph.edge(number)) for number in bits(mask)}


def read_back(content: object, shape: Shape) -> Circuit:
    return _circuit(listing_of(json.loads(json.dumps(content)), "f"), shape, Diagnostics())


# ---------------------------------------------------------------- round trips


@settings(max_examples=60, derandomize=True, deadline=None)
@given(MASKS)
def test_eap_ig_and_autocircuit_round_trips(drawn: tuple[Shape, int]) -> None:
    shape, mask = drawn
    written = eap_ig(uniform(mask), shape)
    assert read_back(written, shape).edges == uniform(mask)
    assert {n for n, e in written["edges"].items() if e["in_graph"]} == names(
        architecture(shape), mask
    )
    listed = autocircuit_names(uniform(mask), shape)
    if listed:
        assert read_back(listed, shape).edges == uniform(mask)


@settings(max_examples=25, derandomize=True, deadline=None)
@given(MASKS, st.integers(0, 1000))
def test_pt_round_trips_with_scores(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[Shape, int], seed: int
) -> None:
    shape, mask = drawn
    graph = architecture(shape)
    generator = torch.Generator().manual_seed(seed)
    scores = dict(enumerate(torch.randn(graph.size, generator=generator).double().tolist()))
    written = eap_ig(uniform(mask), shape, scores, node_scores={"a0.h0": -0.5})
    path = tmp_path_factory.mktemp("pt") / "graph.pt"
    write_pt(written, path)
    back = read_back(read_pt(path), shape)
    assert back.edges == uniform(mask)
    assert back.scores == scores
    assert back.node_scores["a0.h0"] == -0.5


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_pt_lies_where_eap_ig_looks(shape: Shape, tmp_path: Path) -> None:
    """Indices by EAP-IG's own formulas: a twin of the writer that knows no architecture."""
    graph, heads, layers = architecture(shape), shape.heads, shape.layers
    mask = sum(1 << number for number in range(0, graph.size, 3))
    scores = {number: float(number) for number in range(graph.size)}
    write_pt(eap_ig(uniform(mask), shape, scores), tmp_path / "g.pt")
    saved = torch.load(tmp_path / "g.pt", weights_only=True)
    assert saved["edges_scores"].shape == (1 + layers * (heads + 1), layers * (3 * heads + 1) + 1)

    def forward(name: str) -> int:
        if name == "input":
            return 0
        layer, head = re.fullmatch(r"[am](\d+)(?:\.h(\d+))?", name).groups()
        return 1 + int(layer) * (heads + 1) + (heads if head is None else int(head))

    def backward(name: str) -> int:
        if name == "logits":
            return -1
        layer, head, port = re.fullmatch(r"[am](\d+)(?:\.h(\d+)<([qkv])>)?", name).groups()
        offset = 3 * heads if head is None else "qkv".index(port) * heads + int(head)
        return int(layer) * (3 * heads + 1) + offset

    for number in range(graph.size):
        sender, receiver = str(graph.edge(number)).split("->")
        cell = forward(sender), backward(receiver)
        assert saved["edges_scores"][cell] == number
        assert bool(saved["edges_in_graph"][cell]) == (number % 3 == 0)
    assert int(saved["edges_in_graph"].sum()) == mask.bit_count()


@pytest.mark.parametrize("name", ["ioi", "greater_than", "sva"])
def test_found_circuits_survive_every_format(name: str, tmp_path: Path) -> None:
    source = SPECS / "smollm2" / f"{name}.json"
    listed = {
        edge
        for edge, said in json.loads(source.read_text(encoding="utf-8"))["edges"].items()
        if said["in_graph"]
    }
    steps = [source, *(tmp_path / f for f in ("1.pt", "2.json", "3.names.json", "4.json"))]
    for before, after in itertools.pairwise(steps):
        to = "autocircuit" if ".names" in after.name else None
        model = "smollm2-135m" if ".names" in before.name else None
        done = convert(before, after, to, model)
        assert not done.failed, done.found
        assert f"{len(listed)} edges" in done.written
    last = json.loads(steps[-1].read_text(encoding="utf-8"))["edges"]
    assert {edge for edge, said in last.items() if said["in_graph"]} == listed


def test_what_a_spec_exports_reads_as_the_same_circuit(tmp_path: Path) -> None:
    spec = SPECS / "toy" / "who_likes_what.circ"
    for target in ("c.json", "c.pt"):
        assert not export(spec, "likes_circuit", tmp_path / target).failed
    convert(tmp_path / "c.pt", tmp_path / "d.json")
    text = spec.read_text(encoding="utf-8") + (
        'circuit c = edges_from("c.json")\ncircuit d = edges_from("d.json")\n'
        "claim same: size((c + likes_circuit) - (c & likes_circuit)) == 0\n"
        "claim again: size((d + likes_circuit) - (d & likes_circuit)) == 0\n"
        "claim not_none: size(d) == size(likes_circuit)\n"
    )
    (tmp_path / "copy.circ").write_text(text, encoding="utf-8")
    code, out, err = invoke(
        "check", tmp_path / "copy.circ", "--json", "--no-store", "--samples", 16,
        *(word for name in ("same", "again", "not_none") for word in ("--claim", name)),
    )  # fmt: skip
    assert code == 0, err
    verdicts = {c["name"]: c["verdict"] for c in json.loads(out)["claims"] if c["kind"] == "claim"}
    assert verdicts == {"same": "holds", "again": "holds", "not_none": "holds"}


def test_gpt2_s_edges_are_all_written(tmp_path: Path) -> None:
    shape = KNOWN["gpt2"]
    content = eap_ig(uniform(architecture(shape).everything), shape)
    assert len(content["edges"]) == 32_491
    assert len(content["nodes"]) == 158
    assert content["cfg"]["n_layers"] == content["cfg"]["n_heads"] == 12
    assert all(set(said) == {"score", "in_graph"} for said in content["edges"].values())


# ---------------------------------------------------------------- conventions


def source(folder: Path, content: object) -> Path:
    path = folder / "source.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


CFG = {"n_layers": 2, "n_heads": 2, "parallel_attn_mlp": False, "d_model": 8}


def test_which_embedding_is_meant_is_recorded(tmp_path: Path) -> None:
    edges = {"input->m0": {"score": 1.0, "in_graph": True}}
    path = source(tmp_path, {"cfg": CFG, "nodes": {}, "edges": edges})
    names = convert(path, tmp_path / "names.json", "autocircuit")
    assert [d.code for d in names.found] == ["CL213", "CL212"]
    assert json.loads((tmp_path / "names.json").read_text()) == ["Resid Start->MLP 0"]
    back = convert(tmp_path / "names.json", tmp_path / "back.json", model="gpt2")
    assert [d.code for d in back.found] == ["CL212"]
    assert "position" in json.loads((tmp_path / "back.json").read_text())["cfg"]["input"]
    kept = convert(tmp_path / "back.json", tmp_path / "kept.pt")
    assert [d.code for d in kept.found] == ["CL212"]
    assert "position" in torch.load(tmp_path / "kept.pt", weights_only=True)["cfg"]["input"]


def test_edge_pruning_never_ablates_the_embeddings(tmp_path: Path) -> None:
    pairs = source(tmp_path, [["a0.h0", "m1"], ["m1", "resid_post"]])
    done = convert(pairs, tmp_path / "c.json", model="gpt2")
    assert "were added" in done.found[0].message
    inside = {
        edge
        for edge, said in json.loads((tmp_path / "c.json").read_text())["edges"].items()
        if said["in_graph"]
    }
    assert {"a0.h0->m1", "m1->logits", "input->logits", "input->a3.h4<k>"} <= inside
    assert len(inside) == 2 + 12 * (36 + 1) + 1


def test_other_keys_and_signs_are_kept(tmp_path: Path) -> None:
    content = {
        "cfg": {**CFG, "model": "mine", "seed": 3},
        "nodes": {"a0.h0": {"in_graph": True, "score": -2.0}, "m0": {"score": float("nan")}},
        "edges": {
            "input->a0.h0<q>": {"score": -0.25, "in_graph": True},
            "a0.h0->logits": {"score": 0.5, "in_graph": False},
        },
    }
    convert(source(tmp_path, content), tmp_path / "a.pt")
    convert(tmp_path / "a.pt", tmp_path / "b.json")
    written = json.loads((tmp_path / "b.json").read_text())
    assert written["cfg"]["model"] == "mine"
    assert written["cfg"]["seed"] == 3
    assert written["edges"]["input->a0.h0<q>"] == {"score": -0.25, "in_graph": True}
    assert written["edges"]["a0.h0->logits"] == {"score": 0.5, "in_graph": False}
    assert written["nodes"]["a0.h0"]["score"] == -2.0


# ---------------------------------------------------------------- refusals

PLACED = """circuit placed { input @ END -> a0.h0.q  a0.h0 -> logits }
claim x: F(placed) > 0
"""


def test_positions_are_refused_unless_flattened(tmp_path: Path) -> None:
    spec = tmp_path / "s.circ"
    spec.write_text((SPECS / "toy/first.circ").read_text(encoding="utf-8") + PLACED)
    code, _, err = invoke("export", spec, "placed", tmp_path / "c.json")
    assert code == 2
    assert "CL213" in err
    assert not (tmp_path / "c.json").exists()
    code, out, _ = invoke("export", spec, "placed", tmp_path / "c.json", "--flatten")
    assert (code, "2 edges" in out) == (0, True)


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("ran"),))


def test_a_pt_file_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"cfg": Hostile()}, tmp_path / "zipped.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Hostile()))
    for name in ("zipped.pt", "plain.pt"):
        done = convert(tmp_path / name, tmp_path / "out.json")
        assert [d.code for d in done.found] == ["CL112"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("length", [3, 100, 2000])
def test_a_pt_file_cut_off(length: int, tmp_path: Path) -> None:
    write_pt(eap_ig(uniform(5), SHAPES[0]), tmp_path / "whole.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:length])
    done = convert(tmp_path / "cut.pt", tmp_path / "out.json")
    assert [d.code for d in done.found] == ["CL112"]
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"edges_scores": torch.zeros(2, 2)}, "no tensor of"),
        ({"edges_in_graph": [True]}, "no tensor of"),
        ({"edges_scores": torch.zeros(7, 15).to_sparse()}, "no tensor of"),
        ({"src_nodes": ["input"]}, "EAP-IG's order"),
        ({"dst_nodes": 3}, "EAP-IG's order"),
        ({"cfg": None}, "has no `cfg`"),
        ({"neurons_in_graph": torch.zeros(7, 8, dtype=torch.bool)}, "single neurons"),
        ({"cfg": {"n_layers": -1, "n_heads": 2}}, "how many layers"),
        ({"cfg": {"n_layers": 10**6, "n_heads": 10**6}}, "too many edges"),
    ],
)
def test_a_pt_file_of_something_else(change: dict[str, object], said: str, tmp_path: Path) -> None:
    write_pt(eap_ig(uniform(5), SHAPES[0]), tmp_path / "g.pt")
    saved = torch.load(tmp_path / "g.pt", weights_only=True)
    torch.save({**saved, **change}, tmp_path / "g.pt")
    done = convert(tmp_path / "g.pt", tmp_path / "out.json")
    assert done.failed
    assert said in done.found[0].message


def test_a_spec_reads_no_pt(tmp_path: Path) -> None:
    write_pt(eap_ig(uniform(5), SHAPES[0]), tmp_path / "g.pt")
    text = (SPECS / "toy/first.circ").read_text(encoding="utf-8")
    (tmp_path / "s.circ").write_text(text + 'circuit c = edges_from("g.pt")\nclaim x: F(c) > 0\n')
    code, _, err = invoke("lint", tmp_path / "s.circ")
    assert code == 2
    assert "circ convert g.pt g.json" in err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["convert", "absent.json", "out.json"], 2, "CL110"),
        (["convert", ".", "out.json"], 2, "CL110"),
        (["convert", "{ioi}", "out.txt"], 2, "does not say which format"),
        (["convert", "{ioi}", "out.json", "--to", "eap"], 2, "eap-ig"),
        (["convert", "{ioi}", "absent/out.json"], 2, "CL110"),
        (["convert", "{ioi}", "out.json", "--model", "gpt2"], 2, "n_layers"),
        (["convert", "{ioi}", "out.json", "--model", "smollm2-135"], 2, "smollm2-135m"),
        (["export", "{toy}", "askin", "out.json"], 2, "did you mean `asking`"),
        (["export", "{toy}", "asking", "out.json", "--model", "gpt2"], 2, "declares no model"),
        (["export", "absent.circ", "asking", "out.json"], 2, "CL110"),
        (["export", "{toy}", "asking", "out.json"], 0, ""),
    ],
)
def test_what_the_command_line_says(
    arguments: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"ioi": SPECS / "smollm2/ioi.json", "toy": SPECS / "toy/first.circ"}
    found, _, err = invoke(*(a.format(**places) for a in arguments))
    assert found == code, err
    assert said in err
    assert sorted(p.name for p in tmp_path.iterdir()) == (["out.json"] if code == 0 else [])


def test_an_edge_the_model_lacks_is_never_dropped() -> None:
    """AutoCircuit leaves unknown names out silently; here they are an error."""
    listing = listing_of(["A0.0->MLP 0", "A0.9->MLP 0"], "f")
    with pytest.raises(BadCircuit, match=r"do not exist in this model: `A0.9->MLP 0`"):
        _circuit(listing, SHAPES[0], Diagnostics())
