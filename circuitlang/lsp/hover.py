"""What a place in a document means, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from circuitlang.compiler.collect import measurements
from circuitlang.explain import page
from circuitlang.language import syntax
from circuitlang.language.diagnostics import TITLES, Diagnostics, Reject, shallow
from circuitlang.language.inline import Inliner
from circuitlang.language.models import ModelNotFound, find
from circuitlang.language.show import claim_text
from circuitlang.language.source import Span
from circuitlang.language.unparse import unparse
from circuitlang.language.value_types import shown
from circuitlang.language.values import AblationValue
from circuitlang.lsp import words
from circuitlang.lsp.analysis import Analysis
from circuitlang.lsp.meaning import Meaning, meaning
from circuitlang.lsp.nodes import builtin_text, counted, listed, node_text, value_text
from circuitlang.lsp.symbols import Place, Symbol

MOST_VALUES = 6
MOST_LINES = 12


def hover(analysis: Analysis, offset: int) -> tuple[str, Place] | None:
    """Markdown and the characters that it is about; None where nothing is to be said."""
    found = meaning(analysis, offset)
    if found is None:
        return None
    parts = [part for part in _HOVERS[found.kind](analysis, found) if part]
    return ("\n\n".join(parts), found.place) if parts else None


def code(text: str) -> str:
    lines = text.rstrip().split("\n")
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], "# ..."]
    return "```circ\n" + "\n".join(lines) + "\n```"


def comment_above(span: Span) -> str:
    """The lines of comment that end right above a statement."""
    lines = span.source.text[: span.start].split("\n")[:-1]
    found: list[str] = []
    while lines and lines[-1].lstrip().startswith("#"):
        found.insert(0, lines.pop().strip().lstrip("#").strip())
    return " ".join(found)


# ---------------------------------------------------------------- words and nodes


def _word(analysis: Analysis, found: Meaning) -> Iterator[str]:
    name = found.name
    if name in words.CALLS:
        takes, gives = words.CALLS[name]
        yield code(name + takes)
        yield f"{gives[0].upper()}{gives[1:]}."
    tables = (
        words.KEYWORDS,
        words.BUILTINS,
        words.ABLATIONS,
        words.SETTINGS,
        words.EXPECTATIONS,
        words.TARGETS,
        words.MEAN_KEYS,
    )
    table = next((t for t in tables if name in t), None)
    if table is not None and name not in words.CALLS:
        yield f"**{name}**: {table[name]}"
    if analysis.graph is not None and name in words.BUILTINS:
        yield builtin_text(name, analysis.graph) or ""


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


def _reference(analysis: Analysis, found: Meaning) -> Iterator[str]:
    try:
        model = find(found.name, None, analysis.text.source.folder)
    except ModelNotFound as problem:
        yield f"**{found.name}**: {problem.reason}"
        return
    here = "on this machine" if model.folder is not None else "not on this machine yet"
    yield f"**{model.title}**: {here}"
    if (shape := model.shape) is not None:
        keys = f" ({shape.kv_heads} key-value heads)" if shape.kv_heads != shape.heads else ""
        yield (
            f"{counted(shape.layers, 'layer')} of {counted(shape.heads, 'head')}{keys}"
            f"{' and an MLP' if shape.mlps else ', no MLPs'}; width {shape.d_model:,}, "
            f"{shape.vocab:,} tokens"
            f"{', attention and MLP in parallel' if shape.parallel else ''}"
        )


# ---------------------------------------------------------------- definitions


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


def _measure(analysis: Analysis, found: Meaning) -> Iterator[str]:
    yield from measure_text(analysis, found.name)
    yield "Built in."


def measure_text(analysis: Analysis, name: str) -> Iterator[str]:
    """The inferred type of a measure, its formula, the comment above it."""
    measure = analysis.measures.get(name)
    if measure is None:
        return
    parameters = f"({', '.join(measure.parameters)})" if measure.parameters else ""
    formula = f"measure {name}{parameters} = {unparse(measure.body)}"
    yield code(f"{analysis.signatures[name]}\n{formula}{_written_out(analysis, measure)}")
    yield comment_above(measure.span)


def _written_out(analysis: Analysis, measure: syntax.Measure) -> str:
    """The formula down to F, where it uses other measures."""
    errors = Diagnostics()
    try:
        with shallow(errors, measure.span):
            inlined = Inliner(analysis.measures, errors).expand(measure.body, ())
    except Reject:
        return ""
    return "" if inlined == measure.body else f"\n# {unparse(inlined)}"


def _symbol(analysis: Analysis, found: Meaning) -> Iterator[str]:
    symbol = found.symbol
    assert symbol is not None
    teller = _TELLERS.get(symbol.kind)
    if teller is not None:
        yield from teller(analysis, symbol)
    else:
        yield _written(analysis, symbol)


def _written(analysis: Analysis, symbol: Symbol) -> str:
    return code(analysis.text.text[symbol.whole.start : symbol.whole.end])


def _set(analysis: Analysis, symbol: Symbol) -> Iterator[str]:
    yield _written(analysis, symbol)
    yield _summary(analysis, symbol.name)


def _summary(analysis: Analysis, name: str) -> str:
    if analysis.resolved is None or analysis.graph is None:
        return ""
    value = analysis.named(name)
    if isinstance(value, AblationValue):
        return _ablation_text(value)
    return value_text(value, analysis.resolved.spec, analysis.graph) or ""


def _ablation_text(value: AblationValue) -> str:
    where = f" `{value.corruption}`" if value.corruption else ""
    kept = f", per {', '.join(value.per)}" if value.per else ""
    carried = {
        "zero": "0",
        "resample": f"its value on the corruption{where} of the same prompt",
        "donors": f"its value on another prompt of{where}, drawn {value.draws} times",
        "mean": f"its mean over the prompts of{where}{kept}",
        "constants": "the constant that a file gives for its sender",
    }.get(value.kind)
    return f"An edge outside the set carries {carried}." if carried else ""


def _metric(analysis: Analysis, symbol: Symbol) -> Iterator[str]:
    yield _written(analysis, symbol)
    for form, _ in analysis.front.asked:
        for m in measurements(form):
            if m.metric.name == symbol.name:
                yield f"{'Lower' if m.metric.lower_is_better else 'Higher'} is better."
                return


def _own_measure(analysis: Analysis, symbol: Symbol) -> Iterator[str]:
    yield from measure_text(analysis, symbol.name)


def _claim(analysis: Analysis, symbol: Symbol) -> Iterator[str]:
    definitions = analysis.definitions
    statements = (
        s for s in analysis.file.statements if isinstance(s, syntax.Claim | syntax.Report)
    )
    statement = next((s for s in statements if s.name == symbol.name), None)
    if definitions is None or statement is None:
        yield _written(analysis, symbol)
        return
    if isinstance(statement, syntax.Claim) and statement.sentence:
        yield statement.sentence
    errors = Diagnostics()
    try:
        with shallow(errors, statement.span):
            whole = claim_text(statement, replace(definitions, diagnostics=errors))
    except Reject:
        yield _written(analysis, symbol)
        return
    written, _, formula = whole.partition("\n\nis, written out,\n\n")
    yield f"{code(written)}\n\nis, written out,\n\n{code(formula)}"


def _task(analysis: Analysis, symbol: Symbol) -> Iterator[str]:
    yield f"**task {symbol.name}**"
    task = analysis.resolved.tasks.get(symbol.name) if analysis.resolved else None
    if task is None:
        yield f"Slots {listed(c.name for c in symbol.children if c.kind == 'slot')}."
        return
    yield (
        f"{counted(len(task.templates), 'template')}, sample {task.sample:,}, seed {task.seed}; "
        f"slots {listed(task.slot_names) or 'none'}; positions "
        f"{listed((*task.some_labels, 'END'))}; corruptions {listed(task.corruptions) or 'none'}"
    )
    yield from _prompt_text(analysis, symbol.name)


def _prompt_text(analysis: Analysis, name: str) -> Iterator[str]:
    """The first prompt of the sample with its corruptions."""
    drawn = [p for (task, _), p in analysis.front.prompts.items() if task == name and p.prompts]
    if drawn:
        prompt = drawn[0].prompts[0]
        width = max(map(len, ("clean", *prompt.corrupted_text)))
        rows = {"clean": prompt.text, **prompt.corrupted_text}
        yield "```text\n" + "\n".join(f"{k:{width}}  {v}" for k, v in rows.items()) + "\n```"


def _slot(analysis: Analysis, symbol: Symbol) -> Iterator[str]:
    yield _written(analysis, symbol)
    for task in analysis.resolved.tasks.values() if analysis.resolved else ():
        for slot in task.slots:
            own = slot.span.source is analysis.text.source
            if own and slot.span.start == symbol.whole.start and slot.rows:
                column = slot.names.index(symbol.name)
                values = dict.fromkeys(str(row[column]) for row in slot.rows)
                yield f"{counted(len(values), 'value')}: {listed(values, MOST_VALUES)}"


def _label(analysis: Analysis, symbol: Symbol) -> Iterator[str]:
    for task in analysis.outline.tasks:
        if symbol in task.children:
            same = [c for c in task.children if c.kind == "label" and c.name == symbol.name]
            slot = analysis.text.text[symbol.whole.start : symbol.whole.end].partition(":")[0]
            where = f", in {counted(len(same), 'prompt')}" if len(same) > 1 else ""
            yield (
                f"**{symbol.name}**: a position of task `{task.name}`, the tokens of slot "
                f"`{slot.strip()}` where it is labelled so{where}"
            )


def _import(analysis: Analysis, symbol: Symbol) -> Iterator[str]:
    yield _written(analysis, symbol)
    module = analysis.modules.get(symbol.name)
    if module is not None:
        yield f"It defines {listed(module.own) or 'nothing'}."


def _imported(analysis: Analysis, found: Meaning) -> Iterator[str]:
    module = found.module
    assert module is not None
    name = f"{module.name}.{found.name}"
    if name in analysis.measures:
        yield from measure_text(analysis, name)
    else:
        yield code(module.own[found.name][0].span.text)
        yield comment_above(module.own[found.name][0].span)
        yield _summary(analysis, name)
    yield f"From `{module.path}`."


def _model(analysis: Analysis, symbol: Symbol) -> Iterator[str]:
    yield _written(analysis, symbol)
    for s in analysis.file.statements:
        if isinstance(s, syntax.Model) and s.span.start == symbol.whole.start:
            yield from _reference(analysis, Meaning("reference", s.reference, symbol.place))


_Teller = Callable[[Analysis, Any], Iterator[str]]
_TELLERS: dict[str, _Teller] = {
    **dict.fromkeys(("circuit", "group", "let", "ablation"), _set),
    **dict.fromkeys(("claim", "assume", "report"), _claim),
    "measure": _own_measure,
    "metric": _metric,
    "task": _task,
    "slot": _slot,
    "label": _label,
    "import": _import,
    "model": _model,
}
_HOVERS: dict[str, _Teller] = {
    "word": _word,
    "node": _node,
    "port": _port,
    "code": _code,
    "file": _file,
    "reference": _reference,
    "bound": _bound,
    "measure": _measure,
    "symbol": _symbol,
    "imported": _imported,
}
