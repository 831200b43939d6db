"""What the tool says about a spec: coded, placed in the text, with the edit that mends it.

User mistakes are never exceptions across stage borders. A stage collects `Diagnostic`s in
a `Diagnostics` and goes on; `Reject` only unwinds one expression or statement within a stage.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from circuitlang.language.source import Span

TITLES = {
    "CL001": "the text does not follow the grammar here",
    "CL002": "a character that the language does not use",
    "CL003": "a string that is not closed",
    "CL004": "a block that is not closed",
    "CL005": "a spec with nothing in it",
    "CL006": "a file too large to be a spec",
    "CL007": "a file that is not UTF-8 text",
    "CL008": "an expression nested too deeply",
    "CL009": "an index that is not a list of numbers and ranges",
    "CL101": "an unknown name",
    "CL102": "a name defined twice",
    "CL103": "something the spec has to declare is missing",
    "CL104": "several candidates and no default",
    "CL105": "wrong arguments",
    "CL106": "a value of the wrong type",
    "CL107": "an unknown or ill-typed setting",
    "CL108": "a name that is taken by the language",
    "CL109": "a definition that needs itself",
    "CL110": "a file that cannot be read",
    "CL111": "a file outside the spec's folder",
    "CL112": "a data file with unusable content",
    "CL114": "a definition that nothing uses",
    "CL115": "a context word out of place",
    "CL201": "a head or layer that the model does not have",
    "CL202": "an edge that runs against the order of computation",
    "CL203": "an edge between parts that run in parallel",
    "CL204": "an edge that cannot matter",
    "CL205": "a model that was not found",
    "CL206": "a model that could not be loaded",
    "CL207": "a circuit file that does not fit the model",
    "CL208": "a port that the node does not have",
    "CL209": "a model whose shape is not known on this machine",
    "CL210": "impossible edges left out of a product",
    "CL211": "constants that do not fit the model or the run",
    "CL212": "a circuit file of another convention",
    "CL213": "a circuit that a file format cannot hold",
    "CL301": "a quantifier or mean over nothing",
    "CL302": "an expansion too large to run",
    "CL303": "a formula without a known way to decide it",
    "CL304": "a circuit iterated without saying by what",
    "CL305": "a list where an interval was meant",
    "CL306": "an absolute percentage of a metric",
    "CL307": "a quantifier or wrapper that this version does not decide",
    "CL308": "the target of inference is not declared",
    "CL309": "a set operation without effect",
    "CL310": "an expectation that is not a verdict",
    "CL311": "a mean that mixes templates",
    "CL312": "a claim that does not depend on the model",
    "CL313": "a parameter used as two kinds of value",
    "CL314": "claims that cannot both hold",
    "CL315": "a metric of two directions",
    "CL316": "a domain too large to list, used as a list",
    "CL317": "too few members for the share that is claimed",
    "CL318": "a counterexample of what no member refutes",
    "CL401": "a circuit that is most of the model",
    "CL402": "a corruption that keeps the answer",
    "CL403": "zeros as ablation without a reason",
    "CL404": "a claim that follows from another",
    "CL405": "too few prompts for the claimed share",
    "CL406": "a threshold that looks measured",
    "CL501": "clean and corrupted prompts of different length",
    "CL502": "an answer that is not one token",
    "CL503": "an answer that is also a foil",
    "CL504": "a position that does not resolve",
    "CL505": "an empty slot",
    "CL506": "a prompt that names an unknown slot or label",
    "CL507": "no prompt satisfies the task",
    "CL508": "an unlabelled repeated slot used as a position",
    "CL509": "checks that were not made",
    "CL510": "too few reference prompts for a mean",
    "CL511": "a prompt longer than the model's context",
    "CL512": "a corruption that changes nothing",
    "CL513": "a tokenizer that cannot be used",
    "CL514": "a word that the tokenizer does not know",
    "CL515": "a logit of several tokens",
    "CL516": "a token set that is empty",
    "CL517": "a slot value that is repeated",
    "CL518": "a corruption that changes tokens outside what it rewrites",
    "CL519": "a prompt without donors",
    "CL520": "a token id that the model does not have",
    "CL601": "stored runs that cannot be used",
    "CL602": "a model that only the reference executor runs",
    "CL701": "a comparison with git where there is none",
    "CL702": "a revision that the repository does not have",
    "CL703": "a file that the revision does not have",
    "CL704": "a revision that cannot be read",
    "CL705": "a lock whose meaning cannot be compared",
    "CL711": "a lock that is not there",
    "CL712": "a lock that cannot be read",
    "CL713": "a lock with merge conflicts",
    "CL714": "a lock of a later version",
    "CL715": "a lock that was edited",
    "CL716": "a lock that is out of date",
    "CL717": "a preregistration after the fact",
    "CL718": "a lock that cannot be written",
    "CL719": "an option that a lock does not go with",
    "CL720": "a lock of other versions",
    "CL721": "a lock without results",
    "CL731": "runs that could not be stored",
    "CL732": "no store where one was looked for",
    "CL733": "a store that cannot be listed or pruned",
    "CL734": "damage in a store",
    "CL735": "a spec whose stored runs are not known",
    "CL741": "a report that cannot be written",
    "CL742": "a figure of nothing",
    "CL745": "a paper output that cannot be written",
    "CL746": "an export of nothing",
    "CL747": "options of an export that do not go together",
    "CL748": "a listing that would end inside the spec",
    "CL749": "a lock that is not cited",
    "CL751": "effects of an empty set",
    "CL752": "effects of what is no set",
    "CL753": "shares of an effect that is not clear of zero",
    "CL754": "effects that are all zero",
    "CL755": "effects of what lies outside the circuit",
    "CL756": "options of effects that do not go together",
    "CL761": "a lens of a task without an answer",
    "CL762": "a position that a lens cannot show",
    "CL771": "scores that rank nothing",
    "CL772": "faithfulness where ablation costs nothing",
    "CL773": "sizes that no circuit has",
    "CL774": "scores of too few edges for a size",
    "CL775": "a curve that cannot be written",
    "CL781": "a threshold that keeps every edge or none",
    "CL783": "a faithfulness that no size reaches",
    "CL784": "an effect that cannot be told from zero",
    "CL785": "an inverted effect",
    "CL786": "a circuit that does more than the model",
    "CL791": "a metric without gradient",
    "CL792": "a gradient that is zero",
    "CL793": "a found circuit that cannot be written",
    "CL794": "a task that a found circuit cannot draw from",
    "CL795": "edges that were not looked at",
    "CL901": "a defect of this tool",
}


# Other places a finding is about, each with a sentence.
Related = tuple[tuple[Span, str], ...]


@dataclass(frozen=True)
class Diagnostic:
    """One finding. `severity` is "error", "warning" or "note"; only errors stop a check."""

    code: str
    message: str
    span: Span | None
    help: str | None = None
    severity: str = "error"
    related: Related = ()

    @property
    def title(self) -> str:
        return TITLES[self.code]


class Reject(Exception):
    """Unwinds the expression or statement that a recorded diagnostic is about."""


@contextmanager
def shallow(diagnostics: Diagnostics, span: Span) -> Iterator[None]:
    """Turns the recursion limit, which only a very deep formula can reach, into an error."""
    try:
        yield
    except RecursionError:
        raise diagnostics.reject(
            "CL008",
            "Written out, this is nested too deeply to be worked out.",
            span,
            "use fewer measures inside one another",
        ) from None


@dataclass
class Diagnostics:
    """Collects findings in the order of the text; the same finding is kept once.

    `read` are the files that the text was read with, and the SHA-256 of what they held.
    """

    found: list[Diagnostic] = field(default_factory=list)
    read: dict[Path, str] = field(default_factory=dict, repr=False, compare=False)
    _said: set[_Said] = field(default_factory=set, repr=False, compare=False)
    _known: int = field(default=0, repr=False, compare=False)

    def add(self, diagnostic: Diagnostic) -> None:
        if diagnostic.code not in TITLES:
            raise KeyError(diagnostic.code)
        diagnostic = _printable(diagnostic)
        if self._known != len(self.found):
            self._said = set(map(_said, self.found))
        if _said(diagnostic) not in self._said:
            self._said.add(_said(diagnostic))
            self.found.append(diagnostic)
        self._known = len(self.found)

    def error(
        self,
        code: str,
        message: str,
        span: Span | None,
        help: str | None = None,
        related: Related = (),
    ) -> None:
        self.add(Diagnostic(code, message, span, help, "error", related))

    def reject(
        self,
        code: str,
        message: str,
        span: Span | None,
        help: str | None = None,
        related: Related = (),
    ) -> Reject:
        """Records an error and returns the exception to raise."""
        self.error(code, message, span, help, related)
        return Reject(code)

    def warn(
        self,
        code: str,
        message: str,
        span: Span | None,
        help: str | None = None,
        related: Related = (),
    ) -> None:
        self.add(Diagnostic(code, message, span, help, "warning", related))

    def note(self, code: str, message: str, span: Span | None, help: str | None = None) -> None:
        self.add(Diagnostic(code, message, span, help, "note"))

    def has_at(self, code: str, span: Span) -> bool:
        """Whether this was found at this place already, of another member of a quantifier."""
        return any(d.code == code and d.span == span for d in self.found)

    @property
    def has_errors(self) -> bool:
        return any(d.severity == "error" for d in self.found)

    @property
    def sorted(self) -> tuple[Diagnostic, ...]:
        return tuple(
            sorted(
                self.found,
                key=lambda d: (d.span.source.name, d.span.start) if d.span else ("", -1),
            )
        )


_Said = tuple[str, str, Span | None]


def _said(diagnostic: Diagnostic) -> _Said:
    return diagnostic.code, diagnostic.message, diagnostic.span


def _printable(diagnostic: Diagnostic) -> Diagnostic:
    """Without halves of surrogate pairs, which JSON files can spell and nothing can print."""
    texts = (diagnostic.message, diagnostic.help or "")
    if not any("\ud800" <= c <= "\udfff" for text in texts for c in text):
        return diagnostic
    message, help = (t.encode("utf-8", "backslashreplace").decode() for t in texts)
    return replace(diagnostic, message=message, help=help or None)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The closest known word, case-folded, or None."""
    folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """A help line "did you mean ...?" or None."""
    close = did_you_mean(word, known)
    return f"did you mean `{close}`?" if close else None
