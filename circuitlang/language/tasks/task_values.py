"""A task's expressions worked out: rows of slots, right-hand sides of rewrites."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from circuitlang.language.diagnostics import Diagnostics, Reject
from circuitlang.language.syntax import Expression
from circuitlang.language.tasks.task_spec import Rewrite, Row, TaskSpec
from circuitlang.language.tasks.text import Bindings, Evaluator, NeedsTokenizer
from circuitlang.language.tasks.text_values import Value, kind, printed


def slot_rows(
    names: tuple[str, ...], domain: Expression, evaluator: Evaluator, diagnostics: Diagnostics
) -> tuple[Row, ...]:
    """A slot's values, one tuple per row; raises `Reject` or `NeedsTokenizer`."""
    value = evaluator.value(domain, {})
    members = value if isinstance(value, list) else [value]
    what = f"`{names[0]}`" if len(names) == 1 else f"`({', '.join(names)})`"
    if not members:
        raise diagnostics.reject(
            "CL505", f"The slot {what} has no values.", domain.span, 'write `["a", "b"]` or `1..9`'
        )
    rows: dict[tuple[str | None, ...], Row] = {}
    for member in members:
        row = member if isinstance(member, tuple) and len(names) > 1 else (member,)
        if len(row) != len(names) or any(printed(part) is None for part in row):
            found = f"a tuple of {len(member)}" if isinstance(member, tuple) else kind(member)
            wanted = f"tuples of {len(names)} texts" if len(names) > 1 else "text or numbers"
            raise diagnostics.reject(
                "CL106",
                f"The slot {what} takes {wanted}; one of its values is {found}.",
                domain.span,
                'a list of texts is written `["a", "b"]`, a list of pairs `[("a", "b"), ("c", "d")]`',
            )
        rows.setdefault(tuple(map(printed, row)), row)
    if len(rows) < len(members):
        diagnostics.warn(
            "CL517",
            f"The slot {what} repeats values ({len(members) - len(rows):,} too many); "
            "each counts once.",
            domain.span,
            "delete the repeated ones",
        )
    return tuple(rows.values())


def rewrite_values(rewrite: Rewrite, bindings: Bindings, evaluator: Evaluator) -> list[Value]:
    """What a rewrite can set its target to: one value, or a domain to draw from."""
    value = evaluator.value(rewrite.value, bindings)
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
        if printed(member) is None:
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
        if not slot.rows:
            return
        bindings |= dict(zip(slot.names, slot.rows[0], strict=True))
    checks: list[Callable[[], object]] = [
        partial(evaluator.condition, condition, bindings) for condition in task.conditions
    ]
    for template in task.templates:
        slot_of = {label: template.placeholders[i].slot for label, i in template.labels.items()}
        inner = {**{label: bindings[slot] for label, slot in slot_of.items()}, **bindings}
        checks += [partial(evaluator.texts, t.value, inner) for t in task.tokens.values()]
        for corruption in task.corruptions.values():
            checks += [partial(evaluator.condition, c, inner) for c in corruption.conditions]
            checks += [partial(rewrite_values, r, inner, evaluator) for r in corruption.rewrites]
    for check in checks:
        try:
            check()
        except (Reject, NeedsTokenizer):
            continue
