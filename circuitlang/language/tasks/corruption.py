"""What a corruption puts into the places of a prompt."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from random import Random

from circuitlang.language.tasks.mentions import free_names
from circuitlang.language.tasks.task_spec import Corruption, Rewrite
from circuitlang.language.tasks.task_values import rewrite_values
from circuitlang.language.tasks.template import Template
from circuitlang.language.tasks.text import Bindings, Evaluator
from circuitlang.language.tasks.text_values import Value, identity
from circuitlang.language.tasks.token_ids import Sequences

MOST_REDRAWS = 1_000


def clean_bindings(template: Template, slots: Bindings) -> dict[str, Value]:
    """What the names of a task mean in one prompt: its slots, and labels as their slots."""
    values = placed(template, slots)
    return {**{label: values[i] for label, i in template.labels.items()}, **slots}


def placed(
    template: Template, slots: Bindings, rewritten: Bindings | None = None
) -> tuple[Value, ...]:
    """The value at each placeholder; a rewritten label goes before a rewritten slot."""
    new = rewritten or {}
    return tuple(
        new.get(p.label or p.slot, new.get(p.slot, slots[p.slot])) for p in template.placeholders
    )


def is_rewritten(template: Template, corruption: Corruption) -> tuple[bool, ...]:
    """For each placeholder, whether the corruption sets it."""
    targets = {rewrite.target for rewrite in corruption.rewrites}
    return tuple(p.slot in targets or p.label in targets for p in template.placeholders)


@dataclass
class Corruptor:
    """Draws corrupted values. Remembers which corruptions had anything to draw."""

    evaluator: Evaluator
    random_ones: set[str] = field(default_factory=set)
    _domains: dict[tuple[Hashable, ...], list[Value] | Sequences] = field(default_factory=dict)
    _names: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def draw(
        self, corruption: Corruption, template: Template, slots: Bindings, random: Random
    ) -> tuple[Value, ...] | None:
        """The value at each placeholder; None when no draw satisfied the corruption's `where`."""
        clean = clean_bindings(template, slots)
        domains = [(r.target, self._domain(corruption, r, clean)) for r in corruption.rewrites]
        draws_at_random = any(_size(domain) > 1 for _, domain in domains)
        if draws_at_random:
            self.random_ones.add(corruption.name)
        for _ in range(MOST_REDRAWS if draws_at_random else 1):
            new = {target: _drawn(domain, random) for target, domain in domains}
            values = placed(template, slots, new)
            if self._satisfies(corruption, template, slots, new, values):
                return values
        return None

    def _satisfies(
        self,
        corruption: Corruption,
        template: Template,
        slots: Bindings,
        new: Mapping[str, Value],
        values: tuple[Value, ...],
    ) -> bool:
        if not corruption.conditions:
            return True
        labels = {label: values[i] for label, i in template.labels.items()}
        corrupted = {**slots, **labels, **new}
        return all(self.evaluator.condition(c, corrupted) for c in corruption.conditions)

    def _domain(
        self, corruption: Corruption, rewrite: Rewrite, clean: Bindings
    ) -> list[Value] | Sequences:
        place = corruption.name, rewrite.target
        if place not in self._names:
            self._names[place] = tuple(sorted(free_names(rewrite.value) & clean.keys()))
        key = (*place, *(identity(clean[name]) for name in self._names[place]))
        if key not in self._domains:
            self._domains[key] = rewrite_values(rewrite, clean, self.evaluator)
        return self._domains[key]


def _size(domain: list[Value] | Sequences) -> int:
    return domain.size if isinstance(domain, Sequences) else len(domain)


def _drawn(domain: list[Value] | Sequences, random: Random) -> Value:
    number = random.randrange(_size(domain)) if _size(domain) > 1 else 0
    return domain.at(number) if isinstance(domain, Sequences) else domain[number]
