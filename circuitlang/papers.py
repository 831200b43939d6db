"""A check, or a lock, as parts of a paper: what `circ export --latex` and its kin write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from circuitlang import pipeline
from circuitlang.front import Front, Options, Progress, resolve_file
from circuitlang.language.diagnostics import Diagnostic
from circuitlang.lockfile import LockProblem, lock_path, read_lock
from circuitlang.locks.demand import frozen
from circuitlang.locks.results import now
from circuitlang.locks.stale import in_words, staleness
from circuitlang.report.document import CheckDocument
from circuitlang.report.outcome import document
from circuitlang.report.paper.bibtex import Locked, bibtex
from circuitlang.report.paper.latex import ENDS_MINTED, latex
from circuitlang.report.paper.markdown import markdown
from circuitlang.report.paper.sheet import sheet
from circuitlang.reporting import chosen_figure

OF_A_CHECK = ("latex", "markdown", "csv")


@dataclass(frozen=True)
class Wanted:
    """`outputs` are among latex, bibtex, markdown and csv; `circuit` is the one that LaTeX draws."""

    outputs: tuple[str, ...]
    frozen: bool = False
    circuit: str | None = None
    minted: bool = False
    standalone: bool = False


@dataclass(frozen=True)
class Papers:
    """Texts by output, none where something was an error, and what was found on the way."""

    texts: Mapping[str, str]
    found: tuple[Diagnostic, ...]
    exit_code: int


def papers(path: Path, wanted: Wanted, options: Options, progress: Progress) -> Papers:
    """The wanted texts. The spec is checked for them, or with `frozen` its lock is read; BibTeX
    alone needs neither."""
    front, checked = _checked(path, wanted, options, progress)
    if front.resolved is None or front.diagnostics.has_errors:
        return Papers({}, front.found, 2)
    if checked is None and set(wanted.outputs) & set(OF_A_CHECK):
        return Papers({}, front.found, 2)
    texts = {}
    try:
        for output in wanted.outputs:
            if output == "bibtex":
                texts[output] = _bibtex(front, path)
            elif checked is not None:
                texts[output] = _of_check(output, checked, front, wanted)
    except LockProblem as problem:
        front.diagnostics.error(problem.code, problem.message, None, problem.help)
    found = front.found
    if any(d.severity == "error" for d in found):
        return Papers({}, found, 2)
    return Papers(texts, found, checked.exit_code if checked is not None else 0)


def _checked(
    path: Path, wanted: Wanted, options: Options, progress: Progress
) -> tuple[Front, CheckDocument | None]:
    if wanted.frozen:
        return frozen(path, options)
    if wanted.outputs == ("bibtex",):
        return resolve_file(path), None
    outcome = pipeline.check(path, options, progress)
    if outcome.measured is None:
        return outcome.front, None
    return outcome.front, document(outcome, options, per_example=False)


def _of_check(output: str, checked: CheckDocument, front: Front, wanted: Wanted) -> str:
    match output:
        case "markdown":
            return markdown(checked)
        case "csv":
            return sheet(checked)
    assert front.resolved is not None
    source = front.resolved.source.text
    if wanted.minted and ENDS_MINTED.search(source):
        front.diagnostics.error(
            "CL748",
            "The spec has `\\end{minted}` in it, where minted's listing of the spec would end.",
            None,
            "leave out `--minted`: the other listing holds any text",
        )
        return ""
    figure = chosen_figure(front, wanted.circuit)
    return latex(checked, figure, source, minted=wanted.minted, standalone=wanted.standalone)


def _bibtex(front: Front, path: Path) -> str:
    """With the date and the seal of the lock, if the spec still is what was locked."""
    assert front.resolved is not None
    locked = None
    try:
        lock = read_lock(lock_path(path))
        if stale := staleness(front, lock):
            front.diagnostics.warn(
                "CL749",
                f"The lock of {lock.day} is not cited, for it is out of date: {in_words(stale)}.",
                None,
                f"`circ lock {path}` decides the claims anew",
            )
        elif lock.results:
            locked = Locked(lock.date, lock.seal)
    except LockProblem as problem:
        if problem.code != "CL711":
            raise
    return bibtex(front.resolved.spec, locked, now().year)
