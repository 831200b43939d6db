"""Slips in numbers, nodes and texts."""

from __future__ import annotations

import re

from lark import Token

from circuitlang.language.text.slips.operators import JOINING
from circuitlang.language.text.slips.spot import Slip, Spot, like, written

_SETTINGS = {
    "sample": "16",
    "seed": "0",
    "split": "search",
    "paper": '"arXiv:..."',
    "title": '"..."',
    "authors": '"Ada Lovelace; Charles Babbage"',
    "doi": '"10...."',
    "dtype": '"float64"',
    "bos": "yes",
    "looks": "yes",
    "guarantee": '"finite-sample"',
}
_HEADS = "heads are written `a9.h6`, MLPs `m3`"


def number(spot: Spot) -> Slip | None:
    """`.8`, `0.8...1.2`, `1_000`."""
    before, token, after = spot.ahead(-1), spot.token, spot.ahead()
    if token.type == "DOT" and after is not None and after.type == "NUMBER" and spot.touches(1):
        if before is not None and before.type == "DOTS" and spot.touches(0):
            return Slip("A range has two dots.", before, token, "write `..`", spot.replaced(0, 0))
        if "NUMBER" in spot.expected and "." not in after:
            return Slip(
                f"`.{after}` is not a number.", token, after, f"write `0.{after}`",
                spot.replaced(0, 1, like(token, "NUMBER", f"0.{after}", after)),
            )  # fmt: skip
    word = token if token.type == "NAME" else before
    digits = before if word is token else spot.ahead(-2)
    if word is None or digits is None or word.type != "NAME" or digits.type != "NUMBER":
        return None
    if digits.end_pos != word.start_pos:
        return None
    plain = re.sub(r"\D", "", str(word))
    help = f"write `{digits}{plain}`" if word.startswith("_") else "numbers are written 12, 0.5, 5%"
    return Slip(f"`{digits}{word}` is not a number.", digits, word, help)


def setting_with_other_value(spot: Spot) -> Slip | None:
    """`sample = 16`, `sample: 16`, `seed -1`, `split over`."""
    word = spot.ahead(-1)
    if word is None or str(word) not in _SETTINGS:
        return None
    if spot.token.type == "MINUS":
        help = f"write `{word} {_SETTINGS[str(word)]}`"
        return Slip(f"`{word}` is not below 0.", spot.token, spot.token, help, spot.replaced(0, 0))
    if spot.token.type not in ("EQUAL", "COLON"):
        if not {"YES", "NAME"} <= spot.expected or spot.starts_line():
            return None
        help = f"write `{word} {_SETTINGS[str(word)]}`"
        return Slip(f"`{word}` is not `{spot.token}`.", spot.token, spot.token, help)
    return Slip(
        f"The setting `{word}` takes its value without `{spot.token}`.",
        spot.token,
        spot.token,
        f"write `{word} {spot.ahead() or _SETTINGS[str(word)]}`",
        spot.replaced(0, 0),
    )


# ---------------------------------------------------------------- nodes


def node(spot: Spot) -> Slip | None:
    """`a9.9`, `a1.h0.x`, `a1.h`, `h9.9`, `head 9.9`, `movers[0]`, `a1.h0<q>`."""
    before, token, after = spot.ahead(-1), spot.token, spot.ahead()
    if before is None:
        return None
    if token.type == "DOT" and before.type == "NODE" and after is not None and spot.touches(1):
        return _part_of_node(spot, before, after)
    if token.type == "NUMBER" and before.type == "DOT" and spot.touches(0):
        return _numbered(spot)
    named = token.type == "NUMBER" and before.type == "NAME" and str(before) not in JOINING
    if named and re.fullmatch(r"\d+\.\d+", token):
        meant = head_for(str(token))
        return _no_node(f"{before} {token}", before, token, f"write `{meant}`")
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


def _part_of_node(spot: Spot, layer: Token, part: Token) -> Slip:
    whole = f"{layer}.{part}"
    if ".h" in layer:
        help = "ports are .q .k .v .qk .qv .kv .qkv"
        return Slip(f"`.{part}` is not a port.", spot.token, part, help,
                    spot.replaced(0, 1), "CL208")  # fmt: skip
    if part.type == "NUMBER":
        return _no_node(whole, layer, part, f"write `{layer}.h{part}`")
    star = spot.ahead(2)
    last = star if star is not None and star.type == "STAR" and spot.touches(2) else part
    if part == "h" or part.type == "STAR":
        every = like(layer, "NODE", f"{layer}.h[*]", last)
        return Slip(
            f"`{whole}{'*' if last is star else ''}` is not a node.", layer, last,
            f"write `{every}` for all heads of the layer, `{layer}.h0` for the first",
            spot.replaced(-1, 2 if last is star else 1, every), certain=False,
        )  # fmt: skip
    return _no_node(whole, layer, part, _HEADS)


def _numbered(spot: Spot) -> Slip:
    """`h1.0`, `m.1`, `blocks.1.attn.h0`: a number in a dotted name."""
    first = last = 0
    while spot.touches(first) and spot.kind(first - 1) in ("NAME", "DOT", "NODE", "NUMBER"):
        first -= 1
    while spot.touches(last + 1) and spot.kind(last + 1) in ("NAME", "DOT", "NODE", "NUMBER"):
        last += 1
    start, end = spot.ahead(first), spot.ahead(last)
    assert start is not None
    assert end is not None
    whole = "".join(map(str, spot.tokens[spot.index + first : spot.index + last + 1]))
    meant = head_for(whole)
    return Slip(
        f"`{whole}` is not a node.",
        start,
        end,
        f"{_HEADS}: write `{meant}`" if meant else _HEADS,
        spot.replaced(first, last, like(start, "NODE", meant, end)) if meant else None,
        certain=False,
    )


