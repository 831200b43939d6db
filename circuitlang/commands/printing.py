"""Where commands print: data to stdout, diagnostics and progress to stderr."""

from __future__ import annotations

import sys
from typing import Any


def stdout() -> Any:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 140, highlight=False)


def stderr() -> Any:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


# Warnings that a spec is not finished: no claim yet, a group that nothing uses yet.
UNFINISHED = ("CL103", "CL114")


def finished(found: Any) -> list[Any]:
    """What is to be said where a spec is only looked at or asked."""
    return [d for d in found if d.severity != "warning" or d.code not in UNFINISHED]


def print_diagnostics_of(found: Any) -> None:
    if found:
        from circuitlang.report.diagnostics import print_diagnostics

        print_diagnostics(found, stderr())


def print_json(documents: list[Any]) -> None:
    """One document for one file, a list for several."""
    texts = [d.model_dump_json(by_alias=True, indent=1) for d in documents]
    print(texts[0] if len(texts) == 1 else "[" + ",\n".join(texts) + "]")


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def progress(quiet: bool) -> Any:
    from circuitlang.report.progress import Bars

    return Bars(stderr(), enabled=not quiet and sys.stderr.isatty())
