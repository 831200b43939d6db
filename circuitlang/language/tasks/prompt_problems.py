"""Findings about drawn prompts: each kind is said once, with its first example and a count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from circuitlang.language.diagnostics import Diagnostic, Diagnostics
from circuitlang.language.source import Span

LONGEST_QUOTE = 160
MOST_CULPRITS = 6


@dataclass
class Problem:
    code: str
    span: Span
    severity: str
    message: str
    help: str | None
    prompts: set[int] = field(default_factory=set)
    culprits: dict[str, None] = field(default_factory=dict)


@dataclass
class Problems:
    """`subject` tells apart problems of one code, such as two corruptions of unequal length."""

    found: dict[tuple[str, str], Problem] = field(default_factory=dict)

    def add(
        self,
        prompt: int,
        code: str,
        subject: str,
        span: Span,
        describe: Callable[[], tuple[str, str | None]],
        culprit: str | None = None,
        severity: str = "error",
    ) -> None:
        """`describe` gives the message and the help; it is called for the first example only."""
        key = code, subject
        if key not in self.found:
            self.found[key] = Problem(code, span, severity, *describe())
        self.found[key].prompts.add(prompt)
        if culprit is not None:
            self.found[key].culprits.setdefault(culprit)

    @property
    def has_errors(self) -> bool:
        return any(p.severity == "error" for p in self.found.values())

    def report(self, diagnostics: Diagnostics, total: int, noun: str) -> None:
        for problem in self.found.values():
            message = problem.message
            if total > 1:
                message += f" This concerns {len(problem.prompts):,} of {total:,} {noun}."
            if len(problem.culprits) > 1:
                shown = list(problem.culprits)[:MOST_CULPRITS]
                more = len(problem.culprits) - len(shown)
                message += f" Such texts are {', '.join(shown)}"
                message += f" and {more:,} more." if more else "."
            diagnostics.add(
                Diagnostic(problem.code, message, problem.span, problem.help, problem.severity)
            )


def quoted(text: str, limit: int = LONGEST_QUOTE) -> str:
    if len(text) > limit:
        text = text[: limit // 2] + "..." + text[-limit // 2 :]
    return '"' + text.replace("\n", "\\n") + '"'


def token_number(count: int) -> str:
    return f"{count} token" + ("" if count == 1 else "s")
