"""Make `circuitlang/bundled/toy/`: a GPT-2-format model wired by hand, so that its circuit is known.

    python scripts/make_toy.py

The task: "ann likes tea. bob likes jam. ann likes" -> " tea" (foil: " jam").

The residual stream (96 dimensions) is cut into subspaces. A code is a centred one-hot vector,
e_i - 1/n, so everything any node writes sums to zero and LayerNorm's mean is always zero.

    TOK   32  which token this is; the tied unembedding reads it, so it also holds the logits
    POS   16  which position this is
    KEY   12  at a food: the name two tokens back            written by a0.h0 and a0.h1
    ASK   12  at a verb: the name one token back             written by a0.h2
    ANS   12  at a food: that food's answer code             written by m0
    IDLE  10  random values                                  written by idle nodes, read by idle ones
    CONST  2  +100 and -100, the always-live bias of layer 0's attention output

The algorithm:

    a0.h0, a0.h1   look two tokens back, copy a name into KEY. A redundant pair: they write the same.
    a0.h2          looks one token back, copies a name into ASK.
    m0             turns a food token into its answer code, a permutation of the foods, in ANS,
                   times that food's loudness (0.75 to 1.25), so that prompts differ in their metric.
    a1.h0          positive. Queries ASK, matches KEY (q- and k-composition), reads ANS
                   (v-composition), writes +4 on the food's TOK direction.
    a2.h2          negative, a copy suppressor. Queries what a1.h0 wrote in TOK, matches ANS,
                   reads ANS, writes -1 on the same direction.
    the rest       idle: random reads from the whole stream (but CONST), random writes into IDLE.

Why LayerNorm is harmless: in layer 0's attention every input has the same norm exactly, being one
TOK code plus one POS code, and the gain undoes it. Later, CONST holds 20,000 of a squared norm that
nothing else moves by more than about 25, so LayerNorm divides by almost the same number everywhere
and the gain multiplies by it again. CONST is a bias that no node owns, so no ablation removes it.

Why one of the pair is enough: a match by both scores about 73, by one 33 to 37, and the sink (the
key of <bos>) 24, so softmax is saturated either way; with neither, the sink wins, and its value is 0.

Every weight comes from exact numbers by a few correctly rounded operations on single numbers (no
matrix product, no long inexact sum), so the file is the same on every machine.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FOLDER = Path(__file__).resolve().parent.parent / "circuitlang" / "bundled" / "toy"

# The task. Clean prompts use the first lists, corrupted ones the second, so that a corrupted prompt
# never mentions a clean word by accident: a0.h0 reading "bob" where a0.h1 still reads "ann" would be
# a real tie between two names, not noise. The corrupted prompt asks about a third stranger. Were it
# about the first one again, ablating a0.h0 and a0.h2 together would do no harm: the corrupted
# question would find the corrupted name, at the right place.
NAMES = ["ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal"]
STRANGERS = ["ida", "jon", "kim", "lee"]
FOODS = ["tea", "jam", "rice", "milk", "corn", "bread", "fish", "cake"]
LEFTOVERS = ["soup", "ham", "salt", "wine"]
TEMPLATES = {
    "first": "{A:A1} likes {X}. {B} likes {Y}. {A:A2} likes",
    "second": "{B} likes {Y}. {A:A1} likes {X}. {A:A2} likes",
}
WORDS = ["<unk>", "<bos>", ".", "likes", "has", "wants", "and", "but"]
VOCABULARY = WORDS + NAMES + STRANGERS + FOODS + LEFTOVERS
ID = {word: index for index, word in enumerate(VOCABULARY)}

# The shape.
LAYERS, HEADS, D_MODEL, D_HEAD, D_MLP, CONTEXT = 3, 4, 96, 24, 48, 16
EPSILON = 1e-5

# The subspaces.
TOK = np.arange(0, 32)
POS = np.arange(32, 48)
KEY = np.arange(48, 60)
ASK = np.arange(60, 72)
ANS = np.arange(72, 84)
IDLE = np.arange(84, 94)
CONST = np.arange(94, 96)
TOK_NAMES = TOK[[ID[word] for word in NAMES + STRANGERS]]
TOK_FOODS = TOK[[ID[word] for word in FOODS + LEFTOVERS]]
CODES = ANS[[(5 * food + 3) % 12 for food in range(12)]]  # food -> its place in ANS

# The sizes of things.
CONSTANT = 100.0
MATCH = 14.0  # in W_Q and in W_K: a match scores 14 * 14 / sqrt(24) = 40
SINK = 8.5  # b_Q on the sink's dimension: <bos> scores 8.5 * 14 / sqrt(24) = 24
POSITIVE, NEGATIVE = 4.0, -1.0  # written on the answer's TOK direction, per loudness
LOUDNESS = np.array([1.25, 0.75, 1.125, 0.875, 1, 1.125, 0.875, 1, 1, 1, 1, 1])  # by food
GAIN = 2.0  # logits per unit of TOK

# The circuit, as EAP-IG names its edges.
ROLES = {
    "previous": ["a0.h0", "a0.h1"],
    "asker": ["a0.h2"],
    "coder": ["m0"],
    "positive": ["a1.h0"],
    "negative": ["a2.h2"],
}
ROLES["idle"] = [
    node
    for layer in range(LAYERS)
    for node in [*(f"a{layer}.h{head}" for head in range(HEADS)), f"m{layer}"]
    if node not in set(itertools.chain(*ROLES.values()))
]
TRUE_EDGES = {  # edge -> the places where it works (of the sender's output)
    "input->a0.h0<v>": ["A1", "B"],
    "input->a0.h1<v>": ["A1", "B"],
    "input->a0.h2<v>": ["A2"],
    "input->m0": ["X", "Y"],
    "a0.h0->a1.h0<k>": ["X", "Y"],
    "a0.h1->a1.h0<k>": ["X", "Y"],
    "a0.h2->a1.h0<q>": ["END"],
    "m0->a1.h0<v>": ["X", "Y"],
    "a1.h0->a2.h2<q>": ["END"],
    "m0->a2.h2<k>": ["X", "Y"],
    "m0->a2.h2<v>": ["X", "Y"],
    "a1.h0->logits": ["END"],
    "a2.h2->logits": ["END"],
}
POSITIONAL_EDGES = [f"input->a0.h{head}<{port}>" for head in range(3) for port in "qk"]
SINK_EDGES = ["input->a1.h0<k>", "input->a2.h2<k>"]
PAIR_EDGES = ["a0.h0->a1.h0<k>", "a0.h1->a1.h0<k>"]


# --------------------------------------------------------------------------- building the weights

Weights = dict[str, np.ndarray]


def build() -> Weights:
    """All parameters under their Hugging Face names, float32."""
    weights = _blank()
    _embeddings(weights)
    _norms(weights)
    weights["transformer.h.0.attn.c_proj.bias"][CONST] = [CONSTANT, -CONSTANT]
    _look_back(weights, head=0, steps=2, target=KEY)
    _look_back(weights, head=1, steps=2, target=KEY)
    _look_back(weights, head=2, steps=1, target=ASK)
    _answer_codes(weights)
    _match(weights, 1, 0, query=ASK, per_query=MATCH, key=KEY, write=POSITIVE)
    _match(
        weights, 2, 2, query=TOK_FOODS, per_query=2 * MATCH / POSITIVE, key=CODES, write=NEGATIVE
    )
    _idle(weights)
    return {name: np.ascontiguousarray(w, dtype=np.float32) for name, w in weights.items()}


def _blank() -> Weights:
    weights = {"transformer.wte.weight": np.zeros((len(VOCABULARY), D_MODEL))}
    weights["transformer.wpe.weight"] = np.zeros((CONTEXT, D_MODEL))
    shapes = {
        "attn.c_attn": (D_MODEL, 3 * D_MODEL),
        "attn.c_proj": (D_MODEL, D_MODEL),
        "mlp.c_fc": (D_MODEL, D_MLP),
        "mlp.c_proj": (D_MLP, D_MODEL),
    }
    for layer, (name, shape) in itertools.product(range(LAYERS), shapes.items()):
        weights[f"transformer.h.{layer}.{name}.weight"] = np.zeros(shape)
        weights[f"transformer.h.{layer}.{name}.bias"] = np.zeros(shape[1])
    norms = [f"h.{layer}.ln_{half}" for layer in range(LAYERS) for half in (1, 2)] + ["ln_f"]
    for name in norms:
        weights[f"transformer.{name}.weight"] = np.ones(D_MODEL)
        weights[f"transformer.{name}.bias"] = np.zeros(D_MODEL)
    return weights


def _centred(size: int) -> np.ndarray:
    """The codes of `size` things: row i is e_i - 1/size."""
    return np.eye(size) - 1 / size


def _embeddings(weights: Weights) -> None:
    weights["transformer.wte.weight"][:, TOK] = _centred(len(TOK))
    weights["transformer.wpe.weight"][:, POS] = _centred(len(POS))


def _norms(weights: Weights) -> None:
    """Gains that undo LayerNorm's division, so that weights below speak in plain units."""
    embedded = (1 - 1 / len(TOK)) + (1 - 1 / len(POS))
    later = np.sqrt(2 * CONSTANT**2 / D_MODEL)
    for layer, half in itertools.product(range(LAYERS), (1, 2)):
        weights[f"transformer.h.{layer}.ln_{half}.weight"][:] = later
    weights["transformer.h.0.ln_1.weight"][:] = np.sqrt(embedded / D_MODEL + EPSILON)
    weights["transformer.ln_f.weight"][:] = later * GAIN


