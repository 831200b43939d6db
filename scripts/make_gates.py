"""Make `truth/models/gates/`: a model wired by hand in which parts back each other up and gate.

    PYTHONPATH=. python scripts/make_gates.py

A prompt is `<bos> P Q R S T so`, each of P to T a word with a value v (nil 0, faint 0.25, ..., top 1.25).
The logit of "good" at the last token is LOGITS times the sum of four parts; that of "bad" is 0.

    AND        relu(v(P) + v(Q) - 1)   a0.h0 brings v(P), a0.h1 brings v(Q), m0 joins them: without
                                       either the part is nearly gone
    OR         min(r2 + r3, CAP)       a0.h2 and a0.h3 both bring v(R), and m0 writes
                                       relu(r2 + r3) - relu(r2 + r3 - CAP): where v(R) is at least
                                       CAP, either head alone gives all, and both no more
    backup     v(S)                    a1.h0 says v(S); m1 says relu(v(S) - what a1.h0 says), with
                                       v(S) from a0.h4: nothing, unless a1.h0 says less
    negative   -v(T) / 2               a1.h1 takes away half of v(T), which a1.h2 writes

Heads a1.h3 and a1.h4 and half of m1's units
are idle: they read everything and write into directions that nobody of the circuit reads.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from truth.wiring import (
    BOS,
    UNKNOWN,
    Array,
    PlainHead,
    PlainMLP,
    PlainTransformer,
    write,
    write_json,
)

FOLDER = Path(__file__).resolve().parent.parent / "truth" / "models" / "gates"

VALUES = {"nil": 0.0, "faint": 0.25, "low": 0.5, "mid": 0.75, "high": 1.0, "top": 1.25}
VOCABULARY = [UNKNOWN, BOS, "so", "good", "bad", *VALUES]
SLOTS = "PQRST"
CONTEXT, HEADS = 7, 5
CAP = 0.75
LOGITS = 6.0
CONSTANT_LOGIT = -10.0  # of <bos>, so that not all logits vanish where every part does
FOCUS = 40.0  # the score of the place a head looks at; elsewhere 0

# Directions of the plain residual stream.
NAMES = ["value", *(f"at {i}" for i in range(CONTEXT)), "p", "q", "r2", "r3", "s", "said", "t"]
NAMES += ["and", "or", "backup", "negative", *(f"idle {i}" for i in range(4))]
AT = {name: index for index, name in enumerate(NAMES)}
WIDTH = len(NAMES)
SUMMED = ["and", "or", "said", "backup", "t", "negative"]


def brings(place: int | None, source: str, target: str, factor: float = 1.0) -> PlainHead:
    """A head that looks from every place at one (None: at its own), and copies a direction."""
    q, k, v = (np.zeros((WIDTH, CONTEXT)) for _ in range(3))
    o = np.zeros((CONTEXT, WIDTH))
    for here in range(CONTEXT):
        q[AT[f"at {here}"], here if place is None else place] = FOCUS
        k[AT[f"at {here}"], here] = 1
    v[AT[source], 0], o[0, AT[target]] = 1, factor
    return PlainHead(q, k, v, o)


def idle(random: np.random.Generator) -> PlainHead:
    q, k, v = (random.integers(-4, 5, (WIDTH, CONTEXT)) / 8 for _ in range(3))
    o = np.zeros((CONTEXT, WIDTH))
    o[:, AT["idle 0"] :] = random.integers(-4, 5, (CONTEXT, 4)) / 16
    return PlainHead(q, k, v, o)


def mlp(units: list[tuple[dict[str, float], float, dict[str, float]]]) -> PlainMLP:
    """One unit for each (what it reads, its bias, what it writes)."""
    inward, outward = np.zeros((WIDTH, len(units))), np.zeros((len(units), WIDTH))
    for unit, (reads, _, writes) in enumerate(units):
        for name, weight in reads.items():
            inward[AT[name], unit] = weight
        for name, weight in writes.items():
            outward[unit, AT[name]] = weight
    bias = np.array([bias for _, bias, _ in units])
    return PlainMLP(inward, bias, outward, np.zeros(WIDTH))


def model() -> PlainTransformer:
    random = np.random.default_rng(0)
    embed = np.zeros((len(VOCABULARY), WIDTH))
    for word, value in VALUES.items():
        embed[VOCABULARY.index(word), AT["value"]] = value
    positions: Array = np.zeros((CONTEXT, WIDTH))
    positions[range(CONTEXT), range(AT["at 0"], AT["at 0"] + CONTEXT)] = 1
    place = {slot: index for index, slot in enumerate(SLOTS, 1)}
    first = [
        brings(place["P"], "value", "p"),
        brings(place["Q"], "value", "q"),
        brings(place["R"], "value", "r2"),
        brings(place["R"], "value", "r3"),
        brings(place["S"], "value", "s"),
    ]
    second = [
        brings(place["S"], "value", "said"),
        brings(place["T"], "value", "negative", -0.5),
        brings(place["T"], "value", "t"),
        idle(random),
        idle(random),
    ]
    either = {"r2": 1.0, "r3": 1.0}
    gates = mlp(
        [
            ({"p": 1, "q": 1}, -1, {"and": 1}),
            (either, 0, {"or": 1}),
            (either, -CAP, {"or": -1}),
        ]
    )
    spare = [
        (
            {name: float(random.integers(-4, 5)) / 8 for name in NAMES},
            0.25,
            {f"idle {i}": float(random.integers(-4, 5)) / 16 for i in range(4)},
        )
        for _ in range(3)
    ]
    backup = mlp([({"s": 1, "said": -1}, 0, {"backup": 1}), *spare])
    unembed = np.zeros((WIDTH, len(VOCABULARY)))
    unembed[[AT[name] for name in SUMMED], VOCABULARY.index("good")] = LOGITS
    unembed[AT["at 0"] : AT["at 0"] + CONTEXT, VOCABULARY.index(BOS)] = CONSTANT_LOGIT
    return PlainTransformer(VOCABULARY, embed, positions, [first, second], [gates, backup], unembed)


if __name__ == "__main__":
    built = model()
    write(built, FOLDER)
    write_json(
        FOLDER / "truth.json",
        {
            "about": "Written by scripts/make_gates.py; its docstring explains the construction.",
            "values": VALUES,
            "logits per unit": LOGITS,
            "cap": CAP,
            "wiring": built.wiring(),
        },
    )
