"""Brings a model's files onto this machine, so that its shape and tokenizer can be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from circuitlang.language.models.find import Found, ModelNotFound, find, suggestions
from circuitlang.runtime.models import explained
from circuitlang.runtime.quiet import quiet
from circuitlang.runtime.smollm2 import ensure_smollm2
from circuitlang.runtime.unavailable import ModelUnavailable

FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]


def fetch(
    reference: str, revision: str | None, base: Path, progress: Callable[[str], None]
) -> Found:
    """Downloads or converts what is missing; raises `ModelNotFound`."""
    found = find(reference, revision, base)
    try:
        if found.kind == "smollm2":
            ensure_smollm2(progress)
        elif found.kind == "hub" and (found.tokenizer is None or found.shape is None):
            progress(f"fetching {reference} from the hub")
            _download(reference, revision)
    except ModelUnavailable as problem:
        close = suggestions(reference)
        meant = f"did you mean `{close[0]}`? Otherwise " if close else ""
        raise ModelNotFound(
            reference, problem.reason, help=f"{meant}{problem.help}" or None, code="CL206"
        ) from problem
    return find(reference, revision, base)


def _download(reference: str, revision: str | None) -> None:
    from huggingface_hub import snapshot_download

    with quiet(), explained(reference):
        snapshot_download(reference, revision=revision, allow_patterns=FILES)