class Head(NamedTuple):
    """Views into one head's weights: q, k and v are d_model x d_head, o is d_head x d_model."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    o: np.ndarray
    b_q: np.ndarray
    b_k: np.ndarray
    b_v: np.ndarray


def _head(weights: Weights, layer: int, head: int) -> Head:
    prefix = f"transformer.h.{layer}.attn"
    inward, bias = weights[f"{prefix}.c_attn.weight"], weights[f"{prefix}.c_attn.bias"]
    columns = [
        slice(part * D_MODEL + head * D_HEAD, part * D_MODEL + (head + 1) * D_HEAD)
        for part in range(3)
    ]
    out = weights[f"{prefix}.c_proj.weight"][head * D_HEAD : (head + 1) * D_HEAD]
    return Head(*(inward[:, c] for c in columns), out, *(bias[c] for c in columns))


def _look_back(weights: Weights, head: int, steps: int, target: np.ndarray) -> None:
    """A layer-0 head that attends `steps` back (or to <bos>) and copies a name into `target`."""
    views = _head(weights, 0, head)
    for position in range(CONTEXT):
        views.q[POS[position], max(position - steps, 0)] = MATCH
        views.k[POS[position], position] = MATCH
    views.v[TOK_NAMES, np.arange(12)] = 1
    views.o[np.ix_(range(12), target)] = _centred(12)  # a token that is no name becomes zero


def _answer_codes(weights: Weights) -> None:
    """m0's first 12 units: unit f is on exactly when the token is food f, and writes its code."""
    inward = weights["transformer.h.0.mlp.c_fc.weight"]
    inward[TOK_FOODS, range(12)] = 2
    weights["transformer.h.0.mlp.c_fc.bias"][:12] = -1
    on = 2 * (1 - 1 / len(TOK)) - 1
    outward = weights["transformer.h.0.mlp.c_proj.weight"]
    outward[np.ix_(range(12), CODES)] = _centred(12) * LOUDNESS[:, None] / on


