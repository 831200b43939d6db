"""Writes what the tool says into the pages of docs/errors, and their table of contents.

    python scripts/error_pages.py [CL308 ...]

A page shows a broken example under `## Wrong` and a mended one under `## Right`. An example with a
`spec` line is a whole file. Any other is completed, after its end, by the statements of
specs/toy/first.circ that it does not make itself; of its claims by `faithful`, where it has none.
`<!-- file: NAME -->` before a block makes it a file beside the example. What `## Right` does not
show is as under `## Wrong`. A block that starts with
`$ circ ARGUMENTS` is what that command says of the example, the file `wrong.circ`; this is the part
that is written here. tests/test_explain.py notices when it was forgotten.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from circuitlang import cli
from circuitlang.explain import contents
from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.models.find import BUNDLED
from circuitlang.language.source import Source
from circuitlang.language.text import syntax
from circuitlang.language.text.parse import parse
from circuitlang.store import FILE, Origin, Record, Store

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "errors"
CONTINUED = ROOT / "specs" / "toy" / "first.circ"
HELD: list[sqlite3.Connection] = []
FENCE = re.compile(r"(?:<!-- file: (\S+) -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SAID = re.compile(r"(^```text\n)\$ (circ [^\n]*)\n.*?(^```$)", re.MULTILINE | re.DOTALL)


# ---------------------------------------------------------------- examples


def section(page: str, title: str) -> str:
    """The part of a page below one heading; empty without it."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def completed(text: str) -> str:
    own = _statements(text)
    if not own or any(isinstance(s, syntax.SpecHeader) for s in own):
        return text
    made = {_made(s) for s in own}
    others = [s for s in _statements(CONTINUED.read_text(encoding="utf-8")) if _made(s) not in made]
    kept = [s for s in others if not isinstance(s, syntax.Claim) or s.name == "faithful"]
    return "\n".join([text, *(s.span.text for s in kept), ""])


def _statements(text: str) -> tuple[syntax.Statement, ...]:
    return parse(Source("example", text, ROOT), Diagnostics()).statements


def _made(statement: syntax.Statement) -> object:
    """What an example replaces: a model, all claims, a name."""
    if isinstance(statement, syntax.Claim | syntax.Model):
        return type(statement)
    return getattr(statement, "name", None)


def lay_out(folder: Path, code: str, page: str, title: str) -> None:
    """Writes the example of a section, `wrong.circ` or `right.circ`, and what lies beside it."""
    parts = [section(page, t) for t in dict.fromkeys(("Wrong", title))]
    for beside, kind, text in FENCE.findall("".join(parts)):
        if beside:
            (folder / beside).write_text(text, encoding="utf-8")
        elif kind == "circ":
            (folder / f"{title.lower()}.circ").write_text(completed(text), encoding="utf-8")
    if code in BESIDE:
        BESIDE[code](folder)
    if title == "Wrong" and code in INSTEAD:
        INSTEAD[code](folder)


# ---------------------------------------------------------------- what no page can show


def _too_large(folder: Path) -> None:
    (folder / "wrong.circ").write_text("# word " * 150_000, encoding="utf-8")


def _latin(folder: Path) -> None:
    spec = folder / "wrong.circ"
    spec.write_text(spec.read_text(encoding="utf-8"), encoding="latin-1")


def _nested(folder: Path) -> None:
    deep = completed("claim matters: " + "(" * 200 + "necessity(a1.h0)" + ")" * 200 + " >= 0.5\n")
    (folder / "wrong.circ").write_text(deep, encoding="utf-8")


def _toy(folder: Path, **config: object) -> Path:
    """A copy of the toy model, `./model`, with other settings."""
    model = folder / "model"
    shutil.copytree(BUNDLED / "toy", model)
    settings = json.loads((model / "config.json").read_text(encoding="utf-8"))
    (model / "config.json").write_text(json.dumps({**settings, **config}), encoding="utf-8")
    return model


def _torn_tokenizer(folder: Path) -> None:
    tokenizer = _toy(folder) / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes()[:200])


