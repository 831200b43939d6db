"""Small specs on the bundled model, resolved from a string."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.graph.architecture import architecture
from circuitlang.language.resolve import Resolved, resolve, resolve_expression
from circuitlang.language.source import Source

BASE = """
spec t "1"
model "toy" { bos yes }
task likes {
  slot A = ["ann", "bob"]
  slot X = ["tea", "jam"]
  prompt first  = "{A:A1} likes {X}. {A:A2} likes"
  prompt second = "eve likes {X}. {A:A1} and {A:A2} like"
  tokens answer = " {X}"
  tokens foil = " rice"
  corrupt other { A1 = ["ida", "jon"] A2 = ["kim", "lee"] }
  corrupt food { X = ["soup", "ham"] }
}
metric diff = logit(answer) - logit(foil)
metric right = prob(answer)
ablation patch = resample(other)
ablation average = mean(other per template)
group early = a0.h[0,1]
group late = [a1.h0, m1]
default by diff under patch over prompts
"""


def resolved(extra: str = "", base: str = BASE) -> tuple[Resolved, Diagnostics]:
    diagnostics = Diagnostics()
    found = resolve(Source("t.circ", base + extra, Path()), diagnostics)
    assert found is not None, diagnostics.found
    return found, diagnostics


def value(expression: str, extra: str = "") -> Any:
    """What an expression means; it must have no mistake."""
    spec, diagnostics = resolved(extra)
    before = [d for d in diagnostics.found if d.severity == "error"]
    assert before == []
    found = resolve_expression(expression, spec)
    assert [d.message for d in diagnostics.found if d.severity == "error"] == []
    return found[0][1] if len(found) == 1 else found


def run(expression: str, extra: str = "") -> Any:
    """The run behind `F(expression)`."""
    return value(f"F({expression})", extra).measurement.run


def edges(expression: str, extra: str = "") -> set[str]:
    """The edges of a set without positions, as EAP-IG names them."""
    live = run(expression, extra).live
    graph = architecture(run("M").model.shape)
    assert live.is_uniform
    return {str(edge) for edge in graph.edges(live.mask)}
