"""The grammar as a lark parser, and the words it reserves."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from lark import Lark, Token

STATEMENTS = (
    "spec import model task circuit measure group metric ablation let claim assume report default"
).split()
TASK_ITEMS = "slot tokens prompt corrupt where".split()
CIRCUIT_ITEMS = ["live"]
CONTEXT_WORDS = "on under by with free over per".split()
RESERVED = frozenset(
    STATEMENTS
    + TASK_ITEMS
    + CIRCUIT_ITEMS
    + CONTEXT_WORDS
    + "and as exists expect for forall if in most no yes".split()
)


def is_word(token: Token) -> bool:
    """Whether a token is a word, not the same letters in quotes."""
    return token.type not in ("STRING", "NODE", "NUMBER")


def grammar_folder() -> Path:
    """The installed copy inside the package, else the checkout's `grammar/`."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "grammar"
    return installed if installed.is_dir() else package.parent / "grammar"


@cache
def parser(strict: bool = False) -> Lark:
    return Lark(
        (grammar_folder() / "circ.lark").read_text(encoding="utf-8"),
        parser="lalr",
        lexer="basic",
        strict=strict,
        propagate_positions=True,
        maybe_placeholders=True,
    )


@cache
def words_of_terminals() -> dict[str, str]:
    """Terminal name -> how a message shows it."""
    shown = {
        "NAME": "a name",
        "NODE": "a node",
        "STRING": "a string",
        "NUMBER": "a number",
        "RELATION": "a comparison",
        "$END": "the end of the file",
    }
    for terminal in parser().terminals:
        if terminal.name not in shown:
            shown[terminal.name] = f"`{terminal.pattern.value}`"
    return shown
