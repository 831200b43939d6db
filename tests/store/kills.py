"""Checks that are killed at random moments, resumed, and compared with one that was left alone.

    python -m tests.store.kills SPEC KILLS [SEED]

Every trial starts with an empty store and a process that is killed (SIGKILL) at a random moment
of its check, some trials with a second one. The next check must find a sound store and print the
document of a check that nobody killed, to the last bit. One process has imported and loaded what
a check takes, and each check is a fork of it: starting anew would take most of the time.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import circuitlang
from circuitlang.store import FILE

CHUNK = 4
OWN = ("seconds", "executed_runs", "stored_runs")


@dataclass(frozen=True)
class Trial:
    """What was found after a trial's kills.

    `at` are their moments in seconds, `parts` and `runs` the rows that the last of them left,
    `executed` the (run, prompt) pairs that the resumed check still had to execute.
    """

    at: tuple[float, ...]
    parts: int
    runs: int
    executed: int
    intact: bool
    equal: bool


def check(spec: Path, told: int, arguments: Sequence[str] = ()) -> None:
    """In a forked child: checks, and writes the document and the executed pairs to a descriptor."""
    import circuitlang.runtime.results as results
    from circuitlang.cli import app

    executed = 0
    add = results.Results.add

    def counted(self: Any, rows: Any, found: Any) -> None:
        nonlocal executed
        executed += len(rows) * len(found)
        add(self, rows, found)

    results.Results.add = counted  # type: ignore[method-assign]
    with tempfile.TemporaryFile("w+") as out:
        os.dup2(out.fileno(), 1)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        with contextlib.suppress(SystemExit):
            app(["check", str(spec), "--json", "--per-example", "--chunk", str(CHUNK), *arguments])
        sys.stdout.flush()
        out.seek(0)
        with open(told, "w") as stream:
            json.dump([executed, json.load(out)], stream)


def started(spec: Path, arguments: Sequence[str] = ()) -> tuple[int, int]:
    """A child that checks, and the descriptor on which it tells what it found."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    code = 1
    try:
        os.close(reading)
        check(spec, writing, arguments)
        code = 0
    finally:
        os._exit(code)


def finished(spec: Path, arguments: Sequence[str] = ()) -> tuple[int, dict[str, Any]]:
    """The executed pairs and the document of a check that is left alone."""
    child, reading = started(spec, arguments)
    with open(reading) as stream:
        executed, document = json.load(stream)
    os.waitpid(child, 0)
    for own in OWN:
        del document[own]
    return executed, document


def killed(spec: Path, after: float) -> None:
    """Starts a check and kills it after some seconds, or lets it end before."""
    child, reading = started(spec)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    os.close(reading)
    os.waitpid(child, 0)


def counted(folder: Path) -> tuple[int, int, bool]:
    """The rows of parts and of runs in a store, and whether SQLite finds its pages sound."""
    file = folder / FILE
    if not file.exists():
        return 0, 0, True
    with contextlib.closing(sqlite3.connect(file)) as store:
        tables = {name for (name,) in store.execute("SELECT name FROM sqlite_master")}
        if "parts" not in tables:
            return 0, 0, True
        parts, runs = (
            store.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("parts", "runs")
        )
        return parts, runs, store.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def trials(spec: Path, number: int, seed: int = 0) -> Iterator[Trial]:
    import torch

    torch.set_num_threads(1)  # threads do not survive a fork
    circuitlang.check(spec, stored=False)
    draw = random.Random(seed)
    store = spec.parent / ".circ"
    before = time.monotonic()
    _, alone = finished(spec, ["--no-store"])
    lasts = time.monotonic() - before
    for _ in range(number):
        shutil.rmtree(store, ignore_errors=True)
        moments = tuple(draw.uniform(0, lasts) for _ in range(draw.choice((1, 1, 2))))
        for moment in moments:
            killed(spec, moment)
        parts, runs, intact = counted(store)
        executed, document = finished(spec)
        left, _, sound = counted(store)
        equal = json.dumps(document) == json.dumps(alone) and left == 0
        yield Trial(moments, parts, runs, executed, intact and sound, equal)


def main(spec: str, kills: str, seed: str = "0") -> None:
    done, pairs = 0, 0
    for trial in trials(Path(spec), int(kills), int(seed)):
        done += len(trial.at)
        pairs = max(pairs, trial.executed)
        print(trial, flush=True)
        assert trial.intact, trial
        assert trial.equal, trial
        if done >= int(kills):
            break
    print(f"{done} kills: every store sound, every resumed check equal to one left alone")


if __name__ == "__main__":
    main(*sys.argv[1:])
