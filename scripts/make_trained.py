"""Make `truth/models/trained/`: a small GPT-2 that has learned to say what followed last time.

    python scripts/make_trained.py

Prompts are those of `truth/specs/tracr_induction.circ`: five letters in any order, and one of them
again. Nobody wired this model, so its circuit is not known, and need not be: what any set of its
edges scores is computed on every prompt. Training is deterministic on one machine and thread; another
machine may end at other weights, so those that were made once are kept.
"""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel

MODELS = Path(__file__).resolve().parent.parent / "truth" / "models"
FOLDER = MODELS / "trained"
LETTERS = ("a", "b", "c", "d", "e")
STEPS, BATCH, RATE = 3000, 256, 2e-3


def prompts(vocabulary: dict[str, int]) -> torch.Tensor:
    """`<bos>`, five letters, one that is not the last of them, and what followed it: [prompt, 8]."""
    bos = vocabulary["<bos>"]
    rows = [
        [bos, *order, order[i], order[i + 1]]
        for order in itertools.permutations([vocabulary[letter] for letter in LETTERS])
        for i in range(len(LETTERS) - 1)
    ]
    return torch.tensor(rows)


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    source = MODELS / "tracr_induction"
    shutil.copy(source / "tokenizer.json", FOLDER / "tokenizer.json")
    vocabulary = json.loads((FOLDER / "tokenizer.json").read_text())["model"]["vocab"]
    config = GPT2Config(
        vocab_size=len(vocabulary), n_positions=7, n_embd=32, n_layer=2, n_head=4, n_inner=64,
        attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0, activation_function="gelu_new",
        bos_token_id=vocabulary["<bos>"], eos_token_id=vocabulary["<bos>"],
        tie_word_embeddings=False,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)
    rows = prompts(vocabulary)
    for step in range(STEPS):
        batch = rows[torch.randint(len(rows), (BATCH,))]
        loss = cross_entropy(model(batch[:, :-1]).logits[:, -1], batch[:, -1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 500 == 0:
            print(step, f"{loss.item():.4f}")
    with torch.no_grad():
        right = model(rows[:, :-1]).logits[:, -1].argmax(-1) == rows[:, -1]
    print(f"right on {right.float().mean():.1%} of {len(rows)} prompts")
    model.eval().save_pretrained(FOLDER, safe_serialization=True)
    (FOLDER / "generation_config.json").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
