"""What a row of the tables is: one trial draws a sample at the boundary and returns its verdict.

At the boundary the number claimed about equals its threshold. Of claims that are false those are
most often wrong `holds`, of claims that are true most often wrong `fails`; so at most alpha of the
trials may end in either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from numpy.random import SeedSequence

from calibration.populations import Generator

Trial = Callable[[Generator], str]


@dataclass(frozen=True)
class Row:
    """`counts` are the verdicts that are wrong here. `share` of the replications is made, where a
    trial is slow. `shown_wrong` rows are what circuitlang does not do."""

    table: str
    name: str
    n: str
    trial: Trial
    counts: tuple[str, ...] = ("holds", "fails")
    share: float = 1.0
    shown_wrong: bool = False

    @property
    def label(self) -> str:
        return f"{self.table}: {self.name}, {self.n}"


def seed(rng: Generator) -> int:
    """Where resampling starts: the same for all trials that one generator makes."""
    sequence = rng.bit_generator.seed_seq
    assert isinstance(sequence, SeedSequence)
    return int(sequence.generate_state(1)[0])
