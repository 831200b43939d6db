"""Slips in words: misspelt ones, ones the language does not have, and reserved ones as names."""

from __future__ import annotations

from lark import Token

from circuitlang.language.diagnostics import did_you_mean
from circuitlang.language.text.grammar import (
    CIRCUIT_ITEMS,
    CONTEXT_WORDS,
    RESERVED,
    STATEMENTS,
    TASK_ITEMS,
)
from circuitlang.language.text.slips.spot import (
    ITEMS,
    NAMING,
    NEVER_EQUAL,
    Slip,
    Spot,
    compares_runs,
    like,
    written,
)

_NAMES_NOTHING = frozenset(["prompt"])
# After these a value is due, so that a statement cannot begin.
_DUE = frozenset(
    ["LPAR", "LSQB", "COMMA", "PLUS", "MINUS", "STAR", "SLASH", "AMPERSAND", "ARROW", "AT", "DOT",
     "RELATION", "IN", "DOTS", "AND", "EQUAL", "COLON", "LIVE", "WHERE",
     *(word.upper() for word in CONTEXT_WORDS)]
)  # fmt: skip
_MAY_BE_MEANT = frozenset([*STATEMENTS, *ITEMS, *CONTEXT_WORDS, "as", "expect", "no", "yes"])
_INSTEAD = {"model": "the set of all edges, the whole model, is `M`"}
_TRUTH = {"true": "yes", "True": "yes", "on": "yes", "false": "no", "False": "no", "off": "no"}
_CONTRARY = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


def is_name_by_place(tokens: list[Token], index: int, in_brackets: bool) -> bool:
    """Whether a word that starts statements stands where only a name can, on the same line.

    `in_brackets` says that a `(` or `[` of this line is open.
    """
    before = tokens[index - 1] if index else None
    if before is None or before.line != tokens[index].line:
        return False
    return in_brackets or str(before) in NAMING or before.type in _DUE


def misspelt_word(spot: Spot) -> Slip | None:
    """`clam x: ...`: the parser took the word for a setting and stopped at what follows."""
    word = spot.ahead(-1)
    if word is None or word.type != "NAME" or not spot.starts_line(-1):
        return None
    if spot.token.type not in ("NAME", "STRING", "LPAR", "LBRACE", "LSQB", "NODE"):
        return None
    known = CIRCUIT_ITEMS if "ARROW" in spot.expected else [*STATEMENTS, *TASK_ITEMS]
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


def truth(spot: Spot) -> Slip | None:
    """`bos true`."""
    meant = _TRUTH.get(str(spot.token))
    if meant is None or "YES" not in spot.expected or "NAME" in spot.expected:
        return None
    if spot.starts_line():
        return None
    return Slip(
        f"A setting is `yes` or `no`, not `{spot.token}`.",
        spot.token,
        spot.token,
        f"write `{spot.ahead(-1)} {meant}`",
        spot.replaced(0, 0, like(spot.token, meant.upper(), meant)),
    )


def for_instead_of_forall(spot: Spot) -> Slip | None:
    """`for e in ...`, `for all e in ...`."""
    if spot.token.type != "FOR" or "FORALL" not in spot.expected:
        return None
    after = spot.ahead()
    last = after if after == "all" and spot.kind(2) in ("NAME", "LPAR") else spot.token
    return Slip(
        "`for` stands only inside `[ ]` and calls.",
        spot.token,
        last,
        "write `forall`, one word" if last is after else "did you mean `forall`?",
        spot.replaced(0, int(last is after), like(spot.token, "FORALL", "forall", last)),
    )


_EVERY = {"all": "forall", "every": "forall", "each": "forall", "any": "exists", "some": "exists"}


def other_quantifier(spot: Spot) -> Slip | None:
    """`claim x: every e in edges(C): ...`."""
    at = -2 if spot.token.type == "IN" else -1
    word, variable = spot.ahead(at), spot.ahead(at + 1)
    if word is None or str(word) not in _EVERY or spot.kind(at - 1) != "COLON":
        return None
    if spot.kind(at + 2) != "IN":
        return None
    meant = _EVERY[str(word)]
    return Slip(
        f"`{word}` is no quantifier.",
        word,
        word,
        f"write `{meant} {variable} in ...`",
        spot.replaced(at, at, like(word, meant.upper(), meant)),
    )


def missing_in(spot: Spot) -> Slip | None:
    """`forall e edges(C): ...`."""
    if spot.expected != {"IN"} or spot.token.type not in ("NAME", "LSQB", "NODE", "EQUAL"):
        return None
    last = 0 if spot.token.type == "EQUAL" else -1
    head = written([t for t in (spot.ahead(-2), spot.ahead(-1)) if t is not None])
    return Slip(
        "`in` is missing here.",
        spot.token,
        spot.token,
        f"write `{head} in {written(spot.right(last + 1))}`",
        spot.replaced(0, last, like(spot.token, "IN", "in")),
    )


def share_of_most(spot: Spot) -> Slip | None:
    """`most K in ...`."""
    most = spot.ahead(-1)
    if most is None or most.type != "MOST" or spot.token.type != "NAME":
        return None
    share = [like(spot.token, *t) for t in (("LPAR", "("), ("NUMBER", "95%"), ("RPAR", ")"))]
    return Slip(
        "`most` takes a share.",
        most,
        most,
        f"write `most(95%) {spot.token} in ...`",
        spot.replaced(0, -1, *share),
        certain=False,
    )


def late_quantifier(spot: Spot) -> Slip | None:
    if spot.token.type not in ("FORALL", "EXISTS", "MOST"):
        return None
    return Slip(
        f"`{spot.token}` stands at the start of a claim's formula only.",
        spot.token,
        spot.token,
        "give it a claim of its own",
    )


