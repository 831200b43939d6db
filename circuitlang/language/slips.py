"""Common slips of syntax: what was meant, and the tokens with the slip mended.

Each function of `SLIPS` looks at the place where a statement stopped making sense. It returns
None when the slip is not its own. A slip that comes with mended tokens lets the parser go on as
if it had not happened, so that one slip is one message.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from lark import Token

from circuitlang.language.diagnostics import did_you_mean
from circuitlang.language.grammar import (
    CIRCUIT_ITEMS,
    CONTEXT_WORDS,
    RESERVED,
    STATEMENTS,
    TASK_ITEMS,
)

OPENING = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
CLOSING = {closing: opening for opening, closing in OPENING.items()}
_CLOSERS = {"RPAR": ")", "RSQB": "]", "RBRACE": "}"}
_ITEMS = frozenset(TASK_ITEMS + CIRCUIT_ITEMS)
_NAMING = frozenset([*STATEMENTS, *TASK_ITEMS, "as", "for", "forall", "exists"]) - {"default"}
_NAMES_NOTHING = frozenset(["where", "prompt"])
_SETTINGS = {
    "sample": "16",
    "seed": "0",
    "paper": '"arXiv:..."',
    "dtype": '"float64"',
    "bos": "yes",
}
_VALUE = frozenset(
    ["NAME", "NODE", "NUMBER", "STRING", "LPAR", "LSQB", "MINUS", "FORALL", "EXISTS", "MOST"]
)


@dataclass(frozen=True)
class Slip:
    """`mended` is None when what was meant cannot be told, `certain` is False when it is a guess."""

    message: str
    start: Token
    end: Token
    help: str
    mended: list[Token] | None = None
    code: str = "CL001"
    certain: bool = True


@dataclass(frozen=True)
class Spot:
    """Where parsing stopped: before `tokens[index]`, when one of the terminals `expected` was due."""

    tokens: list[Token]
    index: int
    expected: frozenset[str]

    @property
    def at_end(self) -> bool:
        return self.index >= len(self.tokens)

    @property
    def token(self) -> Token:
        """The unexpected token; after the last one an empty token that stands for the end."""
        return like(self.tokens[-1], "$END", "") if self.at_end else self.tokens[self.index]

    def ahead(self, steps: int = 1) -> Token | None:
        """The token `steps` after the unexpected one, before it when negative."""
        at = self.index + steps
        return self.tokens[at] if 0 <= at < len(self.tokens) else None

    def touches(self, steps: int) -> bool:
        """Whether the tokens at `steps - 1` and `steps` stand without a gap."""
        left, right = self.ahead(steps - 1), self.ahead(steps)
        return left is not None and right is not None and left.end_pos == right.start_pos

    def starts_line(self, steps: int = 0) -> bool:
        token, previous = self.ahead(steps), self.ahead(steps - 1)
        return token is not None and (previous is None or previous.line != token.line)

    def replaced(self, first: int, last: int, *new: Token) -> list[Token]:
        """All tokens, with those from `first` to `last` (counted from the spot) exchanged."""
        start, stop = self.index + first, self.index + last + 1
        return [*self.tokens[:start], *new, *self.tokens[stop:]]

    def open_brackets(self) -> list[int]:
        return unclosed(self.tokens[: self.index])

    def innermost(self) -> str:
        """The type of the innermost open bracket, or nothing."""
        opened = self.open_brackets()
        return self.tokens[opened[-1]].type if opened else ""


def unclosed(tokens: list[Token]) -> list[int]:
    """Indices of the brackets that are open after the last token, outermost first."""
    opening: list[int] = []
    for i, token in enumerate(tokens):
        if token.type in OPENING:
            opening.append(i)
        elif token.type in CLOSING and opening:
            opening.pop()
    return opening


def find_slip(spot: Spot) -> Slip | None:
    return next((slip for find in SLIPS if (slip := find(spot)) is not None), None)


def like(token: Token, kind: str, value: str, last: Token | None = None) -> Token:
    """A token at the place of `token` (to `last`)."""
    end = last or token
    return Token(
        kind, value, token.start_pos, token.line, token.column, end.end_line, end.end_column,
        end.end_pos,
    )  # fmt: skip


# ---------------------------------------------------------------- words


def _misspelt_word(spot: Spot) -> Slip | None:
    """`clam x: ...`: the parser took the word for a setting and stopped at what follows."""
    word = spot.ahead(-1)
    if word is None or word.type != "NAME" or not spot.starts_line(-1):
        return None
    if spot.token.type not in ("NAME", "STRING", "LPAR", "LBRACE", "LSQB", "NODE"):
        return None
    known = [*STATEMENTS, *TASK_ITEMS, *CIRCUIT_ITEMS]
    close = did_you_mean(str(word), known)
    if close is None or abs(len(close) - len(word)) > 2:
        return None
    return Slip(
        f"`{word}` starts no statement.",
        word,
        word,
        f"did you mean `{close}`?",
        spot.replaced(-1, -1, like(word, close.upper(), close)),
    )


def _for_instead_of_forall(spot: Spot) -> Slip | None:
    if spot.token.type != "FOR" or "FORALL" not in spot.expected:
        return None
    return Slip(
        "`for` stands only inside `[ ]` and calls.",
        spot.token,
        spot.token,
        "did you mean `forall`?",
        spot.replaced(0, 0, like(spot.token, "FORALL", "forall")),
    )


def _late_quantifier(spot: Spot) -> Slip | None:
    if spot.token.type not in ("FORALL", "EXISTS", "MOST"):
        return None
    return Slip(
        f"`{spot.token}` stands at the start of a claim's formula only.",
        spot.token,
        spot.token,
        "give it a claim of its own",
    )


def _late_expect(spot: Spot) -> Slip | None:
    if spot.token.type != "EXPECT":
        return None
    return Slip(
        "`expect` stands in the claim's head, before the colon.",
        spot.token,
        spot.token,
        'write `claim name expect fails "reason": ...`',
    )


def _late_context(spot: Spot) -> Slip | None:
    """`faithfulness(C) under zero` after the colon of a claim."""
    if str(spot.token) not in CONTEXT_WORDS or spot.innermost():
        return None
    if not any(t.type in ("CLAIM", "ASSUME", "REPORT") for t in spot.tokens[: spot.index]):
        return None
    return Slip(
        f"`{spot.token}` stands inside a call or in the claim's head.",
        spot.token,
        spot.token,
        f"write `F(S {spot.token} ...)`, or put `{spot.token} ...` before the colon",
    )


def _no_such_connective(spot: Spot) -> Slip | None:
    help = {
        "or": "state two claims; `and` joins conditions",
        "not": "turn the comparison round: `F(C) < 1` is the contrary of `F(C) >= 1`",
    }
    for word in (spot.ahead(-2), spot.ahead(-1), spot.token):
        if word is not None and str(word) in help:
            return Slip(f"There is no `{word}`.", word, word, help[str(word)])
    return None


def _ampersands(spot: Spot) -> Slip | None:
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


def _reserved_name(spot: Spot) -> Slip | None:
    before, token = spot.ahead(-1), spot.token
    if before is None or str(before) not in _NAMING or "NAME" not in spot.expected:
        return None
    if str(token) in RESERVED:
        help, what = f"choose another name, such as `my_{token}`", "a word of the language"
    elif token.type == "NODE":
        help, what = f"choose another name, such as `node_{token}`", "a node"
    else:
        return None
    return Slip(
        f"`{token}` is {what} and cannot be a name here.",
        token,
        token,
        help,
        spot.replaced(0, 0, like(token, "NAME", str(token))),
        "CL108",
        certain=False,
    )


def _missing_name(spot: Spot) -> Slip | None:
    """`claim: ...`, `metric = ...`, `task { ... }`."""
    word = spot.ahead(-1)
    if word is None or str(word) not in _NAMING - _NAMES_NOTHING:
        return None
    if spot.token.type not in ("COLON", "EQUAL", "LBRACE") or "NAME" not in spot.expected:
        return None
    if word.type == "MODEL":
        return Slip(
            "A model without a name takes no `=`.",
            spot.token,
            spot.token,
            'write `model "toy"`, or `model name = "toy"` with a name',
            spot.replaced(0, 0),
        )
    rest = {"COLON": ": ...", "EQUAL": " = ...", "LBRACE": " { ... }"}[spot.token.type]
    return Slip(
        f"This `{word}` has no name.",
        word,
        word,
        f"write `{word} some_name{rest}`",
        spot.replaced(0, -1, like(spot.token, "NAME", f"{word} without a name")),
        certain=word.type in ("CLAIM", "ASSUME", "REPORT"),
    )


# ---------------------------------------------------------------- signs


def _arrow(spot: Spot) -> Slip | None:
    """`- >`, `=>`, `-->`, `>` where an arrow was due."""
    token, after = spot.token, spot.ahead()
    if "ARROW" not in spot.expected:
        return None
    last = None
    if after is not None and token.type in ("MINUS", "EQUAL"):
        pair = (token.type, str(after))
        last = after if pair in (("MINUS", ">"), ("MINUS", "->"), ("EQUAL", ">")) else None
    if last is None:
        return None
    written = f"{token}{' ' if token.end_pos != last.start_pos else ''}{last}"
    return Slip(
        f"`{written}` is not an arrow.",
        token,
        last,
        "write `->`",
        spot.replaced(0, 1, like(token, "ARROW", "->", last)),
    )


def _arrow_chain(spot: Spot) -> Slip | None:
    if spot.token.type != "ARROW":
        return None
    return Slip(
        "Arrows do not chain.", spot.token, spot.token, "write each arrow on a line of its own"
    )


def _comparison_chain(spot: Spot) -> Slip | None:
    if spot.token.type not in ("RELATION", "IN") or spot.innermost() == "LBRACE":
        return None
    if "AND" not in spot.expected:
        return None
    return Slip(
        "Comparisons do not chain.",
        spot.token,
        spot.token,
        "write an interval, as in `F(C) in 0.8..1.2`, or join two comparisons with `and`",
    )


def _equals(spot: Spot) -> Slip | None:
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


def _setting_with_sign(spot: Spot) -> Slip | None:
    """`sample = 16`, `sample: 16`."""
    word = spot.ahead(-1)
    if word is None or str(word) not in _SETTINGS:
        return None
    if spot.token.type == "MINUS":
        help = f"write `{word} {_SETTINGS[str(word)]}`"
        return Slip(f"`{word}` is not below 0.", spot.token, spot.token, help, spot.replaced(0, 0))
    if spot.token.type not in ("EQUAL", "COLON"):
        return None
    return Slip(
        f"The setting `{word}` takes its value without `{spot.token}`.",
        spot.token,
        spot.token,
        f"write `{word} {spot.ahead() or _SETTINGS[str(word)]}`",
        spot.replaced(0, 0),
    )


def _colon_block(spot: Spot) -> Slip | None:
    """`task likes:`, `task likes = {`, `circuit c = {`."""
    before, after = spot.ahead(-1), spot.ahead()
    block = spot.ahead(-3)
    is_block = spot.token.type == "LBRACE" and block is not None and block.type == "CIRCUIT"
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


def _missing_colon(spot: Spot) -> Slip | None:
    if "COLON" not in spot.expected or spot.token.type not in _VALUE:
        return None
    if spot.innermost() or spot.token.type == "STRING":
        return None
    return Slip(
        "A colon is missing here.",
        spot.token,
        spot.token,
        f"write `:` before `{_short(spot.token)}`",
        spot.replaced(0, -1, like(spot.token, "COLON", ":")),
    )


def _missing_word(spot: Spot) -> Slip | None:
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


def _comma(spot: Spot) -> Slip | None:
    if spot.token.type != "COMMA":
        return None
    after = spot.ahead()
    if spot.innermost() != "LBRACE":
        before = spot.ahead(-1)
        if before is not None and before.type == "NUMBER" and after is not None and spot.touches(1):
            return Slip(
                f"`{before},{after}` is not a number.", before, after,
                f"decimals have a point: `{before}.{after}`",
            )  # fmt: skip
        return Slip(
            "A list stands in brackets.", spot.token, spot.token, "write `[a, b]` instead of `a, b`"
        )
    ends_line = after is None or after.line != spot.token.line or after.type == "RBRACE"
    in_circuit = "LIVE" in spot.expected
    if in_circuit and not ends_line:
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


def _trailing_comma(spot: Spot) -> Slip | None:
    before = spot.ahead(-1)
    if before is None or before.type != "COMMA" or spot.token.type not in ("RSQB", "RPAR"):
        return None
    return Slip("A list ends without a comma.", before, before, "delete it", spot.replaced(-1, -1))


def _braces_for_list(spot: Spot) -> Slip | None:
    """`slot A = {"x", "y"}`."""
    if spot.token.type != "LBRACE" or "LSQB" not in spot.expected or "LBRACE" in spot.expected:
        return None
    depth = 0
    for steps in range(len(spot.tokens) - spot.index):
        token = spot.tokens[spot.index + steps]
        depth += (token.type == "LBRACE") - (token.type == "RBRACE")
        if depth == 0:
            mended = spot.replaced(0, 0, like(spot.token, "LSQB", "["))
            mended[spot.index + steps] = like(token, "RSQB", "]")
            return Slip(
                "A list stands in brackets.", spot.token, spot.token, "write `[a, b]`", mended
            )
    return None


def _bare_shift(spot: Spot) -> Slip | None:
    """`a1.h0 @ S1 + 1 -> logits`."""
    at, place, shift = spot.ahead(-2), spot.ahead(-1), spot.ahead()
    if spot.token.type not in ("PLUS", "MINUS") or at is None or at.type != "AT":
        return None
    written = f"{place} {spot.token} {shift or 1}"
    return Slip(
        "A shifted position stands in brackets.", place or at, spot.token, f"write `@ [{written}]`"
    )


def _comment(spot: Spot) -> Slip | None:
    """`// text`, or a string that stands alone."""
    token, after = spot.token, spot.ahead()
    slashes = token.type == "SLASH" and after is not None and after.type in ("SLASH", "STAR")
    if not (slashes and spot.touches(1)) and not (
        token.type == "STRING" and token.startswith('"""') and spot.starts_line()
    ):
        return None
    last = 0
    while (
        slashes and (following := spot.ahead(last + 1)) is not None and following.line == token.line
    ):
        last += 1
    return Slip("This is no comment.", token, spot.ahead(last) or token,
                "comments start with `#`", spot.replaced(0, last))  # fmt: skip


