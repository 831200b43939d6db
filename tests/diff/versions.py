"""Two versions of one spec: what was planted between them, and locks that say how claims fared."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from circuitlang.front import Front, resolve_file
from circuitlang.lockfile import Lock, LockedClaim, lock_path, write_lock
from circuitlang.locks.facts import facts_of

EDGES = Path(__file__).parents[2] / "specs" / "toy" / "edges.circ"
BEFORE = EDGES.read_text(encoding="utf-8")

PLANTED = {
    "model dtype": ('model "toy" { bos yes }', 'model "toy" { bos yes dtype "float64" }'),
    "looks": ('spec edges "1.0.0"', 'spec edges "1.1.0"\nlooks yes'),
    "slot value": ('"fish", "cake"]', '"fish"]'),
    "seed": ("  seed 0", "  seed 7"),
    "sample": ("  sample 64", "  sample 32"),
    "split": ("  slot Y = foods\n", "  slot Y = foods\n  split decide\n"),
    "corruption": ("    A2 = strangers\n", '    A2 = strangers - ["lee"]\n'),
    "token set": ('tokens foil   = " {Y}"', 'tokens foil   = [" {Y}"] + [" tea"]'),
    "metric": ("= logit(answer) - logit(foil)", "= logit(answer) - 2 * logit(foil)"),
    "ablation": ("= resample(unknown)", "= mean(unknown per template)"),
    "group": ("group previous = a0.h[0,1]", "group previous = a0.h[0,1,3]"),
    "circuit": ("  positive             -> negative.q\n", ""),
    "weakened": ("faithfulness(lean) in 0.95..1.05", "faithfulness(lean) in 0.9..1.05"),
    "strengthened": (
        "claim full_has_the_backup: incompleteness(full, a0.h0) <= 5%",
        "claim full_has_the_backup: incompleteness(full, a0.h0) <= 1%",
    ),
    "quantifier": ("claim lean_is_minimal:  forall e", "claim lean_is_minimal: most(90%) e"),
    "expectation": (
        '\n  expect fails "the pair is redundant: no single edge of it is missed":',
        ":",
    ),
    "removed": (
        """claim wrong_port
  expect fails "the question is read by the query, not by the keys":
  faithfulness(full - (asker -> positive.q) + (asker -> positive.k)) in 0.95..1.05
""",
        "",
    ),
    "added": (
        "report drops:",
        "claim necessary: necessity(full) >= 0.9\nreport drops:",
    ),
    "renamed": ("claim wrong_head\n", "claim idle_head\n"),
    "changed": (
        "faithfulness(placed - (input -> asker.v) + (input -> asker.v @ A1))",
        "faithfulness(placed - (input -> asker.v))",
    ),
    "sentence": (
        "claim placed_is_faithful: faith",
        'claim placed_is_faithful "each edge where it works": faith',
    ),
    "report": ("report drops: [drop(lean, e) / effect", "report drops: [drop(lean, e)"),
    "let": ("[previous, asker].qk", "previous.qk"),
}
COSMETIC = {
    "comment": ("# Zeros.\n", "# Zeros, which are no activations.\n"),
    "blank lines": ("metric   logit_diff", "\n\n\nmetric logit_diff"),
    "order of lines": (
        "  input                -> [previous, asker].v\n  input                -> coder\n",
        "  input                -> coder\n  input                -> [asker, previous].v\n",
    ),
    "order of values": ('["ann", "bob", "cid",', '["cid", "bob", "ann",'),
    "percent": ("abs(drop(lean, e)) >= 20% * effect", "0.2 * effect <= abs(drop(lean, e))"),
    "abbreviation": (
        "    X  = leftovers\n",
        '    X  = ["wine", "soup", "ham", "salt"]\n',
    ),
    "nodes": ("group asker    = a0.h2 ", "group asker    = [a0.h2] "),
    "default": (
        "assume able: F(M) - F(none) >= 3",
        "assume able over prompts by logit_diff: F(M) - F(none under patch) >= 3",
    ),
    "bound variable": (
        "forall K in groups(full): incompleteness(full, K)",
        "forall out in groups(full): incompleteness(full, out)",
    ),
}


def edited(text: str, *edits: tuple[str, str]) -> str:
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def spec(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def front_of(path: Path) -> Front:
    front = resolve_file(path)
    assert not front.diagnostics.has_errors, front.found
    return front


def locked(path: Path, **verdicts: str) -> Path:
    """A lock beside the spec in which the named claims have these verdicts, and all others hold."""
    front = front_of(path)
    assert front.resolved is not None
    claims = {
        c.name: LockedClaim(
            value=0.5,
            low=0.4,
            high=0.6,
            n=64,
            method="bootstrap",
            kind=c.kind,  # type: ignore[arg-type]
            verdict=(verdict := verdicts.get(c.name, "holds")),  # type: ignore[arg-type]
            ok=verdict == (c.expect[0] if c.expect else "holds"),
            expected=c.expect[0] if c.expect else None,
            threshold="",
            unit="prompts",
            seed=0,
        )
        for c in front.resolved.spec.claims
    }
    date = datetime(2026, 1, 1, tzinfo=UTC)
    lock = Lock(**dict(facts_of(front)), date=date, results=True, claims=claims)
    write_lock(lock_path(path), lock)
    return lock_path(path)
