"""A task's statements -> a `TaskSpec`: names checked, slot values read, nothing drawn yet."""

from __future__ import annotations

from collections.abc import Iterable

from circuitlang.language.diagnostics import Diagnostics, Reject, did_you_mean, suggestion
from circuitlang.language.graph.edges import END
from circuitlang.language.source import Span
from circuitlang.language.tasks.halves import HALVES
from circuitlang.language.tasks.mentions import Lookup, Scope, check_names, mentions
from circuitlang.language.tasks.task_spec import Corruption, Rewrite, Row, Slot, TaskSpec, TokenSet
from circuitlang.language.tasks.task_values import check_values, slot_values
from circuitlang.language.tasks.template import Template, parse_template
from circuitlang.language.tasks.text import Evaluator, Steps
from circuitlang.language.tasks.token_ids import Sequences
from circuitlang.language.tasks.tokenizer import NeedsTokenizer
from circuitlang.language.text import syntax
from circuitlang.language.text.grammar import TASK_ITEMS
from circuitlang.language.text.syntax import Expression

__all__ = ["TaskSpec", "resolve_task"]

DEFAULT_SAMPLE = 256
LARGEST_SAMPLE = 100_000
MOST_SLOTS = 200
# What a slot's value takes, beside working it out: it is kept for as long as the spec.
STEPS_OF_A_VALUE = 4
NUMBERS = {"sample": (1, DEFAULT_SAMPLE), "seed": (0, 0)}
SETTINGS = (*NUMBERS, "split")

# What a line that could not be read makes other lines complain of.
_MISSING = frozenset(["CL101", "CL103", "CL506"])


def resolve_task(
    statement: syntax.Task,
    lookup: Lookup,
    diagnostics: Diagnostics,
    names: Iterable[str] = (),
    steps: Steps | None = None,
) -> TaskSpec | None:
    """None when the task has an error. `lookup` gives the value of a `let`, None if there is none.

    `names` are the spec's `let` names, for suggestions only; `steps` counts the work of all tasks.
    """
    found = Diagnostics(read=diagnostics.read)
    task = _Resolution(statement, Scope(lookup, tuple(names)), found, steps).task()
    complete = statement.complete and not any(map(_is_misspelt_item, statement.items))
    for diagnostic in found.found:
        if complete or diagnostic.code not in _MISSING:
            diagnostics.add(diagnostic)
    return None if found.has_errors or not complete else task


