"""Published circuits as plain data, and loops that turn them into edges.

Each list is as its source has it: heads as (layer, head), arrows by the names that EAP-IG gives edges.
Nothing here is taken from the specs or from the compiler.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import combinations, pairwise

Placed = set[tuple[int, str]]

# ---------------------------------------------------------------- edges, by loops


def head(pair: tuple[int, int]) -> str:
    return f"a{pair[0]}.h{pair[1]}"


def heads(pairs: Iterable[tuple[int, int]]) -> list[str]:
    return [head(pair) for pair in pairs]


def mlps(layers: Iterable[int]) -> list[str]:
    return [f"m{layer}" for layer in layers]


def depth(node: str) -> int:
    """The order of computation: the heads of a layer, then its MLP."""
    if node in ("input", "logits"):
        return -1 if node == "input" else 1000
    return 2 * int(re.split(r"[am.]", node)[1]) + (node[0] == "m")


def edges(senders: Iterable[str], receivers: Iterable[str], ports: str = "qkv") -> set[str]:
    """All edges from the one to the other that run with the order; `ports` are those of heads."""
    found = set()
    for sender in senders:
        for receiver in receivers:
            if depth(sender) < depth(receiver):
                reads = [f"<{port}>" for port in ports] if receiver[0] == "a" else [""]
                found |= {f"{sender}->{receiver}{read}" for read in reads}
    return found


def nodes(layers: int, width: int, mlp: bool = True) -> list[str]:
    every = heads((layer, h) for layer in range(layers) for h in range(width))
    return ["input", *every, *(mlps(range(layers)) if mlp else []), "logits"]


GPT2 = nodes(12, 12)


def at(positions: Iterable[int], names: Iterable[str]) -> Placed:
    named = list(names)
    return {(position, name) for position in positions for name in named}


# ---------------------------------------------------------------- IOI: Wang et al. 2022

MOVERS = [(9, 9), (10, 0), (9, 6)]
BACKUPS = [(10, 10), (10, 6), (10, 2), (10, 1), (11, 2), (9, 7), (9, 0), (11, 9)]
NEGATIVES = [(10, 7), (11, 10)]
INHIBITION = [(7, 3), (7, 9), (8, 6), (8, 10)]
INDUCTION = [(5, 5), (5, 8), (5, 9), (6, 9)]
DUPLICATES = [(0, 1), (0, 10), (3, 0)]
PREVIOUS = [(2, 2), (4, 11)]
S1, S2, END, IOI_LENGTH = 4, 9, 14, 15
IOI_LABELS = {"IO": 2, "S1": S1, "S2": S2}
AT_END = MOVERS + BACKUPS + NEGATIVES + INHIBITION
TOKEN_OF = (
    dict.fromkeys(AT_END, END)
    | dict.fromkeys(INDUCTION + DUPLICATES, S2)
    | dict.fromkeys(PREVIOUS, S1 + 1)
)
NAIVE = [*MOVERS, *INHIBITION, (5, 5), (5, 9), (3, 0), (0, 10), *PREVIOUS]

# Their BABA_TEMPLATES, the first seven, without the name that is to be said.
WORDINGS = [
    "Then, [B] and [A] went to the [PLACE]. [B] gave a [OBJECT] to",
    "Then, [B] and [A] had a lot of fun at the [PLACE]. [B] gave a [OBJECT] to",
    "Then, [B] and [A] were working at the [PLACE]. [B] decided to give a [OBJECT] to",
    "Then, [B] and [A] were thinking about going to the [PLACE]. [B] wanted to give a [OBJECT] to",
    "Then, [B] and [A] had a long argument, and afterwards [B] said to",
    "After [B] and [A] went to the [PLACE], [B] gave a [OBJECT] to",
    "When [B] and [A] got a [OBJECT] at the [PLACE], [B] decided to give it to",
]

# Figure 20: head, K, score of the circuit without K, score without the head too.
SCORES = [
    ((9, 9), [], 2.62, 2.26),
    ((10, 0), [(9, 9)], 2.26, 1.91),
    ((9, 6), [(9, 9), (10, 0)], 1.91, 2.11),
    ((10, 7), [(11, 10)], 3.13, 4.07),
    ((11, 10), [(10, 7)], 3.27, 4.07),
    ((8, 10), [(7, 9), (8, 6), (7, 3)], 1.01, 0.24),
    ((7, 9), [(8, 10), (8, 6), (7, 3)], 0.92, 0.24),
    ((8, 6), [(7, 9), (8, 10), (7, 3)], 0.86, 0.24),
    ((7, 3), [(7, 9), (8, 10), (8, 6)], 0.43, 0.24),
    ((5, 5), [(5, 9), (6, 9), (5, 8)], 2.12, 0.97),
    ((6, 9), [(5, 9), (5, 5), (5, 8)], 1.46, 0.97),
    ((5, 9), [(11, 10), (10, 7)], 4.07, 3.33),
    ((5, 8), [(11, 10), (10, 7)], 4.07, 3.83),
    ((0, 1), [(0, 10), (3, 0)], 1.90, 0.60),
    ((0, 10), [(0, 1), (3, 0)], 1.66, 0.60),
    ((3, 0), [(0, 1), (0, 10)], 1.05, 0.60),
    ((4, 11), [(2, 2)], 2.28, 1.31),
    ((2, 2), [(4, 11)], 1.75, 1.31),
    ((10, 10), MOVERS, 2.11, 1.88),
    ((10, 6), [*MOVERS, (10, 10)], 1.88, 1.65),
    ((10, 2), [*MOVERS, (10, 10), (10, 6)], 1.65, 1.49),
    ((10, 1), [*MOVERS, (10, 10), (10, 6), (10, 2)], 1.49, 1.37),
    ((11, 2), [*MOVERS, (10, 10), (10, 6), (10, 2), (10, 1)], 1.37, 0.95),
    ((9, 7), [*MOVERS, (10, 10), (10, 6), (10, 2), (10, 1), (11, 2)], 0.95, 0.81),
    # "All name movers and negative heads", which is read with the other backups among them.
    ((9, 0), [*MOVERS, *NEGATIVES, *(b for b in BACKUPS if b != (9, 0))], 0.45, 0.41),
    ((11, 9), [*MOVERS, *NEGATIVES, *(b for b in BACKUPS if b != (11, 9))], 0.45, 0.41),
]


# ---------------------------------------------------------------- greater-than: Hanna et al. 2023

READERS = heads([(9, 1), (8, 11), (7, 10), (6, 9), (5, 5), (8, 8), (5, 1)])
EARLY = [*mlps(range(4)), *heads([(0, 5), (0, 3), (0, 1)])]
EARLIER = [*mlps(range(4)), "a0.h1"]
YY, YEAR_END, YEARS_LENGTH = 8, 12, 13
YEAR_LABELS = {"XX": 7, "YY": YY}
BELOW = [n for n in GPT2 if depth(n) < depth("a8.h0")]  # input and layers 0 to 7
ALL = range(YEARS_LENGTH)


def paths_up() -> Placed:
    """Heads to logits, directly or through one to four nested MLPs of layers 8 to 11, at END."""
    found: Placed = set()
    for number in range(5):
        for chain in combinations(mlps(range(8, 12)), number):
            for reader in READERS:
                path = [reader, *chain, "logits"]
                steps = list(pairwise(path))
                if all(depth(a) < depth(b) for a, b in steps):
                    found |= at([YEAR_END], (e for a, b in steps for e in edges([a], [b])))
    return found


def paths_down() -> Placed:
    """From the year's token into the heads' keys and values, and from the input to there."""
    found = at([YY], edges(EARLY, READERS, "kv")) | at([YY], edges(EARLIER, EARLY))
    found |= at([YY], edges(["input"], EARLY, "q"))  # and MLPs
    return found | at(ALL, (e for e in edges(["input"], EARLY, "kv") if e.endswith(">")))


# ---------------------------------------------------------------- docstrings

# Heimersheim's arrows in acdc/docstring/utils.py, with the tokens of docstring_official.py in AutoCircuit.
# `input->a2.h0<k>` has no token there; the spec has it at the comma, which no corruption changes.
ARROWS = {
    "a0.h5->a1.h4<v>": ["B_def", "B_doc"],
    "input->a0.h5<v>": ["B_def", "C_def", "B_doc"],
    "input->a2.h0<q>": ["C_def"],
    "a0.h5->a2.h0<q>": ["C_def"],
    "input->a2.h0<k>": [",_B"],
    "a0.h5->a2.h0<k>": ["B_def"],
    "a1.h4->a2.h0<v>": [",_B"],
    "input->a1.h4<v>": ["B_def", "B_doc"],
    "input->a1.h2<k>": ["A_def", "B_def", "A_doc", "B_doc"],
    "input->a1.h2<q>": ["A_doc", "B_doc"],
    "a0.h5->a1.h2<q>": ["B_doc"],
    "a0.h5->a1.h2<k>": ["B_def", "B_doc"],
}
for _h in ("a3.h0", "a3.h6"):
    ARROWS |= {
        f"{_h}->logits": ["param_3"],
        f"a1.h4->{_h}<q>": ["param_3"],
        f"input->{_h}<v>": ["C_def"],
        f"a0.h5->{_h}<v>": ["C_def"],
        f"a2.h0->{_h}<k>": ["C_def"],
        f"a1.h2->{_h}<k>": ["A_doc", "B_doc"],
    }
NODES = {
    (1, 4): [",_B"], (2, 0): ["C_def"], (3, 0): ["param_3"], (3, 6): ["param_3"],
    (0, 5): ["B_def", "C_def", "B_doc"], (1, 2): ["A_doc", "B_doc"],
    (0, 2): ["B_doc"], (0, 4): ["param_3"],
}  # fmt: skip
TOKENS = {"A_def": 11, "B_def": 13, ",_B": 14, "C_def": 15, "A_doc": 27, "B_doc": 34, "param_3": 40}
DOC_LENGTH = 41
