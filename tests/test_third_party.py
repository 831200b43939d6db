"""A third party recomputes every number of a check from its JSON document and the weights alone."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from circuitlang.language.graph.architecture import Architecture, architecture, bits
from circuitlang.language.graph.sets import reached_from_input, reaching_logits
from circuitlang.language.models.find import find
from tests.runtime.dense import Weights, evaluate
from tests.tiny_models import save_model

SPEC = """
spec third_party "1.0.0"
model "./model"

task recall {{
  slot (A, B) = rows("words.csv", "a", "b")
  slot C = ["w30", "w31", "w32", "w33"]
  prompt one = "{{A:A1}} w5 {{B}} {{C}} w6 {{A:A2}}"
  prompt two = "w7 {{B}} w8 {{A:A1}} {{C}} {{A:A2}}"
  tokens answer = "{{B}}"
  tokens foil = ["{{w}}" for w in ["w2", "w3"]]
  corrupt other {{ A = "w9"  C = ["w34", "w35"] }}
  sample 12
}}
metric difference = logit(answer) - mean(logit(foil))
metric probability = prob(answer) + prob(foil)
metric divergence = kl(M)
metric distance = js(M)
ablation patch = resample(other)
ablation average = mean(other per template)
ablation others = donors(other, 2)
ablation fixed = constants("fixed.safetensors")
default by difference under patch on recall over prompts
group some = {heads}

circuit found = edges_from("found.json")
let part = [a0.h1, a0.h2, m0]
circuit placed = M - part @ [A1, C]

