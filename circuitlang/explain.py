"""Takes what a user asks about a message, gives the page that explains it as Markdown.

There is one page per diagnostic code, docs/errors/CLxxx.md. Nothing but the pages is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from circuitlang.language.diagnostics import TITLES, did_you_mean

FAMILIES = {
    "CL0": "Text",
    "CL1": "Names, types and files",
    "CL2": "Models and edges",
    "CL3": "Formulas and claims",
    "CL4": "What a reviewer would ask (lint --pedantic)",
    "CL5": "Prompts and tokens",
    "CL6": "How runs are executed",
    "CL7": "Locks, diffs, stores, reports and what finds circuits",
    "CL9": "The tool",
}


@dataclass(frozen=True)
class Explanation:
    """Markdown to show; `found` is False where nothing fits and the text says what to ask."""

    text: str
    found: bool = True


def explain(asked: str = "") -> Explanation:
    """The pages of codes (`CL308`, `cl308`, `308`), or the codes that are about some words.

    Without a question, all codes. Never fails: an unknown code is answered with the nearest one.
    """
    if not asked.strip():
        return Explanation(contents())
    several = [as_code(word) for word in re.split(r"[\s,]+", asked.strip())]
    if len(several) > 1 and all(several):
        pages = [explain(code or "") for code in several]
        return Explanation("\n\n".join(p.text for p in pages), all(p.found for p in pages))
    code = as_code(asked)
    if code is None:
        return _about(asked)
    text = page(code)
    return Explanation(text) if text is not None else _unknown(code)


def as_code(asked: str) -> str | None:
    """`cl308` and `308` as `CL308`, whether or not there is such a code; None for words."""
    match = re.fullmatch(r"\s*(?:cl)?\s*-?(\d{1,9})\s*", asked, re.IGNORECASE | re.ASCII)
    return f"CL{match[1]}" if match else None


def page(code: str) -> str | None:
    """The page of a code as Markdown; None where the tool has no such code."""
    return _read(code) if code in TITLES else None


def contents() -> str:
    """All codes, a table for each family."""
    parts = ["# Every message has a code"]
    for start, name in FAMILIES.items():
        if codes := [code for code in TITLES if code.startswith(start)]:
            parts += [f"## {name}", _table(codes)]
    return "\n\n".join(parts) + "\n"


def pages_folder() -> Path:
    """The installed copy inside the package, else the checkout's `docs/errors`."""
    package = Path(__file__).resolve().parent
    installed = package / "errors"
    return installed if installed.is_dir() else package.parent / "docs" / "errors"


@cache
def _read(code: str) -> str | None:
    try:
        return (pages_folder() / f"{code}.md").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _about(asked: str) -> Explanation:
    """The codes whose titles have every word that is asked for, else those whose pages have."""
    words = asked.casefold().split()
    searched: tuple[Callable[[str], str], ...] = (TITLES.__getitem__, lambda c: page(c) or "")
    for told in searched:
        codes = [code for code in TITLES if all(w in told(code).casefold() for w in words)]
        if codes:
            more = f"Read one with `circ explain CODE`, as in `circ explain {codes[0]}`."
            return Explanation(f"# Codes about “{' '.join(words)}”\n\n{_table(codes)}\n\n{more}\n")
    known = {word for title in TITLES.values() for word in re.findall(r"[a-z-]{4,}", title)}
    close = " ".join(filter(None, (did_you_mean(word, known) for word in words)))
    return _nothing(f"No message is about “{' '.join(words)}”", close)


def _unknown(code: str) -> Explanation:
    """The nearest code, and the family that the unknown one would belong to."""
    answer = _nothing(f"There is no code `{code}`", did_you_mean(code, TITLES))
    family = [known for known in TITLES if known.startswith(code[:3])]
    return Explanation(f"{answer.text}\n{_table(family)}\n", False) if family else answer


def _nothing(said: str, close: str | None) -> Explanation:
    meant = f"; did you mean `{close}`?" if close else "."
    return Explanation(f"{said}{meant}\n\n`circ explain` lists all codes.\n", found=False)


def _table(codes: Iterable[str]) -> str:
    return "\n".join(
        ["| code | |", "|---|---|", *(f"| {code} | {TITLES[code]} |" for code in codes)]
    )