# ---------------------------------------------------------------- numbers, nodes, texts


def _number(spot: Spot) -> Slip | None:
    """`.8`, `0.8...1.2`, `1_000`."""
    before, token, after = spot.ahead(-1), spot.token, spot.ahead()
    if token.type == "DOT" and after is not None and after.type == "NUMBER" and spot.touches(1):
        if before is not None and before.type == "DOTS" and spot.touches(0):
            return Slip("A range has two dots.", before, token, "write `..`", spot.replaced(0, 0))
        if "NUMBER" in spot.expected:
            return Slip(
                f"`.{after}` is not a number.", token, after, f"write `0.{after}`",
                spot.replaced(0, 1, like(token, "NUMBER", f"0.{after}", after)),
            )  # fmt: skip
    word = token if token.type == "NAME" else before
    number = before if word is token else spot.ahead(-2)
    if word is None or number is None or word.type != "NAME" or number.type != "NUMBER":
        return None
    if number.end_pos != word.start_pos:
        return None
    plain = re.sub(r"\D", "", str(word))
    help = f"write `{number}{plain}`" if word.startswith("_") else "numbers are written 12, 0.5, 5%"
    return Slip(f"`{number}{word}` is not a number.", number, word, help)


def _node(spot: Spot) -> Slip | None:
    """`a9.9`, `a1.h0.x`, `head 9.9`, `movers[0]`, `a1.h0<q>`."""
    before, token, after = spot.ahead(-1), spot.token, spot.ahead()
    if before is None:
        return None
    if token.type == "DOT" and before.type == "NODE" and after is not None and spot.touches(1):
        whole = f"{before}.{after}"
        if ".h" in before:
            help = "ports are .q .k .v .qk .qv .kv .qkv"
            return Slip(f"`.{after}` is not a port.", token, after, help,
                        spot.replaced(0, 1), "CL208")  # fmt: skip
        if after.type == "NUMBER":
            return _no_node(whole, before, after, f"write `{before}.h{after}`")
        return _no_node(whole, before, after, "heads are written `a9.h6`, MLPs `m3`")
    if token.type == "NUMBER" and before.type == "NAME" and _looks_like_head(token):
        help = f"write `{head_for(str(token))}`"
        return _no_node(f"{before} {token}", before, token, help)
    if token.type == "LSQB" and before.type in ("NAME", "NODE", "RSQB") and spot.touches(0):
        return Slip(
            "Sets are not indexed.", token, token, "heads are written `a9.h6` or `a9.h[6,9]`"
        )
    if token == "<" and before.type == "NODE" and after is not None and set(after) <= set("qkv"):
        last = spot.ahead(2)
        return Slip(
            f"`{before}<{after}>` is how circuit files write a port.", before, last or after,
            f"write `{before}.{after}`",
            spot.replaced(-1, 2, like(before, "NODE", f"{before}.{after}", last)) if last else None,
        )  # fmt: skip
    return None


