"""The two halves of a task's prompts, so that what is found on one can be decided on the other.

Takes the values of a prompt's slots and gives its half. The values alone decide it: not the seed,
the sample, the template, the model or the machine. So all templates of one assignment fall into
the same half, and a prompt stays in its half when slots are given more values.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

from circuitlang.language.tasks.task_spec import TaskSpec
from circuitlang.language.tasks.text_values import Value, shown

HALVES = ("search", "decide")


def half_of(slots: Mapping[str, Value]) -> str:
    """`search` where the first byte of the SHA-256 is even, else `decide`.

    It is that of the pairs of slot name and text, sorted, as JSON without blanks in ASCII:
    `[["X","tea"],["Y","jam"]]`.
    """
    pairs = sorted((name, shown(value)) for name, value in slots.items())
    text = json.dumps(pairs, separators=(",", ":"))
    return HALVES[hashlib.sha256(text.encode("ascii")).digest()[0] % 2]


def of_half(task: TaskSpec, half: str | None) -> TaskSpec:
    """The same task, drawing from `half` of its prompts, or from all where it is None."""
    if half is not None and half not in HALVES:
        raise ValueError(f"a half is one of {', '.join(HALVES)}, not {half!r}")
    return replace(task, split=half)
