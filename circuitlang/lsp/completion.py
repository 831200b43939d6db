"""What can be written at a place, from the tokens before it.

Takes the text as it stands, which mostly does not parse here, and the names that the last analysis
knows. `Cursor` says where the place is; one function for each kind of place gives the suggestions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lsprotocol.types import CompletionItemKind as Kind

from circuitlang.language.grammar import CIRCUIT_ITEMS, CONTEXT_WORDS, STATEMENTS, TASK_ITEMS
from circuitlang.language.imports import word
from circuitlang.language.known_models import KNOWN, SMOLLM2
from circuitlang.lsp import words
from circuitlang.lsp.analysis import Analysis
from circuitlang.lsp.cursor import (
    Cursor,
    after,
    always,
    block,
    calls,
    in_head,
    in_place,
    names_something,
    new_circuit_line,
    new_statement,
    value_ended,
)
from circuitlang.lsp.hover import comment_above
from circuitlang.lsp.symbols import Symbol
from circuitlang.lsp.text import Text, end_of, start_of

_NODE = re.compile(r"(?<![\w.])(?:a(\d+)\.h(?:(\d*)|\[[\d\s,.]*?(\d*))|([am])(\d*))$")
_KINDS = {
    "task": Kind.Module,
    "circuit": Kind.Class,
    "group": Kind.Class,
    "let": Kind.Constant,
    "metric": Kind.Function,
    "ablation": Kind.Event,
    "measure": Kind.Function,
    "model": Kind.Module,
    "import": Kind.Module,
    "slot": Kind.Field,
    "label": Kind.Reference,
    "tokens": Kind.Enum,
    "corrupt": Kind.Event,
    "prompt": Kind.Text,
    "bound": Kind.Variable,
}
_SETS = ("circuit", "group", "let")
_PORTS = ("q", "k", "v", "qk", "qv", "kv", "qkv")


@dataclass(frozen=True)
class Suggestion:
    """`text` replaces what is written of the word already."""

    text: str
    kind: Kind
    detail: str = ""
    about: str = ""


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
        return _in_string(cursor)
    node = _NODE.search(cursor.before)
    if node is not None:
        found = list(_nodes(node, cursor))
        if found and node[4] is None:
            return Completions(offset - len(node[2] or node[3] or ""), found)
        return Completions(cursor.start, [*found, *_unique(_at(cursor))])
    return Completions(cursor.start, _unique(_at(cursor)))


def _unique(found: Iterable[Suggestion]) -> list[Suggestion]:
    return list({s.text: s for s in reversed(list(found))}.values())[::-1]


def _at(cursor: Cursor) -> Iterator[Suggestion]:
    """Suggestions for a place outside texts and comments."""
    previous = cursor.back()
    for applies, suggest in _PLACES:
        if applies(cursor, str(previous or "")):
            yield from suggest(cursor)
            return


# ---------------------------------------------------------------- parts of words


def _nodes(found: re.Match[str], cursor: Cursor) -> Iterator[Suggestion]:
    """Heads of a layer, in range; layers, as far as the model has them."""
    model = cursor.analysis.model
    if model is None:
        return
    shape = model.shape
    if found[1] is not None:
        if int(found[1][:9]) < shape.layers:
            for head in range(shape.heads):
                about = f"head {head} of layer {found[1]}"
                yield Suggestion(str(head), Kind.Unit, about)
    elif found[5] or found[4] == "m":
        for layer in range(shape.layers if found[4] == "a" or shape.mlps else 0):
            if str(layer).startswith(found[5]):
                name = f"a{layer}.h" if found[4] == "a" else f"m{layer}"
                about = f"heads of layer {layer}" if found[4] == "a" else f"MLP of layer {layer}"
                yield Suggestion(name, Kind.Unit, about)


def _in_string(cursor: Cursor) -> Completions:
    """Slots in a prompt's braces; models; files beside the document."""
    assert cursor.string is not None
    inside = cursor.text.text[cursor.string : cursor.offset].lstrip('"')
    begin = cursor.offset - len(inside)
    statement = cursor.outline.at(cursor.string)
    before = [t for t in cursor.text.tokens if end_of(t) <= cursor.string]
    kind = statement.kind if statement is not None else ""
    hole = re.search(r"\{\s*(\w*)$", inside)
    if hole is not None and kind == "task" and statement is not None and statement.symbol:
        slots = [c for c in statement.symbol.children if c.kind in ("slot", "label")]
        return Completions(cursor.offset - len(hole[1]), list(map(_symbol, slots)))
    if kind == "model":
        return Completions(begin, [Suggestion(m, Kind.Module) for m in ("toy", SMOLLM2, *KNOWN)])
    called = str(before[-2]) if len(before) > 1 and before[-1].type == "LPAR" else ""
    endings = {
        "file": (".txt",),
        "rows": (".jsonl", ".csv", ".tsv", ".json"),
        "edges_from": (".json", ".pt"),
    }.get(called, (".circ",) if kind == "import" else ())
    return Completions(begin, list(_files(cursor, endings)))


