"""Syntax trees, resolved specs and claims as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from circuitlang.language.definitions import Definitions
from circuitlang.language.formulas.inline import count, merge
from circuitlang.language.formulas.measure_types import signatures, types_of_names
from circuitlang.language.graph.architecture import architecture
from circuitlang.language.graph.sets import located, size
from circuitlang.language.resolve import Resolved
from circuitlang.language.source import Span
from circuitlang.language.text import syntax
from circuitlang.language.text.unparse import clause, unparse

LONGEST_LIST = 8


def tree_text(file: syntax.File) -> str:
    """The syntax tree, one node a line, indented."""
    lines: list[str] = []
    for statement in file.statements:
        lines += _tree_lines(statement, 0, "")
    return "\n".join(lines)


def _tree_lines(part: Any, depth: int, label: str) -> Iterator[str]:
    indent = "  " * depth + (f"{label}: " if label else "")
    if isinstance(part, tuple):
        if not part:
            return
        if all(isinstance(p, str) for p in part):
            yield f"{indent}{' '.join(part)}"
            return
        yield f"{indent}["
        for item in part:
            yield from _tree_lines(item, depth + 1, "")
        yield "  " * depth + "]"
    elif hasattr(part, "__dataclass_fields__"):
        where = f"  # line {part.span.line}" if depth == 0 else ""
        yield f"{indent}{type(part).__name__}{where}"
        for name in part.__dataclass_fields__:
            value = getattr(part, name)
            if name != "span" and value is not None and not isinstance(value, Span):
                yield from _tree_lines(value, depth + 1, name)
    else:
        yield f"{indent}{part!r}"


def spec_text(resolved: Resolved) -> str:
    """The resolved spec: models with their graphs, tasks, circuits counted, measures with their
    types, claims."""
    spec, tasks = resolved.spec, resolved.tasks
    lines = [f"spec {spec.name} {spec.version or ''}".rstrip()]
    lines += [f"title {spec.title}"] if spec.title else []
    lines += [f"authors {'; '.join(spec.authors)}"] if spec.authors else []
    lines += [f"doi {spec.doi}"] if spec.doi else []
    lines += [f"paper {paper}" for paper in spec.papers]
    for model in spec.models.values():
        shape = model.shape
        graph = architecture(shape)
        lines.append(
            f"model {model.name} = {model.reference}: {shape.layers} layers of {shape.heads} heads"
            f"{' and an MLP' if shape.mlps else ''}, {graph.size:,} edges, {model.dtype}, "
            f"BOS {'yes' if model.bos else 'no'}"
        )
    for task in tasks.values():
        lines.append(
            f"task {task.name}: {count(len(task.templates), 'template')}, sample {task.sample}, "
            f"seed {task.seed}, {f'split {task.split}, ' if task.split else ''}corruptions {', '.join(task.corruptions) or 'none'}, "
            f"labels {', '.join(task.labels) or 'none'}"
        )
    lines += [f"group {name}: {_shortened(nodes)}" for name, nodes in spec.groups.items()]
    graph = architecture(next(iter(spec.models.values())).shape)
    for name, edges in spec.circuits.items():
        for places, mask in located(edges).items():
            where = "".join(f" @ {p}" for p in places)
            names = [
                str(e) for _, e in zip(range(LONGEST_LIST + 1), graph.edges(mask), strict=False)
            ]
            lines.append(f"circuit {name}{where}: {mask.bit_count():,} edges: {_shortened(names)}")
    lines += [
        f"file {f.name}: {size(f.edges):,} edges of {f.model}, {f.format}, "
        f"input: {f.inputs}, sha256 {f.digest[:12]}"
        for f in spec.circuit_files
    ]
    types = signatures(resolved.definitions.measures, types_of_names(resolved.file))
    own = (s.name for s in resolved.file.statements if isinstance(s, syntax.Measure))
    lines += [f"measure {types[name]}" for name in own if name in types]
    for claim in spec.claims:
        expected = f" expect {claim.expect[0]}" if claim.expect else ""
        over = f" over {claim.target}" if claim.target else ""
        lines.append(f"{claim.kind} {claim.name}{over}{expected}: {claim.written}")
    lines += [
        f"report {r.name}: {r.written} ({count(len(r.numbers), 'number')})" for r in spec.reports
    ]
    return "\n".join(lines)


def _shortened(names: Any) -> str:
    shown = list(names)[:LONGEST_LIST]
    return ", ".join(shown) + (", ..." if len(list(names)) > LONGEST_LIST else "")


def claim_text(statement: syntax.Claim | syntax.Report, definitions: Definitions) -> str:
    """A claim with every measure substituted and every context word in place, down to F alone."""
    own = merge(merge(statement.clauses, definitions.defaults), _sole(definitions, statement.span))
    body = statement.formula if isinstance(statement, syntax.Claim) else statement.value
    kind = statement.kind if isinstance(statement, syntax.Claim) else "report"
    inlined = definitions.inliner.expand(body, tuple(c for c in own if c.word != "over"))
    over = "".join(f" {clause(c)}" for c in own if c.word == "over")
    return (
        f"{kind} {statement.name}{over}: {unparse(body)}\n\nis, written out,\n\n{_broken(inlined)}"
    )


def _sole(definitions: Definitions, span: Span) -> tuple[syntax.Clause, ...]:
    """What a missing context word means: the only one declared."""
    words = {"on": "task", "under": "ablation", "by": "metric", "with": "model"}
    found = []
    for word, what in words.items():
        candidates = definitions.of_kind(what)
        if len(candidates) == 1:
            found.append(syntax.Clause(word, syntax.Name((candidates[0].name,), span), span))
    return tuple(found)


def _broken(e: syntax.Expression, depth: int = 1) -> str:
    """One conjunct or quantifier a line."""
    indent = "  " * depth
    if isinstance(e, syntax.Quantifier):
        names = e.names[0] if len(e.names) == 1 else "(" + ", ".join(e.names) + ")"
        kind = e.kind if e.share is None else f"{e.kind}({unparse(e.share)})"
        return f"{indent}{kind} {names} in {unparse(e.domain)}:\n{_broken(e.body, depth + 1)}"
    if isinstance(e, syntax.Binary) and e.operator == "and":
        return f"{_broken(e.left, depth)}\n{indent}and\n{_broken(e.right, depth)}"
    if isinstance(e, syntax.Binary) and e.operator in (">=", "<=", ">", "<", "in"):
        return f"{indent}{unparse(e.left, 3)}\n{indent}  {e.operator} {unparse(e.right, 3)}"
    return indent + unparse(e)
