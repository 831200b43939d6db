"""The file's text to a `Lock`: whole, unedited and of this version, or a coded problem."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from circuitlang.language.diagnostics import did_you_mean
from circuitlang.language.graph.architecture import Shape
from circuitlang.language.models.config import refuse_impossible
from circuitlang.lockfile.form import VERSION, Lock, LockedMeaning
from circuitlang.lockfile.seal import seal_of

LARGEST = 64_000_000
CONFLICT = re.compile(r"^(<<<<<<<|=======|>>>>>>>|\|\|\|\|\|\|\|)( |$)", re.MULTILINE)
ANEW = "restore it from git, or delete it and `circ lock` the spec anew"


class LockProblem(Exception):
    """A lock that cannot be used: the code, one sentence and what to do, as a diagnostic has them."""

    def __init__(self, code: str, message: str, help: str) -> None:
        super().__init__(message)
        self.code, self.message, self.help = code, message, help


def read_lock(path: Path) -> Lock:
    """The lock in a file; raises `LockProblem` where there is none that can be believed."""
    return lock_of(_read(path), path.name)


def lock_of(data: bytes, name: str) -> Lock:
    """The lock in the bytes of a file; raises `LockProblem`."""
    try:
        text = data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as problem:
        raise _damaged(name, f"it is not UTF-8 text (byte {problem.start})") from None
    if (conflict := CONFLICT.search(text)) is not None:
        line = text.count("\n", 0, conflict.start()) + 1
        raise LockProblem(
            "CL713",
            f"The lock `{name}` holds two versions that git could not merge (line {line}).",
            "take one side whole (`git checkout --ours` or `--theirs`), then `circ lock` the spec anew",
        )
    content = _parsed(text, name)
    _check_version(content, name)
    _check_seal(content, name)
    seal = content.pop("seal")["digest"]
    try:
        lock = Lock.model_validate({**content, "seal": seal})
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _damaged(name, f"`{where}`: {first['msg']}") from None
    _check_results(lock, name)
    _check_meaning(lock.meaning, lock, name)
    if lock.preregistered is not None:
        _check_meaning(lock.preregistered.meaning, lock, name)
    return lock


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        near = did_you_mean(path.name, _locks_beside(path))
        raise LockProblem(
            "CL711",
            f"There is no lock `{path.name}` beside the spec.",
            f"did you mean `{near}`?" if near else "`circ lock` of the spec writes it",
        ) from None
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise _damaged(path.name, reason) from None
    if len(data) > LARGEST:
        raise _damaged(path.name, f"it is larger than {LARGEST // 1_000_000} MB")
    return data


def _locks_beside(path: Path) -> list[str]:
    try:
        return [p.name for p in path.parent.glob("*.lock") if p.name != path.name]
    except OSError:
        return []


def _damaged(name: str, reason: str) -> LockProblem:
    return LockProblem("CL712", f"The lock `{name}` cannot be read: {reason}.", ANEW)


def _parsed(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise _damaged(name, "it is nested too deeply") from None
    except ValueError as problem:
        raise _damaged(name, f"it is not TOML ({problem})") from None


def _check_version(content: dict[str, Any], name: str) -> None:
    version = content.get("version")
    if not isinstance(version, int):
        raise _damaged(name, "it has no version, so it is no lock")
    if version > VERSION:
        raise LockProblem(
            "CL714",
            f"The lock `{name}` has version {version}, and this circuitlang reads version {VERSION}.",
            "use the circuitlang that wrote it, or a later one",
        )
    if version < 1:
        raise _damaged(name, f"there is no version {version}")


def _check_seal(content: dict[str, Any], name: str) -> None:
    table = content.get("seal")
    seal = table.get("digest") if isinstance(table, dict) else None
    if not isinstance(seal, str) or table != {"digest": seal}:
        raise _damaged(name, "its last lines, with the seal, are missing")
    if seal != seal_of(content):
        raise LockProblem(
            "CL715",
            f"The lock `{name}` does not say what it said when it was sealed.",
            ANEW,
        )


def _check_meaning(meaning: LockedMeaning, lock: Lock, name: str) -> None:
    """Every part has JSON, its own or the lock's."""
    try:
        json.loads(meaning.json_)
        for part, stated in meaning.parts.items():
            json.loads(stated.json_ or lock.meaning.parts[part].json_ or "")
    except (ValueError, KeyError, RecursionError):
        raise _damaged(name, "what the spec means is incomplete in it") from None


def _check_results(lock: Lock, name: str) -> None:
    """Results are of the parts that the spec has, and models of a shape that a model can have."""
    decided = {f"{claim.kind} {own}" for own, claim in lock.claims.items()}
    reported = {f"report {own}" for own in lock.reports}
    stated = {part for part in lock.meaning.parts if part.startswith(("claim ", "assume "))}
    if decided != (stated if lock.results else set()) or reported - lock.meaning.parts.keys():
        raise _damaged(name, "its results are not those of its claims and reports")
    try:
        for model in lock.models.values():
            refuse_impossible(Shape(**model.shape))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise _damaged(name, "a model in it has an impossible shape") from None
