"""A task's expressions worked out: rows of slots, right-hand sides of rewrites."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial

from circuitlang.language.diagnostics import Diagnostics, Reject
from circuitlang.language.tasks.task_spec import Rewrite, Row, TaskSpec
from circuitlang.language.tasks.template import Template
from circuitlang.language.tasks.text import Bindings, Evaluator
from circuitlang.language.tasks.text_values import Value, identity, kind, printed
from circuitlang.language.tasks.token_ids import Sequences, TokenIds
from circuitlang.language.tasks.tokenizer import NeedsTokenizer
from circuitlang.language.text.syntax import Expression


def slot_values(
    names: tuple[str, ...], domain: Expression, evaluator: Evaluator, diagnostics: Diagnostics
) -> tuple[Row, ...] | Sequences:
    """A slot's values, one tuple per row; raises `Reject` or `NeedsTokenizer`."""
    value = evaluator.value(domain, {})
    what = f"`{names[0]}`" if len(names) == 1 else f"`({', '.join(names)})`"
    if isinstance(value, Sequences) and len(names) == 1:
        return value
    members = value if isinstance(value, list) else [value]
    if not members:
        raise diagnostics.reject(
            "CL505", f"The slot {what} has no values.", domain.span, 'write `["a", "b"]` or `1..9`'
        )
    rows: dict[Hashable, Row] = {}
    for member in members:
        row = member if isinstance(member, tuple) and len(names) > 1 else (member,)
        if len(row) != len(names) or not all(_fits(part, len(names) > 1) for part in row):
            found = f"a tuple of {len(member)}" if isinstance(member, tuple) else kind(member)
            wanted = f"tuples of {len(names)} texts" if len(names) > 1 else "text or numbers"
            raise diagnostics.reject(
                "CL106",
                f"The slot {what} takes {wanted}; one of its values is {found}.",
                domain.span,
                'a list of texts is written `["a", "b"]`, a list of pairs `[("a", "b"), ("c", "d")]`',
            )
        rows.setdefault(identity(row), row)
    if len(rows) < len(members):
        diagnostics.warn(
            "CL517",
            f"The slot {what} repeats values ({len(members) - len(rows):,} too many); "
            "each counts once.",
            domain.span,
            "delete the repeated ones",
        )
    return tuple(rows.values())


def _fits(value: Value, in_row: bool) -> bool:
    """Whether a slot can hold it; beside other columns that may be a list for `tokens`."""
    if isinstance(value, list):
        return in_row and all(_fits(member, False) for member in value)
    return _stands_in_prompts(value)


def _stands_in_prompts(value: Value) -> bool:
    return isinstance(value, TokenIds) or printed(value) is not None


def rewrite_values(
    rewrite: Rewrite, bindings: Bindings, evaluator: Evaluator
) -> list[Value] | Sequences:
    """What a rewrite can set its target to: one value, or a domain to draw from."""
    value = evaluator.value(rewrite.value, bindings)
    if isinstance(value, Sequences):
        return value
    members: list[Value] = value if isinstance(value, list) else [value]
    diagnostics = evaluator.diagnostics
    if not members:
        raise diagnostics.reject(
            "CL505",
            f"There is no value to set `{rewrite.target}` to.",
            rewrite.span,
            'write `["a", "b"]`, one text, or the name of a slot',
        )
    for member in members:
        if not _stands_in_prompts(member):
            raise diagnostics.reject(
                "CL106",
                f"`{rewrite.target}` is set to text or a number, not to {kind(member)}.",
                rewrite.span,
                'write `["a", "b"]`, one text, or the name of a slot',
            )
    return members


def check_values(task: TaskSpec, evaluator: Evaluator) -> None:
    """Works everything out once, on the first row of each slot, to find mistakes of type."""
    bindings: dict[str, Value] = {}
    for slot in task.slots:
        if not slot.size:
            return
        bindings |= dict(zip(slot.names, slot.row(0), strict=True))
    checks: list[Callable[[], object]] = [
        partial(evaluator.condition, condition, bindings) for condition in task.conditions
    ]
    for template in task.templates:
        checks.append(partial(check_placed, template, bindings, evaluator))
        slot_of = {label: template.placeholders[i].slot for label, i in template.labels.items()}
        inner = {**{label: bindings[slot] for label, slot in slot_of.items()}, **bindings}
        checks += [partial(evaluator.members, t.value, inner) for t in task.tokens.values()]
        for corruption in task.corruptions.values():
            checks += [partial(evaluator.condition, c, inner) for c in corruption.conditions]
            checks += [partial(rewrite_values, r, inner, evaluator) for r in corruption.rewrites]
    for check in checks:
        try:
            check()
        except (Reject, NeedsTokenizer):
            continue


def check_placed(template: Template, slots: Bindings, evaluator: Evaluator) -> None:
    """Raises `Reject` where a prompt would show a list."""
    for placeholder in template.placeholders:
        if isinstance(slots[placeholder.slot], list):
            raise evaluator.diagnostics.reject(
                "CL106",
                f"`{placeholder.slot}` holds lists, and a prompt takes one text.",
                placeholder.span,
                f"lists are for token sets: `tokens answer = {placeholder.slot}`",
            )