def _match(
    weights: Weights,
    layer: int,
    head: int,
    *,
    query: np.ndarray,
    per_query: float,
    key: np.ndarray,
    write: float,
) -> None:
    """A head that attends where `key` holds what `query` holds here, else to <bos>.

    It reads a food's answer code there and writes `write` times that food's TOK direction.
    """
    views = _head(weights, layer, head)
    views.q[query, range(12)] = per_query
    views.k[key, range(12)] = MATCH
    views.b_q[12] = SINK
    views.k[TOK[ID["<bos>"]], 12] = MATCH
    views.v[CODES, range(12)] = 1
    views.o[range(12), TOK_FOODS] = write


def _idle(weights: Weights) -> None:
    """Random idle heads and MLPs. Their numbers are multiples of 1/8, so sums of them are exact."""
    random = np.random.default_rng(0)
    readable = np.arange(D_MODEL) < CONST[0]

    def draw(*shape: int) -> np.ndarray:
        return random.integers(-8, 9, size=shape) / 8

    def into_idle(rows: int) -> np.ndarray:
        values = draw(rows, len(IDLE)) / 16
        return values - values.sum(axis=1, keepdims=True) / len(IDLE)

    for layer in range(LAYERS):
        for head in range(HEADS):
            if f"a{layer}.h{head}" in ROLES["idle"]:
                views = _head(weights, layer, head)
                for matrix in (views.q, views.k, views.v):
                    matrix[readable] = draw(int(readable.sum()), D_HEAD)
                for bias in (views.b_q, views.b_k, views.b_v):
                    bias[:] = draw(D_HEAD)
                views.o[:, IDLE] = into_idle(D_HEAD)
        prefix, units = f"transformer.h.{layer}.mlp", slice(12 if layer == 0 else 0, D_MLP)
        count = len(range(D_MLP)[units])
        weights[f"{prefix}.c_fc.weight"][readable, units] = draw(int(readable.sum()), count)
        weights[f"{prefix}.c_fc.bias"][units] = draw(count)
        weights[f"{prefix}.c_proj.weight"][units, IDLE[0] : IDLE[-1] + 1] = into_idle(count)
        weights[f"{prefix}.c_proj.bias"][IDLE] = into_idle(1)[0]