def _merging_tokenizer(folder: Path) -> None:
    """A tokenizer that knows `no` and, before it, `ot`."""
    from tokenizers import Tokenizer, models

    letters = ["<pad>", "<bos>", "n", "o", "t", "e", " ", "ot", "no"]
    merges = [("o", "t"), ("n", "o")]
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(letters)}, merges))
    tokenizer.save(str(_toy(folder) / "tokenizer.json"))


def _constants_of_heads(folder: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    heads = {f"a{layer}.h{head}": np.zeros(96) for layer in range(3) for head in range(4)}
    save_file(heads, folder / "heads.safetensors")


def _without_adapter(folder: Path) -> None:
    _toy(folder, reorder_and_upcast_attn=True)


def _file_in_the_way(folder: Path) -> None:
    (folder / ".circ").touch()


def _garbage_store(folder: Path) -> None:
    (folder / ".circ").mkdir()
    (folder / ".circ" / FILE).write_text("no database\n" * 100, encoding="utf-8")


def _empty_store(folder: Path) -> None:
    Store(folder / ".circ", _unheard).close()


def _locked_store(folder: Path) -> None:
    _empty_store(folder)
    HELD.append(sqlite3.connect(folder / ".circ" / FILE, isolation_level=None))
    HELD[-1].execute("BEGIN IMMEDIATE")


def _damaged_store(folder: Path) -> None:
    import numpy as np

    store = Store(folder / ".circ", _unheard)
    origin = Origin("likes", "toy", "float32", "cpu")
    store.write({b"key": Record(np.array([1.0, 2.0]), 0.0, ())}, origin)
    store.change([("UPDATE runs SET numbers = zeroblob(24)", ())])
    store.close()


def _unheard(code: str, reason: str, help: str) -> None:
    raise AssertionError(reason)


LOCKED = "claim matters: necessity(asking) >= 0.95\n"
DAY = "1764288000"


def _lock(folder: Path) -> Path:
    """Seals the spec that the pages of locks start from, as the lock of `wrong.circ`."""
    from circuitlang import locking
    from circuitlang.front import Options, Silent

    spec = folder / "sealed.circ"
    spec.write_text(completed(LOCKED), encoding="utf-8")
    with mock.patch.dict(os.environ, {"SOURCE_DATE_EPOCH": DAY}):
        _, made = locking.preregister(spec, Options(stored=False), Silent())
    assert made is not None
    spec.unlink()
    return (folder / "sealed.circ.lock").rename(folder / "wrong.circ.lock")


def _changed_lock(*change: str) -> Callable[[Path], None]:
    def change_lock(folder: Path) -> None:
        lock = _lock(folder)
        text = lock.read_text(encoding="utf-8")
        assert change[0] in text
        lock.write_text(text.replace(*change, 1), encoding="utf-8")  # type: ignore[arg-type]

    return change_lock


def _cut_lock(folder: Path) -> None:
    lock = _lock(folder)
    lock.write_text(lock.read_text(encoding="utf-8").partition("[seal]")[0], encoding="utf-8")


def _older_lock(folder: Path) -> None:
    from circuitlang.lockfile import read_lock, write_lock

    path = _lock(folder)
    lock = read_lock(path)
    tool = {name: "0.0.9" if name == "circuitlang" else v for name, v in lock.tool.items()}
    write_lock(path, lock.model_copy(update={"tool": tool}))


def _unreadable_lock(folder: Path) -> None:
    """One whose meaning has a form of another time, though the file has not."""
    from circuitlang.lockfile import read_lock, write_lock

    path = _lock(folder)
    lock = read_lock(path)
    meaning = lock.meaning.model_copy(update={"json_": '{"version": 0}'})
    write_lock(path, lock.model_copy(update={"meaning": meaning}))


def _repository(folder: Path) -> None:
    """The example, committed."""
    author = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    for command in (("init", "-q"), ("add", "-A"), (*author, "commit", "-q", "-m", "a spec")):
        subprocess.run(["git", "-C", str(folder), *command], check=True)


def _torn_repository(folder: Path) -> None:
    """One that has lost what its files hold."""
    _repository(folder)
    for path in folder.glob(".git/objects/??/*"):
        path.chmod(0o600)
        content = zlib.decompress(path.read_bytes())
        if content.startswith(b"blob"):
            path.unlink()


CONFLICT = "<<<<<<< ours\nversion = 1\n=======\nversion = 1\n>>>>>>> theirs\n"

INSTEAD: dict[str, Callable[[Path], object]] = {
    "CL006": _too_large,
    "CL007": _latin,
    "CL008": _nested,
    "CL601": _file_in_the_way,
    "CL702": _repository,
    "CL703": _repository,
    "CL704": _torn_repository,
    "CL705": _unreadable_lock,
    "CL712": _cut_lock,
    "CL713": _changed_lock("version = 1\n", CONFLICT),
    "CL714": _changed_lock("version = 1\n", "version = 2\n"),
    "CL715": _changed_lock("seed = 0\n", "seed = 1\n"),
    "CL716": _lock,
    "CL717": _lock,
    "CL720": _older_lock,
    "CL721": _lock,
    "CL731": _locked_store,
    "CL733": _garbage_store,
    "CL734": _damaged_store,
    "CL735": _empty_store,
    "CL749": _lock,
}
BESIDE: dict[str, Callable[[Path], None]] = {
    "CL211": _constants_of_heads,
    "CL513": _torn_tokenizer,
    "CL518": _merging_tokenizer,
    "CL602": _without_adapter,
}


@contextlib.contextmanager
def defect(code: str) -> Iterator[None]:
    """A tool with the defect that CL901 is about, CL718's full disk or CL731's long wait."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    replaced = {
        "CL718": ("circuitlang.lockfile.write.replace_file", full),
        "CL731": ("sqlite3.connect", _impatient(sqlite3.connect)),
        "CL901": ("circuitlang.pipeline.lint", ZeroDivisionError("division by zero")),
    }
    if code not in replaced:
        yield
        return
    name, problem = replaced[code]
    with mock.patch(name, side_effect=problem):
        yield


def _impatient(connect: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
    """Connections that wait for no lock."""
    return lambda file, **options: connect(file, **{**options, "timeout": 0})


# ---------------------------------------------------------------- pages


def said(command: str, folder: Path) -> str:
    """What a `circ` command prints to stderr, run in `folder` without network or stored models."""
    offline = {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_CACHE": str(folder / "hub"),
        "CIRCUITLANG_CACHE": str(folder / "cache"),
    }
    errors = io.StringIO()
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, offline),
        mock.patch.object(sys, "argv", command.split()),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(errors),
        contextlib.suppress(SystemExit),
    ):
        cli.main()
    lines = [line.rstrip() for line in errors.getvalue().strip().splitlines()]
    return "".join(f"{line}\n" for line in lines)


def rewritten(code: str, page: str) -> str:
    """The page with what the tool says of its broken example now; it has to be about that."""

    def now(match: re.Match[str]) -> str:
        with tempfile.TemporaryDirectory() as name, defect(code):
            folder = Path(name).resolve()
            lay_out(folder, code, page, "Wrong")
            found = said(match[2], folder)
        if f"[{code}]" not in found:
            raise ValueError(f"{code}: the example gives instead:\n{found}")
        return f"{match[1]}$ {match[2]}\n{found}{match[3]}"

    return SAID.sub(now, page)


def table_of_contents(readme: str) -> str:
    """The README with a table for each family of codes."""
    above, _, _ = readme.partition("## ")
    linked = re.sub(r"^\| (CL\d+)", r"| [\1](\1.md)", contents(), flags=re.MULTILINE)
    return above + linked.partition("\n\n")[2]


def main() -> None:
    asked = [f"{code}.md" for code in sys.argv[1:]] or [p.name for p in PAGES.glob("CL*.md")]
    for name in sorted(asked):
        path = PAGES / name
        path.write_text(rewritten(path.stem, path.read_text(encoding="utf-8")), encoding="utf-8")
        print(path)
    readme = PAGES / "README.md"
    readme.write_text(table_of_contents(readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
