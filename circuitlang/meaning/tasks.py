"""What a task asks, as JSON: its values as they are, not as they were written.

Lists are worked out, so that a `let`, a range, a file and the same values in another order give
one content. The order of a slot's values decides which prompts a seed draws and is no part of it.
"""

from __future__ import annotations

from typing import Any

from circuitlang.language.diagnostics import Diagnostics, Reject
from circuitlang.language.tasks.mentions import mentions
from circuitlang.language.tasks.task_spec import Slot, TaskSpec
from circuitlang.language.tasks.template import Template
from circuitlang.language.tasks.text import Evaluator
from circuitlang.language.tasks.text_values import Number, Value
from circuitlang.language.tasks.token_ids import Sequences, TokenIds
from circuitlang.language.tasks.tokenizer import NeedsTokenizer
from circuitlang.language.text import syntax
from circuitlang.language.text.syntax import Expression
from circuitlang.language.text.unparse import unparse
from circuitlang.meaning.canonical import Json, as_number, as_text, digest, ordered
from circuitlang.meaning.expressions import dissolved, terms, tidy

MOST_VALUES = 2_000


def task_content(task: TaskSpec) -> Json:
    """`asked` is what decides the prompts; `tokens` and `corruptions` are by name."""
    written = _Written(task)
    return {
        "asked": {
            "prompts": ordered(map(_template, task.templates)),
            "slots": {", ".join(s.names): written.slot(s) for s in task.slots},
            "where": written.conditions(task.conditions),
            "sample": task.sample,
            "seed": as_number(task.seed),
            **({} if task.split is None else {"split": task.split}),
        },
        "tokens": {name: written.value(t.value) for name, t in task.tokens.items()},
        "corruptions": {
            name: {
                "puts": {r.target: written.value(r.value) for r in corruption.rewrites},
                "where": written.conditions(corruption.conditions),
            }
            for name, corruption in task.corruptions.items()
        },
    }


def _template(template: Template) -> Json:
    text = "".join(
        segment
        if isinstance(segment, str)
        else f"{{{segment.slot}{':' + segment.label if segment.label else ''}}}"
        for segment in template.segments
    )
    return {"text": text, "name": template.name if template.name.isidentifier() else None}


class _Written:
    def __init__(self, task: TaskSpec) -> None:
        self.lookup = task.scope.lookup
        self.evaluator = Evaluator(task.scope, Diagnostics())

    def slot(self, slot: Slot) -> Json:
        if slot.sequences is not None:
            return _value(slot.sequences)
        if slot.needs_tokenizer:
            return self._open(slot.domain)
        rows = [_value(row[0]) if len(row) == 1 else [*map(_value, row)] for row in slot.rows]
        return _listed(rows)

    def conditions(self, conditions: tuple[Expression, ...]) -> Json:
        return ordered(self._open(part) for c in conditions for part in terms(c, "and"))

    def value(self, e: Expression) -> Json:
        """The values where they are the same for every prompt, else the expression."""
        found = self._worked_out(e)
        if isinstance(found, list):
            return _listed([_value(v) for v in found])
        return self._open(e) if found is None else _value(found)

    def _open(self, e: Expression) -> Json:
        known = dissolved(e, self.lookup)
        text = unparse(tidy(known))
        files = {
            unparse(m): digest(self.value(m))
            for m in mentions(known)
            if isinstance(m, syntax.Call) and m.name.text in ("file", "rows")
        }
        in_texts = {
            m.text: self.value(value)
            for m in mentions(known)
            if isinstance(m, syntax.Name) and (value := self.lookup(m.text)) is not None
        }
        reads = {**files, **in_texts}
        return {"formula": text, "reads": reads} if reads else {"formula": text}

    def _worked_out(self, e: Expression) -> Any:
        try:
            return self.evaluator.value(e, {})
        except (Reject, NeedsTokenizer):
            return None


def _listed(values: list[Json]) -> Json:
    values = ordered(values)
    if len(values) > MOST_VALUES:
        return {"count": len(values), "digest": digest(values)}
    return values


def _value(value: Value) -> Json:
    match value:
        case Number(exact, text):
            plain = value.is_whole and text == str(int(exact)) and abs(exact) < 2**53
            return int(exact) if plain else {"number": text}
        case TokenIds(ids):
            return {"ids": list(ids)}
        case Sequences(choices, length):
            return {"ids": _ranges(choices), "length": length}
        case list() | tuple():
            return [_value(v) for v in value]
        case str():
            return as_text(value)
        case _:
            return value


def _ranges(numbers: tuple[int, ...]) -> list[Json]:
    """Runs of consecutive ids as [first, last]."""
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found
