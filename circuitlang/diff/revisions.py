"""A spec as it stands in a revision of a git repository, without touching the checkout.

Only the spec, what it imports and reads, and the small files of a model beside it are written,
into a temporary folder. git runs with argument lists and nothing of it is executed from the tree.
"""

from __future__ import annotations

import os
import posixpath
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from circuitlang.language.diagnostics import Diagnostics, suggestion
from circuitlang.language.source import Source, Span
from circuitlang.language.text import syntax
from circuitlang.language.text.parse import parse

MOST_SECONDS = 60
MOST_BYTES = 200_000_000
MODEL_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)


class RevisionProblem(Exception):
    """A revision that cannot be read: code, sentence and help, as a diagnostic has them."""

    def __init__(self, code: str, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.help = code, message, help


@dataclass(frozen=True)
class Blob:
    """A file of a tree."""

    object: str
    size: int


@dataclass(frozen=True)
class Laid:
    """Where a file of a revision was written, and the folder that it has in the checkout."""

    path: Path
    root: Path
    checkout: Path

    def in_checkout(self, folder: Path) -> Path | None:
        """The same folder in the checkout; None for one that is no part of this."""
        if not folder.resolve().is_relative_to(self.root):
            return None
        return self.checkout / folder.resolve().relative_to(self.root)


@contextmanager
def laid_out(revision: str, path: str, folder: Path) -> Iterator[Laid]:
    """`path` as git reads it, from the repository's root on, else from `folder`; raises
    `RevisionProblem`. What was written is gone afterwards."""
    git = _Git(folder)
    tree = _Tree(git, git.commit(revision), revision, path)
    with tempfile.TemporaryDirectory(prefix="circ-diff-") as name:
        root = Path(name).resolve()
        tree.write(root)
        yield Laid(root / tree.path, root, git.top)


class _Git:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        top = self.run("rev-parse", "--show-toplevel")
        if top is None or not top.strip():
            raise RevisionProblem(
                "CL701",
                f"`{folder}` is not in a git repository.",
                "give two files: `circ diff OLD.circ NEW.circ`",
            )
        self.top = Path(os.fsdecode(top.rstrip(b"\n")))
        self.prefix = os.fsdecode((self.run("rev-parse", "--show-prefix") or b"").rstrip(b"\n"))

    def commit(self, revision: str) -> str:
        found = None
        if revision and not revision.startswith("-") and "\0" not in revision:
            asked = ("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
            found = self.run(*asked)
        if found is None:
            raise RevisionProblem(
                "CL702",
                f"The repository has no revision `{revision}`.",
                "name a commit, branch or tag, as in `HEAD~1:FILE`",
            )
        return found.decode().strip()

    def run(self, *arguments: str) -> bytes | None:
        """What git prints; None when it says no."""
        quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"}
        try:
            done = subprocess.run(
                ["git", "-C", str(self.folder), *arguments],
                capture_output=True,
                timeout=MOST_SECONDS,
                env={**os.environ, **quiet},
                check=False,
            )
        except (OSError, ValueError) as problem:
            reason = getattr(problem, "strerror", None) or str(problem)
            raise RevisionProblem(
                "CL701", f"git cannot be run: {reason}.", "install git, or give two files"
            ) from None
        except subprocess.TimeoutExpired:
            raise RevisionProblem(
                "CL704", f"git did not answer within {MOST_SECONDS} seconds."
            ) from None
        return done.stdout if done.returncode == 0 else None


class _Tree:
    """The files of one commit."""

    def __init__(self, git: _Git, commit: str, revision: str, path: str) -> None:
        self.git, self.revision = git, revision
        listed = git.run("ls-tree", "-r", "-l", "-z", "--full-tree", commit) or b""
        self.blobs = dict(_blobs(os.fsdecode(listed)))
        self.path = self._placed(path)
        self._written = 0

    def _placed(self, path: str) -> str:
        beside = posixpath.normpath(posixpath.join(self.git.prefix, path))
        given = posixpath.normpath(path)
        for name in (beside,) if path.startswith(".") else (given, beside):
            if name in self.blobs:
                return name
        names = [name for name in self.blobs if name.endswith((".circ", ".lock"))]
        raise RevisionProblem(
            "CL703",
            f"`{self.revision}` has no file `{path}`.",
            suggestion(beside, names)
            or "paths are from the repository's root on, or start with ./",
        )

    def write(self, root: Path) -> None:
        """The file, what it names and, where it has one, its lock."""
        waiting, seen = [self.path, f"{self.path}.lock"], set()
        while waiting:
            name = waiting.pop()
            if name in seen or name not in self.blobs:
                continue
            seen.add(name)
            content = self._copied(name, root)
            if name.endswith(".circ"):
                waiting += self._named(name, content)

    def _named(self, name: str, content: bytes) -> Iterator[str]:
        """What a spec may read: every file of the tree that a text in it names."""
        text = content.decode("utf-8-sig", "replace").replace("\r\n", "\n")
        folder = posixpath.dirname(name)
        for value in _texts(parse(Source(name, text, Path()), Diagnostics())):
            path = posixpath.normpath(posixpath.join(folder, value))
            yield path
            yield from (posixpath.join(path, file) for file in MODEL_FILES)

    def _copied(self, name: str, root: Path) -> bytes:
        blob = self.blobs[name]
        self._written += blob.size
        if self._written > MOST_BYTES:
            raise RevisionProblem(
                "CL704",
                f"The spec's files in `{self.revision}` have more than "
                f"{MOST_BYTES // 1_000_000} MB together.",
                "check the revision out beside this one, and give two files",
            )
        content = self.git.run("cat-file", "blob", blob.object)
        if content is None:
            raise RevisionProblem(
                "CL704",
                f"git cannot read `{name}` of `{self.revision}`.",
                "fetch the revision whole: `git fetch --refetch`",
            )
        path = root / name
        if path.resolve().is_relative_to(root):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return content


def _blobs(listed: str) -> Iterator[tuple[str, Blob]]:
    """Plain files alone: what a link names is not read."""
    for line in filter(None, listed.split("\0")):
        about, _, name = line.partition("\t")
        mode, kind, found, size = about.split()
        if kind == "blob" and mode != "120000":
            yield name, Blob(found, int(size) if size.isdigit() else 0)


def _texts(part: Any) -> Iterator[str]:
    stack: list[Any] = [part]
    while stack:
        part = stack.pop()
        match part:
            case syntax.StringLiteral(value):
                yield value
            case syntax.Import(path):
                yield path
            case syntax.Model():
                yield part.reference
        if isinstance(part, tuple):
            stack += part
        elif is_dataclass(part) and not isinstance(part, (Span, type)):
            stack += (getattr(part, f.name) for f in fields(part) if f.name != "span")