def late_expect(spot: Spot) -> Slip | None:
    if spot.token.type != "EXPECT":
        return None
    return Slip(
        "`expect` stands in the claim's head, before the colon.",
        spot.token,
        spot.token,
        'write `claim name expect fails "reason": ...`',
    )


def precondition(spot: Spot) -> Slip | None:
    """`claim x: if F(M) > 0: ...`."""
    if spot.token.type != "IF":
        return None
    return Slip(
        "`if` stands only inside `[ ... for ... ]`.",
        spot.token,
        spot.token,
        "state what has to hold first on its own: `assume able: ...`",
    )


def no_such_connective(spot: Spot) -> Slip | None:
    for steps in (-2, -1, 0):
        word = spot.ahead(steps)
        if word == "or":
            return Slip("There is no `or`.", word, word, "state two claims; `and` joins conditions")
        if word == "not":
            return _not(spot, steps, word)
    return None


def _not(spot: Spot, steps: int, word: Token) -> Slip:
    left = spot.right(steps + 1)
    sign = spot.ahead(steps + 1 + len(left))
    right = spot.right(steps + 2 + len(left))
    help = "turn the comparison round: `F(C) < 1` is the contrary of `F(C) >= 1`"
    mended = None
    if sign is not None and str(sign) == "==" and compares_runs(spot):
        help = NEVER_EQUAL
    elif left and sign is not None and str(sign) in _CONTRARY and right:
        contrary = like(sign, "RELATION", _CONTRARY[str(sign)])
        help = f"write `{written(left)} {contrary} {written(right)}`"
        mended = spot.replaced(steps, steps + 1 + len(left), *left, contrary)
    elif left and sign is not None and sign.type == "RPAR" and spot.innermost() == "LPAR":
        help = f"the complement of a set is `M - {written(left)}`"
    return Slip("There is no `not`.", word, word, help, mended)


def reserved_name(spot: Spot) -> Slip | None:
    """A word of the language where a name is defined or used, `group model = ...`, `[a, claim]`."""
    before, token = spot.ahead(-1), spot.token
    if before is None or "NAME" not in spot.expected:
        return None
    defines = str(before) in NAMING or spot.expected == {"NAME"}
    if token.type == "NODE" and defines and before.type != "DOT":
        return Slip(
            f"`{token}` is a node and cannot be a name here.",
            token,
            token,
            f"choose another name, such as `node_{token}`".replace(".", "_"),
            spot.replaced(0, 0, like(token, "NAME", str(token))),
            "CL108",
            certain=False,
        )
    if not ((defines and str(token) in RESERVED) or _is_meant(spot)):
        return None
    if str(token) in ITEMS and spot.starts_line() and not _is_meant(spot):
        return None
    instead = None if defines else _INSTEAD.get(str(token))
    return Slip(
        f"`{token}` is a word of the language and cannot be a name here.",
        token,
        token,
        instead or f"choose another name, such as `my_{token}`",
        spot.replaced(0, 0, like(token, "NAME", str(token))),
        "CL108",
        certain=defines,
    )


def _is_meant(spot: Spot) -> bool:
    """Whether a reserved word stands as a value of an expression."""
    if str(spot.token) not in _MAY_BE_MEANT:
        return False
    if spot.starts_line():
        return spot.kind(1) in ("COMMA", "RPAR", "RSQB")
    return spot.kind(-1) in _DUE


def missing_name(spot: Spot) -> Slip | None:
    """`claim: ...`, `metric = ...`, `task { ... }`."""
    word = spot.ahead(-1)
    if word is None or str(word) not in NAMING - _NAMES_NOTHING:
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


def name_of_several_words(spot: Spot) -> Slip | None:
    """`claim very good: ...`."""
    first = spot.ahead(-1)
    if first is None or first.type != "NAME" or str(spot.ahead(-2)) not in NAMING:
        return None
    last = 0
    while spot.kind(last) in ("NAME", "NUMBER") and not spot.starts_line(last):
        last += 1
    if last == 0 or spot.kind(last) not in ("COLON", "EQUAL", "LBRACE"):
        return None
    words = [str(spot.ahead(i)) for i in range(-1, last)]
    meant = "_".join(words)
    end = spot.ahead(last - 1)
    return Slip(
        "A name is one word.",
        first,
        end or first,
        f"write `{meant}`",
        spot.replaced(-1, last - 1, like(first, "NAME", meant, end)),
    )


def missing_alias(spot: Spot) -> Slip | None:
    """`import "base.circ"` without `as`."""
    if spot.expected != {"AS"}:
        return None
    path = spot.ahead(-1)
    assert path is not None
    stem = path.strip('"').rpartition("/")[2].partition(".")[0]
    name = stem if stem.isidentifier() and stem not in RESERVED else "other"
    mended = [like(path, "AS", "as"), like(path, "NAME", name)]
    drop = 0 if spot.token.type == "NAME" and not spot.starts_line() else -1
    return Slip(
        "An import has a name.",
        path,
        path,
        f"write `import {path} as {name}`",
        spot.replaced(0, drop, *mended),
        certain=False,
    )


def prefix_of_text(spot: Spot) -> Slip | None:
    """`f"{slot}"`, as in Python."""
    before = spot.ahead(-1)
    if spot.token.type != "STRING" or before is None or not spot.touches(0):
        return None
    if before.type != "NAME" or len(before) > 2:
        return None
    return Slip(
        f"A text has no `{before}` before it.",
        before,
        before,
        f"write `{spot.token}`; names in braces are replaced in every text of a task",
        spot.replaced(-1, -1),
    )
