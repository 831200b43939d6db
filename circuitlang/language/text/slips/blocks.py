"""Slips of structure: brackets, braces, commas, colons, arrows, equal signs."""

from __future__ import annotations

from lark import Token

from circuitlang.language.text.slips.spot import (
    CLOSERS,
    CLOSING,
    ITEMS,
    NAMING,
    OPENING,
    Slip,
    Spot,
    like,
    value_from,
    written,
)
from circuitlang.language.text.slips.words import is_name_by_place

_VALUE = frozenset(["NAME", "NODE", "NUMBER", "LPAR", "LSQB", "MINUS", "FORALL", "EXISTS", "MOST"])
_GOES_ON = frozenset(["PLUS", "MINUS", "STAR", "SLASH", "AMPERSAND", "RELATION", "IN"])
_PART = frozenset(["NAME", "NODE", "LSQB"])


# ---------------------------------------------------------------- arrows


def arrow(spot: Spot) -> Slip | None:
    """`- >`, `=>`, `-->`, `>` where an arrow was due."""
    token, after = spot.token, spot.ahead()
    if "ARROW" not in spot.expected:
        return None
    if token == "<" and after is not None and after.type == "MINUS" and spot.touches(1):
        left, right = written(spot.left()), written(spot.right(2))
        return Slip(
            "An arrow goes from the sender to the reader.", token, after,
            f"write `{right} -> {left}`",
        )  # fmt: skip
    last = None
    if after is not None and token.type in ("MINUS", "EQUAL"):
        pair = (token.type, str(after))
        last = after if pair in (("MINUS", ">"), ("MINUS", "->"), ("EQUAL", ">")) else None
    if last is None:
        return None
    sign = f"{token}{' ' if token.end_pos != last.start_pos else ''}{last}"
    return Slip(
        f"`{sign}` is not an arrow.",
        token,
        last,
        "write `->`",
        spot.replaced(0, 1, like(token, "ARROW", "->", last)),
    )


def missing_arrow(spot: Spot) -> Slip | None:
    """`asker answerer.q` on a line of a circuit."""
    if "ARROW" not in spot.expected or spot.token.type not in _PART or spot.starts_line():
        return None
    if spot.innermost() != "LBRACE" or spot.touches(0) or _looks_like_head(spot):
        return None
    left, right = written(spot.left()), written(spot.right())
    return Slip(
        f"An arrow is missing between `{left}` and `{right}`.",
        spot.token,
        spot.token,
        f"write `{left} -> {right}`",
        spot.replaced(0, -1, like(spot.token, "ARROW", "->")),
    )


def _looks_like_head(spot: Spot) -> bool:
    return str(spot.ahead(-1)).lower() in ("head", "mlp", "layer")


def arrow_chain(spot: Spot) -> Slip | None:
    if spot.token.type != "ARROW" or spot.expected == {"EQUAL"}:
        return None
    return Slip(
        "Arrows do not chain.", spot.token, spot.token, "write each arrow on a line of its own"
    )


# ---------------------------------------------------------------- equal signs and colons


def equal_due(spot: Spot) -> Slip | None:
    """`corrupt x { A -> B }`, `group g: a1.h0`, `group g { a1.h0 }`, `slot A ["x"]`."""
    if spot.expected - {"LPAR"} != {"EQUAL"} or spot.at_end or spot.starts_line():
        return None
    signs = 0
    while spot.kind(signs) in ("ARROW", "COLON", "RELATION", "EQUAL") and signs < 2:
        signs += 1
    braces = _closing_brace(spot) if spot.token.type == "LBRACE" else 0
    value = spot.right(signs)
    if braces:
        value = spot.tokens[spot.index + 1 : spot.index + braces]
    elif not signs and spot.token.type not in (*_VALUE, "STRING"):
        return None
    name = spot.ahead(-1)
    word = spot.ahead(-2)
    head = f"{word} {name}" if str(word) in NAMING else f"{name}"
    equal = like(spot.token, "EQUAL", "=")
    shown = _as_list(value) if braces else written(value)
    end = spot.index + signs + len(value)
    goes_on = end < len(spot.tokens) and spot.tokens[end].line == spot.tokens[end - 1].line
    if goes_on and spot.tokens[end].type in _GOES_ON:
        shown += f" {spot.tokens[end]} ..."
    mended = spot.replaced(0, signs - 1, equal)
    if braces:
        closing = spot.tokens[spot.index + braces]
        inside = [like(spot.token, "LSQB", "["), *value, like(closing, "RSQB", "]")]
        mended = spot.replaced(0, braces, equal, *inside)
    return Slip(
        f"`{name}` is given its value with `=`.",
        spot.token,
        spot.ahead(max(signs - 1, 0)) or spot.token,
        f"write `{head} = {shown}`" if value else f"write `{head} = ...`",
        mended,
    )


