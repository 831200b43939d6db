"""What can be written at a place, from the tokens before it.

Takes the text as it stands, which mostly does not parse here, and the names that the last analysis
knows. `Cursor` says where the place is; one function for each kind of place gives the suggestions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lsprotocol.types import CompletionItemKind as Kind

from circuitlang.language.text.grammar import CIRCUIT_ITEMS, STATEMENTS, TASK_ITEMS
from circuitlang.lsp import suggestions as some
from circuitlang.lsp import values, words
from circuitlang.lsp.analysis import Analysis
from circuitlang.lsp.cursor import (
    Cursor,
    after,
    always,
    block,
    domain,
    in_head,
    in_place,
    names_something,
    new_circuit_line,
    new_statement,
    of_clause,
    of_statement,
    setting,
    tested_token,
    value_ended,
)
from circuitlang.lsp.quoted import in_quotes
from circuitlang.lsp.suggestions import SETS, Suggestion
from circuitlang.lsp.text import Text

_NODE = re.compile(
    r"(?<![\w.])(?:a(?:(\d+)|\[[\d\s,.*]*\])\.h(?:(\d*)|\[[\d\s,.]*?(\d*))|([am])(\d*))$"
)


@dataclass
class Completions:
    """`start` is where the word that is completed begins."""

    start: int
    suggestions: list[Suggestion]


def complete(text: Text, offset: int, analysis: Analysis) -> Completions:
    cursor = Cursor(text, offset, analysis)
    if cursor.in_comment:
        return Completions(offset, [])
    if cursor.string is not None:
        return Completions(*in_quotes(cursor))
    node = _NODE.search(cursor.before)
    if node is not None:
        found = list(_nodes(node, cursor))
        if node[4] is None and (found or node[1] is None):
            return Completions(offset - len(node[2] or node[3] or ""), found)
        return Completions(cursor.start, [*found, *_unique(_at(cursor))])
    return Completions(cursor.start, _unique(_at(cursor)))


def _unique(found: Iterable[Suggestion]) -> list[Suggestion]:
    return list({s.text: s for s in reversed(list(found))}.values())[::-1]


def _at(cursor: Cursor) -> Iterator[Suggestion]:
    """Suggestions for a place outside texts and comments."""
    previous = str(cursor.back() or "")
    for applies, suggest in _PLACES:
        if applies(cursor, previous):
            yield from suggest(cursor)
            return


def _nodes(found: re.Match[str], cursor: Cursor) -> Iterator[Suggestion]:
    """Heads of a layer, in range; layers, as far as the model has them."""
    model = cursor.analysis.model
    if model is None:
        return
    shape = model.shape
    if found[4] is None:
        layer = found[1]
        if layer is None or int(layer[:9]) < shape.layers:
            for head in range(shape.heads):
                about = f"head {head} of layer {layer}" if layer else f"head {head} of each"
                yield Suggestion(str(head), Kind.Unit, about)
    elif found[5] or found[4] == "m":
        for number in range(shape.layers if found[4] == "a" or shape.mlps else 0):
            if str(number).startswith(found[5]):
                name = f"a{number}.h" if found[4] == "a" else f"m{number}"
                what = "heads" if found[4] == "a" else "MLP"
                yield Suggestion(name, Kind.Unit, f"{what} of layer {number}")


# ---------------------------------------------------------------- places


def _expectations(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.of_words(words.EXPECTATIONS, Kind.EnumMember)


def _claims(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.defined(cursor, "claim")


def _head_words(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.context_words("per")
    if of_statement("claim", "assume")(cursor, ""):
        yield from some.formula_words("expect")


def _in_model(cursor: Cursor) -> Iterator[Suggestion]:
    if cursor.kind_back() != "NAME":
        yield from some.of_words(words.MODEL_SETTINGS, Kind.Property)


def _truths(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.formula_words("yes", "no")


def _halves(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.of_words(words.HALVES, Kind.EnumMember)


def _nothing(cursor: Cursor) -> Iterator[Suggestion]:
    """A name is being made up here, or a number."""
    return iter(())


def _in_task(cursor: Cursor) -> Iterator[Suggestion]:
    """Inside a task's braces: an item, a setting; after `=` slots and texts."""
    task = cursor.task
    if task is None:
        return
    braces = [b.type for b in cursor.open]
    fresh = braces[-1:] == ["LBRACE"] and (cursor.starts_line or value_ended(cursor, ""))
    if fresh or cursor.kind_back() == "LBRACE":
        if braces.count("LBRACE") > 1:
            yield from some.own(task, "slot", "label")
            yield from some.of_words({"where": words.TASK_WORDS["where"]})
        else:
            yield from some.of_words({k: words.TASK_WORDS[k] for k in TASK_ITEMS})
            yield from some.of_words(words.TASK_SETTINGS, Kind.Property)
    if cursor.kind_back() == "LBRACE":
        return
    if value_ended(cursor, ""):
        yield from some.formula_words("in", "and", *(("for", "if") if "LSQB" in braces else ()))
    else:
        yield from some.own(task, "slot", "label")
        yield from some.defined(cursor, "let")
        yield from some.calls(*words.TEXT_CALLS)
        yield from some.bound(cursor)


def _circuit_line(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.of_words({k: words.CIRCUIT_WORDS[k] for k in CIRCUIT_ITEMS})
    yield from _endpoint(cursor)


def _endpoint(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.node_sets()
    yield from some.defined(cursor, *SETS)
    yield from some.imports(cursor)
    yield from some.calls("nodes")


def _statement_start(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.of_words({k: words.STATEMENT_WORDS[k] for k in STATEMENTS})
    yield from some.of_words(words.FILE_SETTINGS, Kind.Property)
    if cursor.tokens and of_statement("claim")(cursor, ""):
        yield from some.formula_words("and")


def _after_value(cursor: Cursor) -> Iterator[Suggestion]:
    inside = cursor.open[-1].type if cursor.open else ""
    if inside == "LPAR":
        yield from some.context_words("over", *(() if cursor.call == "mean" else ("per",)))
    yield from some.formula_words("and", "in", *(("for", "if") if inside else ()))


_PLACES: tuple[
    tuple[Callable[[Cursor, str], bool], Callable[[Cursor], Iterator[Suggestion]]], ...
] = (
    (after("."), some.after_dot),
    (in_place, values.positions),
    (names_something, _nothing),
    (after("counterexample"), _claims),
    (after("expect"), _expectations),
    (of_clause("on"), values.data),
    (of_clause("under"), values.ablations),
    (of_clause("by"), values.metrics),
    (of_clause("with"), values.models),
    (of_clause("free"), values.free),
    (of_clause("over"), values.targets),
    (of_clause("per"), values.keys),
    (setting("bos", "looks"), _truths),
    (setting("split"), _halves),
    (setting("sample", "seed", "revision", *words.FILE_SETTINGS), _nothing),
    (block("model"), _in_model),
    (block("task"), _in_task),
    (new_circuit_line, _circuit_line),
    (new_statement, _statement_start),
    (in_head, _head_words),
    (value_ended, _after_value),
    (domain, values.domains),
    (tested_token, values.token_sets),
    (values.of_known_type, values.argument),
    (block("circuit"), _endpoint),
    (of_statement("group", "circuit"), values.sets),
    (of_statement("ablation"), values.ablations),
    (always, values.any_value),
)
