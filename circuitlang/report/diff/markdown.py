"""A diff as a comment on a pull request.

Every text of a spec or lock stands in code, so that no name, sentence or prompt can be Markdown,
HTML or a mention.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from circuitlang.report.diagnostics import shown
from circuitlang.report.diff.document import DiffDocument
from circuitlang.report.diff.told import Line, flip_text, side_text, summary, told


def markdown(document: DiffDocument, everything: bool = False) -> str:
    sides = f"{code(side_text(document.before))} → {code(side_text(document.after))}"
    parts = ["### What the claims mean now", f"{sides}: {summary(document)}."]
    for change in document.changes:
        one = told(change, everything)
        kind = f"⚠️ {one.kind.upper()}" if one.loud else one.kind
        parts += [f"**{kind}** {code(one.about)}", *_block(one.lines)]
    for flip in document.flips:
        parts += [f"**verdict** {code(f'claim {flip.claim}')}", *_block([flip_text(flip)])]
    return "\n\n".join(parts) + "\n"


def code(text: str) -> str:
    """The text as a code span."""
    text = " ".join(shown(text).split()) or " "
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    blank = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{ticks}{blank}{text}{blank}{ticks}"


def _block(lines: Iterable[Line]) -> list[str]:
    text = "\n".join(f"{sign} {line}" for sign, line in lines)
    if not text:
        return []
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return [f"{ticks}diff\n{text}\n{ticks}"]