def _no_node(whole: str, start: Token, end: Token, help: str) -> Slip:
    return Slip(f"`{whole}` is not a node.", start, end, help)


_HEAD = re.compile(r"(?:[ahL]?|layer|head)_?(\d+)[._]?(?:h|head)?[._]?(\d+)", re.IGNORECASE)
_MLP = re.compile(r"(?:mlp|m|l)[._]?(\d+)(?:_?mlp)?", re.IGNORECASE)
# `blocks.1.attn.hook_z.0`, `layers.1.self_attn.h0`, `blocks.1.mlp`
_PATH = re.compile(
    r"(?:transformer\.)?(?:blocks|layers?|h)\.(\d+)\.(?:\w*attn(?:\.[a-z_]+)*?\.?(?:h|head)?\.?(\d+)"
    r"|(mlp)\b.*)",
    re.IGNORECASE,
)


def head_for(text: str) -> str | None:
    """The node that `a9h9`, `L9H9`, `9.9`, `mlp3` probably stand for."""
    if match := re.fullmatch(r"(\d+)\.(\d+)", text) or _HEAD.fullmatch(text):
        separated = not match[0].isdigit() and re.search(r"\d\D+\d", match[0])
        return f"a{match[1]}.h{match[2]}" if separated else None
    if match := _PATH.fullmatch(text):
        return f"m{match[1]}" if match[3] else f"a{match[1]}.h{match[2]}"
    return f"m{match[1]}" if (match := _MLP.fullmatch(text)) else None


def indexed_unclosed(spot: Spot) -> Slip | None:
    """`a1.h[0`: the index never ends, so the node is cut before it."""
    after = spot.ahead(2)
    cut = spot.token.type == "DOT" and spot.ahead() == "h" and spot.kind(-1) == "NODE"
    if not cut or after is None or after.type != "LSQB":
        return None
    return Slip("This `[` is not closed.", after, after, "add `]`", None, "CL004")


def number_as_position(spot: Spot) -> Slip | None:
    """`a1.h0 @ 3`, `a1.h0 @ "A"`."""
    if spot.kind(-1) != "AT" or spot.token.type not in ("NUMBER", "STRING"):
        return None
    if spot.token.type == "STRING" and spot.token.strip('"').isidentifier():
        meant = spot.token.strip('"')
        return Slip(
            "Positions stand without quotes.", spot.token, spot.token, f"write `@ {meant}`",
            spot.replaced(0, 0, like(spot.token, "NAME", meant)),
        )  # fmt: skip
    return Slip(
        "A position is a slot, a label of the prompt or END, not a number.",
        spot.token,
        spot.token,
        'label the place in the prompt, `prompt "... {A:A1} ..."`, and write `@ A1`',
    )


# ---------------------------------------------------------------- texts


def text_needed(spot: Spot) -> Slip | None:
    """`model toy`, `spec "bad" "1"`, `spec bad 0.1`."""
    before, token = spot.ahead(-1), spot.token
    if before is None:
        return None
    if before.type == "SPEC" and token.type == "STRING":
        name = re.sub(r"\W", "_", token[1:-1]) or "my_spec"
        named, after = like(token, "NAME", name), spot.ahead()
        said = after is not None and after.type in ("STRING", "NUMBER")
        shown = str(after) if said else '"0.1.0"'
        return Slip(
            "The name of a spec stands without quotes.", token, token,
            f"write `spec {name} {shown}`",
            spot.replaced(0, 0, *([named] if said else [named, like(token, "STRING", '"0.1.0"')])),
        )  # fmt: skip
    if spot.kind(-2) == "SPEC" and "STRING" in spot.expected:
        last = _version_end(spot)
        version = "".join(map(str, spot.tokens[spot.index : spot.index + last + 1]))
        return Slip(
            "The version of a spec is a text in quotes.",
            before if last < 0 else token, spot.ahead(last) or token,
            f'write `spec {before} "{version or "0.1.0"}"`',
            spot.replaced(0, last, like(token, "STRING", '"0.1.0"')),
        )  # fmt: skip
    if spot.kind(-2) == "MODEL" and before.type == "NAME" and token.type != "EQUAL":
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


def counterexample(spot: Spot) -> Slip | None:
    """`counterexample "always" "..."`, `counterexample complete a1.h0`."""
    first, *rest = spot.tokens
    if first.type != "COUNTEREXAMPLE":
        return None
    said = [t for t in rest if t.type not in ("COLON", "EQUAL")]
    name = str(said[0]).strip('"') if said else "claim"
    member = written(said[1:]).replace('"', "") or "..."
    named = name if name.isidentifier() else "claim"
    mended = None
    if len(said) > 1 and named == name and member != "...":
        mended = [
            first,
            like(said[0], "NAME", name),
            like(said[1], "STRING", f'"{member}"', said[-1]),
        ]
    return Slip(
        "A counterexample names a claim, and in quotes the prompt or set that refuted it.",
        first,
        (rest or [first])[-1],
        f'write `counterexample {named} "{member}"`',
        mended,
    )


def text_alone(spot: Spot) -> Slip | None:
    """A text in triple quotes that stands alone, as a comment does in Python."""
    token = spot.token
    if token.type != "STRING" or not token.startswith('"""') or not spot.starts_line():
        return None
    return Slip("This is no comment.", token, token, "comments start with `#`",
                spot.replaced(0, 0))  # fmt: skip
