"""One text for one value: canonical JSON after RFC 8785, and its SHA-256."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import rfc8785

Json = Any
"""None, true, false, text, a number, or lists and objects of these."""


def canonical(value: Json) -> bytes:
    """The one way to write a JSON value; raises `rfc8785.CanonicalizationError` for another."""
    return rfc8785.dumps(value)


def digest(value: Json) -> str:
    """SHA-256 of the canonical text, as "sha256:..."."""
    return f"sha256:{hashlib.sha256(canonical(value)).hexdigest()}"


def ordered(values: Any) -> list[Json]:
    """Values whose order says nothing, in the order of their canonical texts."""
    return sorted(values, key=canonical)


def as_number(value: float) -> Json:
    """A number as JSON has it, or its text where it is too large to be one."""
    whole = isinstance(value, int)
    return value if abs(value) < 2**53 or (not whole and math.isfinite(value)) else str(value)


def as_text(text: str) -> str:
    """Without halves of surrogate pairs, which data files can spell and canonical JSON cannot."""
    return text.encode("utf-8", "backslashreplace").decode()
