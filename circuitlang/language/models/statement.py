"""A `model` statement -> where the model lies and its shape, from what this machine knows of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from circuitlang.language.diagnostics import Diagnostics, suggestion
from circuitlang.language.models.find import Found, ModelNotFound, suggestions
from circuitlang.language.spec import ModelReference
from circuitlang.language.text import syntax

Locate = Callable[[str, "str | None", Path], Found]
DTYPES = ("float32", "float64")
SETTINGS = {"bos": bool, "revision": str, "dtype": str}


def resolve_model(
    name: str,
    s: syntax.Model,
    settings: Mapping[str, Any],
    folder: Path,
    locate: Locate,
    diagnostics: Diagnostics,
) -> tuple[ModelReference | None, Found] | None:
    """The model as runs refer to it, None where its shape is unknown; None alone if there is no such model.

    `settings` are the file's, `folder` is where a relative reference starts from.
    """
    own = _settings(s, diagnostics)
    written = s.span.part(f'"{s.reference}"')
    try:
        found = locate(s.reference, own.get("revision"), folder)
    except ModelNotFound as problem:
        near = f"did you mean `{problem.suggestions[0]}`?" if problem.suggestions else None
        diagnostics.error(
            problem.code,
            f"The model `{s.reference}` cannot be used: {problem.reason}.",
            written,
            problem.help or near or 'name a hub model, a folder, "smollm2-135m" or "toy"',
        )
        return None
    if found.shape is None:
        close = suggestions(s.reference)
        diagnostics.note(
            "CL209",
            f"The shape of `{s.reference}` is not known on this machine, so nodes, edges and "
            "claims were not checked.",
            written,
            f"did you mean `{close[0]}`?"
            if close
            else "`circ check` fetches the model; after that `circ lint` checks everything",
        )
        return None, found
    reference = ModelReference(
        name,
        s.reference,
        own.get("revision"),
        bool(own.get("bos", False)),
        str(own.get("dtype", settings.get("dtype", "float32"))),
        found.shape,
    )
    return reference, found


def _settings(s: syntax.Model, diagnostics: Diagnostics) -> dict[str, Any]:
    own: dict[str, Any] = {}
    for setting in s.settings:
        if setting.name not in SETTINGS:
            diagnostics.error(
                "CL107",
                f"A model has no setting `{setting.name}`.",
                setting.span,
                suggestion(setting.name, SETTINGS) or 'bos yes/no, revision "...", dtype "..."',
            )
        elif not isinstance(setting.value, SETTINGS[setting.name]):
            kinds = {bool: ("yes or no", "yes"), str: ("a text", '"..."')}
            wanted, example = kinds[SETTINGS[setting.name]]
            diagnostics.error(
                "CL107",
                f"`{setting.name}` takes {wanted}.",
                setting.span,
                f"write `{setting.name} {example}`",
            )
        elif setting.name == "dtype" and setting.value not in DTYPES:
            refuse_dtype(setting, diagnostics)
        else:
            own[setting.name] = setting.value
    return own


def refuse_dtype(s: syntax.Setting, diagnostics: Diagnostics) -> None:
    diagnostics.error(
        "CL107",
        f"`{s.value}` is no dtype of this version.",
        s.span,
        'write `dtype "float32"` or `dtype "float64"`',
    )