def _files(cursor: Cursor, endings: tuple[str, ...]) -> Iterator[Suggestion]:
    source = cursor.text.source
    try:
        names = sorted(p.name for p in source.folder.iterdir() if p.suffix in endings)
    except OSError:
        return
    for name in names:
        if name != source.name:
            yield Suggestion(name, Kind.File)


# ---------------------------------------------------------------- places


def _after_dot(cursor: Cursor) -> Iterator[Suggestion]:
    parts: list[str] = []
    steps = 2
    while cursor.kind_back(steps) == "NAME":
        parts.insert(0, str(cursor.back(steps)))
        if cursor.kind_back(steps + 1) != "DOT":
            break
        steps += 2
    name = ".".join(parts)
    if (module := cursor.analysis.modules.get(name)) is not None:
        for own, statements in module.own.items():
            made = word(statements[0])
            yield Suggestion(own, _KINDS.get(made, Kind.Variable), f"{made} of {module.path}")
        return
    tasks = [t for t in cursor.outline.tasks if t.name == name]
    for task in tasks:
        yield from (_symbol(c) for c in task.children if c.kind in ("corrupt", "prompt"))
    if not tasks:
        for port in _PORTS:
            yield Suggestion(port, Kind.Property, "port", words.port_meaning(port))


def _positions(cursor: Cursor) -> Iterator[Suggestion]:
    yield Suggestion("END", Kind.Reference, words.BUILTINS["END"])
    yield from _labels(cursor)
    for name in ("first", "last"):
        yield _call(name)
    yield from _bound(cursor)


def _labels(cursor: Cursor) -> Iterator[Suggestion]:
    """Position labels, and the slots that are their own labels."""
    resolved = cursor.analysis.resolved
    for task in cursor.outline.tasks:
        known = resolved.tasks.get(task.name) if resolved else None
        for child in task.children:
            if child.kind == "label":
                yield Suggestion(child.name, Kind.Reference, f"position of task {task.name}")
            elif child.kind == "slot" and (known is None or child.name in known.some_labels):
                yield Suggestion(child.name, Kind.Reference, f"slot of task {task.name}")


def _data(cursor: Cursor) -> Iterator[Suggestion]:
    yield from _defined(cursor, "task")
    yield from _bound(cursor)
    for task in cursor.outline.tasks:
        for child in task.children:
            if child.kind == "prompt":
                yield Suggestion(f"{task.name}.{child.name}", Kind.Text, f"template of {task.name}")


def _ablations(cursor: Cursor) -> Iterator[Suggestion]:
    yield from _defined(cursor, "ablation")
    yield from _words({k: words.ABLATIONS[k] for k in ("zero", "resample", "mean")}, Kind.Event)
    yield from _bound(cursor)


def _metrics(cursor: Cursor) -> Iterator[Suggestion]:
    yield from _defined(cursor, "metric")
    yield from map(_call, words.METRIC_CALLS)
    yield from _bound(cursor)


def _models(cursor: Cursor) -> Iterator[Suggestion]:
    yield from _defined(cursor, "model")
    yield from _bound(cursor)


