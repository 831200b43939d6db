"""The grammar as a lark parser, and the words it reserves."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from lark import Lark
from lark import __version__ as lark_version
from lark.grammar import Rule
from lark.lexer import TerminalDef

STATEMENTS = [
    "spec",
    "import",
    "model",
    "task",
    "circuit",
    "measure",
    "group",
    "metric",
    "ablation",
    "let",
    "claim",
    "assume",
    "report",
    "counterexample",
    "default",
]
TASK_ITEMS = ["slot", "tokens", "prompt", "corrupt", "where"]
CIRCUIT_ITEMS = ["live"]
# Settings whose value is a word other than `yes` and `no`.
WORD_SETTINGS = frozenset(["split"])
CONTEXT_WORDS = ["on", "under", "by", "with", "free", "over", "per"]
METRIC_FUNCTIONS = (
    "logit", "logprob", "prob", "rank", "kl", "js", "loss", "attention", "indicator",
    "dla", "copies", "lens_logit", "lens_logprob", "lens_prob", "lens_rank",
)  # fmt: skip
INSTEAD_OF_PROMPTS = "give each prompt a random other one: `F(C on x under donors(clean, 1))`"
# What this version does not run, and what says something near it.
LATER = {
    "pairs": INSTEAD_OF_PROMPTS,
}
RESERVED = frozenset(
    STATEMENTS
    + TASK_ITEMS
    + CIRCUIT_ITEMS
    + CONTEXT_WORDS
    + ["and", "as", "exists", "expect", "for", "forall", "if", "in", "most", "no", "yes"]
)


def grammar_folder() -> Path:
    """The installed copy inside the package, else the checkout's `grammar/`."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "grammar"
    return installed if installed.is_dir() else package.parent / "grammar"


@cache
def parser() -> Lark:
    """The parser, from the tables that come with the grammar when they fit it, else built."""
    try:
        tables = json.loads(
            (grammar_folder() / "circ.tables.json").read_text(encoding="utf-8"),
            object_pairs_hook=_numbered,
        )
    except (OSError, ValueError):
        return build_parser()
    if tables.get("made_from") != _made_from():
        return build_parser()
    load: Any = Lark._load_from_dict
    loaded: Lark = load(tables["data"], tables["memo"])
    return loaded


def tables_of(built: Lark) -> dict[str, Any]:
    """What `parser` reads back: plain data, no code."""
    data, memo = built.memo_serialize([TerminalDef, Rule])
    return {"made_from": _made_from(), "data": data, "memo": memo}


def _made_from() -> str:
    """Names the grammar and the lark that tables belong to."""
    digest = hashlib.sha256(_grammar_text().encode()).hexdigest()
    return f"lark {lark_version}, grammar {digest}"


def _numbered(pairs: list[tuple[str, Any]]) -> dict[Any, Any]:
    """JSON has no numbers as keys; the tables have no other keys of digits."""
    return {int(key) if key.isdigit() else key: value for key, value in pairs}


def build_parser(strict: bool = False) -> Lark:
    return Lark(
        _grammar_text(),
        parser="lalr",
        lexer="basic",
        strict=strict,
        propagate_positions=True,
        maybe_placeholders=True,
    )


def _grammar_text() -> str:
    return (grammar_folder() / "circ.lark").read_text(encoding="utf-8")


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
