"""Populations whose mean is 0 and whose standard deviation is 1, known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from calibration.claims import Vector

Generator = np.random.Generator
Draw = Callable[[Generator, int], Vector]


@dataclass(frozen=True)
class Population:
    """`raw` draws n numbers, with this mean and standard deviation before they are standardised."""

    name: str
    raw: Draw
    mean: float = 0.0
    sd: float = 1.0

    def draw(self, rng: Generator, n: int) -> Vector:
        return (self.raw(rng, n) - self.mean) / self.sd


def lognormal(sigma: float) -> Population:
    mean = math.exp(sigma**2 / 2)
    sd = mean * math.sqrt(math.exp(sigma**2) - 1)
    name = f"lognormal, sigma {sigma:g}"
    return Population(name, lambda rng, n: rng.lognormal(0, sigma, n), mean, sd)


def beta(a: float, b: float) -> Population:
    mean = a / (a + b)
    sd = math.sqrt(mean * (1 - mean) / (a + b + 1))
    return Population(f"beta({a:g}, {b:g})", lambda rng, n: rng.beta(a, b, n), mean, sd)


def bimodal(rng: Generator, n: int) -> Vector:
    return np.where(rng.random(n) < 0.5, 1.0, -1.0) + 0.3 * rng.normal(size=n)


def spread_outliers(rng: Generator, n: int) -> Vector:
    return rng.normal(size=n) * np.where(rng.random(n) < 0.05, 10.0, 1.0)


def rare_outliers(rng: Generator, n: int) -> Vector:
    return rng.normal(size=n) + np.where(rng.random(n) < 0.02, 10.0, 0.0)


NORMAL = Population("normal", lambda rng, n: rng.normal(size=n))
SKEWED = lognormal(0.5)
EXPONENTIAL = Population("exponential", lambda rng, n: rng.exponential(size=n), 1.0, 1.0)
VERY_SKEWED = lognormal(1.0)
T3 = Population("t with 3 df", lambda rng, n: rng.standard_t(3, n), 0.0, math.sqrt(3))
BIMODAL = Population("bimodal", bimodal, 0.0, math.sqrt(1.09))
BETA = beta(0.5, 3.0)
COUNTS = Population(
    "counts, Poisson(0.5)", lambda rng, n: rng.poisson(0.5, n).astype(np.float64), 0.5, math.sqrt(0.5)
)  # fmt: skip
SPREAD = Population("5% with ten times the spread", spread_outliers, 0.0, math.sqrt(5.95))
RARE = Population("2% outliers at +10", rare_outliers, 0.2, math.sqrt(1 + 100 * 0.02 * 0.98))

POPULATIONS = (
    NORMAL, SKEWED, EXPONENTIAL, VERY_SKEWED, T3, BIMODAL, BETA, COUNTS, SPREAD, RARE,
)  # fmt: skip