def _free(cursor: Cursor) -> Iterator[Suggestion]:
    yield from _node_sets()
    yield from _defined(cursor, "group")


def _targets(cursor: Cursor) -> Iterator[Suggestion]:
    yield from _words(words.TARGETS, Kind.EnumMember)


def _keys(cursor: Cursor) -> Iterator[Suggestion]:
    yield from _words(words.MEAN_KEYS, Kind.EnumMember)
    yield from _inside_tasks(cursor, "slot")


def _expectations(cursor: Cursor) -> Iterator[Suggestion]:
    yield from _words(words.EXPECTATIONS, Kind.EnumMember)


def _corruptions(cursor: Cursor) -> Iterator[Suggestion]:
    yield from _inside_tasks(cursor, "corrupt")
    yield from _bound(cursor)
    if cursor.call == "mean":
        yield Suggestion("clean", Kind.Event, words.ABLATIONS["clean"])
        yield from _expression(cursor)


def _token_sets(cursor: Cursor) -> Iterator[Suggestion]:
    yield from _inside_tasks(cursor, "tokens")
    yield from _bound(cursor)


def _head_words(cursor: Cursor) -> Iterator[Suggestion]:
    yield from _context_words()
    yield from _words({"expect": words.FORMULA_WORDS["expect"]}, Kind.Keyword)


def _in_model(cursor: Cursor) -> Iterator[Suggestion]:
    yield from _words(words.MODEL_SETTINGS, Kind.Property)


def _in_task(cursor: Cursor) -> Iterator[Suggestion]:
    """Inside a task's braces: an item, a setting; after `=` slots and texts."""
    task = cursor.task
    assert task is not None
    corrupting = len([b for b in cursor.open if b.type == "LBRACE"]) > 1
    if cursor.starts_line or cursor.kind_back() in ("LBRACE", "RBRACE"):
        if corrupting:
            yield from _own(task, "slot", "label")
            yield from _words({"where": words.TASK_WORDS["where"]}, Kind.Keyword)
        else:
            yield from _words({k: words.TASK_WORDS[k] for k in TASK_ITEMS}, Kind.Keyword)
            yield from _words(words.TASK_SETTINGS, Kind.Property)
    if cursor.kind_back() != "LBRACE":
        yield from _own(task, "slot", "label")
        yield from _defined(cursor, "let")
        yield from map(_call, words.TEXT_CALLS)
        yield from _bound(cursor)
        yield from _words({k: words.FORMULA_WORDS[k] for k in ("for", "in", "if", "and")})


def _circuit_line(cursor: Cursor) -> Iterator[Suggestion]:
    yield from _words({k: words.CIRCUIT_WORDS[k] for k in CIRCUIT_ITEMS}, Kind.Keyword)
    yield from _node_sets()
    yield from _defined(cursor, *_SETS)
    yield from _imports(cursor)


def _statement_start(cursor: Cursor) -> Iterator[Suggestion]:
    yield from _words({k: words.STATEMENT_WORDS[k] for k in STATEMENTS}, Kind.Keyword)
    yield from _words(words.FILE_SETTINGS, Kind.Property)
    if cursor.tokens and cursor.statement is not None and cursor.statement.kind == "claim":
        yield from _words({"and": words.FORMULA_WORDS["and"]}, Kind.Operator)


def _after_value(cursor: Cursor) -> Iterator[Suggestion]:
    if cursor.open and cursor.open[-1].type == "LPAR":
        yield from _context_words()
    yield from _words({k: words.FORMULA_WORDS[k] for k in ("and", "in", "for", "if")})


def _expression(cursor: Cursor) -> Iterator[Suggestion]:
    """Everything that can stand where a value is wanted."""
    yield from _bound(cursor)
    yield from _defined(cursor, *_SETS, "ablation", "metric", "task", "model")
    yield from _measures(cursor)
    yield from _imports(cursor)
    if cursor.statement is not None and cursor.statement.kind == "metric":
        yield from map(_call, words.METRIC_CALLS)
    yield from map(_call, {**words.OTHER_CALLS, **words.STATISTIC_CALLS, **words.DOMAIN_CALLS})
    yield from map(_call, words.ABLATION_CALLS)
    yield from _words(words.BUILTINS, Kind.Constant)
    yield from _words({"zero": words.ABLATIONS["zero"]}, Kind.Constant)
    yield from _words({k: words.FORMULA_WORDS[k] for k in ("forall", "exists", "most")})
    yield from _labels(cursor)


