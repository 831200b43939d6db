"""The head of a report: what it is called, who wrote what it is about, what came of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from circuitlang.report.document import CheckDocument
from circuitlang.report.terminal import summary

_ARXIV = re.compile(r"(?:arXiv:)?(\d{4}\.\d{4,5}(?:v\d+)?)", re.IGNORECASE)
_DOI = re.compile(r"(?:doi:|https?://(?:dx\.)?doi\.org/)?(10\.\d{4,9}/[^\s\"<>]+)", re.IGNORECASE)
_WEB = re.compile(r"https?://[^\s\"<>]+")


@dataclass(frozen=True)
class Reference:
    """A paper as the spec names it; `address` is empty where the name is no known kind."""

    text: str
    address: str


@dataclass(frozen=True)
class Head:
    title: str
    subtitle: str
    authors: tuple[str, ...]
    papers: tuple[Reference, ...]
    verdict: str
    good: bool


def head(document: CheckDocument) -> Head:
    """`document.title` names the spec and says when the check was a quick one."""
    name = f"{document.spec} {document.version or ''}".strip()
    heading = document.heading or name
    papers = (*document.papers, *([document.doi] if document.doi else []))
    return Head(
        heading,
        document.title.removeprefix(f"{heading}: ") if document.title != heading else "",
        document.authors,
        tuple(map(reference, papers)),
        summary(document).plain,
        document.exit_code == 0,
    )


def reference(text: str) -> Reference:
    return Reference(text, next(_addresses(text), ""))


def _addresses(text: str) -> Iterator[str]:
    """Only of what is wholly an identifier or an address, so that a link says where it goes."""
    if found := _ARXIV.fullmatch(text):
        yield f"https://arxiv.org/abs/{found[1]}"
    if found := _DOI.fullmatch(text):
        yield f"https://doi.org/{found[1]}"
    if _WEB.fullmatch(text):
        yield text
