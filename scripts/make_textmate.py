"""Writes grammar/circ.tmLanguage.json: highlighting for editors that read TextMate grammars.

    python scripts/make_textmate.py

Run it after a change of grammar/circ.lark or circuitlang/highlight.py, whose rules it is made of;
tests/test_highlight.py notices when it was forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from circuitlang.highlight import REGIONS, RULES, Kind, Region, Rule
from circuitlang.language.text.grammar import grammar_folder


def grammar() -> dict[str, Any]:
    return {
        "name": "circ",
        "scopeName": "source.circ",
        "fileTypes": ["circ"],
        "patterns": [
            *({"include": f"#{region.name}"} for region in REGIONS),
            *_patterns(RULES),
        ],
        "repository": {region.name: _region(region) for region in REGIONS},
    }


def _region(region: Region) -> dict[str, Any]:
    outside = [] if region.rest else [{"include": "$self"}]
    return {
        **({"name": region.rest.scope} if region.rest else {}),
        "begin": region.begin.pattern,
        "beginCaptures": _captures(region.begin),
        "end": region.end.pattern,
        "endCaptures": _captures(region.end),
        "patterns": [*_patterns(region.inside), *outside],
    }


def _patterns(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """The rules that give a scope to something."""
    return [_match(rule) for rule in rules if any(kind.scope for kind in rule.kinds)]


def _match(rule: Rule) -> dict[str, Any]:
    if len(rule.kinds) == 1:
        return {"match": rule.pattern, "name": rule.kinds[0].scope}
    return {"match": rule.pattern, "captures": _captures(rule)}


def _captures(rule: Rule) -> dict[str, dict[str, Any]]:
    kinds: list[tuple[int, Kind]] = list(enumerate(rule.kinds, 1))
    if len(rule.kinds) == 1:
        kinds = [(0, rule.kinds[0])]
    return {str(number): {"name": kind.scope} for number, kind in kinds if kind.scope}


def text() -> str:
    return json.dumps(grammar(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    path = grammar_folder() / "circ.tmLanguage.json"
    path.write_text(text(), encoding="utf-8")
    print(f"{path}: {len(text()):,} characters")


if __name__ == "__main__":
    main()
