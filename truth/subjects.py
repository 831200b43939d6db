"""What is planted: for each model the edges of its circuit, its idle parts and where things stand.

The same circuits stand in `truth/specs/*.circ` in the language. Here they are lists of edges in
EAP-IG's names, so that what the language makes of a set can be told from what is meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SPECS = Path(__file__).resolve().parent / "specs"
MODELS = Path(__file__).resolve().parent / "models"


@dataclass(frozen=True)
class Subject:
    """One model and its task.

    Args:
        planted: the edges of the circuit that the spec calls `planted`; `@ label` keeps one there.
        nodes: senders whose effects are compared, the circuit's own and idle ones.
        places: labels of the prompt, each one token, at which an edge may be claimed to work.
    """

    name: str
    planted: tuple[str, ...]
    nodes: tuple[str, ...]
    places: tuple[str, ...]

    @property
    def spec(self) -> Path:
        return SPECS / f"{self.name}.circ"


def _edges(*arrows: str) -> tuple[str, ...]:
    """`"x y -> z<k> w"` as the product of both sides."""
    found = []
    for arrow in arrows:
        senders, receivers = (side.split() for side in arrow.split("->"))
        found += [f"{sender}->{receiver}" for receiver in receivers for sender in senders]
    return tuple(found)


SUBJECTS = (
    Subject(
        "toy",
        _edges(
            "input -> a0.h0<v> a0.h1<v> a0.h2<v> m0",
            "a0.h0 a0.h1 -> a1.h0<k>",
            "a0.h2 -> a1.h0<q>",
            "m0 -> a1.h0<v>",
            "a1.h0 -> a2.h2<q>",
            "m0 -> a2.h2<k> a2.h2<v>",
            "a1.h0 a2.h2 -> logits",
        ),
        ("a0.h0", "a0.h2", "m0", "a1.h0", "a2.h2", "a1.h3"),
        ("A1", "X", "B", "Y", "A2", "END"),
    ),
    Subject(
        "gates",
        _edges(
            "input -> a0.h0<v> a0.h1<v> a0.h2<v> a0.h3<v> a0.h4<v>",
            "a0.h0 a0.h1 a0.h2 a0.h3 -> m0",
            "input -> a1.h0<v> a1.h1<v> a1.h2<v>",
            "a0.h4 a1.h0 -> m1",
            "m0 a1.h0 a1.h1 a1.h2 m1 -> logits",
        ),
        ("a0.h0", "a0.h1", "a0.h2", "a0.h4", "m0", "a1.h0", "a1.h1", "a1.h2", "m1", "a1.h3"),
        ("P", "Q", "R", "S", "T", "END"),
    ),
    Subject(
        "tracr_previous",
        ("input->a1.h0<v>@E", "a1.h0->logits@END"),
        ("input", "m0", "a1.h0", "a1.h1"),
        ("A", "D", "E", "G"),
    ),
    Subject(
        "tracr_induction",
        _edges(
            "input -> m0 a1.h0<q> a1.h0<k> a1.h0<v> a2.h0<q> a2.h0<k> a2.h0<v>",
            "m0 -> a1.h0<q>",
            "a1.h0 -> a2.h0<k>",
            "a2.h0 -> logits",
        ),
        ("input", "m0", "a1.h0", "a2.h0", "a2.h1"),
        ("K1", "V1", "C", "D", "K2"),
    ),
    Subject(
        "tracr_count",
        _edges(
            "input -> a0.h0<q> a0.h0<k> a0.h0<v> m0",
            "a0.h0 -> m0",
            "m0 -> logits",
        ),
        ("input", "a0.h0", "m0", "a0.h1"),
        ("B", "C", "D", "E", "END"),
    ),
    Subject(
        "tracr_fraction",
        _edges("input -> m0", "m0 -> a1.h0<v>", "a1.h0 -> logits"),
        ("input", "m0", "a1.h0", "a1.h1"),
        ("A", "B", "C", "D", "E", "G"),
    ),
    Subject(
        "tracr_balance",
        _edges(
            "input -> m0",
            "m0 -> a1.h0<v> a1.h1<v>",
            "a1.h0 a1.h1 -> m1",
            "m1 -> logits",
        ),
        ("m0", "a1.h0", "a1.h1", "m1", "a0.h0"),
        ("A", "B", "C", "D", "E", "END"),
    ),
    Subject(
        "trained",
        _edges(
            "input -> a0.h0<q> a0.h1<q> a0.h2<q> a0.h3<q> a0.h0<k> a0.h1<k> a0.h2<k> a0.h3<k> a0.h0<v> a0.h1<v> a0.h2<v> a0.h3<v>",
            "input a0.h0 a0.h1 a0.h2 a0.h3 -> m0",
            "input m0 -> a1.h0<q>",
            "input a0.h0 m0 -> a1.h1<q>",
            "m0 -> a1.h2<q>",
            "input a0.h2 a0.h3 m0 -> a1.h1<k>",
            "a0.h2 m0 -> a1.h2<k>",
            "input a0.h0 a0.h1 a0.h2 a0.h3 m0 -> a1.h0<v> a1.h1<v>",
            "input a0.h0 a0.h2 a0.h3 m0 -> a1.h2<v>",
            "a0.h0 a0.h2 a0.h3 m0 -> a1.h3<v>",
            "input a0.h0 a0.h1 a0.h2 a0.h3 m0 a1.h0 a1.h1 a1.h2 a1.h3 -> m1",
            "input a0.h0 a0.h1 a0.h2 a0.h3 m0 a1.h0 a1.h1 a1.h2 a1.h3 m1 -> logits",
        ),
        ("input", "a0.h2", "m0", "a1.h0", "a1.h1", "m1"),
        ("K1", "V1", "C", "D", "K2"),
    ),
)