def _no_node(written: str, start: Token, end: Token, help: str) -> Slip:
    return Slip(f"`{written}` is not a node.", start, end, help)


def _looks_like_head(token: Token) -> bool:
    return re.fullmatch(r"\d+\.\d+", token) is not None


_HEAD = re.compile(r"(?:[aL]?|layer|head)_?(\d+)[._]?(?:h|head)?_?(\d+)", re.IGNORECASE)
_MLP = re.compile(r"(?:mlp|m|l)_?(\d+)(?:_?mlp)?", re.IGNORECASE)


def head_for(text: str) -> str | None:
    """The node that `a9h9`, `L9H9`, `9.9`, `mlp3` probably stand for."""
    if match := re.fullmatch(r"(\d+)\.(\d+)", text) or _HEAD.fullmatch(text):
        separated = not match[0].isdigit() and re.search(r"\d\D+\d", match[0])
        return f"a{match[1]}.h{match[2]}" if separated else None
    return f"m{match[1]}" if (match := _MLP.fullmatch(text)) else None


def _indexed_unclosed(spot: Spot) -> Slip | None:
    """`a1.h[0`: the index never ends, so the node is cut before it."""
    before, after = spot.ahead(-1), spot.ahead(2)
    cut = spot.token.type == "DOT" and spot.ahead() == "h" and after is not None
    if not cut or after.type != "LSQB" or before is None or before.type != "NODE":  # type: ignore[union-attr]
        return None
    return Slip("This `[` is not closed.", after, after, "add `]`", None, "CL004")  # type: ignore[arg-type]


