"""Programs of two layers of two heads, small enough to read: the forms' examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from circuitlang.compiler.program import Program, program
from circuitlang.compiler.reads import reads_of
from circuitlang.language.graph.architecture import Node, Shape, architecture, parse_edge
from circuitlang.language.graph.edges import END, NOTHING, EdgeSet, Place, Position, uniform
from circuitlang.language.prompt import Prompt
from circuitlang.language.spec import (
    Ablation,
    AttentionScore,
    Metric,
    ModelReference,
    Run,
    TokenScore,
)

SHAPE = Shape(2, 2, 2, d_model=8, d_head=4, d_mlp=16, vocab=20)
GROUPED = replace(SHAPE, kv_heads=1)
POST_NORM = replace(GROUPED, post_norm=True)
PARALLEL = replace(SHAPE, parallel=True)
ATTENTION_ONLY = replace(SHAPE, mlps=False)
WIDE = replace(SHAPE, layers=3, heads=4)
HERE = Position(END)
AT_A = Place((Position("A"),))
LOGIT = Metric("logit", TokenScore("logit", "answer", HERE), False)
ATTENTION = Metric(
    "attention", AttentionScore(Node("head", 1, 0), Place((HERE,)), Place((HERE,))), False
)
PATCH = Ablation("patch", "resample", "other")
MEAN = Ablation("average", "mean", "other", ("template",))
ZERO = Ablation("zero", "zero")
PROMPT = Prompt(
    index=0,
    template="t",
    slots={},
    text="a prompt",
    tokens=(2, 3, 4, 5, 6),
    spans={"A": (3, 4)},
    answers={"answer": (7,)},
    corrupted_text={"other": "another"},
    corrupted={"other": (2, 3, 9, 5, 6)},
)
EDGES = (
    "input->a0.h0<v>", "input->a0.h0<q>", "a0.h0->a1.h0<k>", "input->a1.h0<v>", "a0.h0->m1",
    "a1.h0->logits", "m1->logits",
)  # fmt: skip


def edges(shape: Shape, names: Iterable[str]) -> EdgeSet:
    found = [edge for name in names if (edge := parse_edge(name)) is not None]
    return uniform(architecture(shape).mask(found))


def run(shape: Shape, ablation: Ablation | None, live: EdgeSet) -> Run:
    return Run(ModelReference("m", "m", None, False, "float32", shape), "task", ablation, live)


def program_of(shape: Shape, *runs: Run, watch: bool = False) -> Program:
    """The program of `runs` on one prompt of five tokens, the third of which is corrupted."""
    metrics = [LOGIT, ATTENTION] if watch else [LOGIT]
    return program(runs, reads_of(dict.fromkeys(runs, metrics), [PROMPT]), [PROMPT])


def minimal(shape: Shape, ablation: Ablation) -> list[Run]:
    """A circuit, the circuit without one edge, and the floor."""
    circuit = edges(shape, EDGES)
    fewer = circuit - edges(shape, ["a0.h0->a1.h0<k>"])
    return [run(shape, ablation, live) for live in (circuit, fewer, NOTHING)]


def programs() -> Mapping[str, Program]:
    """By name: what each is an example of."""
    circuit = edges(SHAPE, EDGES)
    here = circuit.at(AT_A) | edges(SHAPE, ["m1->logits"])
    resampled, watched = (run(SHAPE, PATCH, live) for live in (circuit, here))
    return {
        "resample": program_of(SHAPE, *minimal(SHAPE, PATCH)),
        "zero and mean": program_of(SHAPE, *(replace(resampled, ablation=a) for a in (ZERO, MEAN))),
        "positional": program_of(SHAPE, watched, watch=True),
        "post-norm": program_of(POST_NORM, *minimal(POST_NORM, PATCH)),
    }


def dense() -> Program:
    """Runs of a wider model in which most nodes are live: heads are added up in bundles, sums
    share what they have in common, and batches have heads that nobody asked for."""
    graph, whole = architecture(WIDE), uniform(architecture(WIDE).everything)
    nodes = [Node("head", 0, 0), Node("mlp", 0), Node("head", 1, 2)]
    fewer = [whole - uniform(graph.leaving(node)) for node in nodes]
    ports = (f"a0.h0->a1.h{head}<{port}>" for head in (0, 1, 2) for port in "qkv")
    fewer.append(whole - edges(WIDE, ports))
    return program_of(WIDE, *(run(WIDE, a, live) for a in (PATCH, ZERO) for live in fewer))
