"""Slips between two values: a missing, foreign or doubled operator, and comparisons."""

from __future__ import annotations

from lark import Token

from circuitlang.language.text.slips.spot import (
    ENDS_VALUE,
    NEVER_EQUAL,
    STARTS_VALUE,
    Slip,
    Spot,
    compares_runs,
    like,
    value_before,
    value_from,
    written,
)

# Words that stand for an operator elsewhere.
_MEANT = {
    "of": ("STAR", "*"),
    "times": ("STAR", "*"),
    "to": ("DOTS", ".."),
    "through": ("DOTS", ".."),
    "until": ("DOTS", ".."),
    "plus": ("PLUS", "+"),
    "union": ("PLUS", "+"),
    "minus": ("MINUS", "-"),
    "without": ("MINUS", "-"),
    "except": ("MINUS", "-"),
    "intersect": ("AMPERSAND", "&"),
    "intersection": ("AMPERSAND", "&"),
    "equals": ("RELATION", "=="),
}
_CLOSE = ("approx", "approximately", "about", "near", "close")
_OTHER = (
    "is", "are", "isnt", "equal", "percent", "pct", "than", "at", "exceeds", "above", "below",
    "or", "xor", "not", "between", *_CLOSE,
)  # fmt: skip
JOINING = frozenset((*_MEANT, *_OTHER))


def ampersands(spot: Spot) -> Slip | None:
    before = spot.ahead(-1)
    if spot.token.type != "AMPERSAND" or before is None or before.type != "AMPERSAND":
        return None
    return Slip(
        "Conditions are joined with `and`.",
        before,
        spot.token,
        "write `and`",
        spot.replaced(-1, 0, like(before, "AND", "and", spot.token)),
    )


def foreign_comparison(spot: Spot) -> Slip | None:
    """`a <> b`, `a =< b`, `a => b`."""
    pairs = {"<>": "!=", "=<": "<=", "=>": ">=", ">=": ">="}
    at = 0 if spot.token.type == "EQUAL" else -1
    first, second = spot.ahead(at), spot.ahead(at + 1)
    if first is None or second is None or not spot.touches(at + 1):
        return None
    sign = f"{first}{second}"
    if sign not in pairs or (at == 0 and "RELATION" not in spot.expected):
        return None
    meant = pairs[sign]
    if meant == "!=" and compares_runs(spot):
        help = NEVER_EQUAL
        return Slip(f"`{sign}` is no comparison.", first, second, help)
    return Slip(
        f"`{sign}` is no comparison.",
        first,
        second,
        f"write `{meant}`",
        spot.replaced(at, at + 1, like(first, "RELATION", meant, second)),
    )


def comparison_chain(spot: Spot) -> Slip | None:
    if spot.token.type not in ("RELATION", "IN") or spot.innermost() == "LBRACE":
        return None
    if "AND" not in spot.expected:
        return None
    middle = spot.left()
    before = spot.index - len(middle)
    sign = spot.tokens[before - 1] if before else None
    first = value_before(spot.tokens, before - 1) if sign is not None else []
    last = spot.right(1)
    help = "write an interval, as in `F(C) in 0.8..1.2`, or join two comparisons with `and`"
    if sign is not None and sign.type == "RELATION" and len(last) == len(first) == 1:
        if str(sign)[0] == str(spot.token)[0] == "<":
            help = f"write `{written(middle)} in {first[0]}..{last[0]}`"
        elif str(sign)[0] == str(spot.token)[0] == ">":
            help = f"write `{written(middle)} in {last[0]}..{first[0]}`"
    elif len(middle) == len(last) == 1 and {str(sign)[:1], str(spot.token)[0]} == {"<", ">"}:
        ends = (middle, last) if str(sign)[:1] == ">" else (last, middle)
        help = f"write `{written(first)} in {written(ends[0])}..{written(ends[1])}`"
    return Slip("Comparisons do not chain.", spot.token, spot.token, help)


def equals(spot: Spot) -> Slip | None:
    """`F(C) = 1`, `where A = B`."""
    if spot.token.type != "EQUAL" or "RELATION" not in spot.expected:
        return None
    return Slip(
        "`=` defines; it does not compare.",
        spot.token,
        spot.token,
        "compare with `>=`, `<=` or `in low..high`; in a task also with `==`",
        spot.replaced(0, 0, like(spot.token, "RELATION", "==")),
        certain=False,
    )