def _new_name(cursor: Cursor) -> Iterator[Suggestion]:
    """A name is being made up here."""
    return iter(())


# ---------------------------------------------------------------- suggestions


def _words(table: dict[str, str], kind: Kind = Kind.Keyword) -> Iterator[Suggestion]:
    return (Suggestion(name, kind, meaning) for name, meaning in table.items())


def _context_words() -> Iterator[Suggestion]:
    return _words({k: words.CONTEXT_MEANINGS[k] for k in CONTEXT_WORDS})


def _call(name: str) -> Suggestion:
    takes, gives = words.CALLS[name]
    return Suggestion(name, Kind.Function, name + takes, gives)


def _node_sets() -> Iterator[Suggestion]:
    names = ("input", "logits", "heads", "mlps", "any")
    return _words({n: words.BUILTINS[n] for n in names}, Kind.Constant)


def _symbol(symbol: Symbol) -> Suggestion:
    return Suggestion(symbol.name, _KINDS.get(symbol.kind, Kind.Variable), symbol.kind)


def _defined(cursor: Cursor, *kinds: str) -> Iterator[Suggestion]:
    """Definitions of the file by these words, but for the one that is being written."""
    for symbol in cursor.outline.of_kind(*kinds):
        if symbol.place.start != cursor.start and symbol.name.isidentifier():
            yield _symbol(symbol)
    for module in cursor.analysis.modules.values():
        if "." not in module.name:
            for name in module.names(*kinds):
                yield Suggestion(name, Kind.Variable, f"of {module.path}")


def _imports(cursor: Cursor) -> Iterator[Suggestion]:
    return map(_symbol, cursor.outline.of_kind("import"))


def _own(task: Symbol, *kinds: str) -> Iterator[Suggestion]:
    return (_symbol(c) for c in task.children if c.kind in kinds)


def _inside_tasks(cursor: Cursor, kind: str) -> Iterator[Suggestion]:
    for task in cursor.outline.tasks:
        for child in task.children:
            if child.kind == kind:
                yield Suggestion(child.name, _KINDS[kind], f"{kind} of task {task.name}")


def _bound(cursor: Cursor) -> Iterator[Suggestion]:
    statement = cursor.statement
    for token in statement.bound if statement is not None else ():
        if start_of(token) != cursor.start:
            yield Suggestion(str(token), Kind.Variable, "bound in this statement")


def _measures(cursor: Cursor) -> Iterator[Suggestion]:
    """Measures that the last analysis knew, with their types, and those written since."""
    known = cursor.analysis.measures
    for name, measure in known.items():
        signature = str(cursor.analysis.signatures[name])
        yield Suggestion(name, Kind.Function, signature, comment_above(measure.span))
    for symbol in cursor.outline.of_kind("measure"):
        if symbol.name not in known and symbol.place.start != cursor.start:
            yield _symbol(symbol)


_PLACES: tuple[
    tuple[Callable[[Cursor, str], bool], Callable[[Cursor], Iterator[Suggestion]]], ...
] = (
    (after("."), _after_dot),
    (in_place, _positions),
    (names_something, _new_name),
    (after("expect"), _expectations),
    (after("on"), _data),
    (after("under"), _ablations),
    (after("by"), _metrics),
    (after("with"), _models),
    (after("free"), _free),
    (after("over"), _targets),
    (after("per"), _keys),
    (calls("resample", "mean"), _corruptions),
    (calls("logit", "logprob", "prob", "rank"), _token_sets),
    (calls("examples", "templates", "corruptions", "parts", "inputs"), _data),
    (block("model"), _in_model),
    (block("task"), _in_task),
    (new_circuit_line, _circuit_line),
    (new_statement, _statement_start),
    (in_head, _head_words),
    (value_ended, _after_value),
    (always, _expression),
)
