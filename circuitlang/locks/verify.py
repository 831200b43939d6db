"""`circ verify`: every locked number against the same number of a new check.

On the same prompts the two can differ by numeric noise alone. On others (`--seed`, another
tokenizer) each has its sampling error too, and the difference is held against that of both.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

from circuitlang.front import Front, Options, resolve_file
from circuitlang.language.diagnostics import Diagnostics
from circuitlang.lockfile.form import Facts, Lock, LockedClaim, LockedNumber
from circuitlang.locks.demand import locate_as_locked, read_for, refuse_without_results, stale_error
from circuitlang.locks.facts import facts_of
from circuitlang.locks.results import locked_claims, locked_reports
from circuitlang.locks.stale import changes
from circuitlang.report.verification import ComparedForm, VerificationDocument

ALPHA = 0.05
"""How often a sound lock may fail on other prompts, over all its numbers."""

Status = Literal["same", "agrees", "beyond noise", "not compared", "differs"]
EXCEEDS: dict[str, Literal["noise", "both"]] = {
    "agrees": "noise",
    "beyond noise": "noise",
    "differs": "both",
}


def unchanged(spec: Path) -> tuple[Front, Lock | None]:
    """The lock of a spec that still means what it meant; else what is wrong, as errors."""
    diagnostics = Diagnostics()
    lock = read_for(spec, diagnostics)
    if lock is None:
        return Front(diagnostics), None
    front = resolve_file(spec, locate_as_locked(lock))
    if front.resolved is None or front.diagnostics.has_errors:
        return front, None
    refuse_without_results(lock, spec, front.diagnostics)
    stale_error(front, lock, spec, [c for c in changes(lock, facts_of(front)) if c.meant])
    return front, None if front.diagnostics.has_errors else lock


def verification(lock: Lock, outcome: Any, options: Options) -> VerificationDocument:
    """The comparison of a lock with a new check of the same spec."""
    from circuitlang.report.diagnostics import diagnostic_form
    from circuitlang.report.outcome import versions

    used = {m.reference.name: (m.found, m.device) for m in outcome.measured.models}
    now = facts_of(outcome.front, options, used)
    pairs = list(_pairs(lock, locked_claims(outcome), locked_reports(outcome)))
    compared = tuple(
        _compared(name, was, is_now, _same_prompts(was, lock, now), len(pairs))
        for name, was, is_now in pairs
    )
    return VerificationDocument(
        tool=versions(),
        file=str(outcome.path),
        spec=lock.spec,
        version=lock.spec_version,
        locked=lock.date.isoformat(),
        seed=options.seed,
        conditions=tuple(_conditions(lock, now, versions(), options)),
        exit_code=int(any(one.failed for one in compared)),
        seconds=round(outcome.seconds, 3),
        diagnostics=tuple(map(diagnostic_form, outcome.front.found)),
        compared=compared,
    )


def _conditions(
    lock: Lock, now: Facts, versions: dict[str, str], options: Options
) -> Iterator[str]:
    """What is not as it was when it was locked, models first; none of it need change a number."""
    found = [change for change in changes(lock, now) if not change.meant]
    for change in sorted(found, key=lambda change: not change.of_model):
        if options.seed is None or not change.part.startswith("task "):
            yield str(change)
    for name in lock.models.keys() & now.models.keys():
        was, model = lock.models[name], now.models[name]
        for what in ("dtype", "device"):
            if getattr(was, what) != getattr(model, what):
                yield f"model {name}: {what} {getattr(was, what)} is {getattr(model, what)}"
    if options.seed is not None:
        yield f"prompts drawn anew, with seed {options.seed}"
    if options.split is not None:
        yield f"prompts of the half {options.split} of each task"
    for name, version in lock.tool.items():
        if versions.get(name, version) != version:
            yield f"{name} {version} is {versions[name]}"


def _pairs(
    lock: Lock, claims: dict[str, LockedClaim], reports: dict[str, dict[str, LockedNumber]]
) -> Iterator[tuple[str, LockedNumber, LockedNumber]]:
    """Each locked number with what it is now; with another seed a report can have other members."""
    for name, was in lock.claims.items():
        yield f"{was.kind} {name}", was, claims[name]
    for report, numbers in lock.reports.items():
        for label, number in numbers.items():
            if label in reports.get(report, {}):
                yield f"report {report}: {label}", number, reports[report][label]


def _same_prompts(number: LockedNumber, lock: Lock, now: Facts) -> bool:
    """Whether the number is over the prompts, with the references, that it was locked with."""
    for name, was in lock.tasks.items():
        if was.task in number.tasks:
            task = now.tasks.get(name)
            if task is None or task != was.model_copy(update={"seed": task.seed}):
                return False
    return True


# ---------------------------------------------------------------- one number


def _compared(
    name: str, was: LockedNumber, now: LockedNumber, same: bool, count: int
) -> ComparedForm:
    verdicts = (getattr(was, "verdict", None), getattr(now, "verdict", None))
    difference = _difference(was.value, now.value)
    noise = _noise(was, now)
    sampling = _own_error(was, now) if same else _error_of_both(was, now, count)
    status: Status
    if difference <= noise:
        status = "same"
    elif _is_of_another(was, now, same):
        status = "not compared"
    elif sampling is not None and _difference(_margin(was), _margin(now)) <= sampling + noise:
        status = "beyond noise" if same else "agrees"
    else:
        status = "differs"
    return ComparedForm(
        name=name,
        status="flipped" if verdicts[0] != verdicts[1] else status,
        exceeds=EXCEEDS.get(status),
        same_prompts=same,
        locked_verdict=verdicts[0],
        verdict=verdicts[1],
        locked_value=was.value,
        value=now.value,
        difference=difference if math.isfinite(difference) else None,
        noise=noise,
        sampling_error=sampling,
    )


def _is_of_another(was: LockedNumber, now: LockedNumber, same: bool) -> bool:
    """Whether they are numbers of two prompts or members, which is no error that an interval covers.

    On the same prompts a search alone chooses anew; on others each number of one prompt does.
    """
    if not isinstance(was, LockedClaim) or not isinstance(now, LockedClaim):
        return False
    searched = was.looked_at is not None and was.unit != "members"
    other = was.worst != now.worst
    return searched and other if same else searched or other or was.n == 1


def _margin(number: LockedNumber) -> float | None:
    """The value less a threshold, which is measured on the same sample: of that is the interval."""
    if number.value is None or not isinstance(number, LockedClaim):
        return number.value
    border = number.region_high if number.region_low is None else number.region_low
    return number.value - (border or 0.0)


def _difference(was: float | None, now: float | None) -> float:
    """Infinite where only one of them is a number."""
    if was is None or now is None or not math.isfinite(was) or not math.isfinite(now):
        alike = was == now or (was is not None and now is not None and was != was and now != now)
        return 0.0 if alike else math.inf
    return abs(now - was)


def _noise(was: LockedNumber, now: LockedNumber) -> float:
    """Ten times the numeric noise of both, as verdicts have it, and the rounding of one step."""
    from circuitlang.judgement.estimator import NOISE_FACTOR

    size = max(abs(value) for value in (was.value or 0.0, now.value or 0.0))
    rounding = 4 * sys.float_info.epsilon * size if math.isfinite(size) else 0.0
    noise = sum(n for n in (was.noise, now.noise) if n is not None and math.isfinite(n))
    return NOISE_FACTOR * noise + rounding


def _own_error(was: LockedNumber, now: LockedNumber) -> float | None:
    """How far the locked interval reaches towards the new value; None where it has no interval."""
    if was.low is None and was.high is None:
        return None
    return _reach(was, upward=_is_above(now, was))


def _error_of_both(was: LockedNumber, now: LockedNumber, count: int) -> float | None:
    """How far two samples may lie apart: with probability `ALPHA` one of `count` numbers is beyond."""
    upward = _is_above(now, was)
    ends = []
    for number, towards in ((was, upward), (now, not upward)):
        if number.level is None or (number.low is None and number.high is None):
            return None
        normal = NormalDist()
        wider = normal.inv_cdf(1 - ALPHA / (2 * count)) / normal.inv_cdf((1 + number.level) / 2)
        ends.append(_reach(number, upward=towards) * max(wider, 1.0))
    return math.hypot(*ends)


def _is_above(one: LockedNumber, other: LockedNumber) -> bool:
    return (_margin(one) or 0.0) > (_margin(other) or 0.0)


def _reach(number: LockedNumber, *, upward: bool) -> float:
    end = number.high if upward else number.low
    return math.inf if end is None or number.value is None else max(0.0, abs(end - number.value))
