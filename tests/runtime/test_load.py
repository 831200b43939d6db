"""Loading: what goes wrong is said in words, and folders need no network."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from circuitlang.language.models.known import KNOWN
from circuitlang.language.spec import ModelReference
from circuitlang.runtime.models import load
from circuitlang.runtime.unavailable import ModelUnavailable
from tests.tiny_models import FAMILIES, reference_to


def ignore(message: str) -> None:
    pass


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A copy of a tiny checkpoint that a test may damage."""
    return Path(shutil.copytree(tiny_folder("gpt2"), tmp_path / "model"))


def failure(reference: ModelReference, device: str = "cpu") -> ModelUnavailable:
    with pytest.raises(ModelUnavailable) as caught:
        load(reference, Path(), device, ignore)
    return caught.value


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_hooks_change_nothing(tiny, family, dtype):
    model = tiny(family, dtype)
    assert model.loading_error < (1e-5 if dtype == "float32" else 1e-13)
    assert not any(parameter.requires_grad for parameter in model.plain.parameters())


def test_progress_names_the_model(folder):
    said = []
    load(reference_to(folder), Path(), "cpu", said.append)
    assert said == ["loading model"]


def test_loading_a_folder_writes_nothing_to_the_terminal(folder, capfd):
    load(reference_to(folder), Path(), "cpu", ignore)
    assert capfd.readouterr() == ("", "")


def test_missing_folder(folder):
    reference = reference_to(folder)
    shutil.rmtree(folder)
    assert "no such folder" in failure(reference).reason


def test_damaged_weights(folder):
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])
    problem = failure(reference_to(folder))
    assert problem.reason == "its weights file is damaged"


def test_missing_weights_and_pickles_are_not_loaded(folder):
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    assert "safetensors" in failure(reference_to(folder)).reason


def test_weights_of_another_shape(folder, tiny_folder):
    shutil.copy(tiny_folder("llama") / "model.safetensors", folder / "model.safetensors")
    assert "lacks 27 tensors" in failure(reference_to(folder)).reason


def test_another_shape_than_the_spec_was_resolved_for(folder):
    reference = replace(reference_to(folder), shape=KNOWN["gpt2"])
    assert "2 layers of 4 heads" in failure(reference).reason


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_no_cuda(folder):
    problem = failure(reference_to(folder), "cuda")
    assert problem.reason == "this machine has no CUDA device"
    assert problem.help == "--device cpu"


def test_strange_devices_and_dtypes(folder):
    assert "no device" in failure(reference_to(folder), "gpu0").reason
    assert "'float8' is not supported" in failure(reference_to(folder, "float8")).reason


def test_attention_only_models_are_refused():
    problem = failure(
        ModelReference("m", "attn-only-4l", None, False, "float32", KNOWN["attn-only-4l"])
    )
    assert "pickles" in problem.reason


def hub_error(kind, message="404"):
    import httpx
    from huggingface_hub import errors

    request = httpx.Request("GET", "https://huggingface.co")
    return getattr(errors, kind)(message, response=httpx.Response(404, request=request))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (lambda: hub_error("GatedRepoError"), "licence"),
        (lambda: hub_error("RepositoryNotFoundError"), "no such model"),
        (lambda: hub_error("RevisionNotFoundError"), "no such revision"),
        (lambda: ConnectionError("refused"), "hub cannot be reached"),
        (
            lambda: OSError("We couldn't connect to 'https://huggingface.co'"),
            "hub cannot be reached",
        ),
        (lambda: MemoryError(), "not enough memory"),
        (lambda: torch.OutOfMemoryError("CUDA out of memory"), "not enough memory"),
        (lambda: ValueError("something\nelse"), "cannot be loaded: something"),
    ],
)
def test_what_the_hub_says_is_put_into_words(monkeypatch, tmp_path, error, reason):
    from transformers import AutoModelForCausalLM

    def fail(*arguments, **options):
        try:
            raise error()
        except Exception as cause:
            raise cause

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", fail)
    problem = failure(ModelReference("m", "gpt2", None, False, "float32", KNOWN["gpt2"]))
    assert reason in problem.reason
    assert problem.reference == "gpt2"
