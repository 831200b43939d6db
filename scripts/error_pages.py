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
import io
import json
import os
import re
import shutil
import sqlite3
import sys
import tempfile
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


INSTEAD: dict[str, Callable[[Path], None]] = {
    "CL006": _too_large,
    "CL007": _latin,
    "CL008": _nested,
    "CL601": _file_in_the_way,
    "CL731": _locked_store,
    "CL733": _garbage_store,
    "CL734": _damaged_store,
    "CL735": _empty_store,
}
BESIDE: dict[str, Callable[[Path], None]] = {
    "CL211": _constants_of_heads,
    "CL513": _torn_tokenizer,
    "CL518": _merging_tokenizer,
    "CL602": _without_adapter,
}


@contextlib.contextmanager
def defect(code: str) -> Iterator[None]:
    """A tool that has the defect which CL901 is about, or the long wait of CL731."""
    if code == "CL901":
        broken = ZeroDivisionError("division by zero")
        with mock.patch("circuitlang.pipeline.lint", side_effect=broken):
            yield
    elif code == "CL731":
        with mock.patch("sqlite3.connect", side_effect=_impatient(sqlite3.connect)):
            yield
    else:
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
