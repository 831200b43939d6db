"""The pytest plugin: a `.circ` file is an item `lint`, or with `--circ` one item a claim.

The items of a file that are selected are decided in one check, before the first of them runs.
The plugin is loaded in every run of pytest: it imports nothing else of the package before there is
a `.circ` file, and torch not before a claim is decided.
"""

from __future__ import annotations

import warnings
from argparse import ArgumentTypeError
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from circuitlang.front import Options
    from circuitlang.language.diagnostics import Diagnostic
    from circuitlang.language.source import Span
    from circuitlang.report.document import CheckDocument, ClaimForm

PROPERTIES = ("verdict", "value", "low", "high", "threshold", "n")
LARGEST_SAMPLE = 100_000


class SpecWarning(UserWarning):
    """A warning of `circ lint`."""


# ---------------------------------------------------------------- options


def _whole(text: str, least: int, most: int | None = None) -> int:
    if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
        wanted = f"at least {least}" if most is None else f"from {least} to {most:,}"
        raise ArgumentTypeError(f"a whole number {wanted} is wanted, not {text!r}")
    return int(text)


def _samples(text: str) -> int:
    return _whole(text, 1, LARGEST_SAMPLE)


def _seed(text: str) -> int:
    return _whole(text, 0)


def _undecided(text: str) -> str:
    if text not in ("fail", "skip", "xfail"):
        raise ArgumentTypeError(f"fail, skip or xfail is wanted, not {text!r}")
    return text


class Setting(NamedTuple):
    """`--circ-NAME` on the command line, `circ_NAME` in the configuration file."""

    name: str
    read: Callable[[str], Any]
    metavar: str
    help: str


SETTINGS = (
    Setting("undecided", _undecided, "MODE", "what an undecided claim does: fail, skip or xfail"),
    Setting("samples", _samples, "N", "prompts per task, instead of the spec's"),
    Setting("seed", _seed, "N", "seed of the sample, instead of the spec's"),
    Setting("device", str, "DEVICE", "cpu, cuda or cuda:N"),
    Setting("store", Path, "DIR", "where runs are stored, instead of .circ by the file"),
)
MODELS = pytest.StashKey[dict[Any, Any]]()
"""The models that the session has loaded."""
QUICK = "32 prompts per task"
LOCKED = "fail a spec that is not what its lock says of it"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("circ", "claims about circuits (.circ files)")
    group.addoption("--circ", action="store_true", help="decide the claims of .circ files")
    group.addoption("--circ-quick", action="store_true", default=None, help=QUICK)
    parser.addini("circ_quick", QUICK, type="bool", default=False)
    group.addoption("--circ-locked", action="store_true", default=None, help=LOCKED)
    parser.addini("circ_locked", LOCKED, type="bool", default=False)
    for name, read, metavar, said in SETTINGS:
        group.addoption(f"--circ-{name}", type=read, metavar=metavar, help=said)
        parser.addini(f"circ_{name}", said, default="")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "circ: a .circ file or one of its claims")
    config.stash[MODELS] = {}
    for setting in SETTINGS:
        _chosen(config, setting)


def _chosen(config: pytest.Config, setting: Setting) -> Any:
    """What the command line says, else the configuration file, else None."""
    key = f"circ_{setting.name}"
    given = config.getoption(key)
    if given is None and (written := config.getini(key)):
        try:
            given = setting.read(written)
        except ArgumentTypeError as problem:
            raise pytest.UsageError(f"{key}: {problem}") from None
        return config.rootpath / given if isinstance(given, Path) else given
    return given


def _settings(config: pytest.Config) -> dict[str, Any]:
    found = {s.name: value for s in SETTINGS if (value := _chosen(config, s)) is not None}
    for name in ("quick", "locked"):
        given = config.getoption(f"circ_{name}")
        found[name] = config.getini(f"circ_{name}") if given is None else given
    return found


def _options(config: pytest.Config, claims: Iterable[str] = ()) -> Options:
    from circuitlang.front import Options

    chosen = _settings(config)
    chosen.pop("undecided", None)
    return Options(claims=tuple(claims), **chosen)


# ---------------------------------------------------------------- files


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.File | None:
    if file_path.suffix != ".circ":
        return None
    kind = ClaimFile if parent.config.getoption("circ") else LintFile
    file: pytest.File = kind.from_parent(parent, path=file_path)
    return file


class LintFile(pytest.File):
    def collect(self) -> Iterator[pytest.Item]:
        yield LintItem.from_parent(self, name="lint")


