"""A spec of a tiny random model, its experiment, and the same numbers one run at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from circuitlang.discovery.experiment import Context, Experiment, experiment
from circuitlang.front import Options, Silent
from circuitlang.language.spec import Run
from circuitlang.runtime.models import load
from circuitlang.runtime.reference import Region, run, run_live
from tests.tiny_models import save_model

SPEC = """spec tiny "1.0.0"
model "model" { bos yes }
task words {
  slot A = ["w2", "w3", "w4", "w5"]
  slot B = ["w6", "w7", "w8"]
  slot C = ["w9", "w10"]
  prompt "{A} w20 {B} w21 {C}"
  tokens answer = " w30"
  tokens foil   = " w31"
  corrupt other { A = "w11"  B = ["w12", "w13"] }
  sample 6
  seed 0
}
metric score = logit(answer) - logit(foil)
metric far = kl(M)
metric looks = attention(a1.h2, END, END) + logit(answer) - logit(foil)
ablation swap = resample(other)
ablation nothing = zero
claim able: F(M) - F(none) >= 0
default by score under swap over prompts
"""


def make_spec(folder: Path, family: str = "gpt2", text: str = SPEC) -> Path:
    """The spec's file in `folder`, beside its model."""
    save_model(family, folder / "model")
    path = folder / "tiny.circ"
    path.write_text(text, encoding="utf-8")
    return path


@contextmanager
def opened(
    path: Path, context: Context | None = None, store: Path | None = None
) -> Iterator[Experiment]:
    options = Options(store=store, stored=store is not None)
    with experiment(path, options, context or Context(), Silent()) as (front, found):
        assert found is not None, [d.message for d in front.found]
        yield found


class OneByOne:
    """F and KL from M of any edges, by the reference executor, one run after the other."""

    def __init__(self, one: Experiment) -> None:
        resolved = one.front.resolved
        assert resolved is not None
        self.experiment = one
        name = one.whole.model.name
        self.model = load(resolved.spec.models[name], resolved.source.folder, "cpu", print)
        prompts = one.drawn.prompts
        self.tokens = torch.tensor([p.tokens for p in prompts])
        corrupted = torch.tensor([p.corrupted["other"] for p in prompts])
        resampled = one.floor.ablation is not None and one.floor.ablation.kind == "resample"
        outputs = run_live(self.model, corrupted).outputs
        self.ablated = list(outputs) if resampled else [None] * len(outputs)
        self.answers = [
            torch.tensor([p.answers[k][0] for p in prompts]) for k in ("answer", "foil")
        ]
        self.whole = self._log_probabilities(one.graph.everything)
        self.executed = 0

    def _logits(self, mask: int) -> torch.Tensor:
        last = self.tokens.shape[1] - 1
        free = self.experiment.floor.floor.lasting
        region = Region(mask | free, None)
        return run(self.model, self.tokens, [region], self.ablated, [last]).logits[:, 0].double()

    def _log_probabilities(self, mask: int) -> torch.Tensor:
        return self._logits(mask).log_softmax(-1)

    def score(self, mask: int) -> float:
        self.executed += 1
        logits, rows = self._logits(mask), torch.arange(len(self.tokens))
        answer, foil = self.answers
        return float((logits[rows, answer] - logits[rows, foil]).mean())

    def kl(self, mask: int) -> float:
        self.executed += 1
        here = self._log_probabilities(mask)
        return float((self.whole.exp() * (self.whole - here)).sum(-1).mean())


def value(one: Experiment, run: Run) -> float:
    return float(np.mean(one.values([run])[run, one.metric]))
