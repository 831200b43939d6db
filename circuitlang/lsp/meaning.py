"""A place in a document -> what stands there: a definition, a node, a word of the language."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lark import Token

from circuitlang.language.diagnostics import TITLES
from circuitlang.language.imports import Module
from circuitlang.language.text.grammar import RESERVED, WORD_SETTINGS
from circuitlang.lsp import words
from circuitlang.lsp.analysis import Analysis
from circuitlang.lsp.symbols import Place, Statement, Symbol, holes
from circuitlang.lsp.text import end_of, start_of

_CODE = re.compile(r"CL\d{3}")
_REFERABLE = ("circuit", "group", "let", "measure", "metric", "ablation", "model", "import", "task")
_READING = ("file", "rows", "edges_from", "constants")
_INSIDE_TASKS = ("slot", "label", "tokens", "corrupt", "prompt")


@dataclass(frozen=True)
class Meaning:
    """`kind` says what `name` is:

    "symbol": `symbol` of this document; "imported": the definition `name` of `module`;
    "measure": a built-in one; "bound": a parameter or variable, bound at `symbol`;
    "node", "port", "word", "half", "sign", "code"; "argument": one with a name; "file": an imported
    file, "data": another one; "reference": a model.
    """

    kind: str
    name: str
    place: Place
    symbol: Symbol | None = None
    module: Module | None = None
    statement: Statement | None = None
    located: str = ""


def meaning(analysis: Analysis, offset: int) -> Meaning | None:
    """What stands at `offset`; None for what nobody defines."""
    text = analysis.text
    index = text.index_at(offset)
    if index is None:
        return _code(text.text, offset)
    token = text.tokens[index]
    place = Place(start_of(token), end_of(token))
    statement = analysis.outline.at(place.start)
    assert statement is not None
    if token.type == "STRING":
        return _in_string(analysis, index, offset, statement)
    if token.type == "NODE":
        located = _position_after(text.tokens, index)
        return Meaning("node", str(token), place, located=located, statement=statement)
    if token.value in RESERVED:
        return Meaning("word", str(token), place)
    if token.value in words.SIGNS:
        return Meaning("sign", str(token), place)
    if token.type != "NAME":
        return None
    return _name(analysis, index, statement)


def _code(text: str, offset: int) -> Meaning | None:
    """A code in a comment."""
    for found in _CODE.finditer(text, max(0, offset - 5), offset + 5):
        if found.start() <= offset <= found.end() and found[0] in TITLES:
            return Meaning("code", found[0], Place(*found.span()))
    return None


def _in_string(analysis: Analysis, index: int, offset: int, statement: Statement) -> Meaning | None:
    token = analysis.text.tokens[index]
    place, name = Place(start_of(token), end_of(token)), str(token).strip('"')
    before = [str(t) for t in analysis.text.tokens[max(0, index - 2) : index]]
    if before[-1:] == ["import"]:
        return Meaning("file", name, place, statement.symbol, statement=statement)
    texts = [t for t in statement.tokens if t.type == "STRING"]
    if statement.kind == "model" and texts[0] is token:
        return Meaning("reference", name, place, statement.symbol)
    if before[-1:] == ["("] and before[0] in _READING:
        return Meaning("data", name, place)
    task = statement.symbol
    for hole in holes(token):
        for name, where, kinds in (
            (hole.label, hole.label_place, ("label", "slot")),
            (hole.slot, hole.slot_place, ("slot", "label")),
        ):
            if offset in where and task is not None:
                return _child(task, name, where, kinds)
    return None


def _child(task: Symbol, name: str, place: Place, kinds: Sequence[str]) -> Meaning | None:
    """What a task calls `name`; of several, the earliest of `kinds`."""
    found = [c for kind in kinds for c in task.children if c.kind == kind and c.name == name]
    return Meaning("symbol", name, place, found[0]) if found else None


def _name(analysis: Analysis, index: int, statement: Statement) -> Meaning | None:
    tokens = analysis.text.tokens
    token = tokens[index]
    place = Place(start_of(token), end_of(token))
    if index and tokens[index - 1].type == "DOT":
        return _part(analysis, index, place)
    name = str(token)
    if index and tokens[index - 1].value == "spec":
        return None
    own = analysis.outline.defined_at(place.start)
    if own is not None and own.place == place:
        return Meaning("symbol", name, place, own, statement=statement)
    for bound in statement.bound:
        if bound == token:
            symbol = Symbol("bound", name, _at(bound), statement.whole)
            return Meaning("bound", name, place, symbol, statement=statement)
    if statement.kind == "task" and statement.symbol is not None:
        found = _child(statement.symbol, name, place, _INSIDE_TASKS)
        if found is not None:
            return found
    if name in words.ARGUMENTS and _is_argument(tokens, index):
        return Meaning("argument", name, place)
    if name in words.SETTINGS and _is_setting(tokens, index):
        return Meaning("word", name, place)
    if name in words.HALVES and index and _is_setting(tokens, index - 1):
        return Meaning("half", name, place)
    return _defined(analysis, name, place, _wanted(tokens, index))


def _at(token: Token) -> Place:
    return Place(start_of(token), end_of(token))


def _is_setting(tokens: Sequence[Token], index: int) -> bool:
    following = tokens[index + 1] if index + 1 < len(tokens) else None
    if following is None:
        return False
    if tokens[index].value in WORD_SETTINGS and following.value in words.HALVES:
        return True
    return following.type in ("NUMBER", "STRING", "YES", "NO")


def _is_argument(tokens: Sequence[Token], index: int) -> bool:
    """Whether a name and `=` stand inside a call."""
    following = str(tokens[index + 1]) if index + 1 < len(tokens) else ""
    return following == "=" and index > 0 and str(tokens[index - 1]) in ("(", ",")


def _wanted(tokens: Sequence[Token], index: int) -> tuple[str, ...]:
    """The kinds of definition that are looked up first, by what stands before a name."""
    before = [str(t) for t in tokens[max(0, index - 2) : index]]
    if _place_list(tokens, index):
        return ("label", "slot")
    if before and before[-1] == "on":
        return ("task",)
    if len(before) == 2 and before[1] == "(":
        return {
            "resample": ("corrupt",),
            "mean": ("corrupt",),
            **dict.fromkeys(("examples", "templates", "corruptions", "parts", "inputs"), ("task",)),
            **dict.fromkeys(("logit", "logprob", "prob", "rank"), ("tokens",)),
        }.get(before[0], ())
    return ()


def _place_list(tokens: Sequence[Token], index: int) -> bool:
    """Whether the token stands after `@`, or in a list or call that does."""
    while index > 0:
        index -= 1
        kind = tokens[index].type
        if kind == "AT":
            return True
        if kind not in ("NAME", "COMMA", "LSQB", "LPAR", "PLUS", "MINUS", "NUMBER"):
            return False
    return False


def _defined(
    analysis: Analysis, name: str, place: Place, wanted: tuple[str, ...]
) -> Meaning | None:
    outline = analysis.outline
    kinds = (*wanted, *(k for k in (*_REFERABLE, *_INSIDE_TASKS) if k not in wanted))
    for kind in kinds:
        for symbol in outline.of_kind(kind):
            if symbol.name == name:
                return Meaning(
                    "symbol", name, place, symbol, statement=outline.at(symbol.place.start)
                )
    if name in analysis.measures:
        return Meaning("measure", name, place)
    known = (
        words.BUILTINS,
        words.CALLS,
        words.ABLATIONS,
        words.EXPECTATIONS,
        words.TARGETS,
        words.MEAN_KEYS,
        words.METRIC_WORDS,
    )
    if any(name in table for table in known):
        return Meaning("word", name, place)
    return None


def _part(analysis: Analysis, index: int, place: Place) -> Meaning | None:
    """What stands after a dot: a port, or part of an import or a task."""
    tokens, name = analysis.text.tokens, str(analysis.text.tokens[index])
    parts = [name]
    at = index
    while at >= 2 and tokens[at - 1].type == "DOT" and tokens[at - 2].type == "NAME":
        at -= 2
        parts.insert(0, str(tokens[at]))
    owner = ".".join(parts[:-1])
    module = analysis.modules.get(owner)
    if module is not None:
        return Meaning("imported", name, place, module=module) if name in module else None
    for task in analysis.outline.tasks:
        if task.name == owner:
            return _child(task, name, place, ("corrupt", "prompt"))
    if set(name) <= set(words.PORTS):
        return Meaning("port", name, place)
    if (imported := analysis.modules.get(parts[0])) is not None and len(parts) > 2:
        return Meaning("imported", parts[1], place, module=imported)
    return None


def _position_after(tokens: Sequence[Token], index: int) -> str:
    """The position that a node is located at: what is written after `@`."""
    if index + 2 >= len(tokens) or tokens[index + 1].type != "AT":
        return ""
    found, depth = [], 0
    for token in tokens[index + 2 :]:
        depth += (token.type == "LSQB") - (token.type == "RSQB")
        found.append(str(token))
        if depth <= 0:
            break
    return "".join(f" {t} " if t in ("+", "-") else f"{t} " if t == "," else t for t in found)
