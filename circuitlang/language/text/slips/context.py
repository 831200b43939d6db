"""Slips around `on under by with free over per` and the head of a claim."""

from __future__ import annotations

from circuitlang.language.diagnostics import did_you_mean
from circuitlang.language.text.grammar import CONTEXT_WORDS
from circuitlang.language.text.slips.spot import CLOSING, OPENING, Slip, Spot, like, written

_OPERATORS = frozenset(["PLUS", "MINUS", "STAR", "SLASH", "AMPERSAND", "ARROW"])
_CLAIMS = ("CLAIM", "ASSUME", "REPORT")


def late_context(spot: Spot) -> Slip | None:
    """`faithfulness(C) under zero` after the colon of a claim."""
    if str(spot.token) not in CONTEXT_WORDS or spot.innermost():
        return None
    if not any(t.type in _CLAIMS for t in spot.tokens[: spot.index]):
        return None
    said = written([spot.token, *spot.right(1)])
    return Slip(
        f"`{spot.token}` stands inside a call or in the claim's head.",
        spot.token,
        spot.token,
        f"write `F(S {said})`, or put `{said}` before the colon",
    )


def comma_before_context(spot: Spot) -> Slip | None:
    """`F(M, on likes)`, `F(M, on=likes)`, `claim x on likes, under swap: ...`."""
    at = 0 if spot.token.type == "COMMA" else -1
    comma, word = spot.ahead(at), spot.ahead(at + 1)
    if comma is None or comma.type != "COMMA" or word is None or str(word) not in CONTEXT_WORDS:
        return None
    with_sign = spot.kind(at + 2) == "EQUAL"
    value = spot.right(at + 2 + with_sign)
    opened = spot.open_brackets()
    start = max(opened[-1] - 1, 0) if opened else spot.index + at
    before = spot.tokens[start : spot.index + at] if opened else spot.left()
    closing = ")" if opened else ""
    return Slip(
        f"`{word}` stands without a comma before it" + (" and without `=`." if with_sign else "."),
        comma,
        word,
        f"write `{written(before)} {word} {written(value)}{closing}`",
        spot.replaced(at, at + 1 + with_sign, word),
    )


def target(spot: Spot) -> Slip | None:
    """`over prompt`."""
    over = spot.ahead(-1)
    meant = did_you_mean(str(spot.token), ["prompts", "templates"])
    if over is None or over.type != "OVER" or meant is None:
        return None
    return Slip(
        "A claim is made over `prompts` or over `templates`.",
        spot.token,
        spot.token,
        f"write `over {meant}`",
        spot.replaced(0, 0, like(spot.token, "NAME", meant)),
    )


def bare_expression(spot: Spot) -> Slip | None:
    """`by logit(answer) - logit(foil)`: after a context word one value stands."""
    if spot.token.type not in _OPERATORS or "BY" not in spot.expected:
        return None
    start, depth = spot.index - 1, 0
    while start >= 0:
        token = spot.tokens[start]
        depth += (token.type in CLOSING) - (token.type in OPENING)
        if depth < 0:
            return None
        if depth == 0 and str(token) in CONTEXT_WORDS:
            break
        start -= 1
    if start < 0:
        return None
    end = _end_of_expression(spot)
    word, inside = spot.tokens[start], spot.tokens[start + 1 : end]
    opening, closing = like(inside[0], "LPAR", "("), like(inside[-1], "RPAR", ")")
    return Slip(
        f"More than one value after `{word}` stands in parentheses.",
        inside[0],
        inside[-1],
        f"write `{word} ({written(inside)})`",
        [*spot.tokens[: start + 1], opening, *inside, closing, *spot.tokens[end:]],
    )


def _end_of_expression(spot: Spot) -> int:
    end, depth = spot.index, 0
    while end < len(spot.tokens):
        token, before = spot.tokens[end], spot.tokens[end - 1]
        depth += (token.type in OPENING) - (token.type in CLOSING)
        new_line = token.line != before.line and before.type not in _OPERATORS
        if depth < 0 or (
            depth == 0
            and (
                str(token) in CONTEXT_WORDS
                or token.type in ("COLON", "COMMA", "EXPECT")
                or (new_line and token.type not in _OPERATORS)
            )
        ):
            break
        end += 1
    return end


def word_missing(spot: Spot) -> Slip | None:
    """`F(C logit_diff)`."""
    if spot.token.type != "NAME" or spot.innermost() != "LPAR" or "BY" not in spot.expected:
        return None
    token = spot.token
    return Slip(
        f"`{token}` stands in this call without a word before it.",
        token,
        token,
        f"write `by {token}` for a metric, `under {token}` for an ablation, `on {token}` for data, "
        "or a comma before an argument",
    )


def late_generator(spot: Spot) -> Slip | None:
    """`report r: drop(C, e) for e in edges(C)`."""
    if spot.token.type != "FOR" or spot.innermost():
        return None
    colon = next((i for i, t in enumerate(spot.tokens) if t.type == "COLON"), None)
    first = spot.tokens[0].type
    if colon is None or colon > spot.index or first not in _CLAIMS:
        return None
    body, loop = spot.tokens[colon + 1 : spot.index], spot.tokens[spot.index :]
    if first == "REPORT":
        opening, closing = like(body[0], "LSQB", "["), like(loop[-1], "RSQB", "]")
        help = f"write `[{written(body)} {written(loop)}]`"
        mended = [*spot.tokens[: colon + 1], opening, *body, *loop, closing]
    else:
        help = f"write `forall {written(loop[1:])}: {written(body)}`"
        mended = None
    return Slip(
        "`for` stands only inside `[ ]` and calls.", spot.token, spot.token, help, mended,
        certain=False,
    )  # fmt: skip