def _text_needed(spot: Spot) -> Slip | None:
    """`model toy`, `spec "bad" "1"`, `spec bad 0.1`."""
    before, token = spot.ahead(-1), spot.token
    first = spot.ahead(-2)
    if before is None:
        return None
    if before.type == "SPEC" and token.type == "STRING":
        name = re.sub(r"\W", "_", token[1:-1]) or "my_spec"
        return Slip(
            "The name of a spec stands without quotes.", token, token,
            f'write `spec {name} "0.1.0"`', spot.replaced(0, 0, like(token, "NAME", name)),
        )  # fmt: skip
    if first is not None and first.type == "SPEC" and "STRING" in spot.expected:
        last = _version_end(spot)
        written = "".join(map(str, spot.tokens[spot.index : spot.index + last + 1]))
        return Slip(
            "The version of a spec is a text in quotes.", token, spot.ahead(last) or token,
            f'write `spec {before} "{written or "0.1.0"}"`',
            spot.replaced(0, last, like(token, "STRING", '"0.1.0"')),
        )  # fmt: skip
    if (
        first is not None
        and first.type == "MODEL"
        and before.type == "NAME"
        and token.type != "EQUAL"
    ):
        return Slip(
            "The model is named by a text in quotes.", before, before,
            f'write `model "{before}"`',
            spot.replaced(-1, -1, like(before, "STRING", f'"{before}"')),
        )  # fmt: skip
    return None


