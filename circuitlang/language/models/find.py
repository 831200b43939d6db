"""Finds the model a spec names, without loading weights or importing torch.

Takes the reference as written and gives a `Found`: where the model's files lie on this
machine and what its shape is, as far as that can be known from here. A hub model that was
never downloaded is found too, with a shape from the table of known models or none.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from circuitlang.language.graph.architecture import Shape
from circuitlang.language.models.config import shape_from_config
from circuitlang.language.models.known import (
    KNOWN,
    MOVED,
    SMOLLM2,
    SMOLLM2_SHAPE,
    SMOLLM2_TITLE,
)

BUNDLED = Path(__file__).resolve().parents[2] / "bundled"
COMPLETE = "circuitlang.json"
LARGEST_CONFIG, LARGEST_TOKENIZER = 10_000_000, 200_000_000
# Path parts that start with a word character: nothing leads out of the hub's cache.
_REVISION = re.compile(r"\w[\w.-]{0,200}(/\w[\w.-]{0,200}){0,8}", re.ASCII)


@dataclass(frozen=True)
class Found:
    """What is known of a model before its weights are loaded.

    `kind` is "toy" (shipped with circuitlang), "smollm2", "folder" or "hub". `folder` holds
    config.json when the model is on this machine; `tokenizer` is its tokenizer.json and
    `commit` the hub snapshot.
    """

    kind: str
    title: str
    folder: Path | None = None
    shape: Shape | None = None
    tokenizer: Path | None = None
    commit: str | None = None

    @cached_property
    def bos_token(self) -> int | None:
        """The id of the token that starts a text, if the model has one; read when first asked."""
        if self.folder is None:
            return None
        try:
            config = _read_json(self.folder / "config.json")
        except (OSError, ValueError):
            return None
        return _bos_token(self.folder, config)


class ModelNotFound(Exception):
    """No model stands behind `reference`; `suggestions` are references that may be meant.

    `code` is CL205, or CL206 when the model exists but cannot be brought here.
    """

    def __init__(
        self,
        reference: str,
        reason: str,
        suggestions: tuple[str, ...] = (),
        help: str | None = None,
        code: str = "CL205",
    ) -> None:
        super().__init__(f'"{reference}": {reason}')
        self.reference = reference
        self.reason = reason
        self.suggestions = suggestions
        self.help = help
        self.code = code


def find(reference: str, revision: str | None, base: Path) -> Found:
    """Looks the model up; `base` is the spec's folder. Raises `ModelNotFound`."""
    if not reference.strip():
        raise ModelNotFound(reference, "the model has no name", ("toy", SMOLLM2))
    if revision is not None and not _REVISION.fullmatch(revision):
        raise ModelNotFound(reference, "its revision is no branch, tag or commit")
    folder = local_folder(reference, base)
    if folder is None and reference != SMOLLM2:
        return _find_on_hub(reference, revision)
    if revision is not None:
        raise ModelNotFound(reference, "only hub models have revisions; leave it out here")
    if folder is None:
        return _find_smollm2()
    if folder.parent == BUNDLED:
        return _found_in(reference, folder, "toy", f"{folder.name} (shipped)")
    return _found_in(reference, folder, "folder", folder.name)


def local_folder(reference: str, base: Path) -> Path | None:
    """The folder a shipped or local model lies in; None when `reference` is a hub name."""
    shipped = BUNDLED / reference
    if reference.isidentifier() and _has_config(shipped):
        return shipped
    if reference.startswith((".", "/", "~")):
        return _checked_folder(reference, base)
    relative = base / reference
    return relative.resolve() if _has_config(relative) else None


def _checked_folder(reference: str, base: Path) -> Path:
    try:
        folder = (base / Path(reference).expanduser()).resolve()
        is_folder = folder.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelNotFound(reference, f"cannot be read as a folder: {error}") from error
    if not is_folder:
        near = _model_folders(folder.parent, base)
        raise ModelNotFound(reference, "there is no such folder", near)
    if not _has_config(folder):
        near = _model_folders(folder, base)
        raise ModelNotFound(reference, "the folder holds no config.json", near)
    return folder


def _has_config(folder: Path) -> bool:
    """False also where no folder can have such a name."""
    try:
        return (folder / "config.json").is_file()
    except (OSError, ValueError):
        return False


def _model_folders(folder: Path, base: Path, limit: int = 4) -> tuple[str, ...]:
    """Model folders inside `folder`, as a spec in `base` would name them."""
    try:
        found = [path.parent for path in sorted(folder.glob("*/config.json"))[:limit]]
    except OSError:
        return ()
    home = base.resolve()
    inside = [path for path in found if path.is_relative_to(home)]
    return tuple(f"./{path.relative_to(home).as_posix()}" for path in inside)