# ----------------------------------------------------------------------------- writing the folder

CONFIG: dict[str, Any] = {
    "architectures": ["GPT2LMHeadModel"],
    "model_type": "gpt2",
    "vocab_size": len(VOCABULARY),
    "n_positions": CONTEXT,
    "n_embd": D_MODEL,
    "n_layer": LAYERS,
    "n_head": HEADS,
    "n_inner": D_MLP,
    "activation_function": "relu",
    "layer_norm_epsilon": EPSILON,
    "attn_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "resid_pdrop": 0.0,
    "scale_attn_weights": True,
    "tie_word_embeddings": True,
    "use_cache": True,
    "bos_token_id": ID["<bos>"],
    "eos_token_id": ID["<bos>"],
    "dtype": "float32",
}
SPECIAL = {"bos_token": "<bos>", "eos_token": "<bos>", "unk_token": "<unk>", "pad_token": "<bos>"}
TOKENIZER_CONFIG = {
    **SPECIAL,
    "tokenizer_class": "PreTrainedTokenizerFast",
    "clean_up_tokenization_spaces": False,
    "model_max_length": CONTEXT,
}


def write(folder: Path = FOLDER) -> None:
    """Everything but truth.json. The tokenizer adds no <bos>: like GPT-2's, it leaves that to you."""
    from safetensors.numpy import save_file
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    save_file(build(), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    tokenizer = Tokenizer(models.WordLevel(ID, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # words, and punctuation by itself
    tokenizer.add_special_tokens([AddedToken(w, special=True) for w in ("<unk>", "<bos>")])
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(folder / "config.json", CONFIG)
    _write_json(folder / "tokenizer_config.json", TOKENIZER_CONFIG)
    _write_json(folder / "special_tokens_map.json", SPECIAL)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


# -------------------------------------------------------------------------------------- the task


class Example(NamedTuple):
    """Token ids of one prompt with <bos>, and of what it is compared with."""

    template: str
    tokens: list[int]
    answer: int
    foil: int


PLACES = {
    "first": {"A1": 1, "X": 3, "B": 5, "Y": 7, "A2": 9, "END": 10},
    "second": {"B": 1, "Y": 3, "A1": 5, "X": 7, "A2": 9, "END": 10},
}


def example(template: str, a1: str, b: str, a2: str, x: str, y: str) -> Example:
    text = TEMPLATES[template].replace("{A:A1}", a1).replace("{A:A2}", a2).replace("{B}", b)
    text = text.replace("{X}", x).replace("{Y}", y).replace(".", " .")
    return Example(template, [ID[word] for word in ["<bos>", *text.split()]], ID[x], ID[y])


def all_examples() -> list[Example]:
    """The whole population of clean prompts: 2 * 56 * 56."""
    pairs = itertools.product(itertools.permutations(NAMES, 2), itertools.permutations(FOODS, 2))
    return [example(t, a, b, a, *foods) for (a, b), foods in pairs for t in TEMPLATES]


def sample(count: int, kind: str = "strangers", seed: int = 0) -> list[tuple[Example, Example]]:
    """(clean, corrupted) pairs, as many of each template.

    Corrupted prompts are about `strangers` (the task's own corruption), or draw their words from
    the clean lists (`overlapping`), or ask about the first stranger again (`renamed`).
    """
    random = np.random.default_rng(seed)
    overlapping = kind == "overlapping"
    strangers, leftovers = (NAMES, FOODS) if overlapping else (STRANGERS, LEFTOVERS)

    def distinct(words: Sequence[str], number: int) -> list[str]:
        return [words[i] for i in random.choice(len(words), number, replace=False)]

    def pair(template: str) -> tuple[Example, Example]:
        (a, b), foods = distinct(NAMES, 2), distinct(FOODS, 2)
        other = distinct(strangers, 3)
        if kind == "renamed":
            other[2] = other[0]
        corrupted = example(template, *other, *distinct(leftovers, 2))
        return example(template, a, b, a, *foods), corrupted

    return [pair(template) for _ in range(count // len(TEMPLATES)) for template in TEMPLATES]


# ----------------------------------------------------------- a small dense evaluator, to check it


def edge_names() -> list[str]:
    """Every edge of the model in EAP-IG's names, receiver by receiver."""
    senders, edges = ["input"], []
    for layer in range(LAYERS):
        heads = [f"a{layer}.h{head}" for head in range(HEADS)]
        edges += [f"{s}->{h}<{port}>" for port in "qkv" for h in heads for s in senders]
        senders += heads
        edges += [f"{s}->m{layer}" for s in senders]
        senders.append(f"m{layer}")
    return edges + [f"{s}->logits" for s in senders]


class Dense:
    """M[S;a] by its definition, in float64: each port's input is summed over all senders."""

    def __init__(self, weights: Weights) -> None:
        import torch

        self.torch = torch
        self.w = {
            name.removeprefix("transformer."): torch.from_numpy(w.astype(np.float64))
            for name, w in weights.items()
        }
        self.edges = edge_names()

    def norm(self, x: Any, name: str) -> Any:
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.pow(2).mean(-1, keepdim=True) + EPSILON).sqrt()
        return x * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def run(self, tokens: Any, live: Any = None, ablated: dict[str, Any] | None = None) -> Any:
        """(logits at the last position, every sender's output).

        `live` is runs x edges x positions (or 1), True where the edge carries its recomputed
        value; `ablated` holds every sender's other value, prompts x positions x d_model.
        """
        torch, outputs = self.torch, {}
        length = tokens.shape[1]
        number = {edge: i for i, edge in enumerate(self.edges)}
        always = torch.zeros(D_MODEL, dtype=torch.float64)
        outputs["input"] = self.w["wte.weight"][tokens] + self.w["wpe.weight"][:length]
        if live is not None:
            outputs["input"] = outputs["input"].expand(len(live), *outputs["input"].shape)

        def read(receiver: str) -> Any:
            total = always
            for sender, value in outputs.items():
                if live is not None:
                    keep = live[:, number[f"{sender}->{receiver}"]][:, None, :, None]
                    value = torch.where(keep, value, ablated[sender])
                total = total + value
            return total

        for layer in range(LAYERS):
            heads = {f"a{layer}.h{h}": self.head(layer, h, read) for h in range(HEADS)}
            outputs.update(heads)
            always = always + self.w[f"h.{layer}.attn.c_proj.bias"]
            outputs[f"m{layer}"] = self.mlp(layer, read(f"m{layer}"))
        final = self.norm(read("logits"), "ln_f")[..., -1, :]
        return final @ self.w["wte.weight"].T, outputs

    def head(self, layer: int, head: int, read: Any) -> Any:
        weight, bias = (
            self.w[f"h.{layer}.attn.c_attn.weight"],
            self.w[f"h.{layer}.attn.c_attn.bias"],
        )
        parts = []
        for part, port in enumerate("qkv"):
            columns = slice(part * D_MODEL + head * D_HEAD, part * D_MODEL + (head + 1) * D_HEAD)
            x = self.norm(read(f"a{layer}.h{head}<{port}>"), f"h.{layer}.ln_1")
            parts.append(x @ weight[:, columns] + bias[columns])
        q, k, v = parts
        scores = q @ k.transpose(-1, -2) / D_HEAD**0.5
        future = self.torch.ones(scores.shape[-2:], dtype=self.torch.bool).triu(1)
        pattern = scores.masked_fill(future, float("-inf")).softmax(-1)
        out = self.w[f"h.{layer}.attn.c_proj.weight"][head * D_HEAD : (head + 1) * D_HEAD]
        return pattern @ v @ out

    def mlp(self, layer: int, x: Any) -> Any:
        x = self.norm(x, f"h.{layer}.ln_2") @ self.w[f"h.{layer}.mlp.c_fc.weight"]
        x = (x + self.w[f"h.{layer}.mlp.c_fc.bias"]).relu()
        return x @ self.w[f"h.{layer}.mlp.c_proj.weight"] + self.w[f"h.{layer}.mlp.c_proj.bias"]


class Measure:
    """F(S), the mean logit difference answer - foil, for one sample and one ablation."""

    def __init__(self, dense: Dense, pairs: list[tuple[Example, Example]], ablation: str) -> None:
        torch = dense.torch
        self.dense, self.torch = dense, torch
        self.clean = [clean for clean, _ in pairs]
        self.tokens = torch.tensor([clean.tokens for clean, _ in pairs])
        corrupted = torch.tensor([other.tokens for _, other in pairs])
        _, values = dense.run(corrupted)
        if ablation == "zero":
            values = {node: torch.zeros_like(value) for node, value in values.items()}
        elif ablation == "mean":
            values = {node: self._per_template(value) for node, value in values.items()}
        self.ablated = values

    def _per_template(self, value: Any) -> Any:
        result = self.torch.empty_like(value)
        for template in TEMPLATES:
            rows = [i for i, e in enumerate(self.clean) if e.template == template]
            result[rows] = value[rows].mean(0)
        return result

    def many(self, sets: Sequence[Iterable[str]], chunk: int = 24) -> list[float]:
        results: list[float] = []
        for start in range(0, len(sets), chunk):
            chosen = [set(s) for s in sets[start : start + chunk]]
            live = self.torch.tensor([[e in s for e in self.dense.edges] for s in chosen])
            results += self._run(self.tokens, live[..., None], self.clean, self.ablated)
        return results

    def __call__(self, edges: Iterable[str]) -> float:
        return self.many([edges])[0]

    def at(self, located: dict[str, list[str]]) -> float:
        """F of a circuit whose edges are live at some places only."""
        total = 0.0
        for template, place in PLACES.items():
            rows = [i for i, e in enumerate(self.clean) if e.template == template]
            live = self.torch.zeros(1, len(self.dense.edges), self.tokens.shape[1], dtype=bool)
            for edge, places in located.items():
                live[0, self.dense.edges.index(edge), [place[p] for p in places]] = True
            ablated = {node: value[rows] for node, value in self.ablated.items()}
            clean = [self.clean[i] for i in rows]
            total += self._run(self.tokens[rows], live, clean, ablated)[0] * len(rows)
        return total / len(self.clean)

    def _run(self, tokens: Any, live: Any, clean: list[Example], ablated: Any) -> list[float]:
        logits, _ = self.dense.run(tokens, live, ablated)
        answer = self.torch.tensor([e.answer for e in clean])
        foil = self.torch.tensor([e.foil for e in clean])
        rows = self.torch.arange(len(clean))
        return (logits[:, rows, answer] - logits[:, rows, foil]).mean(-1).tolist()


# -------------------------------------------------------------------------- measuring and checking


def measure(dense: Dense, ablation: str, count: int = 32) -> dict[str, Any]:
    """Every number of truth.json for one ablation."""
    every = dense.edges
    circuit = list(TRUE_EDGES)
    if ablation == "zero":
        circuit += POSITIONAL_EDGES + SINK_EDGES
    f = Measure(dense, sample(count), ablation)

    def without(edges: Iterable[str], *removed: str) -> list[str]:
        return [e for e in edges if e not in removed]

    whole, nothing, alone = f.many([every, [], circuit])
    effect = whole - nothing
    from_model = [(whole - v) / effect for v in f.many([without(every, e) for e in every])]
    from_circuit = [(alone - v) / effect for v in f.many([without(circuit, e) for e in circuit])]
    effects = dict(zip(every, from_model, strict=True))
    others = {e: v for e, v in effects.items() if e not in circuit}
    worst = max(others, key=lambda e: abs(others[e]))
    numbers = {
        "prompts": count,
        "F(M)": whole,
        "F(none)": nothing,
        "F(C)": alone,
        "faithfulness": (alone - nothing) / effect,
        "F(M - C)": f(without(every, *circuit)),
        "effect in M of each true edge": {e: effects[e] for e in circuit},
        "drop in C of each true edge": dict(zip(circuit, from_circuit, strict=True)),
        "largest effect in M of any other edge": {worst: others[worst]},
        "pair, effect in M": pair_drops(f, every, effect),
        "pair, drop in C": pair_drops(f, circuit, effect),
        "positive silenced (effect of a1.h0->logits)": effects["a1.h0->logits"],
        "negative silenced (effect of a2.h2->logits)": effects["a2.h2->logits"],
    }
    if ablation == "resample":
        numbers["F(C), each edge at its places only"] = f.at(TRUE_EDGES)
    return numbers


def pair_drops(f: Measure, edges: Sequence[str], effect: float) -> dict[str, float]:
    """What removing one of the redundant pair, or both, takes from F, as a share of the effect."""
    removals = {"a0.h0": PAIR_EDGES[:1], "a0.h1": PAIR_EDGES[1:], "both": PAIR_EDGES}
    kept = [[e for e in edges if e not in removed] for removed in [[], *removals.values()]]
    base, *values = f.many(kept)
    return {name: (base - v) / effect for name, v in zip(removals, values, strict=True)}


def other_corruption(dense: Dense, kind: str) -> dict[str, Any]:
    """What changes under a less careful corruption."""
    f = Measure(dense, sample(512, kind), "resample")
    hidden = [e for e in dense.edges if e.split("->")[0] not in ("a0.h0", "a0.h2")]
    whole, nothing, alone, value = f.many([dense.edges, [], list(TRUE_EDGES), hidden], chunk=1)
    effect = whole - nothing
    return {
        "F(M)": whole,
        "F(none)": nothing,
        "faithfulness": (alone - nothing) / effect,
        "pair, effect in M": pair_drops(f, dense.edges, effect),
        "a0.h0 and a0.h2 together, effect in M": (whole - value) / effect,
    }


def check(dense: Dense, numbers: dict[str, Any]) -> None:
    """Stop when the model is not what the top of this file says."""
    for ablation in ("resample", "zero"):
        n = numbers[ablation]
        assert 0.97 <= n["faithfulness"] <= 1.03, ablation
        assert all(abs(v) < 1e-3 for v in n["largest effect in M of any other edge"].values())
        for where in ("pair, effect in M", "pair, drop in C"):
            assert all(abs(n[where][head]) < 0.03 for head in ROLES["previous"]), ablation
            assert n[where]["both"] > 0.95, ablation
        assert n["positive silenced (effect of a1.h0->logits)"] > 1
        assert -0.6 < n["negative silenced (effect of a2.h2->logits)"] < -0.1
    assert abs(numbers["resample"]["F(none)"]) < 1e-3
    assert len(TRUE_EDGES) < len(dense.edges) / 5
    assert len(TRUE_EDGES) + len(POSITIONAL_EDGES) + len(SINK_EDGES) < len(dense.edges) / 5


def idle_values(dense: Dense) -> dict[str, float]:
    """How much each idle node's output changes with the prompt, beside the size of the output."""
    pairs = sample(64)
    _, clean = dense.run(dense.torch.tensor([c.tokens for c, _ in pairs]))
    _, other = dense.run(dense.torch.tensor([o.tokens for _, o in pairs]))
    change = {n: (clean[n] - other[n]).norm(dim=-1) / clean[n].norm(dim=-1) for n in ROLES["idle"]}
    return {node: float(value.mean()) for node, value in change.items()}


def hugging_face(dense: Dense, every: int = 1) -> dict[str, float]:
    """Load the folder as anyone would: accuracy on the prompts, and agreement with `Dense`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(FOLDER).eval()
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    text = "<bos>ann likes tea. bob likes jam. ann likes"
    expected = example("first", "ann", "bob", "ann", "tea", "jam").tokens
    assert tokenizer(text)["input_ids"] == expected, tokenizer(text)
    examples = all_examples()[::every]
    tokens = torch.tensor([e.tokens for e in examples])
    answer = torch.tensor([e.answer for e in examples])
    foil = torch.tensor([e.foil for e in examples])
    with torch.no_grad():
        logits = torch.cat([model(part).logits[:, -1] for part in tokens.split(512)])
    ours = dense.run(tokens[::25])[0]
    rows = torch.arange(len(examples))
    difference = logits[rows, answer] - logits[rows, foil]
    return {
        "prompts": len(examples),
        "accuracy": (logits.argmax(-1) == answer).double().mean().item(),
        "least logit difference": difference.min().item(),
        "mean logit difference": difference.mean().item(),
        "largest deviation of the dense evaluator": (logits[::25] - ours).abs().max().item(),
    }


def rounded(value: Any) -> Any:
    """Six decimals, so that truth.json does not depend on the machine."""
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    return round(value, 6) + 0.0 if isinstance(value, float) else value


def truth(dense: Dense) -> dict[str, Any]:
    numbers = {ablation: measure(dense, ablation) for ablation in ("resample", "zero", "mean")}
    check(dense, numbers)
    whole = hugging_face(dense)
    assert whole["accuracy"] == 1
    assert whole.pop("largest deviation of the dense evaluator") < 1e-4
    return rounded(
        {
            "about": "Written by scripts/make_toy.py; its docstring explains the construction.",
            "units": "F is logit(answer) - logit(foil), averaged; effects and drops are shares of "
            "F(M) - F(none). Means are over the sample's corrupted prompts, per template.",
            "task": {
                "example": {"prompt": "ann likes tea. bob likes jam. ann likes", "answer": "tea"},
                "templates": TEMPLATES,
                "A and B": NAMES,
                "X and Y": FOODS,
                "answer": "{X}",
                "foil": "{Y}",
                "distinct": [["A", "B"], ["X", "Y"]],
                "corrupted A1, B and A2": STRANGERS,
                "corrupted X and Y": LEFTOVERS,
                "distinct when corrupted": [["A1", "B", "A2"], ["X", "Y"]],
                "bos": True,
                "positions, <bos> being 0": PLACES,
            },
            "roles": ROLES,
            "edges": {
                "all": len(dense.edges),
                "true": list(TRUE_EDGES),
                "places of each true edge": TRUE_EDGES,
                "also true under zero": POSITIONAL_EDGES,
                "sinks, under zero only when nothing matches": SINK_EDGES,
                "redundant pair": PAIR_EDGES,
            },
            "hugging face, all prompts": whole,
            "measured": numbers,
            "measured under other corruptions": {
                "names and foods from the clean lists": other_corruption(dense, "overlapping"),
                "A2 = A1, all else as in the task": other_corruption(dense, "renamed"),
            },
            "idle nodes, relative change of output under corruption": idle_values(dense),
        }
    )


def main() -> None:
    write()
    dense = Dense(build())
    facts = truth(dense)
    _write_json(FOLDER / "truth.json", facts)
    json.dump(facts, sys.stdout, indent=2)
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    print(f"\n{FOLDER}: {size:,} bytes")


if __name__ == "__main__":
    main()
