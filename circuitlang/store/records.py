"""What is stored of a run, and the bytes it is stored as."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Invariant(NamedTuple):
    """One comparison of a check: |logit difference| / max |logit|, and whether it is small."""

    name: str
    deviation: float
    passed: bool


@dataclass(frozen=True, eq=False)
class Record:
    """One metric of one run: a number per prompt, and how far the check that ran it can be trusted.

    `noise` is the metric's largest |difference| between computations that agree in exact
    arithmetic, in its own unit.
    """

    values: npt.NDArray[np.float64]
    noise: float
    invariants: tuple[Invariant, ...]


@dataclass(frozen=True, eq=False)
class Part:
    """The record of a run on some prompts of the set that its key names, by their numbers."""

    rows: npt.NDArray[np.int64]
    record: Record


@dataclass(frozen=True)
class Origin:
    """Where runs come from, for a reader; no key depends on it.

    `prompts` are SHA-256 digests of the prompts' token ids, in order.
    """

    task: str
    model: str
    dtype: str
    device: str
    prompts: tuple[bytes, ...] = ()

    def packed(self) -> tuple[bytes, str, bytes]:
        """Its digest, the words as JSON, and the prompts' digests one after the other."""
        words = [self.task, self.model, self.dtype, self.device]
        about, prompts = json.dumps(words), b"".join(self.prompts)
        return hashlib.sha256(about.encode() + prompts).digest(), about, prompts


def packed_invariants(invariants: tuple[Invariant, ...]) -> tuple[bytes, str]:
    """Their digest, and their JSON."""
    text = json.dumps(invariants)
    return hashlib.sha256(text.encode()).digest(), text


def packed_numbers(record: Record) -> bytes:
    import numpy as np

    return np.concatenate(([record.noise], record.values)).astype("<f8").tobytes()


def packed_rows(rows: npt.NDArray[np.int64]) -> bytes:
    return rows.astype("<u4").tobytes()


def seal(key: bytes, rows: bytes, numbers: bytes, checked: bytes) -> bytes:
    """Of a record; `rows` is empty for one of all prompts."""
    start = hashlib.sha256(rows).digest() if rows else b""
    return hashlib.sha256(start + key + numbers + checked).digest()


def unpacked(
    key: bytes, rows: bytes, numbers: object, checked: object, sealed: object, invariants: object
) -> Record | None:
    """The record in a row; None where the row is not what was written."""
    import numpy as np

    if not isinstance(numbers, bytes) or not isinstance(checked, bytes) or len(numbers) % 8:
        return None
    if not isinstance(invariants, str) or sealed != seal(key, rows, numbers, checked):
        return None
    if hashlib.sha256(invariants.encode()).digest() != checked or not numbers:
        return None
    try:
        found = tuple(Invariant(str(n), float(d), bool(p)) for n, d, p in json.loads(invariants))
    except (TypeError, ValueError):
        return None
    noise, *values = np.frombuffer(numbers, "<f8")
    return Record(np.array(values, dtype=np.float64), float(noise), found)


def unpacked_part(
    key: bytes, rows: object, numbers: object, checked: object, sealed: object, invariants: object
) -> Part | None:
    """As `unpacked`, of a row of parts."""
    import numpy as np

    if not isinstance(rows, bytes) or not rows or len(rows) % 4:
        return None
    record = unpacked(key, rows, numbers, checked, sealed, invariants)
    numbered = np.frombuffer(rows, "<u4").astype(np.int64)
    if record is None or len(record.values) != len(numbered):
        return None
    return Part(numbered, record)