report plain: [F(M), F(none), F(found), F(M - found), F(found - some), F(M - found by probability)]
report other: [F(found under a) for a in [average, zero, others, fixed, donors(clean, 3)]]
report positional: [F(placed), F(placed & found), F(M - (a0.h0 -> a1.h1.kv) @ [last(A2)]), F(found free mlps)]
report divergence: [F(found by divergence), F(found under others by divergence)]
report distance: [F(found by distance), F(M - found under fixed by distance)]
report by_template: [F(found on t) for t in templates(recall)]
"""


def random_circuit(graph: Architecture, seed: int) -> int:
    """A third of all edges, those on a path from input to logits."""
    rng = random.Random(seed)
    mask = sum(1 << e for e in range(graph.size) if rng.random() < 0.35)
    return reached_from_input(reaching_logits(mask, graph), graph)


def eap_ig(graph: Architecture, mask: int) -> dict[str, Any]:
    edges = {
        str(graph.edge(e)): {"score": 0.5, "in_graph": bool(mask >> e & 1)}
        for e in range(graph.size)
    }
    shape = graph.shape
    config = {"n_layers": shape.layers, "n_heads": shape.heads, "d_model": shape.d_model}
    return {"cfg": {**config, "parallel_attn_mlp": shape.parallel}, "nodes": {}, "edges": edges}


@pytest.fixture(scope="module", params=["gpt2", "neox", "llama", "gemma2"])
def checked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    save_model(request.param, folder / "model")
    graph = architecture(find("./model", None, folder).shape)
    (folder / "found.json").write_text(json.dumps(eap_ig(graph, random_circuit(graph, 1))))
    draw = torch.Generator().manual_seed(2)
    width = graph.shape.d_model
    vectors = {str(node): torch.randn(width, generator=draw) for node in graph.senders}
    save_file(vectors, folder / "fixed.safetensors")
    words = "\n".join(f"w{i},w{i + 10}" for i in range(10, 20))
    (folder / "words.csv").write_text("a,b\n" + words + "\n")
    (folder / "spec.circ").write_text(SPEC.format(heads="a1.h[0,2]"))
    run = subprocess.run(
        [sys.executable, "-m", "circuitlang.cli", "check", "spec.circ", "--json", "--per-example"],
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return folder, graph, json.loads(run.stdout)


def live_mask(form: dict[str, Any], graph: Architecture) -> int:
    names = {str(graph.edge(e)): e for e in range(graph.size)}
    mask = sum(1 << names[name] for name in form["edges"])
    return graph.everything & ~mask if form["all_except"] else mask


def rows_of(run: dict[str, Any], prompt: dict[str, Any], graph: Architecture) -> list[int]:
    if run["live"] is not None:
        return [live_mask(run["live"], graph)] * len(prompt["tokens"])
    rows = [0] * len(prompt["tokens"])
    for part in run["live_at"]:
        if prompt["index"] in part["prompts"]:
            for position in part["positions"]:
                rows[position] = live_mask(part["live"], graph)
    return rows


def test_every_number_can_be_recomputed(checked: Any) -> None:
    folder, graph, document = checked
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(folder / "model", attn_implementation="eager")
    weights = Weights(plain.eval())
    (task,) = document["tasks"]

    def outputs(tokens: list[int]) -> list[torch.Tensor]:
        everything = [[graph.everything] * len(tokens)]
        return evaluate(graph, weights, torch.tensor([tokens]), everything, None)[1]

    def tokens_of(prompt: dict[str, Any], corruption: str | None) -> list[int]:
        found: list[int] = (prompt["corrupted"][corruption] if corruption else prompt)["tokens"]
        return found

    def ablated(run: dict[str, Any], prompt: dict[str, Any]) -> Iterator[list[torch.Tensor] | None]:
        """What senders carry; under random donors once for each draw."""
        under = run["under"]
        name = under and under["corruption"]
        match under and under["kind"]:
            case None | "zero":
                yield None
            case "resample":
                yield outputs(tokens_of(prompt, name))
            case "donors":
                for index in prompt["donors"][: under["draws"]]:
                    donor = next(p for p in task["prompts"] if p["index"] == index)
                    assert donor["spans"] == prompt["spans"]
                    yield outputs(tokens_of(donor, name))
            case "constants":
                content = (folder / under["file"]).read_bytes()
                assert hashlib.sha256(content).hexdigest() == under["sha256"]
                vectors = load_file(folder / under["file"])
                size = (1, len(prompt["tokens"]), -1)
                yield [vectors[str(node)].double().expand(size) for node in graph.senders]
            case "mean":
                yield averages(prompt, name)

    def averages(prompt: dict[str, Any], name: str) -> list[torch.Tensor]:
        same = [
            r for r in task["references"]
            if r["template"] == prompt["template"] and r["spans"] == prompt["spans"]
        ]  # fmt: skip
        all_outputs = [outputs(r["corrupted"][name]["tokens"]) for r in same]
        return [torch.stack(parts).mean(0) for parts in zip(*all_outputs, strict=True)]

    def log_probabilities(run: dict[str, Any], prompt: dict[str, Any]) -> list[torch.Tensor]:
        rows = [rows_of(run, prompt, graph)]
        tokens = torch.tensor([prompt["tokens"]])
        found = [evaluate(graph, weights, tokens, rows, a)[0] for a in ablated(run, prompt)]
        return [logits[0, -1].log_softmax(-1) for logits in found]

    def number(by: str, logp: torch.Tensor, prompt: dict[str, Any]) -> float:
        answer, foil = (prompt["token_sets"][name] for name in ("answer", "foil"))
        match by:
            case "difference":
                return logp[answer].item() - logp[foil].mean().item()
            case "probability":
                return (logp[answer].exp().sum() + logp[foil].exp().sum()).item()
            case "accuracy":
                return float(logp[answer].exp().sum() > logp[foil].exp().sum())
        (model,) = log_probabilities(whole, prompt)
        if by == "divergence":
            return (model.exp() * (model - logp)).sum().item()
        middle = ((model.exp() + logp.exp()) / 2).log()
        parts = [(one.exp() * (one - middle)).sum().item() for one in (model, logp)]
        return sum(parts) / 2

    whole = next(r for r in document["runs"] if r["set"] == "M")
    assert len(document["runs"]) >= 20
    for run in document["runs"]:
        for prompt, value in list(zip(task["prompts"], run["values"], strict=True))[:2]:
            draws = log_probabilities(run, prompt)
            expected = np.mean([number(run["by"], logp, prompt) for logp in draws])
            assert value == pytest.approx(expected, abs=2e-5), (run["set"], run["by"])
        assert run["mean"] == pytest.approx(np.mean(run["values"]))


def test_the_circuit_file_is_the_circuit(checked: Any) -> None:
    folder, graph, document = checked
    stored = json.loads((folder / "found.json").read_text())["edges"]
    found = next(r for r in document["runs"] if r["set"] == "found" and not r["free"])
    wanted = {name for name, edge in stored.items() if edge["in_graph"]}
    live = {str(graph.edge(e)) for e in bits(live_mask(found["live"], graph))}
    assert live == wanted
