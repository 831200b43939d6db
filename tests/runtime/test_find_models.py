"""Finding models by reference, without weights and without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from circuitlang.language.models.config import shape_from_config
from circuitlang.language.models.find import (
    COMPLETE,
    ModelNotFound,
    find,
    hub_cache,
    smollm2_folder,
    suggestions,
)
from circuitlang.language.models.known import KNOWN

LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "hidden_size": 48,
    "intermediate_size": 96,
    "vocab_size": 100,
    "max_position_embeddings": 64,
    "bos_token_id": 7,
}
NEOX = {**LLAMA, "model_type": "gpt_neox"}
GPT2 = {"model_type": "gpt2", "n_layer": 2, "n_head": 4, "n_embd": 32, "vocab_size": 50}


def write(folder: Path, config: object = LLAMA) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(autouse=True)
def empty_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("CIRCUITLANG_CACHE", str(tmp_path / "cache"))


def test_finding_imports_no_torch() -> None:
    code = "import sys, circuitlang.language.models.find as m; print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_shipped_toy() -> None:
    found = find("toy", None, Path())
    assert found.kind == "toy"
    assert found.folder is not None
    assert found.tokenizer is not None
    assert found.shape is not None


def test_smollm2_before_and_after_conversion() -> None:
    before = find("smollm2-135m", None, Path())
    assert (before.kind, before.folder, before.title) == (
        "smollm2",
        None,
        "SmolLM2-135M-Instruct (Q4_1)",
    )
    assert before.shape is not None
    assert before.shape.kv_heads == 3
    folder = write(smollm2_folder())
    assert find("smollm2-135m", None, Path()).folder is None
    (folder / COMPLETE).write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    after = find("smollm2-135m", None, Path())
    assert (after.folder, after.tokenizer) == (folder, folder / "tokenizer.json")


@pytest.mark.parametrize("reference", ["./model", "model", "{absolute}"])
def test_local_folders(tmp_path: Path, reference: str) -> None:
    folder = write(tmp_path / "model")
    found = find(reference.format(absolute=folder), None, tmp_path)
    assert (found.kind, found.folder, found.bos_token) == ("folder", folder.resolve(), 7)
    assert found.shape is not None
    assert (found.shape.layers, found.shape.d_head, found.shape.context) == (3, 8, 64)


def test_a_folder_without_a_config_is_no_model_unless_asked_for(tmp_path: Path) -> None:
    (tmp_path / "gpt2").mkdir()
    assert find("gpt2", None, tmp_path).kind == "hub"
    write(tmp_path / "gpt2" / "inner")
    with pytest.raises(ModelNotFound, match="no config") as caught:
        find("./gpt2", None, tmp_path)
    assert caught.value.suggestions == ("./gpt2/inner",)


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("./nowhere", "no such folder"),
        ("", "no name"),
        ("a/b/c", "not a hub name"),
        ("two words", "not a hub name"),
    ],
)
def test_references_without_a_model(tmp_path: Path, reference: str, reason: str) -> None:
    with pytest.raises(ModelNotFound, match=reason):
        find(reference, None, tmp_path)


def test_revisions_are_for_the_hub(tmp_path: Path) -> None:
    write(tmp_path / "model")
    for reference in ("./model", "toy", "smollm2-135m"):
        with pytest.raises(ModelNotFound, match="revision"):
            find(reference, "main", tmp_path)


def test_known_and_unknown_hub_models(tmp_path: Path) -> None:
    known = find("EleutherAI/pythia-160m", None, tmp_path)
    assert known.shape is not None
    assert known.shape.parallel
    assert (known.folder, known.tokenizer) == (None, None)
    assert find("someone/else", None, tmp_path).shape is None
    assert find("attn-only-4l", None, tmp_path).shape == KNOWN["attn-only-4l"]


def test_cached_hub_models(tmp_path: Path) -> None:
    repository = hub_cache() / "models--someone--else"
    folder = write(repository / "snapshots" / "abc123", NEOX)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc123")
    for revision in (None, "main", "abc123"):
        found = find("someone/else", revision, tmp_path)
        assert (found.folder, found.commit) == (folder, "abc123")
        assert found.shape is not None
        assert found.shape.parallel
    assert find("someone/else", "v2", tmp_path).folder is None


def test_a_model_cached_under_its_new_name(tmp_path: Path) -> None:
    repository = hub_cache() / "models--openai-community--gpt2"
    write(repository / "snapshots" / "abc", GPT2)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc\n")
    assert find("gpt2", None, tmp_path).commit == "abc"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not valid JSON"),
        ("[1]", "JSON object"),
        ('{"model_type": "bert"}', "'bert' are not supported"),
        ('{"model_type": "gemma3"}', "read images"),
        (json.dumps({**LLAMA, "model_type": "gemma2"}), "has no 'head_dim'"),
        (json.dumps({**LLAMA, "model_type": "qwen3"}), "has no 'head_dim'"),
        (
            '{"model_type": "gemma3_text", "use_bidirectional_attention": true}',
            "attention also looks ahead",
        ),
        ("{}", "without a model_type"),
        ('{"model_type": "llama", "hidden_size": 4}', "has no 'num_attention_heads'"),
        (json.dumps({**LLAMA, "num_hidden_layers": None}), "wrong type"),
        (json.dumps({**LLAMA, "num_key_value_heads": 4}), "cannot share"),
        (json.dumps({**LLAMA, "num_hidden_layers": 0}), "below 1"),
    ],
)
def test_configs_that_cannot_be_used(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(content)
    with pytest.raises(ModelNotFound, match=reason):
        find("./model", None, tmp_path)


def test_shapes_of_layouts() -> None:
    assert shape_from_config(GPT2).d_mlp == 128
    assert shape_from_config({**NEOX, "use_parallel_residual": False}).parallel is False
    assert shape_from_config({**LLAMA, "head_dim": 16}).d_head == 16
    gemma = {**LLAMA, "head_dim": 16, "model_type": "gemma2"}
    assert shape_from_config(gemma).post_norm is True
    assert shape_from_config({**gemma, "model_type": "qwen3"}).post_norm is False


def test_the_start_token_is_the_tokenizers(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>"}')
    (folder / "tokenizer.json").write_text('{"added_tokens": [{"id": 3, "content": "<s>"}]}')
    assert find("./model", None, tmp_path).bos_token == 3


def test_suggestions_are_close_names() -> None:
    assert "smollm2-135m" in suggestions("smolm2-135m")
    assert "gpt2" in suggestions("gtp2")
    assert "EleutherAI/pythia-160m" in suggestions("pythia-160m")
    assert suggestions("zzzzzz") == ()
