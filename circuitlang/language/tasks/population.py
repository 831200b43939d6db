"""All assignments of slot values that a task allows, and random draws from them.

Allowed is what satisfies its `where` and, where the task has a `split`, is of that half.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from random import Random

from circuitlang.language.tasks.halves import half_of
from circuitlang.language.tasks.mentions import free_names
from circuitlang.language.tasks.task_spec import Slot, TaskSpec
from circuitlang.language.tasks.task_values import slot_values
from circuitlang.language.tasks.text import Evaluator
from circuitlang.language.tasks.text_values import Value
from circuitlang.language.tasks.token_ids import Sequences
from circuitlang.language.text.syntax import Expression

LARGEST_COUNTED = 200_000
MOST_ATTEMPTS = 200_000
MOST_MISSES = 5_000

Assignment = Mapping[str, Value]
# How many slots are bound, the number of the beginning of an assignment, and that beginning.
_Branch = tuple[int, int, Assignment]


def random_stream(*parts: object) -> Random:
    """A generator that depends on `parts` alone, on every machine and in every process."""
    text = "\x1f".join(map(str, parts))
    return Random(int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"))


@dataclass(frozen=True)
class Population:
    """`counted` holds the numbers of all members; None when the slot product is too large.

    Where there is a `half`, its prompts alone are members. An assignment's number has one digit per slot, in the mixed radix of the slots' sizes.
    """

    slots: tuple[Slot, ...]
    levels: tuple[tuple[Expression, ...], ...]
    evaluator: Evaluator
    counted: tuple[int, ...] | None = None
    half: str | None = None

    @classmethod
    def of(cls, task: TaskSpec, evaluator: Evaluator) -> Population:
        """Counted where the slot product is small enough. Raises `Reject`, as evaluation does."""
        found = cls.uncounted(task, evaluator)
        if found.product > LARGEST_COUNTED:
            return found
        return replace(found, counted=tuple(found._members()))

    @classmethod
    def uncounted(cls, task: TaskSpec, evaluator: Evaluator) -> Population:
        """Without the numbers of its members. Raises `Reject`, as evaluation does."""
        slots = tuple(_for_model(slot, evaluator) for slot in task.slots)
        levels: list[list[Expression]] = [[] for _ in range(len(slots) + 1)]
        for condition in task.conditions:
            used = free_names(condition)
            level = max(
                (i for i, s in enumerate(slots, 1) if used.intersection(s.names)), default=0
            )
            levels[level].append(condition)
        return cls(slots, tuple(map(tuple, levels)), evaluator, half=task.split)

    def allows(self, bound: Assignment) -> bool:
        """Whether a value for every slot is of the half and satisfies all conditions."""
        if self.half is not None and half_of(bound) != self.half:
            return False
        return all(self._holds(level, bound) for level in range(len(self.levels)))

    @cached_property
    def product(self) -> int:
        return prod(slot.size for slot in self.slots)

    def _members(self) -> Iterator[int]:
        if self.half is None:
            yield from self._satisfying()
            return
        for code in self._satisfying():
            bound = self.assignment(code)
            if bound:
                self.evaluator.spend(len(bound), self.slots[0].span)
            if half_of(bound) == self.half:
                yield code

    def _satisfying(self) -> Iterator[int]:
        """Depth first over the slots; each condition is tried as soon as its slots are bound."""
        last = max((i for i, conditions in enumerate(self.levels) if conditions), default=0)
        below = prod(slot.size for slot in self.slots[last:])
        walk: list[Iterator[_Branch]] = [iter([(0, 0, {})] if self._holds(0, {}) else [])]
        while walk:
            level, code, bound = next(walk[-1], (-1, 0, {}))
            if level < 0:
                walk.pop()
            elif level == last:
                yield from range(code * below, (code + 1) * below)
            else:
                walk.append(self._next(level, code, bound))

    def _next(self, level: int, code: int, bound: Assignment) -> Iterator[_Branch]:
        """The branches below one, with one more slot bound."""
        slot = self.slots[level]
        for digit in range(slot.size):
            self.evaluator.spend(len(bound) // 100, slot.span)
            inner = {**bound, **dict(zip(slot.names, slot.row(digit), strict=True))}
            if self._holds(level + 1, inner):
                yield level + 1, code * slot.size + digit, inner

    def _holds(self, level: int, bound: Assignment) -> bool:
        return all(self.evaluator.condition(c, bound) for c in self.levels[level])

    def assignment(self, code: int) -> Assignment:
        found: dict[str, Value] = {}
        for slot in reversed(self.slots):
            code, digit = divmod(code, slot.size)
            found |= zip(slot.names, slot.row(digit), strict=True)
        return {name: found[name] for slot in self.slots for name in slot.names}

    def draws(self, random: Random) -> Iterator[Assignment]:
        """Distinct members in random order, each as likely as any other.

        Ends when all are drawn or, without a count, when too many attempts missed.
        """
        codes = self._sparse_draws(random) if self.counted is None else self._shuffled(random)
        return map(self.assignment, codes)

    def _shuffled(self, random: Random) -> Iterator[int]:
        remaining = list(self.counted or ())
        for i in range(len(remaining)):
            j = random.randrange(i, len(remaining))
            remaining[i], remaining[j] = remaining[j], remaining[i]
            yield remaining[i]

    def _sparse_draws(self, random: Random) -> Iterator[int]:
        seen: set[int] = set()
        misses = 0
        # A half takes about twice the attempts.
        longer = 1 if self.half is None else 2
        while misses < longer * MOST_MISSES and len(seen) < longer * MOST_ATTEMPTS:
            code = random.randrange(self.product)
            misses += 1
            if code in seen:
                continue
            seen.add(code)
            self.evaluator.spend(len(self.slots), self.slots[0].span)
            if self.allows(self.assignment(code)):
                misses = 0
                yield code


def _for_model(slot: Slot, evaluator: Evaluator) -> Slot:
    """With the values that had to wait for the model's tokenizer and vocabulary."""
    if not slot.needs_tokenizer and not slot.holds_token_ids:
        return slot
    found = slot_values(slot.names, slot.domain, evaluator, evaluator.diagnostics)
    if isinstance(found, Sequences):
        return replace(slot, sequences=found)
    return replace(slot, rows=found)
