"""A spec, and the papers that it names, as BibTeX entries.

Of a paper nothing is known but the line of the spec: its entry has that line as title, and the
identifiers that stand in it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from circuitlang.language.spec import Spec
from circuitlang.report.diagnostics import shown
from circuitlang.report.paper.escape import escape

_ARXIV = re.compile(
    r"(?:arXiv:\s*|arxiv\.org/(?:abs|pdf)/)(\d{4}\.\d{4,5}(?:v\d+)?)", re.IGNORECASE
)
_DOI = re.compile(r"10\.\d{4,9}(?:\.\d+)*/[^\s\"<>{}\\,;]+")
_WEB = re.compile(r"https?://[^\s\"<>{}\\]+")
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_MARKS = {
    "GRAVE": "`", "ACUTE": "'", "CIRCUMFLEX": "^", "TILDE": "~", "DIAERESIS": '"', "RING": "r",
    "CARON": "v", "CEDILLA": "c", "DOUBLE ACUTE": "H", "OGONEK": "k", "BREVE": "u", "MACRON": "=",
    "DOT": ".",
}  # fmt: skip
_LETTERS = {
    "ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L",
    "ı": "i",
}  # fmt: skip


@dataclass(frozen=True)
class Locked:
    """When the results were locked, and the lock's seal."""

    date: datetime
    seal: str


def bibtex(spec: Spec, locked: Locked | None, year: int) -> str:
    """`year` is that of the spec's entry where nothing is locked."""
    keys: set[str] = set()
    entries = [_entry(_key(f"circ-{spec.name}", keys), _of_spec(spec, locked, year))]
    for paper in spec.papers:
        fields = _of_paper(paper)
        known = f"arXiv-{fields['eprint']}" if "eprint" in fields else fields.get("doi", paper)
        entries.append(_entry(_key(known, keys), fields))
    return "\n".join(entries)


def _of_spec(spec: Spec, locked: Locked | None, year: int) -> dict[str, str]:
    version = f", version {spec.version}" if spec.version else ""
    note = f"Claims in the spec {spec.name}{version}"
    if locked is not None:
        note += f"; results locked on {locked.date.date().isoformat()}, seal {locked.seal}"
    found = {
        "author": " and ".join(map(_author, spec.authors)),
        "title": f"{{{_text(spec.title or f'{spec.name}: claims about a circuit')}}}",
        "year": str(locked.date.year if locked is not None else year),
        "version": _text(spec.version or ""),
        "doi": _identifier(spec.doi or ""),
        "note": _text(note),
    }
    return found if spec.authors else {**found, "key": _text(spec.name)}


def _of_paper(paper: str) -> dict[str, str]:
    arxiv, doi, web = (pattern.search(paper) for pattern in (_ARXIV, _DOI, _WEB))
    year = _YEAR.search(paper)
    found = {"title": f"{{{_text(paper)}}}", "key": _text(paper)}
    if arxiv is not None:
        found |= {"eprint": arxiv[1], "archiveprefix": "arXiv"}
        found["year"] = f"20{arxiv[1][:2]}"
    if year is not None and arxiv is None:
        found["year"] = year[0]
    if doi is not None:
        found["doi"] = _identifier(doi[0].rstrip("."))
    if web is not None:
        found["url"] = _identifier(web[0].rstrip(".,;"))
    return found


def _entry(key: str, fields: Mapping[str, str]) -> str:
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@misc{{{key},", *lines, "}", ""])


def _key(text: str, taken: set[str]) -> str:
    """Of letters, digits, dots and dashes; BibTeX tells keys apart without regard to case."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    stem = re.sub(r"[^A-Za-z0-9.]+", "-", plain)[:40].strip("-.") or "paper"
    key, again = stem, 2
    while key.lower() in taken:
        key, again = f"{stem}-{again}", again + 1
    taken.add(key.lower())
    return key


def _author(name: str) -> str:
    """A name that BibTeX does not take apart where `and` is a part of it."""
    text = _text(name)
    return f"{{{text}}}" if re.search(r"\band\b", name, re.IGNORECASE) else text


def _text(text: str) -> str:
    """With accents in ASCII, so that styles can shorten and sort names."""
    return "".join(map(_letter, unicodedata.normalize("NFC", escape(text))))


def _letter(c: str) -> str:
    if c.isascii():
        return c
    if c in _LETTERS:
        return rf"{{\{_LETTERS[c]}}}"
    base, *marks = list(unicodedata.normalize("NFD", c))
    if len(marks) != 1 or not base.isascii():
        return c
    name = unicodedata.name(marks[0], "").removeprefix("COMBINING ")
    command = _MARKS.get(name.removesuffix(" ACCENT").removesuffix(" ABOVE"))
    if command is None:
        return c
    letter = rf"\{base}" if base in "ij" and command not in "ck" else base
    return rf"{{\{command}{{{letter}}}}}"


def _identifier(text: str) -> str:
    """As it is, but for what would end or break the field."""
    return "".join(f"%{ord(c):02X}" if c in '{}\\"%' else c for c in shown(text))
