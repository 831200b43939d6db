"""Slips that would upset the cutting into statements: mended in the tokens of a whole file."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise

from lark import Token

from circuitlang.language.text.grammar import RESERVED
from circuitlang.language.text.slips.spot import NAMING, Slip, like

_SIGNS = {"//": ("SLASH", "SLASH"), "/*": ("SLASH", "STAR"), "--": ("MINUS", "MINUS")}


def without_comments(tokens: list[Token], report: Callable[[Slip], None]) -> list[Token]:
    """Leaves `// text`, `/* text */` and lines `-- text` out: comments of other languages."""
    closed = [
        i + 2
        for i, (token, after) in enumerate(pairwise(tokens))
        if (token.type, after.type) == ("STAR", "SLASH")
    ]
    kept: list[Token] = []
    i = 0
    while i < len(tokens):
        end = _end_of_comment(tokens, i, closed)
        if end > i:
            report(
                Slip("This is no comment.", tokens[i], tokens[end - 1], "comments start with `#`")
            )
            i = end
        else:
            kept.append(tokens[i])
            i += 1
    return kept


def _end_of_comment(tokens: list[Token], start: int, closed: list[int]) -> int:
    """Where a comment that starts here is over, one of `closed` if it may; `start` when none does."""
    if start + 1 >= len(tokens) or tokens[start].end_pos != tokens[start + 1].start_pos:
        return start
    pair = (tokens[start].type, tokens[start + 1].type)
    if pair not in _SIGNS.values() or (pair == _SIGNS["--"] and not _is_prose(tokens, start)):
        return start
    end = start + 2
    while end < len(tokens) and tokens[end].line == tokens[start].line:
        end += 1
    if pair == _SIGNS["/*"] and (at := bisect_left(closed, start + 4)) < len(closed):
        return closed[at]
    return end


def _is_prose(tokens: list[Token], start: int) -> bool:
    """Whether a line that begins with `--` goes on with words, not with a number to negate twice."""
    words = tokens[start + 2 : start + 4]
    if len(words) < 2 or (start and tokens[start - 1].line == tokens[start].line):
        return False
    apart = tokens[start + 1].end_pos != words[0].start_pos
    return apart and all(
        t.line == tokens[start].line and (t.type == "NAME" or str(t) in RESERVED) for t in words
    )


def with_whole_names(tokens: list[Token], report: Callable[[Slip], None]) -> list[Token]:
    """Joins names with hyphens, `claim is-minimal: ...`, where they are defined and used."""
    defined: dict[str, str] = {}
    for i, token in enumerate(tokens):
        if str(token) in NAMING and (end := _end_of_hyphenated(tokens, i + 1)) > i + 2:
            parts = tokens[i + 1 : end]
            whole = "".join(map(str, parts))
            if whole not in defined:
                defined[whole] = whole.replace("-", "_")
                message = f"A name holds no `-`, as in `{whole}`."
                report(Slip(message, parts[0], parts[-1], f"write `{defined[whole]}`"))
    return _joined(tokens, defined) if defined else tokens


def _joined(tokens: list[Token], defined: dict[str, str]) -> list[Token]:
    kept: list[Token] = []
    i = 0
    while i < len(tokens):
        end = _end_of_hyphenated(tokens, i)
        end = max(end, i + 1)
        whole = "".join(map(str, tokens[i:end]))
        if whole in defined:
            kept.append(like(tokens[i], "NAME", defined[whole], tokens[end - 1]))
        else:
            kept += tokens[i:end]
        i = end
    return kept


def _end_of_hyphenated(tokens: list[Token], start: int) -> int:
    """Where `a-b-2`, written without gaps, is over; `start` or one more when it is none."""
    if start >= len(tokens) or not (tokens[start].type == "NAME" or str(tokens[start]) in RESERVED):
        return start
    end = start + 1
    while end + 1 < len(tokens) and _goes_on(tokens, end):
        end += 2
    return end


def _goes_on(tokens: list[Token], end: int) -> bool:
    part = tokens[end + 1]
    return (
        tokens[end].type == "MINUS"
        and tokens[end - 1].end_pos == tokens[end].start_pos
        and tokens[end].end_pos == part.start_pos
        and (part.type in ("NAME", "NUMBER", "NODE") or str(part) in RESERVED)
        and str(part).replace("_", "a").isalnum()
    )
