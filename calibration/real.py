"""Rows on measured numbers: what calibration/data holds is the population, prompts are drawn from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path

import numpy as np

from calibration.claims import EFFECT, FAITHFULNESS, F, Vector, compare, op, sample, share, verdict
from calibration.populations import Generator
from calibration.row import Row, seed
from circuitlang.judgement.estimator import Estimator
from circuitlang.language.spec import Formula, Number

DATA = Path(__file__).parent / "data"


@cache
def population(name: str) -> tuple[Mapping[str, Vector], np.ndarray[tuple[int], np.dtype[np.str_]]]:
    """Run -> one number per prompt, and the template of each prompt."""
    with np.load(DATA / f"{name}.npz") as file:
        values = {run: file[run].astype(np.float64) for run in file.files if run != "templates"}
        return values, file["templates"]


NUMBERS: dict[str, Number] = {
    "faithfulness(C)": FAITHFULNESS,
    "faithfulness(zero)": op("/", op("-", F("zero"), F("none")), EFFECT),
    "faithfulness(random)": op("/", op("-", F("random"), F("none")), EFFECT),
    "faithfulness(C) by KL": op(
        "/", op("-", F("C_kl"), F("none_kl")), op("-", F("M_kl"), F("none_kl"))
    ),
    "F(M) - F(C)": op("-", F("M"), F("C")),
    "drop(C, part)": op("-", F("C"), F("without")),
    "share(F(C on x) > 0)": share("C", ">", 0),
}  # fmt: skip
MEASURED = {
    "toy": ("faithfulness(zero)", "F(M) - F(C)", "drop(C, part)"),
    "ioi": tuple(NUMBERS),
    "greater_than": (
        "faithfulness(C)", "faithfulness(random)", "F(M) - F(C)", "drop(C, part)",
    ),
}  # fmt: skip


@cache
def boundary(name: str, what: str) -> Formula:
    """The claim whose threshold is the population's own number, to the last digit."""
    values, templates = population(name)
    whole = sample(values, templates=templates)
    return compare(NUMBERS[what], ">=", Estimator(whole).value(NUMBERS[what]))


def drawn(rng: Generator, name: str, what: str, n: int) -> str:
    """Of each template as many prompts as it has a share of the population."""
    values, templates = population(name)
    names, counts = np.unique(templates, return_counts=True)
    rows = np.concatenate([
        rng.choice(np.flatnonzero(templates == template), round(n * count / len(templates)))
        for template, count in zip(names, counts, strict=True)
    ])  # fmt: skip
    numbers = {run: vector[rows] for run, vector in values.items()}
    return verdict(boundary(name, what), sample(numbers, templates=templates[rows], seed=seed(rng)))


def real() -> Iterator[Row]:
    for name, claims in MEASURED.items():
        for what in claims:
            for n in (24, 64, 128, 256):
                trial = partial(drawn, name=name, what=what, n=n)
                yield Row("measured on models", f"{name}, {what}", f"n = {n}", trial)
