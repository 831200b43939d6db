"""Names in measures, which are only evaluated where they are called, and where no model is known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from circuitlang.language.definitions import Definitions
from circuitlang.language.diagnostics import Diagnostics, suggestion
from circuitlang.language.formulas.evaluate import BUILTIN_WORDS
from circuitlang.language.formulas.functions import is_function
from circuitlang.language.formulas.inline import free_names
from circuitlang.language.source import Span
from circuitlang.language.text import syntax
from circuitlang.language.text.grammar import METRIC_FUNCTIONS

_TEXT_FUNCTIONS = ("file", "rows", "token_ids", "token_count", "distinct")
_VALUES = ("zero", "resample", "clean", "argmax", "mean", "template")


def check_measure(
    measure: syntax.Measure, definitions: Definitions, diagnostics: Diagnostics
) -> None:
    where = f" (in measure `{measure.name}`)"
    _check(measure.body, measure.parameters, where, definitions, diagnostics)


def check_statement(
    statement: syntax.Statement,
    words: frozenset[str],
    definitions: Definitions,
    diagnostics: Diagnostics,
) -> None:
    """`words` are names that tasks give."""
    _check(statement, tuple(words), "", definitions, diagnostics)


def words_of_task(task: syntax.Task) -> Iterator[str]:
    """Every name that a task gives: slots, labels, prompts, token sets, corruptions."""
    for item in task.items:
        if isinstance(item, syntax.Slot):
            yield from item.names
        elif isinstance(item, syntax.PromptTemplate):
            yield from re.findall(r":\s*(\w+)\s*\}", item.text.value)
            if item.name is not None:
                yield item.name
        elif isinstance(item, (syntax.Tokens, syntax.Corrupt)):
            yield item.name


def _check(
    e: Any,
    parameters: tuple[str, ...],
    where: str,
    definitions: Definitions,
    diagnostics: Diagnostics,
) -> None:
    for name in _names(e, frozenset(parameters)):
        first = name.parts[0]
        if (
            first in ("prompts", "templates", "F")
            or first in BUILTIN_WORDS
            or first in _VALUES
            or definitions.qualified(name.parts) is not None
            or definitions.is_imported(name.parts)
            or definitions.is_unread(name.parts)
            or is_function(first)
            or definitions.label(first)
            or definitions.is_corruption(first)
            or any(t is not None and first in t.tokens for t in definitions.tasks.values())
        ):
            continue
        known = (*parameters, *definitions.names, *BUILTIN_WORDS, *METRIC_FUNCTIONS)
        diagnostics.error(
            "CL101",
            f"Nothing is called `{first}`{where}.",
            name.span,
            definitions.name_help(name.text)
            or suggestion(first, known)
            or "define it with `let`, `group` or `circuit`, or correct the name",
        )


def _names(e: Any, bound: frozenset[str]) -> Iterator[syntax.Name]:
    if isinstance(e, syntax.Name):
        if e.parts[0] not in bound:
            yield e
        return
    if isinstance(e, syntax.Quantifier):
        yield from _names(e.domain, bound)
        yield from _names(e.body, bound | set(e.names))
        return
    generator = getattr(e, "generator", None)
    inner = bound
    if generator is not None:
        for binding in generator.bindings:
            yield from _names(binding.domain, inner)
            inner = inner | set(binding.names)
        yield from _names(generator.condition, inner)
    for part in _parts(e):
        yield from _names(part, inner)


def says(e: Any, word: str) -> bool:
    """Whether a context word stands anywhere in an expression or statement."""
    stack = [e]
    while stack:
        part = stack.pop()
        if isinstance(part, syntax.Clause) and part.word == word:
            return True
        stack += _parts(part)
        if (generator := getattr(part, "generator", None)) is not None:
            stack += _parts(generator)
    return False


def _parts(e: Any) -> list[Any]:
    if isinstance(e, tuple):
        return [part for part in e if not isinstance(part, str)]
    if not hasattr(e, "__dataclass_fields__") or isinstance(e, Span):
        return []
    skipped = ("span", "generator")
    return [getattr(e, f) for f in e.__dataclass_fields__ if f not in skipped]


def used_names(file: syntax.File) -> frozenset[str]:
    """Every name that some statement refers to."""
    found: frozenset[str] = frozenset()
    for statement in file.statements:
        found |= free_names(statement)  # type: ignore[arg-type]
    return found


def feeds_tasks(s: syntax.Define, file: syntax.File) -> bool:
    """A `let` whose value is text for slots, by itself or through other lets."""
    if s.kind != "let":
        return False
    lets = {d.name: d for d in file.statements if isinstance(d, syntax.Define) and d.kind == "let"}
    stack: list[Any] = [s.value]
    seen: set[str] = {s.name}
    while stack:
        e = stack.pop()
        if isinstance(e, syntax.StringLiteral):
            return True
        if isinstance(e, syntax.Call) and e.name.text in _TEXT_FUNCTIONS:
            return True
        if isinstance(e, syntax.Call) and e.name.text == "edges_from":
            continue
        if isinstance(e, syntax.Name) and e.text in lets and e.text not in seen:
            seen.add(e.text)
            stack.append(lets[e.text].value)
        stack += _parts(e)
        if (generator := getattr(e, "generator", None)) is not None:
            stack += [b.domain for b in generator.bindings] + [generator.condition]
    return False
