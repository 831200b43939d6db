"""Expressions of tasks: values, types, files and bounds."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from circuitlang.language.diagnostics import Diagnostics, Reject
from circuitlang.language.source import Source
from circuitlang.language.tasks.mentions import Scope, check_names, free_names
from circuitlang.language.tasks.text import Evaluator, NeedsTokenizer
from circuitlang.language.tasks.text_values import Number, printed
from circuitlang.language.text import syntax
from circuitlang.language.text.parse import parse


def expression(text: str, folder: Path = Path()) -> syntax.Expression:
    diagnostics = Diagnostics()
    file = parse(Source("t.circ", f"let it = {text}\n", folder), diagnostics)
    assert not diagnostics.found, diagnostics.found
    (define,) = file.statements
    assert isinstance(define, syntax.Define)
    return define.value


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lets: dict[str, str] = {}
        self.diagnostics = Diagnostics()

    def lookup(self, name: str) -> syntax.Expression | None:
        return expression(self.lets[name], self.folder) if name in self.lets else None

    @property
    def scope(self) -> Scope:
        return Scope(self.lookup, tuple(self.lets))

    def value(self, text, count=None, **bindings):
        evaluator = Evaluator(self.scope, self.diagnostics, count)
        return evaluator.value(expression(text, self.folder), bindings)

    def shown(self, text, **bindings):
        value = self.value(text, **bindings)
        return [printed(v) for v in value] if isinstance(value, list) else printed(value)

    def rejected(self, text, **bindings):
        with pytest.raises(Reject):
            self.value(text, **bindings)
        return self.diagnostics.found[-1]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def number(text: str) -> Number:
    return Number(float(text), text)


def test_a_range_is_as_wide_as_its_first_number(world):
    assert world.shown("8..11") == ["8", "9", "10", "11"]
    assert world.shown("02..98")[0] == "02"
    assert world.shown("00..99")[7] == "07"
    assert world.shown("0..9") == list("0123456789")
    assert world.shown("-1..1") == ["-1", "0", "1"]
    assert world.shown("5..3") == []


def test_strings_take_names_and_escaped_braces(world):
    world.lets["place"] = '"park"'
    assert world.shown('" {IO}"', IO="Mary") == " Mary"
    assert world.shown('"{{{x}}} {{y}} }"', x="1") == "{1} {y} }"
    assert world.shown('"the {place}, {year}"', year=number("05")) == "the park, 05"


def test_comprehensions(world):
    year = number("97")
    assert world.shown('["{y}" for y in 00..99 if y > year]', year=year) == ["98", "99"]
    assert world.shown('["{y}" for y in 00..99 if y == year + 1]', year=year) == ["98"]
    assert world.shown('["{a}{b}" for a in 1..2 for b in [a, "x"]]') == ["11", "1x", "22", "2x"]
    assert world.shown('["{b}" for (a, b) in [("p", "q"), ("r", "s")] if a == "r"]') == ["s"]
    assert world.shown('[" {c}" for c in [x, z]]', x="red", z="blue") == [" red", " blue"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"b" > "a"', True),
        ("09 < 10", True),
        ('"9" < "10"', False),  # text, character by character
        ('"9" < 10', True),
        ('"05" == 5', True),
        ('"x" == 5', False),
        ('"a" != "b" and 1 < 2', True),
        ('"b" in ["a", "b"]', True),
        ("3 in 1..5", True),
        ("0.9 in 0.8..1.2", True),
        ("7 in 1..5", False),
        ('distinct("a", "b", "a")', False),
        ('distinct(["a", "b"], "c")', True),
        ("distinct(x for x in [1, 2, 01])", False),
        ('("a", 1) == ("a", 1)', True),
    ],
)
def test_conditions(world, text, expected):
    assert world.value(text) is expected


def test_arithmetic_keeps_leading_zeros(world):
    assert world.shown("year + 1", year=number("05")) == "06"
    assert world.shown("year - 1", year=number("10")) == "9"
    assert world.shown("7 / 2") == "3.5"
    assert world.shown("2 * 3 - -1") == "7"


def test_list_operations(world):
    assert world.shown('["a", "b"] + ["b", "c"]') == ["a", "b", "c"]
    assert world.shown("(01..05) - [2, 3]") == ["01", "04", "05"]
    assert world.shown('["a", "b"] & ["b", "c"]') == ["b"]


def test_definitions_are_looked_up_after_bindings(world):
    world.lets |= {"people": '["Ann", "Bob"]', "more": 'people + ["Cy"]'}
    assert world.shown("more") == ["Ann", "Bob", "Cy"]
    assert world.shown("people", people="x") == "x"
    world.lets |= {"a": "b", "b": "a"}
    assert world.rejected("a").code == "CL109"


def test_token_count(world):
    assert world.value('token_count("{a}{b}") == 2', count=len, a="x", b="y") is True
    with pytest.raises(NeedsTokenizer):
        world.value('token_count("x")')
    assert not world.diagnostics.found


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("poeple", "CL101", "people"),
        ('"{poeple}"', "CL101", "people"),
        ('"{year + 1}"', "CL101", "not a name in braces"),
        ('"{open"', "CL101", "not a name"),
        ('fle("x")', "CL101", "file"),
        ("(1, (2, 3))", "CL106", "tuples do not nest"),
        ('"a" + 1', "CL106", "text and a number"),
        ('"a" < 1', "CL106", "text and a number"),
        ('1.."b"', "CL106", "text"),
        ("0.5..2", "CL106", "whole"),
        ("1 / 0", "CL106", "zero"),
        ('"a" in "abc"', "CL106", "text and text"),
        ('"{people}"', "CL106", "a list"),
        ("a9.h9", "CL106", "node"),
        ("1 and 2", "CL106", "a number"),
        ('["{a}" for (a, b) in people]', "CL106", "2 names"),
        ('["{a}" for a in "x"]', "CL106", "text"),
        ('["a", "b" for x in people]', "CL105", "one expression"),
        ("file()", "CL105", "1"),
        ('rows("x.jsonl")', "CL105", "at least 2"),
        ("distinct(1, 2 under zero)", "CL105", "plain"),
        ("0..999999999", "CL302", "1,000,000,000"),
        ("[1 for a in 0..9999 for b in 0..9999]", "CL302", "100,000,000"),
    ],
)
def test_mistakes_have_a_code(world, text, code, message):
    world.lets["people"] = '["Ann", "Bob"]'
    started = time.perf_counter()
    diagnostic = world.rejected(text)
    assert time.perf_counter() - started < 1
    assert diagnostic.code == code
    assert message in diagnostic.message + str(diagnostic.help)


def test_doubling_texts_are_stopped(world):
    world.lets["s0"] = '"xxxxxxxxxx"'
    for i in range(20):
        world.lets[f"s{i + 1}"] = f'"{{s{i}}}{{s{i}}}"'
    assert world.rejected("s20").code == "CL302"


def test_long_chains_of_definitions_are_a_diagnostic(world):
    start = expression("s5000")

    def lookup(name: str) -> syntax.Expression:
        return syntax.Name((f"s{int(name[1:]) - 1}",), start.span)

    with pytest.raises(Reject):
        Evaluator(Scope(lookup), world.diagnostics).value(start, {})
    assert [d.code for d in world.diagnostics.found] == ["CL008"]


def test_a_hole_is_pointed_at(world):
    diagnostic = world.rejected('"to {nobody} now"')
    assert diagnostic.span.text == "{nobody}"


def test_free_names_and_check_names(world):
    world.lets["people"] = '["Ann"]'
    assert free_names(expression('["{x}{y}" for x in people if x != z]')) == {"people", "y", "z"}
    assert not check_names(expression('[a, "{b}", c(d)]'), ["a"], world.scope, world.diagnostics)
    assert [d.message for d in world.diagnostics.found] == [
        "There is no `b` here.",
        "There is no function `c` in a task.",
        "There is no `d` here.",
    ]


# ---------------------------------------------------------------- files


def test_lines_of_a_file(world):
    (world.folder / "names.txt").write_text("\ufeffMary\r\n\n John \nZoë\n", encoding="utf-8")
    assert world.shown('file("names.txt")') == ["Mary", "John", "Zoë"]


def test_rows_of_jsonl_and_csv(world):
    records = [{"a": "x", "b": 5, "c": None}, {"a": "y", "b": 0.50, "c": 1}]
    lines = "\n".join(map(json.dumps, records))
    (world.folder / "t.jsonl").write_text(lines + "\n\n")
    assert world.value('rows("t.jsonl", "a", "b")') == [("x", number("5")), ("y", number("0.5"))]
    assert world.value('rows("t.jsonl", "a")') == ["x", "y"]
    (world.folder / "t.csv").write_text('a,b\n"x, z",1\ny,2\n')
    assert world.value('rows("t.csv", "b", "a")') == [("1", "x, z"), ("2", "y")]
    (world.folder / "t.tsv").write_text("a\tb\nx\t1\n")
    assert world.value('rows("t.tsv", "a", "b")') == [("x", "1")]


@pytest.mark.parametrize(
    ("name", "content", "call", "code", "message"),
    [
        ("names.txt", b"x", 'file("nmaes.txt")', "CL110", "names.txt"),
        ("names.txt", b"x", 'file("../names.txt")', "CL111", "outside"),
        ("names.txt", b"x", 'file("/etc/passwd")', "CL111", "outside"),
        ("names.txt", b"x", 'file(".")', "CL110", "no file"),
        ("names.txt", b"ok\n\xff\xfe", 'file("names.txt")', "CL112", "UTF-8"),
        ("names.txt", b"x", 'rows("names.txt", "a")', "CL112", "neither"),
        ("t.jsonl", b'{"a": "x"}\n{oops}', 'rows("t.jsonl", "a")', "CL112", "line 2"),
        ("t.jsonl", b"[1]", 'rows("t.jsonl", "a")', "CL112", "not a JSON object"),
        ("t.jsonl", b"[" * 50_000, 'rows("t.jsonl", "a")', "CL112", "line 1"),
        ("t.jsonl", b'{"clean": "x"}', 'rows("t.jsonl", "claen")', "CL112", "did you mean `clean`"),
        ("t.jsonl", b'{"a": [[1]]}', 'rows("t.jsonl", "a")', "CL112", "neither text nor"),
        ("t.json", b'{"a": "x"}', 'rows("t.json", "a")', "CL112", "no list of objects"),
        ("t.json", b'[{"a": "x"},\n 3]', 'rows("t.json", "a")', "CL112", "entry 2"),
        ("t.json", b'[{"a": "x"},\n oops]', 'rows("t.json", "a")', "CL112", "(line 2)"),
        ("t.json", b'[{"a": "x"}, {}]', 'rows("t.json", "a")', "CL112", "entry 2"),
        ("t.json", b"[" + b"{}," * 600_000 + b"{}]", 'rows("t.json", "a")', "CL302", "1,200,002"),
        ("t.json", b"[" * 50_000 + b"]" * 50_000, 'rows("t.json", "a")', "CL112", "too deep"),
        ("t.csv", b"a\n" + b"x" * 100_001, 'rows("t.csv", "a")', "CL302", "100,001 characters"),
        ("names.txt", b"ok\n" + b"x" * 100_001, 'file("names.txt")', "CL302", "line 2"),
        ("names.txt", b"x", 'file("names.txt/x")', "CL110", "no file"),
        ("names.txt", b"x", f'file("{"x" * 5000}")', "CL110", "name too long"),
        ("t.jsonl", b'{"a": true}', 'rows("t.jsonl", "a")', "CL112", "neither text nor"),
        ("t.jsonl", b'{"a": "\\ud800"}', 'rows("t.jsonl", "a")', "CL112", "neither text nor"),
        ("t.csv", b"a,b\n1\n", 'rows("t.csv", "a")', "CL112", "2 columns"),
        ("t.csv", b"a,b\n1,2,3\n", 'rows("t.csv", "a")', "CL112", "2 columns"),
        ("t.csv", b'a,b\n"1,2\n', 'rows("t.csv", "a")', "CL112", "not CSV"),
        ("names.txt", b"\n" * 1_000_001, 'file("names.txt")', "CL302", "1,000,001"),
        ("names.txt", b"x" * 20_000_001, 'file("names.txt")', "CL110", "20 MB"),
    ],
)
def test_unusable_files(world, name, content, call, code, message):
    (world.folder / name).write_bytes(content)
    diagnostic = world.rejected(call)
    assert diagnostic.code == code
    assert message in diagnostic.message + str(diagnostic.help)


def test_files_in_folders_and_inside_expressions(world):
    (world.folder / "lists" / "more").mkdir(parents=True)
    (world.folder / "lists" / "more" / "names.txt").write_text("Ann\nBob\n")
    (world.folder / "here.txt").symlink_to(world.folder / "lists" / "more" / "names.txt")
    assert world.shown('file("lists/more/names.txt")') == ["Ann", "Bob"]
    assert world.shown('file("lists/../here.txt")') == ["Ann", "Bob"]
    others = world.shown('[" {n}" for n in file("here.txt") if n != who]', who="Ann")
    assert others == [" Bob"]


def test_folders_that_are_links_do_not_lead_outside(tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "names.txt").write_text("x")
    (tmp_path / "spec").mkdir()
    (tmp_path / "spec" / "lists").symlink_to(tmp_path / "secret")
    (tmp_path / "spec" / "loop").symlink_to(tmp_path / "spec" / "loop")
    world = World(tmp_path / "spec")
    assert world.rejected('file("lists/names.txt")').code == "CL111"
    assert world.rejected('file("loop/names.txt")').code == "CL110"


def test_nul_characters_of_a_file_are_characters(world):
    (world.folder / "names.txt").write_bytes(b"a\0b\n")
    assert world.shown('file("names.txt")') == ["a\0b"]


def test_rows_of_a_json_file_may_hold_lists(world):
    records = [{"clean": "x", "answers": ["a", "b"]}, {"clean": "y", "answers": []}]
    (world.folder / "list.json").write_text(json.dumps(records))
    (world.folder / "task.json").write_text(json.dumps({"prompts": records, "seq_labels": None}))
    for name in ("list.json", "task.json"):
        found = world.value(f'rows("{name}", "clean", "answers")')
        assert found == [("x", ["a", "b"]), ("y", [])]


@pytest.mark.parametrize(
    "text",
    [
        '["{x}" for x in 0..99 if x in [y for y in 0..999]]',
        "[x for x in 0..99 if distinct(0..999)]",
        "[x for x in 0..99 if x in (0..999) - [5]]",
        '[x for x in 0..999 if "{long}{x}" == "y"]',
    ],
)
def test_lists_inside_lists_are_stopped(world, monkeypatch, text):
    monkeypatch.setattr("circuitlang.language.tasks.text.MOST_STEPS", 50_000)
    assert "50,000 steps" in world.rejected(text, long="z" * 90_000).message


def test_links_out_of_the_folder_are_outside(tmp_path):
    (tmp_path / "secret.txt").write_text("x")
    (tmp_path / "spec").mkdir()
    (tmp_path / "spec" / "names.txt").symlink_to(tmp_path / "secret.txt")
    assert World(tmp_path / "spec").rejected('file("names.txt")').code == "CL111"


def test_a_pipe_is_not_a_file(world):
    os.mkfifo(world.folder / "pipe.txt")
    assert world.rejected('file("pipe.txt")').code == "CL110"
