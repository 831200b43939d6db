"""What a place in a document means, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from circuitlang.explain import page
from circuitlang.language.diagnostics import TITLES
from circuitlang.language.formulas.value_types import shown
from circuitlang.language.source import Span
from circuitlang.language.text import syntax
from circuitlang.language.text.grammar import LATER
from circuitlang.language.text.unparse import unparse
from circuitlang.lsp import words
from circuitlang.lsp.analysis import Analysis
from circuitlang.lsp.definition_text import (
    definition_text,
    imported_text,
    measure_text,
    reference_text,
)
from circuitlang.lsp.markdown import code, counted, listed
from circuitlang.lsp.meaning import Meaning, meaning
from circuitlang.lsp.nodes import builtin_text, node_text
from circuitlang.lsp.symbols import Place


def hover(analysis: Analysis, offset: int) -> tuple[str, Place] | None:
    """Markdown and the characters that it is about; None where nothing is to be said."""
    found = meaning(analysis, offset)
    if found is None:
        return None
    parts = [part for part in _HOVERS[found.kind](analysis, found) if part]
    return ("\n\n".join(parts), found.place) if parts else None


def _word(analysis: Analysis, found: Meaning) -> Iterator[str]:
    name = found.name
    if name in words.CALLS:
        takes, gives = words.CALLS[name]
        yield code(name + takes)
        yield f"{gives[0].upper()}{gives[1:]}."
        if name in LATER:
            yield f"This version does not run it: {LATER[name]}."
    tables = (
        words.KEYWORDS,
        words.BUILTINS,
        words.ABLATIONS,
        words.SETTINGS,
        words.EXPECTATIONS,
        words.TARGETS,
        words.MEAN_KEYS,
        words.METRIC_WORDS,
    )
    table = next((t for t in tables if name in t), None)
    if table is not None and (name not in words.CALLS or name in words.STATISTIC_CALLS):
        yield f"**{name}**: {table[name]}"
    if analysis.graph is not None and name in words.BUILTINS:
        yield builtin_text(name, analysis.graph) or ""


def _half(analysis: Analysis, found: Meaning) -> Iterator[str]:
    yield f"**{found.name}**: {words.HALVES[found.name]}"


def _node(analysis: Analysis, found: Meaning) -> Iterator[str]:
    if analysis.resolved is None or analysis.model is None or analysis.graph is None:
        yield f"**{found.name}**: a node; which model it belongs to is not known"
        return
    spec = analysis.resolved.spec
    yield node_text(found.name, found.located, analysis.model, spec, analysis.graph)


def _port(analysis: Analysis, found: Meaning) -> Iterator[str]:
    yield f"**.{found.name}**: {words.port_meaning(found.name)}"


def _code(analysis: Analysis, found: Meaning) -> Iterator[str]:
    yield f"**{found.name}**: {TITLES[found.name]}"
    text = page(found.name)
    if text is not None:
        yield text.partition("\n## ")[0].partition("\n")[2].strip()


def _file(analysis: Analysis, found: Meaning) -> Iterator[str]:
    yield f"**{found.name}**: an imported spec"
    module = analysis.modules.get(found.symbol.name) if found.symbol else None
    if module is not None:
        yield f"It defines {listed(module.own) or 'nothing'}."


def _data_file(analysis: Analysis, found: Meaning) -> Iterator[str]:
    try:
        size = (analysis.text.source.folder / found.name).stat().st_size
    except (OSError, ValueError):
        yield f"**{found.name}**: there is no such file beside the document"
    else:
        yield f"**{found.name}**: a file of {counted(size, 'byte')}"


def _sign(analysis: Analysis, found: Meaning) -> Iterator[str]:
    yield f"**{found.name}**: {words.SIGNS[found.name]}"


def _argument(analysis: Analysis, found: Meaning) -> Iterator[str]:
    yield f"**{found.name}**: {words.ARGUMENTS[found.name]}"


def _reference(analysis: Analysis, found: Meaning) -> Iterator[str]:
    yield from reference_text(analysis, found.name)


def _symbol(analysis: Analysis, found: Meaning) -> Iterator[str]:
    assert found.symbol is not None
    yield from definition_text(analysis, found.symbol)


def _measure(analysis: Analysis, found: Meaning) -> Iterator[str]:
    yield from measure_text(analysis, found.name)
    yield "Built in."


def _imported(analysis: Analysis, found: Meaning) -> Iterator[str]:
    assert found.module is not None
    yield from imported_text(analysis, found.module, found.name)


# ---------------------------------------------------------------- bound names


def _bound(analysis: Analysis, found: Meaning) -> Iterator[str]:
    statement = found.statement
    symbol = statement.symbol if statement else None
    if symbol is not None and symbol.kind == "measure":
        signature = analysis.signatures.get(symbol.name)
        types = dict(signature.parameters) if signature else {}
        if found.name in types:
            yield code(f"{found.name}: {shown(types[found.name])}")
            yield f"A parameter of measure `{symbol.name}`."
            return
    domain = _domain(analysis, found)
    yield f"**{found.name}**: " + (f"one member of `{domain}`" if domain else "a bound name")


def _domain(analysis: Analysis, found: Meaning) -> str | None:
    """What a variable runs over, where its statement could be read."""
    assert found.statement is not None
    start = found.statement.whole.start
    waiting: list[Any] = [s for s in analysis.file.statements if s.span.start == start]
    while waiting:
        part = waiting.pop()
        if isinstance(part, syntax.Quantifier | syntax.Binding) and found.name in part.names:
            return unparse(part.domain)
        if isinstance(part, tuple):
            waiting.extend(part)
        elif is_dataclass(part) and not isinstance(part, Span):
            waiting.extend(getattr(part, f.name) for f in fields(part))
    return None


_HOVERS: dict[str, Callable[[Analysis, Meaning], Iterator[str]]] = {
    "word": _word,
    "half": _half,
    "sign": _sign,
    "argument": _argument,
    "node": _node,
    "port": _port,
    "code": _code,
    "file": _file,
    "data": _data_file,
    "reference": _reference,
    "bound": _bound,
    "measure": _measure,
    "symbol": _symbol,
    "imported": _imported,
}
