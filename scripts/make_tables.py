"""Writes grammar/circ.tables.json: the parse tables, so that no command has to build them.

    python scripts/make_tables.py

Run it after a change of grammar/circ.lark; tests/language/test_grammar.py notices when it was
forgotten. A table of another grammar or another lark is never used.
"""

from __future__ import annotations

import json

from circuitlang.language.text.grammar import build_parser, grammar_folder, tables_of


def main() -> None:
    path = grammar_folder() / "circ.tables.json"
    text = json.dumps(tables_of(build_parser()), separators=(",", ":"), sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")
    print(f"{path}: {len(text):,} characters")


if __name__ == "__main__":
    main()
