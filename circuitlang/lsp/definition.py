"""From a name to where it is defined: in the document, an imported file, the prelude; to a page."""

from __future__ import annotations

from pathlib import Path

from lsprotocol import types
from pygls.uris import from_fs_path

from circuitlang.explain import pages_folder
from circuitlang.lsp.analysis import Analysis
from circuitlang.lsp.answers import location
from circuitlang.lsp.meaning import meaning


def definition(analysis: Analysis, offset: int, uri: str) -> types.Location | None:
    """Where the name at `offset` is defined; None for words of the language and unknown names."""
    found = meaning(analysis, offset)
    if found is None:
        return None
    if found.kind in ("symbol", "bound") and found.symbol is not None:
        place = found.symbol.place
        return types.Location(uri, analysis.text.range(place.start, place.end))
    if found.kind == "imported" and found.module is not None:
        return location(found.module.own[found.name][0].span.part(found.name), analysis, uri)
    if found.kind == "measure":
        return location(analysis.measures[found.name].span.part(found.name), analysis, uri)
    if found.kind in ("file", "data"):
        return _start_of_file(analysis.text.source.folder, found.name)
    if found.kind == "code":
        return _start_of_file(pages_folder(), f"{found.name}.md")
    return None


def _start_of_file(folder: Path, name: str) -> types.Location | None:
    """A file inside a folder, where there is one."""
    folder = folder.resolve()
    file = (folder / name).resolve()
    if not file.is_relative_to(folder) or not file.is_file():
        return None
    nowhere = types.Position(0, 0)
    uri = from_fs_path(str(file))
    return types.Location(uri, types.Range(nowhere, nowhere)) if uri else None
