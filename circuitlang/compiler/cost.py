"""What a check costs, before it runs: runs, forwards, arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from circuitlang.compiler.collect import Needed, all_runs
from circuitlang.language.prompt import PromptSet
from circuitlang.language.spec import Ablation, Run

RATE = 3e10


@dataclass(frozen=True)
class TaskCost:
    """Costs of one task on one model. `forwards` are passes of one prompt through the model.

    `tokens` is None when the tokenizer is not on this machine; `flops` then assumes 20 a prompt.
    """

    task: str
    model: str
    runs: int
    metrics: int
    ablation_runs: int
    prompts: int
    tokens: int | None
    forwards: int
    flops: float


@dataclass(frozen=True)
class Cost:
    spec: str
    claims: int
    tasks: tuple[TaskCost, ...]
    runs: int
    forwards: int
    flops: float
    seconds: float


ASSUMED_TOKENS = 20


def cost(
    spec: str,
    claims: int,
    needed: Needed,
    prompts: Mapping[tuple[str, str], PromptSet],
    samples: Mapping[str, int],
) -> Cost:
    """`samples` maps a task to the number of prompts it will draw."""
    by_pair: dict[tuple[str, str], list[Run]] = {}
    for run in all_runs(needed.requests):
        by_pair.setdefault((run.task, run.model.name), []).append(run)
    tasks = tuple(
        _task_cost(pair, runs, needed, prompts.get(pair), samples) for pair, runs in by_pair.items()
    )
    flops = sum(t.flops for t in tasks)
    return Cost(
        spec,
        claims,
        tasks,
        sum(t.runs for t in tasks),
        sum(t.forwards for t in tasks),
        flops,
        flops / RATE,
    )


def _task_cost(
    pair: tuple[str, str],
    runs: list[Run],
    needed: Needed,
    drawn: PromptSet | None,
    samples: Mapping[str, int],
) -> TaskCost:
    task, model = pair
    number = len(drawn.prompts) if drawn else samples[task]
    ablations = {r.ablation for r in runs if r.ablation is not None and r.ablation.kind != "zero"}
    references = sum(_references(a, drawn) for a in ablations if a.kind == "mean")
    resampled = sum(number for a in ablations if a.kind == "resample")
    forwards = len(runs) * number + references + resampled
    tokens = sum(len(p.tokens) for p in drawn.prompts) if drawn else None
    mean_tokens = tokens / number if tokens is not None and number else ASSUMED_TOKENS
    flops = 2.0 * runs[0].model.shape.parameters * mean_tokens * forwards
    metrics = sum(len(needed.requests.get(r, ())) for r in runs)
    return TaskCost(
        task, model, len(runs), metrics, len(ablations), number, tokens, forwards, flops
    )


def _references(ablation: Ablation, drawn: PromptSet | None) -> int:
    return len(drawn.references) if drawn else 256


def cost_text(found: Cost) -> str:
    claims = f"{found.claims} claim needs" if found.claims == 1 else f"{found.claims} claims need"
    lines = [f"{found.spec}: {claims} {found.runs} distinct runs"]
    for t in found.tasks:
        tokens = "token count not known" if t.tokens is None else f"{t.tokens:,} tokens"
        lines.append(
            f"  {t.task} with {t.model}: {t.runs} runs ({t.metrics} numbers per prompt) on "
            f"{t.prompts} prompts ({tokens}), {t.ablation_runs} ablation{'' if t.ablation_runs == 1 else 's'} cached, "
            f"{t.forwards:,} forwards of one prompt"
        )
    lines.append(
        f"in all {found.forwards:,} forwards, {found.flops:.2g} FLOPs: about "
        f"{_duration(found.seconds)} at {RATE:.0e} FLOP/s (two CPU cores), plus loading"
    )
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "a second"
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
