"""`circ new`: the spec it writes is sound, and true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import circuitlang
from circuitlang import pipeline
from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.source import Source
from circuitlang.language.text import syntax
from circuitlang.language.text.grammar import RESERVED
from circuitlang.language.text.parse import parse
from circuitlang.new import new_spec, spec_name, write_new


def header(text: str) -> str:
    file = parse(Source("new.circ", text, Path()), Diagnostics())
    (found,) = [s for s in file.statements if isinstance(s, syntax.SpecHeader)]
    return found.name


def test_every_claim_holds(tmp_path: Path) -> None:
    path = write_new(tmp_path / "ioi.circ")
    document = circuitlang.check(path, stored=False)
    assert document.exit_code == 0
    assert document.spec == "ioi"
    assert document.diagnostics == ()
    assert [(c.kind, c.verdict) for c in document.claims] == [
        ("assume", "holds"),
        ("claim", "holds"),
        ("claim", "holds"),
        ("claim", "fails"),
    ]
    assert all(c.ok for c in document.claims)


def test_it_shows_what_a_spec_is_made_of() -> None:
    file = parse(Source("new.circ", new_spec("x"), Path()), Diagnostics())
    kinds = {type(s) for s in file.statements}
    assert kinds >= {
        syntax.SpecHeader,
        syntax.Model,
        syntax.Task,
        syntax.Circuit,
        syntax.Default,
        syntax.Claim,
    }
    written = new_spec("x").splitlines()
    comments = [line for line in written if line.lstrip().startswith("#")]
    assert len(comments) > len(written) / 4
    for word in ("metric", "ablation", "group", "assume", "corrupt"):
        assert any(line.lstrip().startswith(f"{word} ") for line in written), word


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ioi", "ioi"),
        ("greater-than 2", "greater_than_2"),
        ("2nd", "my_2nd"),
        ("a9", "my_a9"),
        ("m[0]", "m_0"),
        ("", "my_circuit"),
        ("...", "my_circuit"),
        ('x"\n#', "x"),
        ("été", "my_été"),
        *((word, f"my_{word}") for word in sorted(RESERVED)),
    ],
)
def test_any_text_makes_a_name(text: str, name: str) -> None:
    assert spec_name(text) == name
    assert header(new_spec(text)) == name


def test_built_in_names_may_name_a_spec(tmp_path: Path) -> None:
    for name in ("M", "F", "END", "likes", "asking"):
        path = write_new(tmp_path / name)
        assert [d.code for d in pipeline.lint(path).found] == [], name


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = write_new(tmp_path / "mine")
    assert path == tmp_path / "mine.circ"
    path.write_text("precious")
    for name in ("mine", "mine.circ"):
        with pytest.raises(FileExistsError):
            write_new(tmp_path / name)
    assert path.read_text() == "precious"
    with pytest.raises(FileNotFoundError):
        write_new(tmp_path / "nowhere" / "mine.circ")


def test_without_a_name_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert write_new(Path("")) == Path("my_circuit.circ")
    assert header(Path("my_circuit.circ").read_text()) == "my_circuit"


def test_a_dot_in_the_name_is_kept(tmp_path: Path) -> None:
    path = write_new(tmp_path / "v1.2")
    assert path.name == "v1.2.circ"
    assert header(path.read_text()) == "v1_2"


def test_the_comments_name_commands_that_exist() -> None:
    from typer.main import get_command

    from circuitlang.cli import app

    named = set(re.findall(r"circ ([a-z]+)", new_spec("x")))
    assert named >= {"lint", "plan", "check", "show"}
    assert named <= set(get_command(app).commands)
