"""What finding a circuit costs: `python -m benchmarks.finding`.

Attribution is timed in plain passes, each a forward and a backward from the answer to the embeddings
as Hugging Face computes them; ACDC and exact effects in dense runs, each a masked forward as
published tools make one for every decision and every edge.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from statistics import median
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from benchmarks import models
from benchmarks.circuits import connected_circuit, draw_nodes, usual_nodes
from benchmarks.dense import DenseTwin, token_ids
from benchmarks.fast import MEMORY, now
from benchmarks.prompts import LOGIT_DIFFERENCE, random_prompts
from benchmarks.rows import IOI_MIX, PATCH, patched_front
from benchmarks.table import machine
from circuitlang.discovery.acdc import Steps, acdc
from circuitlang.discovery.experiment import Context, Experiment
from circuitlang.front import Options, Silent
from circuitlang.language.graph.edges import uniform
from circuitlang.measurement.runner import Runner
from circuitlang.runtime.attribution import attribute
from circuitlang.runtime.models import LoadedModel

EDGES, PROMPTS, STEPS = 1000, 8, 5
EFFECTS = 500
# What ACDC asks of an edge, as shares of F(M) - F(none): most edges go, or most stay.
SHARES = (1e-3, 1e-5)


@dataclass(frozen=True)
class Line:
    """One row: what was done, in how many seconds, and in how many of what it is compared with."""

    name: str
    did: str
    seconds: float
    ratio: float
    unit: str
    target: float | None = None


def subject(model: LoadedModel, prompts: int, seed: int) -> Experiment:
    """An experiment on random prompts; nothing is stored."""
    front, extremes = patched_front(IOI_MIX, model)
    rng = random.Random(seed)
    key = extremes.whole.task, extremes.whole.model.name
    front.prompts[key] = random_prompts(model.shape.vocab, rng, prompts)
    options = Options(device=str(model.device), stored=False, memory=MEMORY)
    runner = Runner(front, options, Silent())
    runner.loaded[extremes.whole.model.name] = model
    return Experiment(runner, extremes, Context())


def attribution(model: LoadedModel, name: str, prompts: int, repeats: int) -> list[Line]:
    """EAP and EAP-IG over all edges, per step, in plain passes."""
    drawn = random_prompts(model.shape.vocab, random.Random(0), prompts)
    tokens = token_ids(drawn.prompts, None).to(model.device)
    ids = [[p.answers[k][0] for p in drawn.prompts] for k in ("answer", "foil")]
    found: dict[int, list[tuple[float, float]]] = {1: [], STEPS: []}
    plain_pass(model, tokens, ids)
    for _ in range(repeats):
        plain = median(_timed(model, lambda: plain_pass(model, tokens, ids)) for _ in range(3))
        for steps, times in found.items():

            def scored(steps: int = steps) -> Any:
                chosen = None if steps == 1 else steps
                return attribute(model, drawn, LOGIT_DIFFERENCE, PATCH, steps=chosen)

            seconds = _timed(model, scored)
            times.append((seconds, seconds / steps / plain))
    edges = f"{model.architecture.size:,} edges, {prompts} prompts"
    return [
        Line(
            f"{name}: {'EAP' if steps == 1 else f'EAP-IG, {steps} steps'}",
            edges,
            median(seconds for seconds, _ in times),
            median(ratio for _, ratio in times),
            "plain passes per step",
            1.5,
        )
        for steps, times in found.items()
    ]


def plain_pass(model: LoadedModel, tokens: torch.Tensor, ids: list[list[int]]) -> torch.Tensor:
    """The gradient of the summed logit differences with respect to the embedded tokens."""
    embedded = model.plain.get_input_embeddings()(tokens).detach().requires_grad_()
    logits = model.plain(inputs_embeds=embedded, use_cache=False, logits_to_keep=1).logits[:, -1]
    rows = torch.arange(len(tokens), device=tokens.device)
    answer, foil = (logits[rows, torch.tensor(one, device=tokens.device)] for one in ids)
    found: torch.Tensor = torch.autograd.grad((answer - foil).sum(), embedded)[0]
    return found


def decisions(model: LoadedModel, share: float, prompts: int, repeats: int) -> Line:
    """ACDC on a random connected circuit of `EDGES` edges, against one dense run per decision."""
    lines = []
    for seed in range(repeats):
        experiment, rng = subject(model, prompts, seed), random.Random(seed)
        graph = experiment.graph
        circuit = connected_circuit(
            graph, draw_nodes(graph, *usual_nodes(graph, EDGES), rng), EDGES, rng
        )
        experiment.values([experiment.run(uniform(circuit))])
        threshold = share * _effect(experiment)
        steps: list[Steps] = []

        def decide(
            one: Experiment = experiment, mask: int = circuit, least: float = threshold
        ) -> None:
            steps.append(acdc(one, least, "absolute", mask))  # noqa: B023 - called at once

        seconds = _timed(model, decide)
        dense = dense_run(model, experiment)
        (done,) = steps
        kept = done.kept.bit_count()
        lines.append((seconds, len(done.decisions) * dense / seconds, kept))
        experiment.runner.close()
    _, times, kept = sorted(lines, key=lambda line: line[1])[len(lines) // 2]
    seconds = median(line[0] for line in lines)
    return Line(
        f"ACDC, {share:.3%} of the effect",
        f"{EDGES:,} edges decided, {kept} kept",
        seconds,
        times,
        "times less than dense",
    )


def effects(model: LoadedModel, prompts: int, repeats: int) -> Line:
    """F(M) - F(M - e) of `EFFECTS` random edges, against one dense run for each."""
    lines = []
    for seed in range(repeats):
        experiment, rng = subject(model, prompts, seed), random.Random(seed)
        chosen = rng.sample(range(experiment.graph.size), EFFECTS)
        runs = [experiment.without(uniform(1 << edge)) for edge in chosen]
        experiment.values([])
        seconds = _timed(model, experiment.values, runs)
        lines.append((seconds, EFFECTS * dense_run(model, experiment) / seconds))
        experiment.runner.close()
    seconds, times = (median(column) for column in zip(*lines, strict=True))
    return Line("exact effects", f"{EFFECTS} edges of M", seconds, times, "times less than dense")


def _effect(experiment: Experiment) -> float:
    values = experiment.values([experiment.whole, experiment.floor])
    metric = experiment.metric
    whole, floor = (values[r, metric].mean() for r in (experiment.whole, experiment.floor))
    return abs(float(whole - floor))


def dense_run(model: LoadedModel, experiment: Experiment) -> float:
    """Seconds of one dense masked forward: the median of a few."""
    twin, prompts = DenseTwin(model), experiment.drawn
    tokens = token_ids(prompts.prompts, None).to(model.device)
    ablated = twin.ablated(PATCH, prompts)
    masks = cycle(experiment.graph.everything & ~(1 << edge) for edge in range(5))
    return median(_timed(model, twin.logits, tokens, mask, ablated) for mask in islice(masks, 5))


def _timed(model: LoadedModel, work: Callable[..., Any], *arguments: Any) -> float:
    started = now(model.device)
    work(*arguments)
    return now(model.device) - started


def benchmark(
    repeats: Annotated[int, typer.Option(min=1, help="rounds, of which medians are taken")] = 3,
    prompts: Annotated[int, typer.Option(min=1)] = PROMPTS,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="SmolLM2's shape without its weights")
    ] = False,
) -> None:
    """Time attribution, ACDC and exact effects."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise typer.BadParameter("this machine has no CUDA device")
    smollm2 = models.random_smollm2(device) if random_weights else models.smollm2(device)
    console = Console(stderr=True)
    print(f"On {machine(device)}, medians of {repeats}:\n")
    print("| row | | seconds | ratio | | target |\n|---|---|---|---|---|---|", flush=True)

    def show(line: Line) -> None:
        target = "" if line.target is None else f"at most {line.target:g}"
        print(
            f"| {line.name} | {line.did} | {line.seconds:.2f} | {line.ratio:.2f} | {line.unit} | {target} |",
            flush=True,
        )

    with console.status("attribution"):
        for number in (prompts, 4 * prompts):
            for line in attribution(smollm2, "SmolLM2", number, repeats):
                show(line)
    gpt2 = models.random_gpt2(device)
    with console.status("exact effects"):
        show(effects(gpt2, prompts, repeats))
    with console.status("ACDC"):
        for share in SHARES:
            show(decisions(gpt2, share, prompts, repeats))


if __name__ == "__main__":
    typer.run(benchmark)
