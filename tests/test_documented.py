"""The reference is complete: every construct of the language stands in an example that is run.

Examples are the `circ` blocks of docs/language.md that test_docs.py lints, without those that show
an error. What has to occur is read off the code: the productions of the grammar, the functions, names,
settings and options that the resolver knows. A word that is new fails here until it is documented.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import pytest
from lark.grammar import Rule

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.formulas import claims, evaluate, functions, metric, wrappers
from circuitlang.language.graph import circuit_edges, circuit_file
from circuitlang.language.graph.circuit_formats import parse_circuit
from circuitlang.language.models import statement as model_statement
from circuitlang.language.resolve import prelude
from circuitlang.language.source import Source, Span
from circuitlang.language.tasks import data_files, mentions, task
from circuitlang.language.text import syntax
from circuitlang.language.text.grammar import LATER, METRIC_FUNCTIONS, build_parser
from circuitlang.language.text.parse import parse
from circuitlang.lsp import words
from tests.test_docs import LANGUAGE, ROOT, blocks, section

SOUND = [b for b in blocks(LANGUAGE) if b.language == "circ" and "error" not in b.marks]
DATA = [b for b in blocks(LANGUAGE) if "file" in b.marks]


@cache
def trees() -> tuple[syntax.File, ...]:
    return tuple(parse(Source("block", b.text, ROOT), Diagnostics()) for b in SOUND)


def parts(tree: Any) -> Iterator[Any]:
    """Every node below and including `tree`."""
    stack = [tree]
    while stack:
        part = stack.pop()
        if isinstance(part, tuple):
            stack.extend(part)
        elif is_dataclass(part) and not isinstance(part, (Span, type)):
            yield part
            stack.extend(getattr(part, f.name) for f in fields(part) if f.name != "span")


def every(kind: type, within: Iterable[Any] | None = None) -> list[Any]:
    roots = trees() if within is None else within
    return [part for root in roots for part in parts(root) if isinstance(part, kind)]


def missing(wanted: Iterable[Any], shown: Iterable[Any]) -> list[Any]:
    shown = set(shown)
    return sorted((w for w in wanted if w not in shown), key=str)


# ---------------------------------------------------------------- grammar

# What parses, so that the message can say what is wrong, and is wrong in every spec.
NEVER_SOUND = {
    "start ->",
    "task -> TASK NAME LBRACE RBRACE",
    "assume -> ASSUME NAME STRING clauses expect COLON formula",
    "assume -> ASSUME NAME clauses expect COLON formula",
}
# Braces and brackets that hold nothing.
EMPTY = {
    "model -> MODEL NAME EQUAL STRING LBRACE RBRACE",
    "model -> MODEL STRING LBRACE RBRACE",
    "circuit_block -> CIRCUIT NAME LBRACE RBRACE",
    "corrupt -> CORRUPT NAME LBRACE RBRACE",
    "list -> LSQB RSQB",
}


def written(rule: Rule) -> str:
    name = rule.alias or rule.origin.name
    return " ".join([name, "->", *(symbol.name for symbol in rule.expansion)])


def productions_in(texts: Iterable[str]) -> tuple[set[str], set[str]]:
    """All productions of the grammar, and those by which the texts are read."""
    parser = build_parser()
    used: set[str] = set()
    callbacks = parser.parser.parser.parser.callbacks

    def counted(rule: Rule, callback: Any) -> Any:
        def reduce(children: list[Any]) -> Any:
            used.add(written(rule))
            return callback(children)

        return reduce

    known = set(map(written, callbacks))
    for rule, callback in list(callbacks.items()):
        callbacks[rule] = counted(rule, callback)
    for text in texts:
        parser.parse(text)
    return known, used


def test_every_production_of_the_grammar_is_shown() -> None:
    known, used = productions_in(block.text for block in SOUND)
    assert known >= NEVER_SOUND | EMPTY
    assert missing(known - NEVER_SOUND - EMPTY, used) == []
    assert NEVER_SOUND & used == set()


def test_productions_are_told_apart() -> None:
    _, used = productions_in(["claim c: F(M) > 0"])
    assert "claim -> CLAIM NAME clauses COLON formula" in used
    assert "claim -> CLAIM NAME STRING clauses COLON formula" not in used
    assert "both -> expr AND relation" not in used


def test_every_relation_is_shown_in_tasks_and_in_formulas() -> None:
    in_tasks = {b.operator for b in every(syntax.Binary, every(syntax.Task))}
    in_formulas = {b.operator for b in every(syntax.Binary, every(syntax.Claim))}
    assert missing(syntax.RELATIONS | {"in", "and", "+", "-", "*", "/", "&", ".."}, in_tasks) == []
    assert (
        missing(syntax.RELATIONS | {"in", "and", "+", "-", "*", "/", "&", "->"}, in_formulas) == []
    )


# ---------------------------------------------------------------- words


def in_metrics() -> list[Any]:
    defined = [d.value for d in every(syntax.Define) if d.kind == "metric"]
    return defined + [c.value for c in every(syntax.Clause) if c.word == "by"]


def in_formulas() -> list[Any]:
    kinds = (syntax.Claim, syntax.Report, syntax.Circuit, syntax.Measure)
    stated = [s for tree in trees() for s in tree.statements if isinstance(s, kinds)]
    return stated + [d for d in every(syntax.Define) if d.kind != "metric"]


def calls(within: Iterable[Any] | None = None) -> set[str]:
    return {call.name.text for call in every(syntax.Call, within)}


def bare_names() -> set[str]:
    """Names outside of calls' own names."""
    called = {id(call.name) for call in every(syntax.Call)}
    return {name.text for name in every(syntax.Name) if id(name) not in called}