def _as_list(value: list[Token]) -> str:
    return f"[{written(value)}]" if any(t.type == "COMMA" for t in value) else written(value)


def _closing_brace(spot: Spot) -> int:
    """How many tokens after the spot its brace is closed; 0 when it never is."""
    depth = 0
    for steps in range(len(spot.tokens) - spot.index):
        kind = spot.tokens[spot.index + steps].type
        depth += (kind == "LBRACE") - (kind == "RBRACE")
        if depth == 0:
            return steps
    return 0


def colon_block(spot: Spot) -> Slip | None:
    """`task likes:`, `task likes = {`, `circuit c = {`."""
    before, after = spot.ahead(-1), spot.ahead()
    is_block = spot.token.type == "LBRACE" and spot.kind(-3) == "CIRCUIT"
    if is_block and before is not None and before.type == "EQUAL":
        return Slip("A block takes no `=`.", before, before, "delete it", spot.replaced(-1, -1))
    if spot.token.type not in ("COLON", "EQUAL") or "LBRACE" not in spot.expected:
        return None
    if after is not None and after.type == "LBRACE":
        return Slip(
            f"A block takes no `{spot.token}`.", spot.token, spot.token, "delete it",
            spot.replaced(0, 0),
        )  # fmt: skip
    return Slip(
        "A block stands in braces.", spot.token, spot.token, "write `{` here and `}` at its end"
    )


def missing_colon(spot: Spot) -> Slip | None:
    if "COLON" not in spot.expected or spot.token.type not in _VALUE or spot.innermost():
        return None
    start = spot.index
    while start > 0 and spot.tokens[start - 1].line == spot.token.line:
        start -= 1
    before = written(spot.tokens[start : spot.index])
    shown = written(spot.right())
    return Slip(
        "A colon is missing here.",
        spot.token,
        spot.token,
        f"write `{before}: {shown} ...`" if before not in ("", "...") else f"write `: {shown}`",
        spot.replaced(0, -1, like(spot.token, "COLON", ":")),
    )


# ---------------------------------------------------------------- commas and braces


def comma(spot: Spot) -> Slip | None:
    if spot.token.type != "COMMA":
        return None
    if "COLON" in spot.expected and not spot.innermost():
        return Slip(
            "The formula stands after a colon.", spot.token, spot.token,
            f"write `{written(spot.left())}: ...`",
            spot.replaced(0, 0, like(spot.token, "COLON", ":")),
        )  # fmt: skip
    if spot.innermost() == "LBRACE":
        return _comma_in_block(spot)
    before, after = spot.ahead(-1), spot.ahead()
    if after is not None and after.type == "NUMBER" and spot.touches(1) and before is not None:
        if before.type == "NUMBER":
            return Slip(
                f"`{before},{after}` is not a number.", before, after,
                f"decimals have a point: `{before}.{after}`",
            )  # fmt: skip
        layer, head, number = before.rpartition(".h")
        if before.type == "NODE" and head and number.isdigit():
            return Slip(
                "Several heads of a layer stand in brackets.", before, after,
                f"write `{layer}.h[{number},{after}]`",
                spot.replaced(-1, 1, like(before, "NODE", f"{layer}.h[{number},{after}]", after)),
            )  # fmt: skip
    items = [written(spot.left())]
    steps = 0
    while spot.kind(steps) == "COMMA" and (item := spot.right(steps + 1)):
        items.append(written(item) if len(items) < 4 else "...")
        steps += 1 + len(item)
        if len(items) == 5:
            break
    return Slip(
        "A list stands in brackets.", spot.token, spot.token, f"write `[{', '.join(items)}]`"
    )


