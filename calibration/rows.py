"""Rows on simulated numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from scipy import stats

from calibration.claims import (
    BIT,
    EFFECT,
    FAITHFULNESS,
    F,
    Vector,
    compare,
    each,
    joined,
    most,
    op,
    quantified,
    sample,
    share,
    verdict,
    within,
)
from calibration.populations import (
    EXPONENTIAL,
    NORMAL,
    POPULATIONS,
    SKEWED,
    SPREAD,
    T3,
    Generator,
    Population,
)
from calibration.row import Row, seed
from circuitlang.judgement.decide import LEVEL
from circuitlang.judgement.verdict import UNDECIDED
from circuitlang.language.spec import Aggregate, Formula, Independence, Rows
from circuitlang.looks import levels, schedule

SIZES = (16, 64, 128, 256, 512)


# ---------------------------------------------------------------- one set of prompts


def mean(rng: Generator, population: Population, n: int) -> str:
    numbers = sample({"C": population.draw(rng, n)}, seed=seed(rng))
    return verdict(compare(F("C"), ">=", 0), numbers)


def bits(rng: Generator, rate: float, n: int) -> str:
    numbers = sample({"C": np.where(rng.random(n) < rate, 1.0, 0.0)}, metric=BIT)
    return verdict(compare(F("C", metric=BIT), ">=", rate), numbers)


def changed_bits(rng: Generator, rare: float, n: int) -> str:
    """Two runs, right on the same prompts but for `rare` of them, where the second is wrong."""
    right = np.where(rng.random(n) < 0.9, 1.0, 0.0)
    numbers = sample({"M": right, "C": right * (rng.random(n) >= rare)}, metric=BIT)
    drop = op("-", F("M", metric=BIT), F("C", metric=BIT))
    return verdict(compare(drop, ">=", 0.9 * rare), numbers)


def stratified(rng: Generator, population: Population, groups: int, n: int) -> str:
    size = n // groups
    vector = np.concatenate([5.0 * g + (1 + g) * population.draw(rng, size) for g in range(groups)])
    names = np.repeat([f"t{g}" for g in range(groups)], size)
    numbers = sample({"C": vector}, templates=names, seed=seed(rng))
    return verdict(compare(F("C"), ">=", 2.5 * (groups - 1)), numbers)


def one_set() -> Iterator[Row]:
    for population in POPULATIONS:
        for n in SIZES:
            yield Row(
                "means", population.name, f"n = {n}", partial(mean, population=population, n=n)
            )
    for rate in (0.5, 0.9, 0.98):
        for n in SIZES:
            yield Row("bits", f"a rate of {rate:g}", f"n = {n}", partial(bits, rate=rate, n=n))
    for rare in (0.02, 0.2):
        for n in (16, 64, 256):
            trial = partial(changed_bits, rare=rare, n=n)
            yield Row("bits", f"a difference on {rare:.0%} of prompts", f"n = {n}", trial)
    for population in (NORMAL, EXPONENTIAL):
        for groups, n in ((3, 24), (3, 96), (3, 258), (8, 64), (8, 256)):
            trial = partial(stratified, population=population, groups=groups, n=n)
            yield Row("templates as strata", population.name, f"{groups} templates, n = {n}", trial)


# ---------------------------------------------------------------- templates in general


def templates(
    rng: Generator, population: Population, groups: int, icc: float, target: str = "templates"
) -> str:
    between = np.repeat(np.sqrt(icc) * population.draw(rng, groups), 20)
    vector = between + np.sqrt(1 - icc) * NORMAL.draw(rng, 20 * groups)
    names = np.repeat([f"t{g:02}" for g in range(groups)], 20)
    numbers = sample({"C": vector}, templates=names, seed=seed(rng))
    return verdict(compare(F("C"), ">=", 0), numbers, target)


def template_ratio(rng: Generator, groups: int) -> str:
    def clustered(spread: float) -> Vector:
        return np.repeat(spread * rng.normal(size=groups), 20) + rng.normal(size=20 * groups)

    model = 3 + clustered(0.6)
    values = {"M": model, "none": clustered(0.3)}
    values["C"] = 0.8 * model + 0.2 * values["none"] + clustered(0.5)
    names = np.repeat([f"t{g:02}" for g in range(groups)], 20)
    numbers = sample(values, templates=names, seed=seed(rng))
    return verdict(compare(FAITHFULNESS, ">=", 0.8), numbers, "templates")


def over_templates() -> Iterator[Row]:
    for icc in (0.05, 0.3):
        for groups in (5, 8, 15, 30):
            trial = partial(templates, population=NORMAL, groups=groups, icc=icc)
            yield Row("over templates", f"normal, ICC {icc:g}", f"{groups} templates", trial)
    for groups in (5, 8, 15, 30):
        trial = partial(templates, population=SKEWED, groups=groups, icc=0.3)
        yield Row("over templates", f"{SKEWED.name}, ICC 0.3", f"{groups} templates", trial)
    for groups in (5, 15):
        trial = partial(template_ratio, groups=groups)
        yield Row("over templates", "ratio", f"{groups} templates", trial)


# ---------------------------------------------------------------- several tasks


def two_tasks(rng: Generator, population: Population, sizes: tuple[int, int], spread: float) -> str:
    """Two tasks, the second with `spread` times the standard deviation of the first."""
    a, b = population.draw(rng, sizes[0]), spread * population.draw(rng, sizes[1])
    numbers = joined({"a": ({"C": a}, None), "b": ({"C": b}, None)}, seed=seed(rng))
    return verdict(compare(op("-", F("C", task="a"), F("C", task="b")), ">=", 0), numbers)


def overlapping(rng: Generator, population: Population, n: int) -> str:
    """One template against all of them: linearised, since they share prompts."""
    names = np.repeat(["x", "y"], n // 2)
    numbers = sample({"C": population.draw(rng, n)}, templates=names, seed=seed(rng))
    return verdict(compare(op("-", F("C", Rows("template", "x")), F("C")), ">=", 0), numbers)


def several() -> Iterator[Row]:
    for population in (NORMAL, EXPONENTIAL, T3):
        for sizes, spread in (((16, 16), 1.0), ((16, 64), 4.0), ((64, 64), 3.0), ((256, 64), 3.0)):
            trial = partial(two_tasks, population=population, sizes=sizes, spread=spread)
            name = f"{population.name}, spread {spread:g} times"
            yield Row("two tasks", name, f"n = {sizes[0]} and {sizes[1]}", trial)
    for population in (NORMAL, EXPONENTIAL):
        for n in (32, 128):
            trial = partial(overlapping, population=population, n=n)
            yield Row("two tasks", f"{population.name}, a template and all", f"n = {n}", trial)


# ---------------------------------------------------------------- ratios


def ratio(rng: Generator, population: Population, n: int, effect: float, region: str = ">=") -> str:
    """Faithfulness 0.8 with an effect of so many standard deviations; negative as for a loss."""
    floor = 0.5 * population.draw(rng, n)
    gain = effect + population.draw(rng, n)
    values = {"M": floor + gain, "none": floor}
    values["C"] = floor + 0.8 * gain + 0.5 * population.draw(rng, n)
    claims: dict[str, Formula] = {
        ">=": compare(FAITHFULNESS, ">=", 0.8),
        "in": within(FAITHFULNESS, 0.8, 1.2),
        "drop": compare(op("-", F("M"), F("C")), ">=", op("*", 0.2, EFFECT)),
    }
    return verdict(claims[region], sample(values, seed=seed(rng)))


def ratios() -> Iterator[Row]:
    for population in (NORMAL, SKEWED):
        for effect in (0.15, -0.15, 0.5, -0.5, 3.0):
            for n in (64, 512) if abs(effect) < 1 else SIZES:
                trial = partial(ratio, population=population, n=n, effect=effect)
                name = f"{population.name}, denominator {effect:g} SD"
                yield Row("ratios", name, f"n = {n}", trial)
    for region, said in (("in", "in 0.8..1.2"), ("drop", "drop >= 20% * effect")):
        for n in (64, 256):
            trial = partial(ratio, population=NORMAL, n=n, effect=2.0, region=region)
            yield Row("ratios", f"normal, {said}", f"n = {n}", trial)


# ---------------------------------------------------------------- regions


def region(rng: Generator, population: Population, n: int, centre: float, claim: Formula) -> str:
    return verdict(claim, sample({"C": centre + population.draw(rng, n)}, seed=seed(rng)))


def extreme(rng: Generator, population: Population, n: int, which: str) -> str:
    """The larger, or the smaller, of two numbers that are both on the threshold."""
    shared = population.draw(rng, n)
    values = {name: shared + population.draw(rng, n) for name in "AB"}
    return verdict(compare(op(which, F("A"), F("B")), ">=", 0), sample(values, seed=seed(rng)))


def regions() -> Iterator[Row]:
    size = op("abs", F("C"))
    claims: Sequence[tuple[str, float, Formula]] = (
        ("in -0.3..0.3, at 0.3", 0.3, within(F("C"), -0.3, 0.3)),
        ("in -0.3..0.3, at -0.3", -0.3, within(F("C"), -0.3, 0.3)),
        ("abs <= 0.3, at 0.3", 0.3, compare(size, "<=", 0.3)),
        ("abs <= 0.3, at -0.3", -0.3, compare(size, "<=", 0.3)),
        ("abs >= 0.3, at 0.3", 0.3, compare(size, ">=", 0.3)),
        ("abs >= 0.3, at -0.3", -0.3, compare(size, ">=", 0.3)),
        ("abs >= 0.000001, at 0", 0.0, compare(size, ">=", 1e-6)),
        ("abs <= 0.000001, at 0", 0.0, compare(size, "<=", 1e-6)),
    )  # fmt: skip
    for population in (NORMAL, SKEWED):
        for said, centre, claim in claims:
            for n in (64, 256):
                trial = partial(region, population=population, n=n, centre=centre, claim=claim)
                yield Row("regions", f"{population.name}, {said}", f"n = {n}", trial)
        for which in ("min", "max"):
            for n in (64, 256):
                trial = partial(extreme, population=population, n=n, which=which)
                yield Row("regions", f"{population.name}, {which} of two >= 0", f"n = {n}", trial)


# ---------------------------------------------------------------- what is no contrast


def resampled(rng: Generator, population: Population, n: int, what: str) -> str:
    a, b = 2 + population.draw(rng, n), 1 + population.draw(rng, n)
    numbers = sample({"A": a, "B": b, "C": 1 + 0.5 * b}, seed=seed(rng))
    claims: dict[str, Formula] = {
        "product": compare(op("*", F("A"), F("B")), ">=", 2),
        "quotients": compare(
            op("-", op("/", F("B"), F("A")), op("/", F("C"), F("A"))), ">=", -0.25
        ),
        "medians": compare(op("-", median("A"), median("B")), ">=", 1),
    }
    return verdict(claims[what], numbers)


def median(name: str) -> Aggregate:
    return Aggregate("median", each(name))


def quantile(rng: Generator, population: Population, n: int, level: float, true: float) -> str:
    number = Aggregate("quantile", each("C"), level)
    numbers = sample({"C": population.draw(rng, n)}, seed=seed(rng))
    return verdict(compare(number, ">=", true), numbers)


def proportion(rng: Generator, n: int, rate: float) -> str:
    numbers = sample({"C": rng.normal(size=n) + stats.norm.ppf(rate)}, seed=seed(rng))
    return verdict(compare(share("C", ">", 0), ">=", rate), numbers)


def above_half_the_mean(rng: Generator, population: Population, n: int, true: float) -> str:
    numbers = sample({"C": 2 + population.draw(rng, n)}, seed=seed(rng))
    return verdict(compare(share("C", ">", op("*", 0.5, F("C"))), ">=", true), numbers)


def numbers() -> Iterator[Row]:
    for population in (NORMAL, EXPONENTIAL, T3):
        for what in ("product", "quotients", "medians"):
            if what == "quotients" and population is T3:
                continue
            for n in (24, 64, 256):
                trial = partial(resampled, population=population, n=n, what=what)
                part = 0.15 if what == "medians" else 0.4
                said = {
                    "product": "A * B", "quotients": "B / A - C / A",
                    "medians": "difference of medians",
                }[what]  # fmt: skip
                yield Row("resampled", f"{population.name}, {said}", f"n = {n}", trial, share=part)
    for level in (0.5, 0.9, 0.99):
        true = float(stats.norm.ppf(level))
        for n in SIZES:
            trial = partial(quantile, population=NORMAL, n=n, level=level, true=true)
            yield Row("quantiles", f"the {level:.0%} quantile", f"n = {n}", trial)
    for rate in (0.5, 0.9, 0.98):
        for n in SIZES:
            trial = partial(proportion, n=n, rate=rate)
            yield Row("shares of prompts", f"a share of {rate:.0%}", f"n = {n}", trial)
    for n in (24, 64, 256):
        rate = float(stats.norm.cdf(1.0))
        trial = partial(above_half_the_mean, population=NORMAL, n=n, true=rate)
        name = "above half the mean, a measured condition"
        yield Row("shares of prompts", name, f"n = {n}", trial, share=0.4)


# ---------------------------------------------------------------- many members


def members(
    rng: Generator, population: Population, count: int, n: int, shared: float, clear: float
) -> dict[str, Vector]:
    """Numbers of members that share a part of their error. The first is on the threshold 0, the
    others are `clear` standard errors above it."""
    own, common = np.sqrt(1 - shared), np.sqrt(shared) * population.draw(rng, n)
    return {
        f"e{i}": own * population.draw(rng, n) + common + (clear / np.sqrt(n) if i else 0.0)
        for i in range(count)
    }


def many(
    rng: Generator, kind: str, population: Population, count: int, n: int, shared: float,
    clear: float,
) -> str:  # fmt: skip
    numbers = sample(members(rng, population, count, n, shared, clear), seed=seed(rng))
    claims = [compare(F(f"e{i}"), ">=", 0) for i in range(count)]
    return verdict(quantified(kind, *claims), numbers)


def quantifiers() -> Iterator[Row]:
    for population, count, n, shared, part in (
        (NORMAL, 10, 256, 0.0, 1.0), (NORMAL, 10, 256, 0.5, 1.0), (NORMAL, 100, 256, 0.5, 0.2),
        (NORMAL, 671, 256, 0.0, 0.1), (EXPONENTIAL, 10, 128, 0.0, 0.2),
        (SKEWED, 100, 128, 0.0, 0.1),
    ):  # fmt: skip
        make = partial(many, population=population, count=count, n=n, shared=shared)
        said = f"{population.name}{', shared prompts' if shared else ''}"
        size = f"{count} members, n = {n}"
        on = partial(make, kind="forall", clear=0.0)
        yield Row(
            "many members", f"forall, all on the threshold, {said}", size, on, ("fails",), part
        )
        if count <= 10:
            one = partial(make, kind="forall", clear=8.0)
            name = f"forall, one on the threshold, {said}"
            yield Row("many members", name, size, one, ("holds",), part)
            on = partial(make, kind="exists", clear=0.0)
            name = f"exists, all on the threshold, {said}"
            yield Row("many members", name, size, on, ("holds",), part)
            one = partial(make, kind="exists", clear=-8.0)
            name = f"exists, one on the threshold, {said}"
            yield Row("many members", name, size, one, ("fails",), part)


def share_of_members(
    rng: Generator, count: int, n: int, level: float, wrong: str, extent: str
) -> str:
    """`wrong` "holds": those that do not satisfy the condition are on the threshold and the others
    clear of it. "fails": the other way round. All share their prompts."""
    if extent == "drawn":
        good = rng.random(count) < (level - 1e-9 if wrong == "holds" else level)
    else:
        fewest = int(np.ceil(level * count))
        good = np.arange(count) < (fewest - 1 if wrong == "holds" else fewest)
    common = rng.normal(size=n)
    up, down = (10.0, 0.0) if wrong == "holds" else (0.0, -10.0)
    vectors = {
        f"K{i}": np.sqrt(0.5) * (common + rng.normal(size=n))
        + (up if good[i] else down) / np.sqrt(n)
        for i in range(count)
    }
    claims = [compare(F(name), ">=", 0) for name in vectors]
    return verdict(most(level, *claims, extent=extent), sample(vectors, seed=seed(rng)))


def shares_of_members() -> Iterator[Row]:
    for extent, count, level in (("drawn", 124, 0.95), ("drawn", 142, 0.95), ("drawn", 124, 0.5),
                                 ("all", 40, 0.9)):  # fmt: skip
        for wrong in ("holds", "fails"):
            trial = partial(
                share_of_members, count=count, n=256, level=level, wrong=wrong, extent=extent
            )
            truth = "false" if wrong == "holds" else "true"
            listed = "drawn" if extent == "drawn" else "listed"
            name = f"most({level:.0%}) just {truth}, members {listed}"
            yield Row("shares of members", name, f"{count} members, n = 256", trial, (wrong,), 0.15)


# ---------------------------------------------------------------- looks


def looked(rng: Generator, population: Population, n: int, split: bool) -> str:
    """The verdict of the first look that decides; `split` says that the looks share alpha."""
    vector, sizes = population.draw(rng, n), schedule(n)
    shares = levels(len(sizes)) if split else [LEVEL] * len(sizes)
    for size, alpha in zip(sizes, shares, strict=True):
        numbers = sample({"C": vector[:size]}, seed=seed(rng))
        found = verdict(compare(F("C"), ">=", 0), numbers, alpha=alpha)
        if found != UNDECIDED:
            return found
    return UNDECIDED


def looks() -> Iterator[Row]:
    for population in (NORMAL, EXPONENTIAL, SKEWED, T3, SPREAD):
        for n in (128, 512, 1024):
            trial = partial(looked, population=population, n=n, split=True)
            size = f"looks at {', '.join(map(str, schedule(n)))}"
            yield Row("looks", population.name, size, trial, share=0.4)


def independent(rng: Generator, population: Population, n: int) -> str:
    """Two numbers that have nothing to do with each other, the second of another scale."""
    drawn = {"C": population.draw(rng, n), "M": 10 * NORMAL.draw(rng, n)}
    claim = Independence(F("C").measurement, F("M").measurement, LEVEL)
    return verdict(claim, sample(drawn, seed=seed(rng)))


def independence() -> Iterator[Row]:
    for population in (NORMAL, EXPONENTIAL, T3):
        for n in (24, 64, 128):
            trial = partial(independent, population=population, n=n)
            yield Row("independence", population.name, f"n = {n}", trial, ("fails",), 0.3)


def simulated() -> Iterator[Row]:
    for rows in (
        one_set, over_templates, several, ratios, regions, numbers, quantifiers, shares_of_members,
        looks, independence,
    ):  # fmt: skip
        yield from rows()


def shown_wrong() -> Iterator[Row]:
    """What circuitlang does not do, and why."""
    for groups in (8, 15, 30):
        trial = partial(templates, population=NORMAL, groups=groups, icc=0.3, target="prompts")
        yield Row(
            "shown wrong", "templates in general read off single prompts, ICC 0.3",
            f"{groups} templates", trial, shown_wrong=True,
        )  # fmt: skip
    trial = partial(uncorrected, count=20, n=256)
    yield Row(
        "shown wrong", "forall fails when a member fails at alpha", "20 members, n = 256", trial,
        ("fails",), 0.2, shown_wrong=True,
    )  # fmt: skip
    trial = partial(looked, population=NORMAL, n=512, split=False)
    name = "each look at alpha, normal"
    yield Row("shown wrong", name, "looks at 64, 128, 256, 512", trial, shown_wrong=True)
    for population in (NORMAL, EXPONENTIAL, T3, SPREAD):
        for method in ("BCa bootstrap", "t"):
            trial = partial(by_scipy, population=population, n=64, method=method)
            yield Row(
                "shown wrong", f"{method} alone, {population.name}", "n = 64", trial,
                shown_wrong=True,
            )  # fmt: skip


def by_scipy(rng: Generator, population: Population, n: int, method: str) -> str:
    """The verdict on a mean by one of the intervals that circuitlang takes the wider of, or by BCa."""
    values = population.draw(rng, n)
    if method == "t":
        found = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    else:
        found = stats.bootstrap(
            (values,), np.mean, confidence_level=0.9, method="BCa", rng=rng
        ).confidence_interval
    return "holds" if found.low >= 0 else "fails" if found.high <= 0 else "undecided"


def uncorrected(rng: Generator, count: int, n: int) -> str:
    numbers = sample(members(rng, NORMAL, count, n, 0.0, 0.0), seed=seed(rng))
    alone = [verdict(compare(F(f"e{i}"), ">=", 0), numbers) for i in range(count)]
    return "fails" if "fails" in alone else "undecided"
