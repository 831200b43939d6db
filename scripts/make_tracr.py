"""Make the folders `truth/models/tracr_*`: RASP programs that Tracr has compiled to weights.

    pip install tracr-pypi==1.0.0 jax      # in an environment of its own
    pip install numpy safetensors tokenizers
    PYTHONPATH=. python scripts/make_tracr.py

Tracr (Lindner et al. 2023) gives a transformer without LayerNorm; `truth/wiring.py` puts it into
GPT-2's format. Each folder's `truth.json` has the RASP program's name, Tracr's own output on some
prompts and the edges over which anything can flow, read off the weights.

Only causal programs can be said: a GPT-2 sees no later token, so Tracr's `length`, `reverse` and
`sort`, which need it, are left out. A program has one head in a layer where nothing more is needed;
heads without weights fill a layer up to two, as Tracr itself fills up layers.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
from tracr.compiler import compiling, lib
from tracr.rasp import rasp

from truth.wiring import (
    BOS,
    UNKNOWN,
    PlainHead,
    PlainMLP,
    PlainTransformer,
    write,
    write_json,
)

FOLDER = Path(__file__).resolve().parent.parent / "truth" / "models"
LETTERS = ["a", "b", "c", "d", "e"]
LENGTH = 6  # tokens of a prompt, without <bos>
LEAST_HEADS = 2
LOGITS = 10.0  # logits per unit that Tracr writes
CONSTANT_LOGIT = -10.0  # of <bos>, so that not all logits vanish where a program writes nothing
MORE, LESS = (
    "more",
    "less",
)  # a numerical program's output is the logit of `more`; that of `less` is 0


def previous() -> rasp.SOp:
    """The token before."""
    before = rasp.Map(lambda i: i - 1, rasp.indices)
    return rasp.Aggregate(rasp.Select(rasp.indices, before, rasp.Comparison.EQ), rasp.tokens)


def induction() -> rasp.SOp:
    """The token that followed when the current one stood here before."""
    return rasp.Aggregate(rasp.Select(previous(), rasp.tokens, rasp.Comparison.EQ), rasp.tokens)


def count() -> rasp.SOp:
    """How often the current token has been seen so far, itself included."""
    return rasp.SelectorWidth(rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.EQ))


def fraction() -> rasp.SOp:
    """The share of "a" among the tokens so far."""
    return lib.make_frac_prevs(rasp.numerical(rasp.tokens == "a"))


def balance() -> rasp.SOp:
    """The share of "a" minus the share of "b" among the tokens so far."""
    return lib.make_pair_balance(rasp.tokens, "a", "b")


PROGRAMS = {
    "previous": previous,
    "induction": induction,
    "count": count,
    "fraction": fraction,
    "balance": balance,
}


def plain(compiled: Any) -> PlainTransformer:
    """Tracr's parameters; the numbers of a categorical output become words of the vocabulary."""
    params = {
        module: {name: np.asarray(value, dtype=np.float64) for name, value in found.items()}
        for module, found in compiled.params.items()
    }
    config = compiled.model_config
    encoding = {v: k for k, v in compiled.input_encoder.encoding_map.items()}
    words = [str(encoding[i]) for i in sorted(encoding)]
    outputs = _outputs(compiled)
    vocabulary = [UNKNOWN, *words, *(w for w in outputs if w not in words)]
    width = params["token_embed"]["embeddings"].shape[1]
    embed = np.zeros((len(vocabulary), width))
    embed[1 : 1 + len(words)] = params["token_embed"]["embeddings"]
    unembed = np.zeros((width, len(vocabulary)))
    for word, direction in outputs.items():
        if direction is not None:
            unembed[direction, vocabulary.index(word)] = LOGITS
    unembed[compiled.residual_labels.index("one"), vocabulary.index(BOS)] = CONSTANT_LOGIT
    layers = range(config.num_layers)
    return PlainTransformer(
        vocabulary,
        embed,
        params["pos_embed"]["embeddings"],
        [_heads(params, layer, config) for layer in layers],
        [_mlp(params, layer) for layer in layers],
        unembed,
    )


def _is_numerical(compiled: Any) -> bool:
    return not hasattr(compiled.output_encoder, "encoding_map")


def _outputs(compiled: Any) -> dict[str, int | None]:
    """Word of the output -> the residual direction that is its logit; None for a logit of 0."""
    labels = compiled.residual_labels
    if _is_numerical(compiled):
        return {MORE: labels.index(compiled.result), LESS: None}
    return {
        str(value): labels.index(f"{compiled.result}:{value}")
        for value in compiled.output_encoder.encoding_map
    }


def _heads(params: Any, layer: int, config: Any) -> list[PlainHead]:
    """Tracr divides scores by the root of its key size, `PlainHead` by nothing."""
    size, name = config.key_size, f"transformer/layer_{layer}/attn"
    found = []
    for head in range(config.num_heads):
        part = slice(head * size, (head + 1) * size)
        inward = [params[f"{name}/{kind}"]["w"][:, part] for kind in ("query", "key", "value")]
        outward = params[f"{name}/linear"]["w"][part]
        found.append(PlainHead(inward[0] / np.sqrt(size), inward[1], inward[2], outward))
    idle = PlainHead(*(0 * inward[0] for _ in range(3)), 0 * outward)
    return found + [idle] * (LEAST_HEADS - len(found))


def _mlp(params: Any, layer: int) -> PlainMLP:
    first, second = (params[f"transformer/layer_{layer}/mlp/linear_{i}"] for i in (1, 2))
    return PlainMLP(first["w"], first["b"], second["w"], second["b"])


def expected(compiled: Any, prompts: list[list[str]]) -> list[dict[str, Any]]:
    """Tracr's own output, position by position after <bos>, for prompts without it."""
    return [
        {"prompt": " ".join(prompt), "output": _output(compiled, compiled.apply([BOS, *prompt]))}
        for prompt in prompts
    ]


def _output(compiled: Any, applied: Any) -> list[float | str | None]:
    """Numbers or words; None where a program selects nothing and no word is written."""
    if _is_numerical(compiled):
        return [round(float(value), 6) for value in applied.decoded[1:]]
    written = np.asarray(applied.transformer_output)[0, 1:, list(_outputs(compiled).values())]
    strongest = written.max(axis=0)
    return [
        str(value) if most > 0.5 else None
        for value, most in zip(applied.decoded[1:], strongest, strict=True)
    ]


def make(name: str) -> None:
    program = PROGRAMS[name]().named(name)
    compiled = compiling.compile_rasp_to_model(
        program, set(LETTERS), LENGTH, causal=True, compiler_bos=BOS
    )
    compiled.result = program.label
    model = plain(compiled)
    write(model, FOLDER / f"tracr_{name}")
    draw = random.Random(0)
    prompts = [[draw.choice(LETTERS) for _ in range(LENGTH)] for _ in range(40)]
    if name == "induction":  # two matches would be averaged
        prompts = [draw.sample(LETTERS, LENGTH - 1) for _ in range(40)]
        prompts = [[*prompt, prompt[draw.randrange(LENGTH - 2)]] for prompt in prompts]
    write_json(
        FOLDER / f"tracr_{name}" / "truth.json",
        {
            "about": f"{PROGRAMS[name].__doc__} Written by scripts/make_tracr.py.",
            "numerical": _is_numerical(compiled),
            "logits per unit": LOGITS,
            "expected": expected(compiled, prompts),
            "wiring": model.wiring(),
        },
    )


if __name__ == "__main__":
    for chosen in PROGRAMS:
        make(chosen)
