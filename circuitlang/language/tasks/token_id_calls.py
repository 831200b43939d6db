"""What `token_ids(...)` is given -> ids that the model has, and sequences to draw from them."""

from __future__ import annotations

import re

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.source import Span
from circuitlang.language.tasks.text_values import Number, Value, kind, printed
from circuitlang.language.tasks.token_ids import Sequences
from circuitlang.language.text import syntax

LONGEST_SEQUENCE = 4_096
# As tables write ids: `262`, or `[262, 290]`.
_WRITTEN = re.compile(r"\s*(\d{1,12}|\[\s*\d{1,12}(\s*,\s*\d{1,12})*\s*\])\s*", re.ASCII)


def read_ids(
    value: Value, span: Span, vocabulary: int | None, diagnostics: Diagnostics
) -> list[int]:
    """Ids from numbers, or from a table's texts; raises `Reject`.

    They are below `vocabulary`, the number of the model's tokens, if that is known.
    """
    members = value if isinstance(value, list) else [value]
    ids = [i for member in members for i in _ids(member, span, diagnostics)]
    if vocabulary is not None and max(ids, default=0) >= vocabulary:
        raise diagnostics.reject(
            "CL520",
            f"There is no token {max(ids):,}: the model has {vocabulary:,} tokens.",
            span,
            f"its ids are 0 to {vocabulary - 1}",
        )
    return ids


def _ids(value: Value, span: Span, diagnostics: Diagnostics) -> list[int]:
    if isinstance(value, Number) and value.is_whole and value.value >= 0:
        return [int(value.value)]
    if isinstance(value, str) and _WRITTEN.fullmatch(value):
        return [int(digits) for digits in re.findall(r"\d+", value)]
    said = f'"{value[:40]}"' if isinstance(value, str) else printed(value) or kind(value)
    raise diagnostics.reject(
        "CL106",
        f"A token id is a whole number from 0 up, not {said}.",
        span,
        "write `1000..9999`, or a column of a table that holds ids",
    )


def sequences(
    ids: list[int], length: Number, call: syntax.Call, diagnostics: Diagnostics
) -> Sequences:
    """Raises `Reject` where `length` different ids cannot be drawn."""
    at = call.named[0][1].span
    if not length.is_whole or length.value < 1:
        raise diagnostics.reject(
            "CL105",
            f"The length of a sequence is a whole number from 1 up, not {length.text}.",
            at,
            "write for example `length = 50`",
        )
    if length.value > LONGEST_SEQUENCE:
        raise diagnostics.reject(
            "CL302",
            f"This makes sequences of {length.value:,.0f} tokens; the limit is "
            f"{LONGEST_SEQUENCE:,}.",
            at,
            "make them shorter",
        )
    choices = tuple(dict.fromkeys(ids))
    if length.value > len(choices):
        raise diagnostics.reject(
            "CL505",
            f"No {length.text} of {len(choices):,} ids differ, and the tokens of a sequence do.",
            call.span,
            "give more ids, or a smaller length",
        )
    return Sequences(choices, int(length.value))