def _version_end(spot: Spot) -> int:
    """How far `0.1.0`, which is several tokens, goes on; -1 when the version is missing."""
    last = -1
    while (token := spot.ahead(last + 1)) is not None and token.line == spot.tokens[
        spot.index - 1
    ].line:
        if token.type not in ("NUMBER", "DOT", "NAME", "DOTS"):
            break
        last += 1
    return last


# ---------------------------------------------------------------- brackets


def _unclosed_bracket(spot: Spot) -> Slip | None:
    """A `(` or `[` still open where a line of the block or its end begins."""
    opened = [i for i in spot.open_brackets() if spot.tokens[i].type != "LBRACE"]
    if not opened or not (spot.token.type == "RBRACE" or str(spot.token) in _ITEMS):
        return None
    opening = spot.tokens[opened[-1]]
    closers = [
        like(spot.token, OPENING[spot.tokens[i].type], _CLOSERS[OPENING[spot.tokens[i].type]])
        for i in reversed(opened)
    ]
    return not_closed(opening, spot.replaced(0, -1, *closers))


def _unclosed_at_end(spot: Spot) -> Slip | None:
    opened = spot.open_brackets() if spot.at_end else []
    if not opened:
        return None
    mended = None
    if len(opened) == 1 and spot.tokens[opened[0]].type == "LBRACE":
        mended = spot.replaced(0, 0, like(spot.token, "RBRACE", "}"))
    return not_closed(spot.tokens[opened[-1]], mended)


