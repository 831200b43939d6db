"""Definitions in words: how large a circuit is, a measure's type, a claim down to F, a task's prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from circuitlang.compiler.collect import measurements
from circuitlang.language.diagnostics import Diagnostics, Reject, shallow
from circuitlang.language.formulas.inline import Inliner
from circuitlang.language.formulas.values import AblationValue
from circuitlang.language.imports import Module
from circuitlang.language.models.find import ModelNotFound, find
from circuitlang.language.show import claim_text
from circuitlang.language.text import syntax
from circuitlang.language.text.unparse import unparse
from circuitlang.lsp.analysis import Analysis
from circuitlang.lsp.markdown import code, comment_above, comment_beside, counted, listed
from circuitlang.lsp.nodes import value_text
from circuitlang.lsp.symbols import Symbol

MOST_VALUES = 6


def definition_text(analysis: Analysis, symbol: Symbol) -> Iterator[str]:
    """What a definition of the document is, and the comment above or beside it."""
    teller = _TELLERS.get(symbol.kind)
    if teller is not None:
        yield from teller(analysis, symbol)
    else:
        yield _written(analysis, symbol)
    if symbol.kind not in ("label", "measure"):
        span = analysis.text.source.span(symbol.whole.start, symbol.whole.end)
        yield comment_above(span)
        yield comment_beside(span)


def _written(analysis: Analysis, symbol: Symbol) -> str:
    return code(analysis.text.text[symbol.whole.start : symbol.whole.end])


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
        f"{counted(len(task.templates), 'template')}, sample {task.sample:,}, seed {task.seed}"
        f"{f', split {task.split}' if task.split else ''}; "
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


def imported_text(analysis: Analysis, module: Module, part: str) -> Iterator[str]:
    """What an imported file calls `part`."""
    name = f"{module.name}.{part}"
    if name in analysis.measures:
        yield from measure_text(analysis, name)
    else:
        yield code(module.own[part][0].span.text)
        yield comment_above(module.own[part][0].span)
        yield _summary(analysis, name)
    yield f"From `{module.path}`."


def _model(analysis: Analysis, symbol: Symbol) -> Iterator[str]:
    yield _written(analysis, symbol)
    for s in analysis.file.statements:
        if isinstance(s, syntax.Model) and s.span.start == symbol.whole.start:
            yield from reference_text(analysis, s.reference)


def reference_text(analysis: Analysis, reference: str) -> Iterator[str]:
    """A model: where it lies and its shape."""
    try:
        model = find(reference, None, analysis.text.source.folder)
    except ModelNotFound as problem:
        yield f"**{reference}**: {problem.reason}"
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


_TELLERS: dict[str, Callable[[Analysis, Symbol], Iterator[str]]] = {
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
