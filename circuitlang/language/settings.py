"""The settings of a file: what holds for all of it, and what it is a part of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from circuitlang.language.diagnostics import Diagnostics, suggestion
from circuitlang.language.models.statement import DTYPES, refuse_dtype
from circuitlang.language.text import syntax

KNOWN = {
    "paper": str,
    "title": str,
    "authors": str,
    "doi": str,
    "dtype": str,
    "looks": bool,
    "guarantee": str,
}
_DOI = re.compile(r"10\.\d{4,9}(?:\.\d+)*/[!-~]+")
_RESOLVER = re.compile(r"\s*(?:doi:|https?://(?:dx\.)?doi\.org/)\s*", re.IGNORECASE)


def settings(given: Iterable[syntax.Setting], diagnostics: Diagnostics) -> dict[str, Any]:
    """The values by name, `paper` and `authors` as tuples; findings are in `diagnostics`."""
    found: dict[str, Any] = {}
    first: dict[str, syntax.Setting] = {}
    for s in given:
        if not _is_sound(s, diagnostics):
            continue
        if s.name == "paper":
            found[s.name] = (*found.get(s.name, ()), s.value)
        elif s.name in first:
            diagnostics.error(
                "CL102",
                f"`{s.name}` is given twice.",
                s.span,
                "delete one",
                ((first[s.name].span, "The first is here:"),),
            )
        else:
            first[s.name] = s
            found[s.name] = authors_of(str(s.value)) if s.name == "authors" else s.value
    return found


def authors_of(text: str) -> tuple[str, ...]:
    """The names between semicolons, each with single blanks."""
    return tuple(name for part in text.split(";") if (name := " ".join(part.split())))


def _is_sound(s: syntax.Setting, diagnostics: Diagnostics) -> bool:
    """Whether the setting is known and can have its value; else an error is recorded."""
    if s.name in KNOWN and isinstance(s.value, KNOWN[s.name]):
        if s.name == "dtype" and s.value not in DTYPES:
            refuse_dtype(s, diagnostics)
            return False
        if (problem := _of_value(s.name, str(s.value))) is None:
            return True
    else:
        problem = _of_form(s)
    message, help = problem
    diagnostics.error("CL107", message, s.span, help)
    return False


def _of_form(s: syntax.Setting) -> tuple[str, str | None]:
    if s.name not in KNOWN:
        message = f"There is no setting `{s.name}` at file level."
        return message, suggestion(s.name, KNOWN) or _elsewhere(s.name)
    wanted, example = ("yes or no", "yes") if s.name == "looks" else ("a text", '"..."')
    return f"`{s.name}` takes {wanted}.", f"write `{s.name} {example}`"


def _of_value(name: str, value: str) -> tuple[str, str | None] | None:
    """What is wrong with a text, and what to write instead."""
    match name:
        case "guarantee" if value != "finite-sample":
            return (
                f"`{value}` is no guarantee.",
                'write `guarantee "finite-sample"`, or leave it out',
            )
        case "doi" if not _DOI.fullmatch(value):
            meant = _RESOLVER.sub("", value, count=1).strip()
            example = meant if _DOI.fullmatch(meant) else "10.48550/arXiv.2211.00593"
            return f"`{value}` is no DOI.", f'write the DOI alone, as in `doi "{example}"`'
        case "authors" if not authors_of(value):
            return (
                "`authors` names nobody.",
                'put semicolons between names: `authors "Ada Lovelace; Charles Babbage"`',
            )
        case "title" if not value.strip():
            return "`title` is empty.", "write the title of the paper, or leave it out"
    return None


def _elsewhere(name: str) -> str | None:
    if name in ("sample", "seed", "split"):
        return f"`{name}` belongs into a task"
    if name in ("bos", "revision"):
        return f'`{name}` belongs into a model: `model "..." {{ {name} ... }}`'
    return None