class ClaimFile(pytest.File):
    """One item for each claim and `assume`; those that were selected are decided together."""

    document: CheckDocument | None = None
    found: tuple[Diagnostic, ...] = ()

    def collect(self) -> Iterator[pytest.Item]:
        from circuitlang.front import lint
        from circuitlang.language.diagnostics import Diagnostics
        from circuitlang.language.resolve import load
        from circuitlang.language.text import syntax
        from circuitlang.language.text.parse import parse

        path = _seen_from_here(self.path)
        with warnings.catch_warnings(action="ignore"):
            front = lint(path, _options(self.config))
        if front.diagnostics.has_errors:
            raise self.CollectError(_text(front.found))
        source = load(path, Diagnostics())
        for stated in parse(source, Diagnostics()).statements if source else ():
            if isinstance(stated, syntax.Claim):
                yield ClaimItem.from_parent(
                    self, name=stated.name, kind=stated.kind, span=stated.span
                )

    def setup(self) -> None:
        if self.document is None:
            self._check([item.name for item in self.session.items if item.parent is self])
        assert self.document is not None
        if self.document.exit_code == 2:
            pytest.fail(_text(self.found), pytrace=False)
        _warn(self.found, self.path)

    def _check(self, names: Iterable[str]) -> None:
        with warnings.catch_warnings(action="ignore"):
            from circuitlang import pipeline
            from circuitlang.report.outcome import document

            options = replace(_options(self.config, names), models=self.config.stash[MODELS])
            outcome = pipeline.check(_seen_from_here(self.path), options, pipeline.Silent())
            self.document = document(outcome, options, per_example=False)
            self.found = outcome.front.found


# ---------------------------------------------------------------- items


class CircItem(pytest.Item):
    """`line` is where it stands in the file, counted from 0."""

    line = 0

    def __init__(self, **known: Any) -> None:
        super().__init__(**known)
        self.add_marker("circ")
        if any(marker.startswith("xdist_group:") for marker in self.config.getini("markers")):
            self.add_marker(pytest.mark.xdist_group(self.nodeid.split("::")[0]))

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.line, self.name

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        shown = super().repr_failure(excinfo, style)
        crash = getattr(shown, "reprcrash", None)
        if crash is not None and isinstance(excinfo.value, pytest.fail.Exception):
            crash.path, crash.lineno = str(self.path), self.line + 1
        return shown


class LintItem(CircItem):
    def runtest(self) -> None:
        from circuitlang.front import lint

        with warnings.catch_warnings(action="ignore"):
            front = lint(_seen_from_here(self.path))
        if front.diagnostics.has_errors:
            pytest.fail(_text(front.found), pytrace=False)
        _warn(front.found, self.path)


class ClaimItem(CircItem):
    """`kind` is claim or assume, `span` the place where it is stated."""

    def __init__(self, kind: str, span: Span, **known: Any) -> None:
        super().__init__(**known)
        self.kind, self.span, self.line = kind, span, span.line - 1

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.line, f"{self.kind} {self.name}"

    def runtest(self) -> None:
        assert isinstance(self.parent, ClaimFile)
        assert self.parent.document is not None
        document = self.parent.document
        (claim,) = (c for c in document.claims if c.name == self.name)
        shown = claim.model_dump(include=set(PROPERTIES))
        self.user_properties += [(k, shown[k]) for k in PROPERTIES if shown[k] is not None]
        if not claim.ok:
            self._miss(claim, document)

    def _miss(self, claim: ClaimForm, document: CheckDocument) -> None:
        from circuitlang.report.terminal import claim_text

        said = claim_text(claim)
        mode = _settings(self.config).get("undecided", "fail")
        if claim.verdict == "not run" or (claim.verdict == "undecided" and mode == "skip"):
            pytest.skip(_one_line(said))
        if claim.verdict == "undecided" and mode == "xfail":
            pytest.xfail(_one_line(said))
        sampled = _options(self.config).sample_size is not None
        title = f"  {document.title}\n" if sampled else ""
        pytest.fail(f"{said}\n{title}{_stated(self.span)}", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skipped claim is skipped where it is stated, not here."""
    report = yield
    if isinstance(item, CircItem) and isinstance(report.longrepr, tuple):
        report.longrepr = (str(item.path), item.line + 1, report.longrepr[2])
    return report


# ---------------------------------------------------------------- what is said


def _seen_from_here(path: Path) -> Path:
    """Relative, as one would write it in the working folder, where it lies below that."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _text(found: Iterable[Diagnostic]) -> str:
    """Errors and warnings as `circ lint` shows them."""
    from circuitlang.report.diagnostics import render

    return "\n".join(render(d).plain for d in found if d.severity != "note")


def _warn(found: Iterable[Diagnostic], path: Path) -> None:
    """Warnings of a spec as warnings of pytest; they fail where the user makes warnings errors."""
    refused = []
    for d in found:
        if d.severity != "warning":
            continue
        where = (str(path), 1) if d.span is None else (d.span.source.name, d.span.line)
        try:
            warnings.warn_explicit(f"{d.message} [{d.code}]", SpecWarning, *where)
        except SpecWarning:
            refused.append(d)
    if refused:
        pytest.fail(_text(refused), pytrace=False)


def _one_line(text: str) -> str:
    return "; ".join(map(str.strip, text.splitlines()))


def _stated(span: Span) -> str:
    """The lines of a claim with their numbers."""
    from circuitlang.report.diagnostics import shown

    first, (last, _) = span.line, span.source.line_and_column(max(span.start, span.end - 1))
    lines = (f"   {n} | {shown(span.source.line(n))}" for n in range(first, last + 1))
    return "\n".join([f"  --> {span}", *lines])
