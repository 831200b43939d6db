"""Checks that are killed at random moments, resumed, and compared with one that was left alone.

    python -m tests.store.kills SPEC KILLS [CHUNK [SEED]]

Every trial starts with an empty store and a process that is killed (SIGKILL) at a random moment
of its check, most of them while runs are executed, and in some trials a second one. The next check must find a sound store and print the
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


def check(spec: Path, told: int, arguments: Sequence[str]) -> None:
    """In a forked child: checks, and writes to a descriptor: a line feed with the first chunk, at
    the end how many numbers were executed, in how many seconds, and the document."""
    import circuitlang.runtime.results as results
    from circuitlang.cli import app

    executed, began = 0, time.monotonic()
    add = results.Results.add

    def counted(self: Any, rows: Any, found: Any) -> None:
        nonlocal executed, began
        if not executed:
            began = time.monotonic()
            os.write(told, b"\n")
        executed += len(rows) * len(found)
        add(self, rows, found)

    results.Results.add = counted  # type: ignore[method-assign]
    with tempfile.TemporaryFile("w+") as out:
        os.dup2(out.fileno(), 1)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        with contextlib.suppress(SystemExit):
            app(["check", str(spec), "--json", "--per-example", *arguments])
        lasted = time.monotonic() - began
        sys.stdout.flush()
        out.seek(0)
        with open(told, "w") as stream:
            json.dump([executed, lasted, json.load(out)], stream)


def started(spec: Path, arguments: Sequence[str]) -> tuple[int, int]:
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


def finished(spec: Path, arguments: Sequence[str]) -> tuple[int, float, dict[str, Any]]:
    """What a check that is left alone tells."""
    child, reading = started(spec, arguments)
    with open(reading) as stream:
        executed, lasted, document = json.load(stream)
    os.waitpid(child, 0)
    for own in OWN:
        del document[own]
    return executed, lasted, document


def killed(spec: Path, arguments: Sequence[str], after: float, *, executing: bool) -> None:
    """Starts a check and kills it after some seconds, counted from the first chunk if `executing`.

    It may have ended before.
    """
    child, reading = started(spec, arguments)
    if executing:
        os.read(reading, 1)
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


def trials(spec: Path, chunk: int, seed: int) -> Iterator[Trial]:
    """One after the other, without end."""
    import torch

    torch.set_num_threads(1)  # threads do not survive a fork
    circuitlang.check(spec, stored=False)
    draw = random.Random(seed)
    store, arguments = spec.parent / ".circ", ["--chunk", str(chunk)]
    started = time.monotonic()
    _, lasts, alone = finished(spec, [*arguments, "--no-store"])
    whole = time.monotonic() - started
    while True:
        shutil.rmtree(store, ignore_errors=True)
        moments = []
        for _ in range(draw.choice((1, 1, 2))):
            executing = draw.random() < 0.75
            moments.append(draw.uniform(0, lasts if executing else whole))
            killed(spec, arguments, moments[-1], executing=executing)
        parts, runs, intact = counted(store)
        executed, _, document = finished(spec, arguments)
        left, _, sound = counted(store)
        equal = json.dumps(document) == json.dumps(alone) and left == 0
        yield Trial(tuple(moments), parts, runs, executed, intact and sound, equal)


def main(spec: str, kills: str, chunk: str = "4", seed: str = "0") -> None:
    done = resumed = 0
    for trial in trials(Path(spec), int(chunk), int(seed)):
        done += len(trial.at)
        resumed += trial.parts > 0
        print(trial, flush=True)
        assert trial.intact, trial
        assert trial.equal, trial
        if done >= int(kills):
            break
    print(f"{done} kills, {resumed} times with chunks to go on from: every store was sound, and")
    print("every resumed check equal to one left alone")


if __name__ == "__main__":
    main(*sys.argv[1:])
