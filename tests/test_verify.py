"""A lock against a new check: what is the same, what exceeds which error, what flips."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import circuitlang
from circuitlang.lockfile import Lock, LockedClaim, LockedNumber, lock_path, read_lock, write_lock
from circuitlang.locks.verify import ALPHA, _compared
from circuitlang.report.verification import ComparedForm, VerificationDocument
from tests.test_cli import SPEC, invoke

CLAIMS = """
circuit wide = M - m1
claim faithful: faithfulness(wide) in 0.5..1.5
claim strong:   F(M) >= 5
claim each:     forall x in examples: F(M on x) >= 1
report sizes:   [F(M), F(wide)]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verified")
    spec = folder / "small.circ"
    spec.write_text(SPEC.replace("sample 12", "sample 16") + CLAIMS)
    assert invoke("lock", spec)[0] == 0
    return folder


@pytest.fixture
def locked(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "small.circ"


def forge(spec: Path, name: str, **changed: Any) -> None:
    """A lock with other results of one claim, sealed."""
    lock = read_lock(lock_path(spec))
    claims = {**lock.claims, name: lock.claims[name].model_copy(update=changed)}
    write_lock(lock_path(spec), lock.model_copy(update={"claims": claims}))


def verified(spec: Path, *options: str) -> tuple[int, VerificationDocument]:
    code, out, err = invoke("verify", spec, "--json", "--stored", *options)
    assert code in (0, 1), err
    return code, VerificationDocument.model_validate_json(out)


def of(document: VerificationDocument, name: str) -> ComparedForm:
    (found,) = (one for one in document.compared if one.name == name)
    return found


# ---------------------------------------------------------------- the same prompts


def test_a_fresh_check_confirms_a_lock(locked: Path) -> None:
    code, out, err = invoke("verify", locked)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "5 numbers confirmed within numeric noise"
    shutil.rmtree(locked.parent / ".circ")
    document = circuitlang.verify(locked)
    assert {one.status for one in document.compared} == {"same"}
    assert document.conditions == ()
    assert all(one.same_prompts for one in document.compared)


def test_nothing_is_taken_from_the_store(locked: Path, monkeypatch: Any) -> None:
    from circuitlang.measurement import measuring

    executed: list[int] = []
    whole = measuring.measure_all

    def counted(*arguments: Any, **named: Any) -> Any:
        found = whole(*arguments, **named)
        executed.append(found.executed)
        return found

    monkeypatch.setattr(measuring, "measure_all", counted)
    store = locked.parent / ".circ" / "runs.sqlite"
    before = store.read_bytes()
    assert invoke("verify", locked)[0] == 0
    assert invoke("verify", locked, "--stored")[0] == 0
    assert executed == [3, 0]
    assert store.read_bytes() == before


def test_what_exceeds_noise_alone_is_a_finding(locked: Path) -> None:
    value = read_lock(lock_path(locked)).claims["strong"].value
    assert value is not None
    forge(locked, "strong", value=value + 0.01)
    code, document = verified(locked)
    found = of(document, "claim strong")
    assert (code, found.status, found.exceeds) == (0, "beyond noise", "noise")
    assert found.difference == pytest.approx(0.01)
    _, out, _ = invoke("verify", locked, "--stored")
    said = r"claim strong: it differs by 0\.01\d*: within sampling error, beyond numeric noise; the same "
    assert re.search(said, out)
    assert out.splitlines()[-1] == "1 of 5 numbers beyond numeric noise, none beyond sampling error"


def test_what_exceeds_both_fails(locked: Path) -> None:
    claim = read_lock(lock_path(locked)).claims["strong"]
    assert claim.value is not None
    forge(locked, "strong", value=claim.value - 9, low=claim.value - 9.5, high=claim.value - 8.5)
    code, document = verified(locked)
    found = of(document, "claim strong")
    assert (code, document.exit_code) == (1, 1)
    assert (found.status, found.exceeds, found.sampling_error) == ("differs", "both", 0.5)
    _, out, _ = invoke("verify", locked, "--stored")
    assert re.search(
        r"claim strong: it differs by 9\.00: beyond numeric noise \(.*\) and samp", out
    )
    assert out.splitlines()[-1] == "1 of 5 numbers not confirmed"


def test_a_flip_is_the_first_thing_said(locked: Path) -> None:
    forge(locked, "strong", verdict="undecided")
    code, document = verified(locked)
    assert (code, of(document, "claim strong").status) == (1, "flipped")
    _, out, _ = invoke("verify", locked, "--stored")
    assert out.startswith(
        "VERDICT FLIPPED: claim strong was `undecided` and is `holds`; its number is"
    )
    assert out.splitlines()[-1] == "1 of 5 numbers not confirmed, 1 verdict flipped"


def test_other_weights_are_said_before_all(locked: Path) -> None:
    lock = read_lock(lock_path(locked))
    model = lock.models["toy"]
    files = {**model.files, "model.safetensors": "sha256:0"}
    models = {"toy": model.model_copy(update={"files": files})}
    tool = {**lock.tool, "torch": "1.0"}
    write_lock(lock_path(locked), lock.model_copy(update={"models": models, "tool": tool}))
    code, out, _ = invoke("verify", locked, "--stored")
    assert code == 0
    assert out.splitlines()[0] == "model toy: model.safetensors changed"
    assert out.splitlines()[1].startswith("torch 1.0 is ")


def test_another_dtype(locked: Path) -> None:
    code, document = verified(locked, "--dtype", "float64")
    assert code == 0
    assert {one.status for one in document.compared} == {"same"}
    assert any(one.difference for one in document.compared)
    assert document.conditions == ("model toy: dtype float32 is float64",)
    code, _, err = invoke("verify", locked, "--dtype", "float16")
    assert (code, "float32 and float64" in err) == (2, True)


def test_a_device_that_is_not_there(locked: Path) -> None:
    code, out, err = invoke("verify", locked, "--device", "cuda:99")
    assert (code, out) == (2, "")
    assert "CL206" in err


# ---------------------------------------------------------------- other prompts


def test_fresh_prompts_are_held_against_the_error_of_both(locked: Path) -> None:
    code, document = verified(locked, "--seed", "6")
    assert code == 0
    assert document.conditions == ("prompts drawn anew, with seed 6",)
    strong = of(document, "claim strong")
    assert (strong.status, strong.exceeds, strong.same_prompts) == ("agrees", "noise", False)
    assert strong.sampling_error is not None
    assert strong.difference is not None
    assert strong.noise < strong.difference < strong.sampling_error
    assert of(document, "claim each").status == "not compared"
    _, out, _ = invoke("verify", locked, "--stored", "--seed", "6")
    assert "confirmed within numeric noise or sampling error, of 1 the verdict alone" in out


def test_fresh_prompts_find_a_number_that_was_made_up(locked: Path) -> None:
    lock = read_lock(lock_path(locked))
    claim = lock.claims["strong"]
    assert claim.value is not None
    assert claim.low is not None
    assert claim.high is not None
    forge(locked, "strong", value=claim.value + 3, low=claim.low + 3, high=claim.high + 3)
    code, document = verified(locked, "--seed", "6")
    assert (code, of(document, "claim strong").status) == (1, "differs")


def test_the_locked_seed_gives_the_locked_prompts(locked: Path) -> None:
    code, document = verified(locked, "--seed", "0")
    assert (code, {one.status for one in document.compared}) == (0, {"same"})


# ---------------------------------------------------------------- one number


def number(value: float | None, half: float | None = 0.1, **more: Any) -> LockedNumber:
    ends = (None, None) if half is None or value is None else (value - half, value + half)
    known = {"low": ends[0], "high": ends[1], "level": 0.9, "n": 100, "method": "t", "noise": 1e-6}
    return LockedNumber(value=value, **{**known, **more})


def status(was: LockedNumber, now: LockedNumber, *, same: bool = True) -> str:
    return _compared("x", was, now, same, 1).status


def test_the_limits_of_one_number() -> None:
    assert status(number(1.0), number(1.0 + 1.9e-5)) == "same"
    assert status(number(1.0), number(1.0 + 2.1e-5)) == "beyond noise"
    assert status(number(1.0), number(1.09)) == "beyond noise"
    assert status(number(1.0), number(1.11)) == "differs"
    assert status(number(1.0, 0.0), number(1.001)) == "differs"
    assert status(number(1.0, None), number(1.001)) == "differs"
    assert status(number(1.0, 0.0, noise=0.0), number(1.0, noise=0.0)) == "same"


def test_numbers_that_are_none() -> None:
    assert status(number(None), number(None)) == "same"
    assert status(number(math.nan), number(math.nan)) == "same"
    assert status(number(math.inf), number(math.inf)) == "same"
    assert status(number(math.inf), number(-math.inf)) == "differs"
    assert status(number(None), number(1.0)) == "differs"
    assert status(number(1.0), number(math.nan), same=False) == "differs"


def test_a_measured_threshold_moves_with_its_sample() -> None:
    """Of the value less the threshold is the interval."""

    def claim(value: float, border: float) -> LockedClaim:
        return LockedClaim(
            value=value, low=value - 0.01, high=value + 0.01, level=0.9, n=100, method="t",
            noise=0.0, kind="claim", verdict="holds", ok=True, threshold=">= x (measured)",
            region_low=border, unit="prompts", seed=0,
        )  # fmt: skip

    assert status(claim(6.0, 5.0), claim(7.0, 6.0), same=False) == "agrees"
    assert status(claim(6.0, 5.0), claim(7.0, 5.0), same=False) == "differs"


def test_a_sound_lock_fails_on_fresh_prompts_as_rarely_as_is_said() -> None:
    """Normal means of two samples: at most ALPHA of the pairs differ, and not much fewer."""
    draw = np.random.default_rng(0)
    pairs = draw.normal(size=(4000, 2))
    half = 1.6448536269514722
    differ = [
        status(number(float(a), half), number(float(b), half), same=False) == "differs"
        for a, b in pairs
    ]
    assert 0.7 * ALPHA < np.mean(differ) < 1.2 * ALPHA


def test_what_a_search_finds_anew_is_not_compared() -> None:
    def claim(value: float, worst: str, looked_at: int | None) -> LockedClaim:
        return LockedClaim(
            value=value, low=value, high=value, level=0.9, n=50, method="t", noise=0.0,
            kind="claim", verdict="survived", ok=False, threshold=">= 0", region_low=0.0,
            unit="prompts", seed=0, worst=worst, looked_at=looked_at,
        )  # fmt: skip

    assert status(claim(1.0, "a", 9), claim(2.0, "b", 9)) == "not compared"
    assert status(claim(1.0, "a", 9), claim(2.0, "a", 9)) == "differs"
    assert status(claim(1.0, "a", None), claim(2.0, "b", None)) == "differs"
    assert status(claim(1.0, "a", None), claim(2.0, "b", None), same=False) == "not compared"
    assert status(claim(1.0, "a", None), claim(2.0, "a", None), same=False) == "differs"


def test_many_numbers_have_a_wider_limit() -> None:
    one, many = (
        _compared("x", number(0.0), number(1.0), False, count).sampling_error for count in (1, 50)
    )
    assert one is not None
    assert many is not None
    assert 1.5 * one < many < 2 * one


def test_json_is_one_document(locked: Path) -> None:
    _, out, _ = invoke("verify", locked, "--stored", "--json")
    found = json.loads(out)
    assert found["schema_version"] == "1"
    schema = json.loads(invoke("schema", "verify")[1])
    assert set(schema["properties"]) == set(found)
    assert isinstance(read_lock(lock_path(locked)), Lock)
    assert found["locked"] == read_lock(lock_path(locked)).date.isoformat()
