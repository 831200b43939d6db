"""A diff as a comment on a pull request.

Every text of a spec or lock stands in code, so that no name, sentence or prompt can be Markdown,
HTML or a mention. A comment has at most 65,536 characters, so the last changes may be counted only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from circuitlang.report.diagnostics import shown
from circuitlang.report.diff.document import ChangeForm, DiffDocument, FlipForm
from circuitlang.report.diff.told import Line, flip_text, side_text, summary, told

LONGEST = 60_000


def markdown(document: DiffDocument, everything: bool = False) -> str:
    sides = f"{code(side_text(document.before))} → {code(side_text(document.after))}"
    parts = ["### What the claims mean now", f"{sides}: {summary(document)}."]
    told_of = [*(_change(c, everything) for c in document.changes), *map(_flip, document.flips)]
    size = 0
    for number, text in enumerate(told_of):
        size += len(text)
        if size > LONGEST and not everything:
            parts.append(f"... and {len(told_of) - number:,} more; `circ diff` prints them all.")
            break
        parts.append(text)
    return "\n\n".join(parts) + "\n"


def _change(change: ChangeForm, everything: bool) -> str:
    one = told(change, everything)
    kind = f"⚠️ {one.kind.upper()}" if one.loud else one.kind
    return f"**{kind}** {code(one.about)}{_block(one.lines)}"


def _flip(flip: FlipForm) -> str:
    return f"**verdict** {code(f'claim {flip.claim}')}{_block([flip_text(flip)])}"


def code(text: str) -> str:
    """The text as a code span."""
    text = " ".join(shown(text).split()) or " "
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    blank = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{ticks}{blank}{text}{blank}{ticks}"


def _block(lines: Iterable[Line]) -> str:
    text = "\n".join(f"{sign} {line}" for sign, line in lines)
    if not text:
        return ""
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"\n\n{ticks}diff\n{text}\n{ticks}"
