"""Confidence intervals, each end one-sided: `bounds(alpha)` is a 1 - 2 alpha interval.

The choice between the methods here is made in `estimator`; this module is the methods.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Vector = NDArray[np.float64]
Counts = NDArray[np.float32]
Statistic = Callable[..., Vector]

RESAMPLES = 9_999
BLOCK = 5_000_000
LEAST = 5
LEAST_TO_BOOTSTRAP = 20
LARGE = 200


@dataclass(frozen=True)
class Interval:
    low: float
    high: float
    method: str


NO_INTERVAL = Interval(-math.inf, math.inf, "none")


@dataclass(frozen=True)
class Estimate:
    """A number with its intervals.

    `unit` is what `n` counts. `se` is the standard error, `sd` the spread of one unit.
    `reason` says why there is no interval; `exact` that there is nothing left to estimate.
    """

    value: float
    n: int
    se: float
    sd: float
    at: Callable[[float], Interval] = field(compare=False, repr=False)
    unit: str = "prompts"
    reason: str | None = None
    exact: bool = False

    def bounds(self, alpha: float) -> tuple[float, float]:
        """(low, high), each exceeded by the truth with probability alpha at most."""
        interval = self.at(alpha)
        return interval.low, interval.high

    def method(self, alpha: float) -> str:
        return self.at(alpha).method

    def mapped(self, factor: float, shift: float) -> Estimate:
        """The estimate of factor * x + shift."""

        @cache
        def at(alpha: float) -> Interval:
            found = self.at(alpha)
            ends = sorted((factor * found.low + shift, factor * found.high + shift))
            return Interval(ends[0], ends[1], found.method)

        scale = abs(factor)
        return Estimate(
            factor * self.value + shift, self.n, scale * self.se, scale * self.sd, at,
            self.unit, self.reason, self.exact,
        )  # fmt: skip


def exact(value: float, n: int, sd: float, method: str) -> Estimate:
    """A number with no sampling error: the whole population, or one prompt for itself."""
    return Estimate(value, n, 0.0, sd, lambda alpha: Interval(value, value, method), exact=True)


def unknown(value: float, n: int, reason: str, unit: str = "prompts") -> Estimate:
    """A number without an interval: nothing can be decided from it."""
    return Estimate(value, n, math.inf, math.nan, lambda alpha: NO_INTERVAL, unit, reason)


def student(
    value: float, se: float, df: float, *, n: int, sd: float, method: str, unit: str = "prompts"
) -> Estimate:
    @cache
    def at(alpha: float) -> Interval:
        half = se * float(stats.t.ppf(1 - alpha, df)) if se > 0 else 0.0
        return Interval(value - half, value + half, method)

    return Estimate(value, n, se, sd, at, unit)


def widest(first: Estimate, second: Estimate, alpha: float) -> Interval:
    a, b = first.at(alpha), second.at(alpha)
    return Interval(min(a.low, b.low), max(a.high, b.high), f"wider of {a.method} and {b.method}")


def stratified_error(samples: Sequence[Vector]) -> tuple[float, float]:
    """Standard error of the mean of all samples, and its degrees of freedom.

    Strata are templates with equal shares of the prompts, so the prompt mean weighs them
    equally; only the spread within templates is sampling error (Cochran 1977, section 5.3).
    Degrees of freedom are Satterthwaite's (section 5.4), n - G where templates are alike.
    """
    n = sum(len(sample) for sample in samples)
    parts = [(len(s) * float(np.var(s, ddof=1)) / n**2, len(s) - 1) for s in samples]
    variance = sum(part for part, _ in parts)
    below = sum(part**2 / free for part, free in parts)
    return math.sqrt(variance), variance**2 / below if below > 0 else n - len(samples)


def welch(parts: Sequence[tuple[float, float, int]], *, method: str, unit: str) -> Estimate:
    """Sum of independent means, given (mean, squared standard error, n): Welch 1947."""
    value = sum(mean for mean, _, _ in parts)
    variance = sum(error for _, error, _ in parts)
    below = sum(error**2 / (n - 1) for _, error, n in parts if n > 1)
    n = min(n for _, _, n in parts)
    df = variance**2 / below if below > 0 else n - 1
    se = math.sqrt(variance)
    return student(value, se, df, n=n, sd=se * math.sqrt(n), method=method, unit=unit)


def is_plain(vector: Vector) -> bool:
    """Whether the one-sided t interval is off by a tenth of alpha 0.05 at most, and n is large.

    It is off by about 0.11 skewness / sqrt(n) (the first Edgeworth term, Hall 1992).
    """
    n = len(vector)
    return n >= LARGE and abs(skewness(vector)) <= 0.045 * math.sqrt(n)


def _draws(sizes: tuple[int, ...], seed: tuple[int, ...]) -> Iterator[Counts]:
    """How often each resample has each prompt, [resample, prompt], in blocks; strata in turn."""
    rng, n = np.random.default_rng(list(seed)), sum(sizes)
    size = max(1, min(RESAMPLES, BLOCK // n))
    for start in range(0, RESAMPLES, size):
        rows = min(size, RESAMPLES - start)
        parts = [
            rng.integers(0, stratum, (rows, stratum), dtype=np.int32) + before
            for stratum, before in zip(sizes, np.cumsum((0, *sizes)), strict=False)
        ]
        chosen = np.concatenate(parts, axis=1) + np.arange(rows)[:, None] * n
        counts = np.bincount(chosen.ravel(), minlength=rows * n)
        yield counts.reshape(rows, n).astype(np.float32)


@lru_cache(maxsize=4)
def _kept_draws(sizes: tuple[int, ...], seed: tuple[int, ...]) -> tuple[Counts, ...]:
    return tuple(_draws(sizes, seed))


def resampled_means(samples: Sequence[Vector], seed: tuple[int, ...]) -> tuple[Vector, Vector]:
    """Of each resample its mean's distance from the mean, and that mean's squared standard error.

    Equal seeds draw the same prompts. Each [resample].
    """
    sizes = tuple(map(len, samples))
    n, scale = sum(sizes), max(float(np.ptp(sample)) for sample in samples) or 1.0
    few = n * RESAMPLES <= 4 * BLOCK
    found = []
    for counts in _kept_draws(sizes, seed) if few else _draws(sizes, seed):
        total, variance, start = np.zeros(len(counts)), np.zeros(len(counts)), 0
        for sample in samples:
            size, end = len(sample), start + len(sample)
            centred = ((sample - np.mean(sample)) / scale).astype(np.float32)
            sums = counts[:, start:end] @ np.stack([centred, centred**2], axis=1)
            mean, square = sums[:, 0].astype(np.float64) / size, sums[:, 1] / size
            total += size * mean
            variance += size**2 / (size - 1) * np.maximum(square - mean**2, 0)
            start = end
        found.append((total / n * scale, variance / n**2 * scale**2))
    means, squares = zip(*found, strict=True)
    return np.concatenate(means), np.concatenate(squares)


def studentised(plain: Estimate, draws: Callable[[], Sequence[tuple[Vector, Vector]]]) -> Estimate:
    """The wider, at each end, of a t interval and the studentised bootstrap.

    `draws` gives `resampled_means` of each independent sample whose means `plain` adds. The
    bootstrap-t (Efron 1982; Davison & Hinkley 1997, section 5.2) takes the quantiles of t from the
    resamples: it follows skewness, where t is too narrow on one side. With long tails on both sides
    it is t that is the wider.
    """

    @cache
    def ratios() -> Vector:
        parts = draws()
        mean, variance = (np.asarray(sum(part[i] for part in parts)) for i in (0, 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            found = mean / np.sqrt(variance)
        return np.sort(np.where(mean == 0, 0.0, found))

    @cache
    def at(alpha: float) -> Interval:
        found, other = ratios(), plain.at(alpha)
        beyond = max(int(alpha * (RESAMPLES + 1)), 1)
        low = plain.value - plain.se * float(found[-beyond])
        high = plain.value - plain.se * float(found[beyond - 1])
        label = f"wider of {other.method} and bootstrap-t"
        return Interval(min(low, other.low), max(high, other.high), label)

    return Estimate(plain.value, plain.n, plain.se, plain.sd, at, plain.unit)


def resample(samples: Sequence[Vector], statistic: Statistic, seed: Sequence[int]) -> Vector:
    """The bootstrap distribution of a statistic; equal seeds draw the same prompts."""
    result = stats.bootstrap(
        tuple(samples), statistic, n_resamples=RESAMPLES, batch=2_500, vectorized=True,
        method="percentile", rng=np.random.default_rng(list(seed)),
    )  # fmt: skip
    return np.asarray(result.bootstrap_distribution)


def bca(
    samples: Sequence[Vector], statistic: Statistic, distribution: Vector, normal: Estimate
) -> Callable[[float], Interval]:
    """The wider of BCa (Efron 1987), from a distribution drawn before, and `normal`.

    BCa alone is too narrow for few prompts, for long tails, and where 9,999 resamples leave none
    beyond alpha.
    """

    @cache
    def at(alpha: float) -> Interval:
        drawn, other = SimpleNamespace(bootstrap_distribution=distribution), normal.at(alpha)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = stats.bootstrap(
                tuple(samples), statistic, n_resamples=0, vectorized=True, method="BCa",
                confidence_level=1 - 2 * alpha, bootstrap_result=drawn,
            ).confidence_interval  # fmt: skip
        if not (math.isfinite(found.low) and math.isfinite(found.high)):
            return other
        label = f"wider of BCa bootstrap and {other.method}"
        return Interval(min(found.low, other.low), max(found.high, other.high), label)

    return at


def clopper_pearson(successes: int, n: int, alpha: float) -> tuple[float, float]:
    """Exact binomial bounds of a proportion, each one-sided at alpha (Clopper & Pearson 1934)."""
    found = stats.binomtest(successes, n).proportion_ci(1 - 2 * alpha, method="exact")
    return float(found.low), float(found.high)


def proportion(successes: int, n: int) -> Estimate:
    """A share of prompts. Its standard error, for the power line only, adds one failure or success."""

    @cache
    def at(alpha: float) -> Interval:
        return Interval(*clopper_pearson(successes, n, alpha), "exact binomial")

    share = (min(successes, n - successes) + 1) / (n + 1)
    spread = math.sqrt(share * (1 - share)) if share < 1 else 0.5
    return Estimate(successes / n, n, spread / math.sqrt(n), spread, at)


def bounded(vector: Vector, low: float, high: float, unit: str = "prompts") -> Estimate:
    """Mean of numbers known to lie in [low, high], safe when nearly all of them are equal.

    Gaffke's bound: weigh the sample and one more prompt at the worst end by Dirichlet(1, .., 1)
    weights; the bound is the 1 - alpha quantile of that mean (Learned-Miller & Thomas 2020). For
    two values it is Clopper-Pearson exactly. The t interval would have no width for 20 of 20
    correct, and too little for 19 of 20.
    """
    values, counts = np.unique(vector, return_counts=True)
    n = len(vector)

    @cache
    def at(alpha: float) -> Interval:
        draws = int(min(max(20_000, 200 / alpha), 500_000))

        def means(worst: float) -> Vector:
            rng = np.random.default_rng(0)
            weights = rng.dirichlet(np.append(counts, 1), draws)
            return np.asarray(weights @ np.append(values, worst))

        lower = float(np.quantile(means(low), alpha))
        upper = float(np.quantile(means(high), 1 - alpha))
        return Interval(lower, upper, "Gaffke's bound for a bounded metric")

    value = float(np.mean(vector))
    worst = low if value - low > high - value else high
    spread = float(np.std(np.append(vector, worst), ddof=1))
    return Estimate(value, n, spread / math.sqrt(n), spread, at, unit)


def hoeffding(vector: Vector, width: float) -> Estimate:
    """A mean of numbers that lie in an interval of this width, at any number of them.

    The prompts are independent, and need not come from one template (Hoeffding 1963, theorem 2).
    """
    n, value = len(vector), float(np.mean(vector))

    def at(alpha: float) -> Interval:
        half = width * (math.log(1 / alpha) / (2 * n)) ** 0.5
        return Interval(value - half, value + half, "Hoeffding's bound")

    se = float(np.std(vector, ddof=1)) / n**0.5
    return Estimate(value, n, se, float(np.std(vector, ddof=1)), at)


def skewness(vector: Vector) -> float:
    """Third standardised moment."""
    centred = vector - np.mean(vector)
    return float(np.mean(centred**3) / np.mean(centred**2) ** 1.5)


def quantile(vector: Vector, level: float) -> Estimate:
    """A quantile between two order statistics: exact for any distribution (David & Nagaraja 7.1).

    P(x_(k) > q) is a binomial tail, so the ends are infinite when too few prompts lie beyond.
    """
    ordered, n = np.sort(vector), len(vector)

    @cache
    def at(alpha: float) -> Interval:
        below = int(stats.binom.ppf(alpha, n, level))
        while below > 0 and stats.binom.cdf(below - 1, n, level) > alpha:
            below -= 1
        above = int(stats.binom.ppf(1 - alpha, n, level)) + 1
        while above <= n and stats.binom.sf(above - 1, n, level) > alpha:
            above += 1
        low = float(ordered[below - 1]) if below > 0 else -math.inf
        high = float(ordered[above - 1]) if above <= n else math.inf
        return Interval(low, high, "order statistics")

    rough = at(0.05)
    se = (rough.high - rough.low) / (2 * float(stats.norm.ppf(0.95)))
    return Estimate(float(np.quantile(vector, level)), n, se, se * math.sqrt(n), at)