def not_closed(opening: Token, mended: list[Token] | None = None) -> Slip:
    return Slip(
        f"This `{opening}` is not closed.",
        opening,
        opening,
        f"add `{_CLOSERS[OPENING[opening.type]]}`",
        mended,
        "CL004",
    )


def _extra_closer(spot: Spot) -> Slip | None:
    if spot.token.type not in CLOSING or spot.open_brackets():
        return None
    return Slip(
        f"This `{spot.token}` closes nothing.",
        spot.token,
        spot.token,
        "delete it",
        spot.replaced(0, 0) if "$END" in spot.expected else None,
    )


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


SLIPS: tuple[Callable[[Spot], Slip | None], ...] = (
    _comment,
    _unclosed_at_end,
    _unclosed_bracket,
    _extra_closer,
    _trailing_comma,
    _no_such_connective,
    _reserved_name,
    _missing_name,
    _setting_with_sign,
    _text_needed,
    _misspelt_word,
    _for_instead_of_forall,
    _late_quantifier,
    _late_expect,
    _late_context,
    _ampersands,
    _arrow,
    _arrow_chain,
    _bare_shift,
    _indexed_unclosed,
    _node,
    _number,
    _comma,
    _comparison_chain,
    _equals,
    _colon_block,
    _braces_for_list,
    _missing_colon,
    _missing_word,
)