def settings(of: type) -> set[str]:
    return {
        part.name
        for tree in every(of)
        for part in (*getattr(tree, "settings", ()), *getattr(tree, "items", ()))
        if isinstance(part, syntax.Setting)
    }


def named_arguments() -> dict[tuple[str, str], set[Any]]:
    found: dict[tuple[str, str], set[Any]] = {}
    for call in every(syntax.Call):
        for name, value in call.named:
            given = found.setdefault((call.name.text, name), set())
            given.add(getattr(value, "value", None))
    return found


FILE_SETTINGS = {s.name for t in trees() for s in t.statements if isinstance(s, syntax.Setting)}
SHOWN = {
    "functions of tasks": (
        mentions.FUNCTIONS,
        calls([*every(syntax.Task), *(d for d in every(syntax.Define) if d.kind == "let")]),
    ),
    "functions of metrics": (
        (*METRIC_FUNCTIONS, *metric._UNARY, "mean", "min", "max"),
        calls(in_metrics()),
    ),
    "functions of formulas": (functions._HANDLERS, calls(in_formulas())),
    "measures": (prelude(), calls() | bare_names()),
    "names": (evaluate.BUILTIN_WORDS, calls() | bare_names()),
    "ablations": ((*words.ABLATIONS, *words.ABLATION_CALLS), calls() | bare_names()),
    "the most likely token": (("argmax",), bare_names()),
    "settings of the file": (words.FILE_SETTINGS, FILE_SETTINGS),
    "settings of models": (model_statement.SETTINGS, settings(syntax.Model)),
    "settings of tasks": (task.SETTINGS, settings(syntax.Task)),
    "dtypes": (
        model_statement.DTYPES,
        {s.value for s in every(syntax.Setting) if s.name == "dtype"},
    ),
    "expectations": (
        claims.EXPECTATIONS,
        {c.expect[0] for c in every(syntax.Claim) if c.expect},
    ),
    "targets": (
        claims.TARGETS,
        {c.value.text for c in every(syntax.Clause) if c.word == "over"},
    ),
    "keys of means": (
        words.MEAN_KEYS,
        {n.text for c in every(syntax.Clause) if c.word == "per" for n in every(syntax.Name, [c])},
    ),
    "options of edges_from": (
        circuit_file.OPTIONS,
        {name for call, name in named_arguments() if call == "edges_from"},
    ),
    "ways to compare scores": (
        ("signed", "absolute"),
        named_arguments().get(("edges_from", "scores"), ()),
    ),
    "options of greedy": (
        wrappers.GREEDY,
        {name for call, name in named_arguments() if call == "greedy"},
    ),
    "options of search and token_ids": (
        (("search", "budget"), ("token_ids", "length")),
        named_arguments(),
    ),
    "samplers": (wrappers.SAMPLERS, named_arguments().get(("circuits", "sampler"), ())),
}


@pytest.mark.parametrize("what", SHOWN)
def test_every_word_is_shown(what: str) -> None:
    known, shown = SHOWN[what]
    assert missing(known, shown) == []


def test_every_form_of_a_node_is_shown() -> None:
    nodes = {node.text for node in every(syntax.NodeLiteral)}
    for form in (
        r"a\d+\.h\d+",
        r"m\d+",
        r".*\[\d+,.*",
        r".*\[\d+\.\.\d+\].*",
        r"m\[\*\]",
        r"a\[.*",
    ):
        assert any(re.fullmatch(form, node) for node in nodes), form


def test_every_port_is_shown() -> None:
    texts = {part for name in every(syntax.Name) for part in name.parts[1:]}
    texts |= {ported.port for ported in every(syntax.Ported)}
    texts |= {node.text.rpartition(".")[2] for node in every(syntax.NodeLiteral)}
    assert missing(("q", "k", "v", "qk", "qv", "kv", "qkv"), texts) == []


def test_every_written_form_of_strings_and_numbers_is_shown() -> None:
    text = "\n".join(block.text for block in SOUND)
    for form in (r'"""', r'\\"', r"\\\\", r"\\n", r"\{\{", r"\}\}", r"\{\w+:\w+\}", r"#"):
        assert re.search(form, text), form
    numbers = {number.text for number in every(syntax.NumberLiteral)}
    for form in (r"\d+", r"\d+\.\d+", r"\d+e-?\d+", r"\d+%", r"0\d"):
        assert any(re.fullmatch(form, number) for number in numbers), form


# ---------------------------------------------------------------- files


def test_every_format_of_a_circuit_file_is_shown() -> None:
    given = {
        call.arguments[0].value for call in every(syntax.Call) if call.name.text == "edges_from"
    }
    files = [b for b in DATA if b.marks["file"] in given]
    formats = {parse_circuit(b.text.encode(), b.marks["file"]).format for b in files}
    assert missing(circuit_edges._NAMERS, formats) == []


def test_every_kind_of_data_file_is_named() -> None:
    page = LANGUAGE.read_text(encoding="utf-8")
    kinds = (*data_files._SEPARATORS, *data_files._JSON_LINES, ".json", ".safetensors")
    assert [kind for kind in kinds if f"`{kind}`" not in page] == []


# ---------------------------------------------------------------- what is not run


def test_what_is_not_run_is_listed() -> None:
    """On failure the rows to paste are in the message."""
    rows = re.findall(r"^\| `.*\|$", section("What this version does not run"), re.MULTILINE)
    wanted = "\n".join(f"| `{name}` | {instead} |" for name, instead in LATER.items())
    assert "\n".join(rows) == wanted