# ---------------------------------------------------------------- SmolLM2 and the cache


def cache_folder() -> Path:
    """Where circuitlang keeps converted weights: CIRCUITLANG_CACHE, else the user's cache."""
    chosen = os.environ.get("CIRCUITLANG_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "circuitlang"


def smollm2_folder() -> Path:
    return cache_folder() / "models" / "smollm2-135m-q4_1"


def _find_smollm2() -> Found:
    folder = smollm2_folder()
    if not (folder / COMPLETE).is_file():
        return Found("smollm2", SMOLLM2_TITLE, shape=SMOLLM2_SHAPE)
    tokenizer = folder / "tokenizer.json"
    return Found(
        "smollm2",
        SMOLLM2_TITLE,
        folder,
        SMOLLM2_SHAPE,
        tokenizer if tokenizer.is_file() else None,
    )


# ---------------------------------------------------------------- the hub's cache


def hub_cache() -> Path:
    """The Hugging Face cache, as huggingface_hub places it."""
    if chosen := os.environ.get("HF_HUB_CACHE"):
        return Path(chosen).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface" / "hub"


def _find_on_hub(reference: str, revision: str | None) -> Found:
    if reference.count("/") > 1 or any(c.isspace() or c in "\\:?*<>|" for c in reference):
        raise ModelNotFound(
            reference, "not a hub name; a local folder starts with ./", suggestions(reference)
        )
    title = reference if revision is None else f"{reference}@{revision[:12]}"
    snapshot = _snapshot(reference, revision)
    if snapshot is None:
        return Found("hub", title, shape=KNOWN.get(reference))
    return _found_in(reference, snapshot, "hub", title, snapshot.name)


def _snapshot(reference: str, revision: str | None) -> Path | None:
    for name in (reference, MOVED.get(reference)):
        if name is None:
            continue
        repository = hub_cache() / ("models--" + name.replace("/", "--"))
        commit = revision or "main"
        with contextlib.suppress(OSError, ValueError):
            commit = (repository / "refs" / commit).read_text(encoding="utf-8").strip()
        folder = repository / "snapshots" / commit
        if _has_config(folder):
            return folder
    return None


def suggestions(reference: str) -> tuple[str, ...]:
    """Shipped and known references that look like `reference`."""
    shipped = [path.parent.name for path in BUNDLED.glob("*/config.json")]
    names = {name.split("/")[-1].lower(): name for name in KNOWN if "/" in name}
    names |= {name.lower(): name for name in [*shipped, SMOLLM2, *KNOWN]}
    close = get_close_matches(reference.lower(), names, n=4, cutoff=0.6)
    return tuple(dict.fromkeys(names[name] for name in close if names[name] != reference))


# ---------------------------------------------------------------- reading a model folder


def _found_in(
    reference: str, folder: Path, kind: str, title: str, commit: str | None = None
) -> Found:
    try:
        config = _read_json(folder / "config.json")
        shape = shape_from_config(config)
    except (OSError, ValueError) as error:
        raise ModelNotFound(reference, str(error), suggestions(reference)) from error
    tokenizer = folder / "tokenizer.json"
    return Found(
        kind,
        title,
        folder,
        shape,
        tokenizer if tokenizer.is_file() else None,
        commit,
    )


def _read_json(path: Path, largest: int = LARGEST_CONFIG) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if path.stat().st_size > largest:
        raise ValueError(f"{path} is larger than {largest // 1_000_000} MB")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} does not hold a JSON object")
    return content


def _bos_token(folder: Path, config: Mapping[str, Any]) -> int | None:
    """The id of the token that starts a text: the tokenizer's, else the config's."""
    try:
        token = _read_json(folder / "tokenizer_config.json").get("bos_token")
        text = token.get("content") if isinstance(token, dict) else token
        tokenizer = _read_json(folder / "tokenizer.json", LARGEST_TOKENIZER)
        vocabulary = tokenizer.get("model", {}).get("vocab", {})
        added = {item["content"]: item["id"] for item in tokenizer.get("added_tokens", [])}
        found = added.get(text, vocabulary.get(text) if isinstance(vocabulary, dict) else None)
        if isinstance(found, int):
            return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    fallback = config.get("bos_token_id")
    fallback = fallback[0] if isinstance(fallback, list) and fallback else fallback
    size = config.get("vocab_size", 0)
    if isinstance(fallback, int) and isinstance(size, int) and 0 <= fallback < size:
        return fallback
    return None
