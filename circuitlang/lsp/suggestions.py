"""What can be suggested, by kind: words of the language, functions, and the names that a file defines.

Each function takes the cursor, and gives the names of one kind that can stand there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lsprotocol.types import CompletionItemKind as Kind

from circuitlang.language.imports import word
from circuitlang.language.text import syntax
from circuitlang.language.text.grammar import CONTEXT_WORDS, LATER
from circuitlang.lsp import words
from circuitlang.lsp.cursor import Cursor
from circuitlang.lsp.markdown import comment_above
from circuitlang.lsp.symbols import Symbol
from circuitlang.lsp.text import start_of

KINDS = {
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
    "claim": Kind.Event,
}
SETS = ("circuit", "group", "let")
PORTS = ("q", "k", "v", "qk", "qv", "kv", "qkv")
NODE_SETS = ("input", "logits", "heads", "mlps", "any")
# What is defined by a word, after each context word.
CLAUSE_KINDS = {"on": "task", "under": "ablation", "by": "metric", "with": "model"}
TASK_CALLS = ("resample", "mean", "donors")


@dataclass(frozen=True)
class Suggestion:
    """`text` replaces what is written of the word already."""

    text: str
    kind: Kind
    detail: str = ""
    about: str = ""


# ---------------------------------------------------------------- words


def of_words(table: dict[str, str], kind: Kind = Kind.Keyword) -> Iterator[Suggestion]:
    return (Suggestion(name, kind, meaning) for name, meaning in table.items())


def formula_words(*names: str) -> Iterator[Suggestion]:
    return of_words({name: words.FORMULA_WORDS[name] for name in names})


def context_words(*but: str) -> Iterator[Suggestion]:
    return of_words({k: words.CONTEXT_MEANINGS[k] for k in CONTEXT_WORDS if k not in but})


def calls(*names: str) -> Iterator[Suggestion]:
    """Functions, but for those that this version does not run."""
    for name in names:
        if name not in LATER:
            takes, gives = words.CALLS[name]
            yield Suggestion(name, Kind.Function, name + takes, gives)


def node_sets() -> Iterator[Suggestion]:
    return of_words({n: words.BUILTINS[n] for n in NODE_SETS}, Kind.Constant)


def ports() -> Iterator[Suggestion]:
    return (Suggestion(p, Kind.Property, "port", words.port_meaning(p)) for p in PORTS)


def named_arguments(name: str) -> Iterator[Suggestion]:
    for argument, meaning in words.NAMED_ARGUMENTS.get(name, {}).items():
        yield Suggestion(f"{argument} =", Kind.Property, meaning)


# ---------------------------------------------------------------- names


def of_symbol(symbol: Symbol) -> Suggestion:
    return Suggestion(symbol.name, KINDS.get(symbol.kind, Kind.Variable), symbol.kind)


def defined(cursor: Cursor, *kinds: str) -> Iterator[Suggestion]:
    """Definitions of the file by these words, but for the one that is being written."""
    statement = cursor.statement
    own = statement.symbol if statement is not None else None
    for symbol in cursor.outline.of_kind(*kinds):
        if symbol is not own and symbol.name.isidentifier():
            yield of_symbol(symbol)
    for module in cursor.analysis.modules.values():
        if "." not in module.name:
            for name in module.names(*kinds):
                yield Suggestion(name, Kind.Variable, f"of {module.path}")


def imports(cursor: Cursor) -> Iterator[Suggestion]:
    return map(of_symbol, cursor.outline.of_kind("import"))


def own(task: Symbol, *kinds: str) -> Iterator[Suggestion]:
    return (of_symbol(c) for c in task.children if c.kind in kinds)


def inside_tasks(cursor: Cursor, kind: str) -> Iterator[Suggestion]:
    for task in cursor.outline.tasks:
        for child in task.children:
            if child.kind == kind:
                yield Suggestion(child.name, KINDS[kind], f"{kind} of task {task.name}")


def bound(cursor: Cursor) -> Iterator[Suggestion]:
    statement = cursor.statement
    for token in statement.bound if statement is not None else ():
        if start_of(token) != cursor.start:
            yield Suggestion(str(token), Kind.Variable, "bound in this statement")


def measures(cursor: Cursor) -> Iterator[Suggestion]:
    """Measures that the last analysis knew, with their types, and those written since."""
    known = cursor.analysis.measures
    for name, measure in known.items():
        signature = str(cursor.analysis.signatures[name])
        yield Suggestion(name, Kind.Function, signature, comment_above(measure.span))
    for symbol in cursor.outline.of_kind("measure"):
        if symbol.name not in known and symbol.place.start != cursor.start:
            yield of_symbol(symbol)


def labels(cursor: Cursor) -> Iterator[Suggestion]:
    """Position labels, and the slots that are their own labels."""
    resolved = cursor.analysis.resolved
    for task in cursor.outline.tasks:
        known = resolved.tasks.get(task.name) if resolved else None
        for child in task.children:
            if child.kind == "label":
                yield Suggestion(child.name, Kind.Reference, f"position of task {task.name}")
            elif child.kind == "slot" and (known is None or child.name in known.some_labels):
                yield Suggestion(child.name, Kind.Reference, f"slot of task {task.name}")


# ---------------------------------------------------------------- after a dot


def after_dot(cursor: Cursor) -> Iterator[Suggestion]:
    """What a name with a dot goes on with: parts of an import or a task, ports of a node."""
    name = cursor.name_before(len(cursor.tokens) - 1)
    at = len(cursor.tokens) - 2 * len(name.split(".")) - 1
    before = str(cursor.tokens[at]) if name and at >= 0 else ""
    modules = cursor.analysis.modules
    parts = {"on": ("prompt",)}.get(before, ("corrupt", "prompt"))
    if before == "(" and cursor.call in TASK_CALLS:
        parts = ("corrupt",)
    if name in modules:
        wanted = CLAUSE_KINDS.get(before) or ("task" if parts == ("corrupt",) else "")
        for part, statements in modules[name].own.items():
            for made in map(word, statements):
                if wanted in ("", made):
                    about = f"{made} of {modules[name].path}"
                    yield Suggestion(part, KINDS.get(made, Kind.Variable), about)
        return
    tasks = [t for t in cursor.outline.tasks if t.name == name]
    inside = [s for t in tasks for s in own(t, *parts)] or list(_imported(cursor, name, parts))
    yield from inside if inside or tasks else ports()


def _imported(cursor: Cursor, name: str, kinds: tuple[str, ...]) -> Iterator[Suggestion]:
    """The parts of a task of an import."""
    module, _, task = name.rpartition(".")
    statements = (
        cursor.analysis.modules[module].own.get(task, ())
        if module in (cursor.analysis.modules)
        else ()
    )
    for item in (i for s in statements if isinstance(s, syntax.Task) for i in s.items):
        if isinstance(item, syntax.Corrupt) and "corrupt" in kinds:
            yield Suggestion(item.name, Kind.Event, "corrupt")
        elif isinstance(item, syntax.PromptTemplate) and item.name and "prompt" in kinds:
            yield Suggestion(item.name, Kind.Text, "prompt")