def several_ends(spot: Spot) -> Slip | None:
    """`a1.h0, a2.h2 -> logits`, `input -> a1.h0, a2.h2` on a line of a circuit."""
    if spot.token.type != "COMMA" or spot.innermost() != "LBRACE":
        return None
    first = spot.left()
    line = spot.token.line
    last = spot.index
    while last < len(spot.tokens) and spot.tokens[last].type == "COMMA":
        item = value_from(spot.tokens, last + 1)
        if not item or item[0].line != line or item[0].type not in _PART:
            return None
        last += 1 + len(item)
    start = spot.index - len(first)
    after = spot.tokens[last].type if last < len(spot.tokens) else ""
    before = spot.tokens[start - 1].type if start else ""
    if not first or "ARROW" not in (before, after):
        return None
    nodes = spot.tokens[start:last]
    opening, closing = like(first[0], "LSQB", "["), like(nodes[-1], "RSQB", "]")
    shown = f"[{written(nodes)}]"
    return Slip(
        "Several nodes at one end of an arrow stand in brackets.",
        first[0],
        nodes[-1],
        f"write `{shown} -> ...`" if after == "ARROW" else f"write `-> {shown}`",
        [*spot.tokens[:start], opening, *nodes, closing, *spot.tokens[last:]],
    )


def _comma_in_block(spot: Spot) -> Slip:
    after = spot.ahead()
    ends_line = after is None or after.line != spot.token.line or after.type == "RBRACE"
    if "LIVE" in spot.expected and not ends_line:
        return Slip(
            "A list stands in brackets.", spot.token, spot.token,
            f"write `-> [{spot.ahead(-1)}, {after}]`",
        )  # fmt: skip
    return Slip(
        "The lines of a block are not separated by commas.",
        spot.token,
        spot.token,
        "delete it",
        spot.replaced(0, 0),
    )


def trailing_comma(spot: Spot) -> Slip | None:
    before = spot.ahead(-1)
    if before is None or before.type != "COMMA" or spot.token.type not in ("RSQB", "RPAR"):
        return None
    return Slip("A list ends without a comma.", before, before, "delete it", spot.replaced(-1, -1))


def braces_for_list(spot: Spot) -> Slip | None:
    """`slot A = {"x", "y"}`."""
    if spot.token.type != "LBRACE" or "LSQB" not in spot.expected or "LBRACE" in spot.expected:
        return None
    steps = _closing_brace(spot)
    if not steps:
        return None
    closing = spot.tokens[spot.index + steps]
    mended = spot.replaced(0, 0, like(spot.token, "LSQB", "["))
    mended[spot.index + steps] = like(closing, "RSQB", "]")
    inside = written(spot.tokens[spot.index + 1 : spot.index + steps])
    return Slip("A list stands in brackets.", spot.token, spot.token, f"write `[{inside}]`", mended)


# ---------------------------------------------------------------- brackets


def unclosed_bracket(spot: Spot) -> Slip | None:
    """A `(` or `[` still open where a line of the block or its end begins."""
    opened = [i for i in spot.open_brackets() if spot.tokens[i].type != "LBRACE"]
    starts_item = str(spot.token) in ITEMS and spot.kind(1) not in ("COMMA", "RPAR", "RSQB")
    if not opened or not (spot.token.type == "RBRACE" or starts_item):
        return None
    opening = spot.tokens[opened[-1]]
    if starts_item and is_name_by_place(spot.tokens, spot.index, False):
        return None
    closers = [
        like(spot.token, OPENING[spot.tokens[i].type], CLOSERS[OPENING[spot.tokens[i].type]])
        for i in reversed(opened)
    ]
    return _not_closed(opening, spot.replaced(0, -1, *closers))


def unclosed_at_end(spot: Spot) -> Slip | None:
    opened = spot.open_brackets() if spot.at_end else []
    if not opened:
        return None
    mended = None
    if len(opened) == 1 and spot.tokens[opened[0]].type == "LBRACE":
        mended = spot.replaced(0, 0, like(spot.token, "RBRACE", "}"))
    return _not_closed(spot.tokens[opened[-1]], mended)


def _not_closed(opening: Token, mended: list[Token] | None = None) -> Slip:
    return Slip(
        f"This `{opening}` is not closed.",
        opening,
        opening,
        f"add `{CLOSERS[OPENING[opening.type]]}`",
        mended,
        "CL004",
    )


def extra_closer(spot: Spot) -> Slip | None:
    if spot.token.type not in CLOSING or spot.open_brackets():
        return None
    return Slip(
        f"This `{spot.token}` closes nothing.",
        spot.token,
        spot.token,
        "delete it",
        spot.replaced(0, 0) if "$END" in spot.expected else None,
    )