def bare_shift(spot: Spot) -> Slip | None:
    """`a1.h0 @ S1 + 1 -> logits`, `a1.h0 @ (S1 + 1)`."""
    at, place, shift = spot.ahead(-2), spot.ahead(-1), spot.ahead()
    if place is not None and place.type == "AT" and spot.token.type == "LPAR":
        group = spot.right()
        if len(group) < 3:
            return None
        inside = group[1:-1]
        brackets = [like(group[0], "LSQB", "["), *inside, like(group[-1], "RSQB", "]")]
        return Slip(
            "A shifted position stands in brackets.", group[0], group[-1],
            f"write `@ [{written(inside)}]`", spot.replaced(0, len(group) - 1, *brackets),
        )  # fmt: skip
    if spot.token.type not in ("PLUS", "MINUS") or at is None or at.type != "AT":
        return None
    shifted = f"{place} {spot.token} {shift or 1}"
    return Slip(
        "A shifted position stands in brackets.", place or at, spot.token, f"write `@ [{shifted}]`"
    )


def missing_operator(spot: Spot) -> Slip | None:
    """Two values side by side, or joined by a word that is no operator: `20% of effect`."""
    at = -1 if _read_as_setting(spot) else 0
    joint = spot.ahead(at)
    if joint is None or spot.starts_line(at) or spot.kind(at - 1) not in ENDS_VALUE:
        return None
    if at == 0 and (joint.type not in STARTS_VALUE or not {"PLUS", "COMMA"} & spot.expected):
        return None
    left = value_before(spot.tokens, spot.index + at)
    if str(joint) in JOINING:
        return _word_for_operator(spot, at, joint, left)
    right = value_from(spot.tokens, spot.index + at)
    kind, sign = _sign_between(spot, left)
    said = f"{written(left)}, {written(right)}" if sign == "," else ""
    a_comma = sign == ","
    return Slip(
        f"{'A comma' if a_comma else 'An operator'} is missing between `{written(left)}` and "
        f"`{written(right)}`.",
        joint,
        right[-1],
        f"write `{said or f'{written(left)} {sign} {written(right)}'}`",
        spot.replaced(at, at - 1, like(joint, kind, sign)),
        certain=a_comma or sign == "*",
    )


def _read_as_setting(spot: Spot) -> bool:
    """Whether the parser took the word before the spot for the beginning of a setting."""
    return spot.kind(-1) == "NAME" and {"YES", "NUMBER", "STRING"} <= spot.expected


def _sign_between(spot: Spot, left: list[Token]) -> tuple[str, str]:
    if spot.innermost() == "LSQB":
        return "COMMA", ","
    return ("STAR", "*") if left and left[-1].type == "NUMBER" else ("PLUS", "+")


def _word_for_operator(spot: Spot, at: int, word: Token, left: list[Token]) -> Slip:
    right = value_from(spot.tokens, spot.index + at + 1)
    a, b = written(left), written(right)
    if word in ("percent", "pct"):
        return _percent(spot, at, word, left)
    if str(word) not in _MEANT:
        help = "compare with `>=`, `<=` or `in low..high`"
        if word in _CLOSE and right:
            help = f"say how close: `abs({a} - {b}) <= 0.1`"
        mended = spot.replaced(at, at, like(word, "RELATION", ">=")) if right else None
        return Slip(f"`{word}` is no comparison.", word, word, help, mended, certain=False)
    kind, sign = _MEANT[str(word)]
    if word == "of" and b == "M":
        counts = any(t == "size" for t in spot.tokens[: spot.index])
        b = "size(M)" if counts else "F(M)"
    gap = "" if sign == ".." else " "
    message = f"An operator is missing between `{a}` and `{b}`."
    if sign == "..":
        message = "An interval is written with two dots."
    return Slip(
        message,
        word,
        word,
        f"write `{a}{gap}{sign}{gap}{b}`",
        spot.replaced(at, at, like(word, kind, sign)),
        certain=b == "effect" or sign == "..",
    )


def _percent(spot: Spot, at: int, word: Token, left: list[Token]) -> Slip:
    """`20 percent`, `20 percent of effect`."""
    share = like(left[-1], "NUMBER", f"{left[-1]}%", word)
    right = value_from(spot.tokens, spot.index + at + 2) if spot.ahead(at + 1) == "of" else []
    star = like(word, "STAR", "*")
    new, last = ([share, star], at + 1) if right else ([share], at)
    help = f"write `{share} * {written(right)}`" if right else f"write `{share}`"
    return Slip(
        f"`{word}` is written as a sign.",
        word,
        word,
        help,
        spot.replaced(at - 1, last, *new),
        certain=False,
    )