class _Resolution:
    def __init__(
        self,
        statement: syntax.Task,
        scope: Scope,
        diagnostics: Diagnostics,
        steps: Steps | None,
    ) -> None:
        self.statement = statement
        self.scope = scope
        self.diagnostics = diagnostics
        self.evaluator = Evaluator(scope, diagnostics, steps=steps)
        self.taken: dict[tuple[str, str], Span] = {}
        self.labels_known = True

    def task(self) -> TaskSpec:
        declared = [s for s in self.statement.items if isinstance(s, syntax.Slot)]
        if len(declared) > MOST_SLOTS:
            self.diagnostics.error(
                "CL302",
                f"A task has at most {MOST_SLOTS} slots, not {len(declared):,}.",
                declared[MOST_SLOTS].span,
                "give values that go together as one slot of tuples",
            )
        slots = tuple(map(self._slot, declared[:MOST_SLOTS]))
        names = tuple(name for slot in slots for name in slot.names)
        before = len(self.diagnostics.found)
        templates = self._templates(names)
        self.labels_known = len(self.diagnostics.found) == before
        conditions = self._conditions(self.statement.items, names)
        settings = {name: default for name, (_, default) in NUMBERS.items()}
        split = None
        for item in self.statement.items:
            if isinstance(item, syntax.Setting) and self._is_known(item):
                if item.name == "split":
                    split = self._half(item)
                else:
                    settings |= self._number(item)
        task = TaskSpec(
            self.statement.name,
            slots,
            conditions,
            templates,
            self._token_sets((*names, *_common_labels(templates))),
            self._corruptions(names, templates),
            settings["sample"],
            settings["seed"],
            self.scope,
            self.statement.span,
            split,
        )
        if not self.diagnostics.has_errors:
            check_values(task, self.evaluator)
        return task

    # ------------------------------------------------------------ slots and prompts

    def _slot(self, slot: syntax.Slot) -> Slot:
        for name in slot.names:
            self._claim_name("slot", name, slot.span)
            if name == END:
                self.diagnostics.error(
                    "CL108",
                    "`END` is the last token and cannot be a slot.",
                    slot.span.part(name),
                    "choose another name",
                )
        found: tuple[Row, ...] | Sequences = ()
        needs_tokenizer = False
        if self._check_domain(slot):
            try:
                found = slot_values(slot.names, slot.value, self.evaluator, self.diagnostics)
                kept = 0 if isinstance(found, Sequences) else len(found)
                self.evaluator.spend(STEPS_OF_A_VALUE * kept, slot.span)
            except NeedsTokenizer:
                needs_tokenizer = True
            except Reject:
                pass
        if isinstance(found, Sequences):
            return Slot(slot.names, slot.value, (), False, slot.span, found)
        return Slot(slot.names, slot.value, found, needs_tokenizer, slot.span)

    def _check_domain(self, slot: syntax.Slot) -> bool:
        slots = {
            name for s in self.statement.items if isinstance(s, syntax.Slot) for name in s.names
        }
        sound = check_names(slot.value, slots, self.scope, self.diagnostics)
        for mention in mentions(slot.value):
            if isinstance(mention, syntax.Name) and mention.text in slots:
                if self.scope.lookup(mention.text) is not None:
                    continue
                self.diagnostics.error(
                    "CL101",
                    f"The values of a slot cannot depend on the slot `{mention.text}`.",
                    mention.span,
                    "let one slot hold tuples, or leave combinations out with `where`",
                )
                sound = False
        return sound

    def _templates(self, slots: tuple[str, ...]) -> tuple[Template, ...]:
        templates: list[Template] = []
        for item in self.statement.items:
            if isinstance(item, syntax.PromptTemplate):
                name = item.name or str(len(templates) + 1)
                self._claim_name("prompt", name, item.span)
                templates.append(parse_template(name, item.text, slots, self.diagnostics))
        if not templates:
            self.diagnostics.error(
                "CL103",
                f"The task `{self.statement.name}` has no prompt.",
                self.statement.span.part(self.statement.name),
                'add `prompt "..."`',
            )
        return tuple(templates)

    # ------------------------------------------------------------ token sets and corruptions

    def _token_sets(self, known: tuple[str, ...]) -> dict[str, TokenSet]:
        sets = {}
        for item in self.statement.items:
            if isinstance(item, syntax.Tokens):
                self._claim_name("token set", item.name, item.span)
                check_names(item.value, known, self.scope, self.diagnostics)
                sets[item.name] = TokenSet(item.name, item.value, item.span)
        answer, foil = sets.get("answer"), sets.get("foil")
        if answer and foil and answer.value == foil.value:
            self.diagnostics.error(
                "CL503",
                "`answer` and `foil` are the same tokens.",
                foil.value.span,
                "the foil is a wrong answer",
            )
        return sets

    def _corruptions(
        self, slots: tuple[str, ...], templates: tuple[Template, ...]
    ) -> dict[str, Corruption]:
        known = (*slots, *_common_labels(templates))
        found = {}
        for item in self.statement.items:
            if isinstance(item, syntax.Corrupt):
                if not self._claim_name("corruption", item.name, item.span):
                    continue
                conditions = self._conditions(item.items, known)
                rewrites = [r for r in item.items if isinstance(r, syntax.Rewrite)]
                for rewrite in rewrites:
                    self._claim_name(f"rewrite of {item.name}", rewrite.name, rewrite.span)
                    self._check_rewrite(rewrite, item, slots, templates)
                    check_names(rewrite.value, known, self.scope, self.diagnostics)
                found[item.name] = Corruption(
                    item.name,
                    tuple(Rewrite(r.name, r.value, r.span) for r in rewrites),
                    conditions,
                    item.span,
                )
        return found

    def _check_rewrite(
        self,
        rewrite: syntax.Rewrite,
        corruption: syntax.Corrupt,
        slots: tuple[str, ...],
        templates: tuple[Template, ...],
    ) -> None:
        if rewrite.name in slots or not self.labels_known:
            return
        without = [t for t in templates if rewrite.name not in t.labels]
        if len(without) == len(templates):
            labels = [label for t in templates for label in t.labels]
            self.diagnostics.error(
                "CL101",
                f"`{corruption.name}` rewrites `{rewrite.name}`, which is no slot or label here.",
                rewrite.span.part(rewrite.name),
                suggestion(rewrite.name, [*slots, *labels])
                or f"there are {', '.join(dict.fromkeys([*slots, *labels]))}",
            )
        elif without:
            self.diagnostics.error(
                "CL504",
                f"`{corruption.name}` rewrites `{rewrite.name}`, a label that the prompt "
                f"`{without[0].name}` does not have.",
                rewrite.span,
                "give every prompt the label, or split the task",
            )

    def _conditions(
        self, items: Iterable[syntax.TaskItem | syntax.Rewrite], known: tuple[str, ...]
    ) -> tuple[Expression, ...]:
        found: list[Expression] = []
        for item in items:
            if isinstance(item, syntax.Where):
                check_names(item.condition, known, self.scope, self.diagnostics)
                found += _conjuncts(item.condition)
        return tuple(found)

    # ------------------------------------------------------------ names and settings

    def _claim_name(self, what: str, name: str, span: Span) -> bool:
        earlier = self.taken.get((what, name))
        self.taken.setdefault((what, name), span)
        if earlier is not None:
            self.diagnostics.error(
                "CL102",
                f"The {what} `{name}` is defined twice; first on line {earlier.line}.",
                span.part(name),
                "delete one" if what == "setting" else "choose another name",
            )
        return earlier is None

    def _is_known(self, setting: syntax.Setting) -> bool:
        if setting.name not in SETTINGS:
            self.diagnostics.error(
                "CL107",
                f"A task has no setting `{setting.name}`.",
                setting.span,
                suggestion(setting.name, (*SETTINGS, *TASK_ITEMS))
                or f"there are {', '.join(SETTINGS[:-1])} and {SETTINGS[-1]}",
            )
            return False
        self._claim_name("setting", setting.name, setting.span)
        return True

    def _half(self, setting: syntax.Setting) -> str | None:
        value = setting.value
        if isinstance(value, syntax.Name) and value.text in HALVES:
            return value.text
        written = value.text if isinstance(value, syntax.Name) else value
        close = did_you_mean(written, HALVES) if isinstance(written, str) else None
        self.diagnostics.error(
            "CL107",
            "`split` is `search` or `decide`, a half of the task's prompts.",
            setting.span,
            f"did you mean `split {close}`?"
            if close
            else f"write {' or '.join(f'`split {half}`' for half in HALVES)}",
        )
        return None

    def _number(self, setting: syntax.Setting) -> dict[str, int]:
        least, default = NUMBERS[setting.name]
        value = setting.value
        if not isinstance(value, float) or value != value // 1 or value < least:
            self.diagnostics.error(
                "CL107",
                f"`{setting.name}` is a whole number from {least} up.",
                setting.span,
                f"write `{setting.name} {default}`",
            )
            return {}
        if setting.name == "sample" and value > LARGEST_SAMPLE:
            self.diagnostics.error(
                "CL302",
                f"A sample has at most {LARGEST_SAMPLE:,} prompts, not {value:,.0f}.",
                setting.span,
                f"write `sample {default}`",
            )
            return {}
        return {setting.name: int(value)}


def _is_misspelt_item(item: syntax.TaskItem) -> bool:
    """`pormpt "..."` reads as a setting, and leaves the task without its prompt."""
    if not isinstance(item, syntax.Setting) or item.name in SETTINGS:
        return False
    return did_you_mean(item.name, TASK_ITEMS) is not None


def _conjuncts(condition: Expression) -> list[Expression]:
    if isinstance(condition, syntax.Binary) and condition.operator == "and":
        return [*_conjuncts(condition.left), *_conjuncts(condition.right)]
    return [condition]


def _common_labels(templates: tuple[Template, ...]) -> tuple[str, ...]:
    """Labels that every template has."""
    if not templates:
        return ()
    return tuple(
        label for label in templates[0].labels if all(label in t.labels for t in templates)
    )
