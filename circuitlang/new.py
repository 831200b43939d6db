"""A first spec to start from: complete, commented, and true of the model that ships.

Takes a name or a path; gives the text of bundled/new.circ under that name, or writes it.
"""

from __future__ import annotations

import re
from pathlib import Path

from circuitlang.language.text.grammar import RESERVED, parser

SUFFIX = ".circ"
_TEMPLATE = Path(__file__).resolve().parent / "bundled" / "new.circ"
_TEMPLATE_NAME = "my_circuit"


def new_spec(name: str) -> str:
    """The text of a spec called `name`; what a name may not hold is replaced."""
    text = _TEMPLATE.read_text(encoding="utf-8")
    return text.replace(f"spec {_TEMPLATE_NAME} ", f"spec {spec_name(name)} ", 1)


def write_new(path: Path) -> Path:
    """Writes a new spec, named after its file, and gives where; adds `.circ` where it is missing.

    Raises `FileExistsError` rather than overwrite, and another `OSError` where nothing can be written.
    """
    if path.suffix != SUFFIX:
        path = path.parent / ((path.name or _TEMPLATE_NAME) + SUFFIX)
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(new_spec(path.stem))
    return path


def spec_name(text: str) -> str:
    """`text` as a name of the language: `Greater than-2` is `Greater_than_2`, `claim` is `my_claim`."""
    name = re.sub(r"\W+", "_", text).strip("_")
    if not name:
        return _TEMPLATE_NAME
    return name if _is_free(name) else f"my_{name}"


def _is_free(name: str) -> bool:
    patterns = {terminal.name: terminal.pattern.to_regexp() for terminal in parser().terminals}
    is_name = re.fullmatch(patterns["NAME"], name) and not re.fullmatch(patterns["NODE"], name)
    return bool(is_name) and name not in RESERVED
