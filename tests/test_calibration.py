"""The calibration itself: small, with a fixed seed; its flags, its exit code, its page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import typer
from scipy import stats
from typer.testing import CliRunner

import calibration.trials
from calibration.__main__ import calibrate
from calibration.claims import EFFECT, FAITHFULNESS, F, compare, op, sample, verdict, within
from calibration.known import KNOWN, why
from calibration.populations import POPULATIONS
from calibration.row import Row
from calibration.table import markdown
from calibration.trials import ALPHA, Count, all_rows, run, too_often
from circuitlang.judgement.decide import decide
from circuitlang.judgement.estimator import Estimator

ROWS = all_rows()
PAGE = Path(__file__).parent.parent / "docs" / "calibration.md"
MAIN = (
    "means: normal, n = 64",
    "means: exponential, n = 128",
    "means: t with 3 df, n = 64",
    "means: 5% with ten times the spread, n = 64",
    "bits: a rate of 0.9, n = 64",
    "templates as strata: normal, 8 templates, n = 64",
    "over templates: normal, ICC 0.3, 8 templates",
    "two tasks: normal, spread 4 times, n = 16 and 64",
    "ratios: normal, denominator -0.5 SD, n = 512",
    "regions: normal, in -0.3..0.3, at 0.3, n = 256",
    "regions: normal, abs >= 0.000001, at 0, n = 256",
    "quantiles: the 90% quantile, n = 128",
    "shares of prompts: a share of 90%, n = 64",
    "many members: forall, all on the threshold, normal, shared prompts, 10 members, n = 256",
    "measured on models: ioi, faithfulness(C), n = 128",
)


@pytest.mark.parametrize("label", MAIN)
def test_verdicts_are_wrong_in_5_of_100_at_most(label: str):
    counts = run([ROWS[label]], 200, seed=1, workers=1)
    for count in counts:
        assert count.wrong <= stats.binom.isf(0.001, count.replications, ALPHA), count.verdict
    assert sum(count.wrong for count in counts) > 0, "it does decide"


def test_a_naive_interval_is_caught():
    label = "shown wrong: templates in general read off single prompts, ICC 0.3, 15 templates"
    for count in run([ROWS[label]], 100, seed=1, workers=1):
        assert count.rate > 0.15
        assert count.p < 0.001


def test_trials_repeat_and_follow_the_seed():
    row = ROWS["means: normal, n = 16"]
    first, again, other = (run([row], 60, seed, 1)[0].wrong for seed in (0, 0, 5))
    assert first == again
    assert {first, other} != {0}
    assert [c.replications for c in run([row], 60, 0, 1)] == [60, 60]


def test_workers_make_the_same_trials():
    rows = [ROWS["bits: a rate of 0.9, n = 16"], ROWS["quantiles: the 50% quantile, n = 16"]]
    assert run(rows, 110, 3, workers=2) == run(rows, 110, 3, workers=1)


@pytest.mark.parametrize("population", POPULATIONS, ids=lambda p: p.name)
def test_populations_have_mean_0_and_standard_deviation_1(population):
    drawn = population.draw(np.random.default_rng(0), 1_000_000)
    assert np.mean(drawn) == pytest.approx(0, abs=0.005)
    assert np.std(drawn) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("shift", [-0.5, 0.0, 0.5])
def test_the_verdict_is_the_one_of_decide(shift: float):
    rng = np.random.default_rng(0)
    floor, model = rng.normal(size=100), 3 + rng.normal(size=100)
    numbers = sample({"M": model, "none": floor, "C": 0.2 * floor + 0.8 * model + shift})
    claims = (
        compare(FAITHFULNESS, ">=", 0.8), within(FAITHFULNESS, 0.7, 0.9),
        compare(op("-", F("M"), F("C")), "<=", op("*", 0.2, EFFECT)),
    )  # fmt: skip
    for claim in claims:
        assert verdict(claim, numbers) == decide(claim, Estimator(numbers)).verdict


# ---------------------------------------------------------------- flags


def row(name: str, trial=lambda rng: "undecided", **options) -> Row:
    return Row("made up", name, "n = 1", trial, **options)


def test_rates_are_flagged_over_all_rows_together():
    even = [Count(row(str(i)), "holds", 50, 1000) for i in range(99)]
    high, chance = (
        Count(row("high"), "holds", 90, 1000), Count(row("chance"), "holds", 65, 1000),
    )  # fmt: skip
    assert chance.p < 0.05, "alone it would be"
    assert too_often([*even, high, chance]) == [high]
    wrong = Count(row("naive", shown_wrong=True), "holds", 500, 1000)
    assert too_often([wrong]) == []


def test_the_exit_code_tells_what_is_new(monkeypatch: pytest.MonkeyPatch):
    app = typer.Typer()
    app.command()(calibrate)
    always = row("always", lambda rng: "fails")
    never = row("never")
    monkeypatch.setattr(calibration.trials, "all_rows", lambda: {r.label: r for r in rows})
    monkeypatch.setattr(calibration.trials, "_ROWS", {r.label: r for r in (always, never)})
    arguments = ["--workers", "1", "--replications", "50"]
    rows = [never]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    rows = [never, always]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 1
    assert "ABOVE" in found.output
    assert "above alpha: made up: always, n = 1: fails 1.000" in found.output
    monkeypatch.setitem(KNOWN, "made up: always", "it is made to")
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0
    assert "above, known" in found.output
    assert CliRunner().invoke(app, [*arguments, "--rows", "nothing"]).exit_code == 2


def test_a_line_of_the_table():
    found = Count(row("a", counts=("fails",)), "fails", 5, 100)
    lines = list(markdown([found]))
    assert lines[-1] == "| a | n = 1 | 100 |  | 0.050 (0.016..0.113) |  |"


# ---------------------------------------------------------------- the page


def test_the_page_has_every_row():
    text = PAGE.read_text("utf-8")
    printed = {
        (table, *cells[:2])
        for table, body in re.findall(r"^### (.+)\n((?:(?!^#).*\n)*)", text, re.MULTILINE)
        for cells in ([c.strip() for c in line.split("|")[1:]] for line in body.splitlines() if line[:1] == "|")
    }  # fmt: skip
    missing = [r.label for r in ROWS.values() if (r.table.capitalize(), r.name, r.n) not in printed]
    assert missing == []


def test_the_page_says_of_each_rate_above_alpha_why():
    text = PAGE.read_text("utf-8")
    assert "ABOVE" not in text
    for reason in KNOWN.values():
        assert reason in text
    for start in KNOWN:
        assert any(r.label.startswith(start) and why(r) for r in ROWS.values()), start
