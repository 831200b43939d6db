"""The shipped toy model is what `scripts/make_toy.py` builds, small, and as sparse as it says."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parent.parent
TOY = ROOT / "circuitlang" / "bundled" / "toy"


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    path = ROOT / "scripts" / "make_toy.py"
    spec = importlib.util.spec_from_file_location("make_toy", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_toy"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def truth() -> dict:
    return json.loads((TOY / "truth.json").read_text(encoding="utf-8"))


def test_building_again_gives_the_same_files(maker: ModuleType, tmp_path: Path) -> None:
    maker.write(tmp_path)
    built, shipped = load_file(tmp_path / "model.safetensors"), load_file(TOY / "model.safetensors")
    assert built.keys() == shipped.keys()
    for name, weight in built.items():
        assert np.array_equal(weight.view(np.int32), shipped[name].view(np.int32)), name
    for path in tmp_path.glob("*.json"):
        assert path.read_bytes() == (TOY / path.name).read_bytes(), path.name


def test_the_folder_is_small() -> None:
    assert sum(path.stat().st_size for path in TOY.iterdir()) < 2_000_000


def test_edges_are_named_as_the_language_names_them(maker: ModuleType) -> None:
    from circuitlang.language.graph.architecture import Shape, architecture

    sizes = maker.LAYERS, maker.HEADS, maker.HEADS, maker.D_MODEL, maker.D_HEAD, maker.D_MLP
    graph = architecture(Shape(*sizes, vocab=len(maker.VOCABULARY), context=maker.CONTEXT))
    assert sorted(map(str, graph.edges(graph.everything))) == sorted(maker.edge_names())


def test_few_edges_are_true(maker: ModuleType, truth: dict) -> None:
    edges = truth["edges"]
    true = edges["true"] + edges["also true under zero"]
    true += edges["sinks, under zero only when nothing matches"]
    assert edges["all"] == len(maker.edge_names())
    assert set(true) <= set(maker.edge_names())
    assert len(true) == len(set(true)) < edges["all"] / 5


def test_hugging_face_answers_every_prompt_tried(maker: ModuleType) -> None:
    numbers = maker.hugging_face(maker.Dense(maker.build()), every=7)
    assert numbers["accuracy"] == 1
    assert numbers["least logit difference"] > 4
    assert numbers["largest deviation of the dense evaluator"] < 1e-4


def test_the_true_circuit_is_the_whole_effect(maker: ModuleType, truth: dict) -> None:
    f = maker.Measure(maker.Dense(maker.build()), maker.sample(8), "resample")
    circuit, pair = truth["edges"]["true"], truth["edges"]["redundant pair"]
    whole, nothing, alone, one, neither = f.many(
        [
            maker.edge_names(),
            [],
            circuit,
            [e for e in circuit if e != pair[0]],
            [e for e in circuit if e not in pair],
        ]
    )
    assert abs(nothing) < 1e-6
    assert whole > 4
    assert alone / whole == pytest.approx(1, abs=0.03)
    assert one / alone == pytest.approx(1, abs=0.03)
    assert neither / alone == pytest.approx(0, abs=0.03)
