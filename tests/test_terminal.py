"""What a user writes is text, whatever brackets it holds."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from circuitlang.cli import app

SPEC = """spec brackets "[red]1[/red]"
model "toy" { bos yes }
task t {
  slot X = ["tea", "jam", "rice", "milk"]
  prompt "ann likes {X}. eve likes jam. ann likes"
  tokens answer = " {X}"
  tokens foil   = " milk"
  corrupt other { X = ["tea", "jam", "rice"] }
  where X != "milk"
  sample 8
}
metric diff = logit(answer) - logit(foil)
circuit c {
  [input, m0] -> [m1, m2]
  [m1, m2]    -> logits
}
claim positive: F(M) >= -100
report lines: [drop(c, a) for a in arrows(c)]
"""


def test_brackets_in_names_and_labels_are_printed(tmp_path: Path) -> None:
    path = tmp_path / "t.circ"
    path.write_text(SPEC)
    shown = CliRunner().invoke(app, ["check", str(path), "--no-store"]).stdout
    assert "[input, m0] -> [m1, m2]" in shown
    assert "[m1, m2] -> logits" in shown
    assert "[red]1[/red]" in shown
