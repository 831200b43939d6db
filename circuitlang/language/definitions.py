"""The names a spec defines at file level, and how each is worked out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitlang.language.diagnostics import Diagnostics, Reject, suggestion
from circuitlang.language.formulas.inline import Budget, Inliner
from circuitlang.language.formulas.values import (
    AblationValue,
    Data,
    Edges,
    Items,
    MetricValue,
    Nodes,
    kind,
    weight,
)
from circuitlang.language.graph import sets
from circuitlang.language.graph.edges import END, NOTHING, EdgeSet, Position
from circuitlang.language.source import Span
from circuitlang.language.spec import CircuitFile, ModelReference, TokenScore
from circuitlang.language.text import syntax
from circuitlang.language.text.other_words import NAMES
from circuitlang.language.text.slips.values import head_for
from circuitlang.language.text.unparse import unparse

if TYPE_CHECKING:
    from circuitlang.language.formulas.environment import Environment
    from circuitlang.language.formulas.evaluate import Evaluator
    from circuitlang.language.imports import Imports

LARGEST_VALUE = 200_000


def _is_imported(name: str) -> bool:
    return "." in name and not name.startswith('"')


@dataclass
class Definitions:
    """Everything the evaluator may look up.

    `statements` holds groups, lets, circuits, metrics and ablations by name, those of imports by
    their dotted ones; `tasks` maps to None where a task had errors of its own, `models` likewise.
    `circuit_files` are the files that were read for edges, by what was asked of them. `frees` says
    whether the file has a `free` anywhere.
    """

    diagnostics: Diagnostics
    folder: Path
    statements: Mapping[str, syntax.Define | syntax.Circuit]
    measures: Mapping[str, syntax.Measure]
    tasks: Mapping[str, Any]
    models: Mapping[str, ModelReference | None]
    defaults: tuple[syntax.Clause, ...]
    score_spans: dict[tuple[str, TokenScore], Span] = field(default_factory=dict)
    position_spans: dict[Position, Span] = field(default_factory=dict)
    unread: tuple[syntax.Unread, ...] = ()
    imports: Imports | None = None
    given_seed: int | None = None
    circuit_files: dict[Any, CircuitFile] = field(default_factory=dict)
    frees: bool = False
    budget: Budget = field(default_factory=Budget)

    @property
    def seed(self) -> int:
        """What members of domains are drawn with: the given seed, else the first task's."""
        if self.given_seed is not None:
            return self.given_seed
        return next((t.seed for t in self.tasks.values() if t is not None), 0)

    def __contains__(self, name: str) -> bool:
        return name in self.statements or name in self.tasks or name in self.models

    @cached_property
    def unread_names(self) -> frozenset[str]:
        """Names whose statements could not be read: nothing is known of them, and nothing said."""
        return frozenset(u.name for u in self.unread if u.name is not None)

    def is_unread(self, parts: tuple[str, ...]) -> bool:
        return any(".".join(parts[:n]) in self.unread_names for n in range(1, len(parts) + 1))

    def is_imported(self, parts: tuple[str, ...]) -> bool:
        """Whether the name starts with that of an import."""
        return self.imports is not None and parts[0] in self.imports.modules

    def may_be_unread(self, kind: str) -> bool:
        """Whether a statement of this kind may be among those that could not be read."""
        return any(u.kind in (kind, "default", "") for u in self.unread)

    def is_broken(self, what: str) -> bool:
        """Whether a model, task, metric or ablation was declared and has errors of its own."""
        declared = {"model": self.models, "task": self.tasks}.get(what, {})
        return self.may_be_unread(what) or None in declared.values()

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.statements, *self.measures, *self.tasks, *self.models)

    def groups(self, module: str = "") -> tuple[str, ...]:
        """The groups that this file defines, or those of an import."""
        return tuple(
            name
            for name, s in self.statements.items()
            if isinstance(s, syntax.Define)
            and s.kind == "group"
            and name.rpartition(".")[0] == module
        )

    def of_kind(self, what: str) -> list[Any]:
        """What this file declares of a kind; imports declare nothing for it."""
        if what == "model":
            return [m for n, m in self.models.items() if m is not None and not _is_imported(n)]
        if what == "task":
            return [t for n, t in self.tasks.items() if t is not None and not _is_imported(n)]
        return self._own.get(what, [])

    @cached_property
    def _own(self) -> Mapping[str, list[syntax.Define]]:
        """What this file defines by one word each, by the word."""
        found: dict[str, list[syntax.Define]] = {}
        for name, s in self.statements.items():
            if isinstance(s, syntax.Define) and not _is_imported(name):
                found.setdefault(s.kind, []).append(s)
        return found

    def imported(self, *kinds: str) -> tuple[str, ...]:
        """Qualified names of what the file's own imports define of these kinds."""
        modules = self.imports.modules.values() if self.imports else ()
        return tuple(n for m in modules if "." not in m.name for n in m.names(*kinds))

    def qualified(self, parts: tuple[str, ...]) -> str | None:
        """The longest beginning of a dotted name that is defined."""
        for length in range(len(parts), 0, -1):
            if (text := ".".join(parts[:length])) in self or text in self.measures:
                return text
        return None

    def task_part(self, parts: tuple[str, ...]) -> tuple[Any, str] | None:
        """`task.corruption` or `task.template`: the task and the last part."""
        name = ".".join(parts[:-1])
        task = self.tasks.get(name)
        if task is None:
            if name in self.tasks:
                raise Reject
            return None
        return (task, parts[-1]) if parts[-1] in task.parts else None

    def task(self, name: str, e: Any) -> Any:
        """The task's definition; a silent `Reject` when it had errors of its own."""
        task = self.tasks.get(name)
        if task is None:
            raise Reject
        return task

    def label(self, name: str) -> bool:
        return any(t is not None and name in t.some_labels for t in self.tasks.values())

    def span_length(self, label: str) -> int | None:
        """How many tokens a label has in every prompt of every task that has it; None if unknown."""
        if label == END:
            return 1
        having = [t for t in self.tasks.values() if t is not None and label in t.some_labels]
        lengths = {t.span_length(label) for t in having}
        return lengths.pop() if len(lengths) == 1 else None

    def ambiguous_label(self, name: str) -> str | None:
        """Why a repeated slot is no position, with the labels to use instead; None when it is one."""
        for task in self.tasks.values():
            if task is None or name in task.some_labels or name not in task.ambiguous_labels:
                continue
            labels = ", ".join(f"`{label}`" for label in task.ambiguous_labels[name])
            meant = f"; its occurrences are {labels}" if labels else ""
            return f"Slot `{name}` occurs more than once in a prompt of task `{task.name}`{meant}."
        return None

    def is_corruption(self, name: str) -> bool:
        return any(t is not None and name in t.corruptions for t in self.tasks.values())

    def name_help(self, name: str) -> str | None:
        for task in self.tasks.values():
            if task is not None and name in task.tokens:
                return f"`{name}` is a token set; it stands in `logit({name})` or `prob({name})`"
        if self.is_corruption(name):
            return f"`{name}` is a corruption; write `resample({name})` or `mean({name})`"
        if re.fullmatch(r"a\.h\d+", name):
            return f"a head has a layer: `a0{name[1:]}`, or `a[*]{name[1:]}` in every layer"
        node = head_for(name)
        if node:
            return f"heads are written `a9.h6`, MLPs `m3`: write `{node}`"
        return NAMES.get(name)

    @property
    def inliner(self) -> Inliner:
        return Inliner(self.measures, self.diagnostics, self.tasks, self.budget)

    def evaluate(self, name: str, evaluator: Evaluator, env: Environment) -> Any:
        if name not in self.statements and name in self.tasks:
            if self.tasks[name] is None:
                raise Reject
            return Data(name)
        if name in self.models:
            if self.models[name] is None:
                raise Reject
            return self.models[name]
        statement = self.statements[name]
        if isinstance(statement, syntax.Circuit):
            return self._circuit(statement, evaluator, env)
        if statement.kind == "metric":
            return MetricValue(name, statement.value)
        value = evaluator.value(self.inliner.expand(statement.value, self.defaults), env)
        self._check_weight(value, statement, evaluator)
        match statement.kind:
            case "group":
                return evaluator.as_nodes(value, statement.value)
            case "ablation":
                return self._ablation(statement, value, evaluator)
        return value

    def _check_weight(self, value: Any, statement: Any, evaluator: Evaluator) -> None:
        """Definitions that each use the one before twice would double with every line."""
        parts = weight(value, LARGEST_VALUE)
        self.budget.spend(parts, statement.value.span, self.diagnostics)
        if parts >= LARGEST_VALUE:
            raise evaluator.fail(
                "CL302",
                f"`{statement.name}` has more than {LARGEST_VALUE:,} parts.",
                statement.value,
                "define less in terms of itself",
            )

    def _ablation(self, statement: syntax.Define, value: Any, evaluator: Evaluator) -> Any:
        if not isinstance(value, AblationValue):
            raise evaluator.fail(
                "CL106",
                "`ablation` takes resample(...), mean(...), donors(...), constants(...) or zero, "
                f"not {kind(value)}.",
                statement.value,
                f"write `ablation {statement.name} = resample(corruption)`",
            )
        known = [c for t in self.tasks.values() if t is not None for c in t.corruptions]
        name = value.corruption
        if name and name not in ("clean", *known) and not self.is_broken("task"):
            raise evaluator.fail(
                "CL101",
                f"No task has a corruption `{name}`.",
                statement.value,
                suggestion(name, known)
                or (f"the corruptions are {', '.join(dict.fromkeys(known))}" if known else None)
                or f"declare it in the task: `corrupt {name} {{ slot = value }}`",
            )
        return replace(value, written=statement.name)

    def _circuit(self, statement: syntax.Circuit, evaluator: Evaluator, env: Environment) -> Edges:
        if statement.value is not None:
            value = evaluator.value(self.inliner.expand(statement.value, self.defaults), env)
            lines = value.lines if isinstance(value, Edges) else ()
            whole = Edges(evaluator.as_edges(value, statement.value, env), lines)
            self._check_weight(whole, statement, evaluator)
            return whole
        result, lines_, failed = NOTHING, [], False
        for line in statement.lines:
            try:
                edges = self._line(line, evaluator, env)
            except Reject:
                failed = True
                continue
            lines_.append((line_text(line), edges))
            result = result | edges
        if failed or not statement.complete:
            raise Reject
        if result == NOTHING:
            self.diagnostics.warn(
                "CL309",
                f"Circuit `{statement.name}` has no edge.",
                statement.span,
                "add a line such as `input -> logits`, or delete the circuit",
            )
        self._warn_dead(statement, result, lines_, evaluator, env)
        return Edges(result, tuple(lines_))

    def _line(
        self, line: syntax.EdgeLine | syntax.LiveLine, evaluator: Evaluator, env: Environment
    ) -> EdgeSet:
        if isinstance(line, syntax.LiveLine):
            value = evaluator.value(line.nodes, env)
            if not isinstance(value, (Nodes, Items)):
                raise evaluator.fail(
                    "CL106",
                    f"`live` takes nodes, not {kind(value)}.",
                    line.nodes,
                    f"write `live nodes({unparse(line.nodes)})`"
                    if isinstance(value, Edges)
                    else "name heads, MLPs or a group",
                )
            return sets.leaving(evaluator.as_nodes(value, line.nodes), evaluator.graph(env))
        return evaluator.product(line.source, line.target, line, env)

    def _warn_dead(
        self,
        statement: syntax.Circuit,
        edges: EdgeSet,
        lines: list[tuple[str, EdgeSet]],
        evaluator: Evaluator,
        env: Environment,
    ) -> None:
        """Dead edges of written arrows: no path on to logits, whatever the positions."""
        graph = evaluator.graph(env)
        free: EdgeSet = NOTHING
        for clause in self.defaults:
            if clause.word == "free":
                free = sets.leaving(evaluator.nodes(clause.value, env), graph)
        whole = (edges | free).reach
        alive = sets.reaching_logits(whole, graph)
        fed = sets.reached_from_input(whole, graph)
        for written, (_, line_edges) in zip(statement.lines, lines, strict=True):
            if isinstance(written, syntax.LiveLine):
                continue
            reach = line_edges.reach
            self._warn_line(written.span, reach, reach & ~alive, "lead nowhere", graph)
            if not evaluator.nodes(written.source, env).wide:
                self._warn_line(
                    written.span, reach, reach & alive & ~fed, "start from nothing live", graph
                )
        lives = [line for line in statement.lines if isinstance(line, syntax.LiveLine)]
        if lives and not self.frees and not alive & fed:
            self.diagnostics.warn(
                "CL204",
                f"No path of circuit `{statement.name}` leads from `input` to `logits`, so it carries "
                "nothing of the prompt: under resample it is worth what `none` is.",
                lives[0].span,
                "declare what is never ablated (`default free [input, mlps]`), or add the edges from "
                "`input`",
            )

    def _warn_line(self, span: Span, reach: int, dead: int, how: str, graph: Any) -> None:
        if not dead:
            return
        shown = [str(e) for _, e in zip(range(3), graph.edges(dead), strict=False)]
        rest = ", ..." if dead.bit_count() > 3 else ""
        number = f"{dead.bit_count()} of the {reach.bit_count()} edges of this line"
        if how == "lead nowhere":
            reason = "the circuit has no path from them to logits, so they change nothing"
        else:
            reason = (
                "the circuit has no path from input to them, so under resample they carry "
                "the ablated value"
            )
        self.diagnostics.warn(
            "CL204",
            f"{number} {how} ({', '.join(f'`{s}`' for s in shown)}{rest}): {reason}.",
            span,
            "add the edges that carry them on, or delete them",
        )


def line_text(line: syntax.EdgeLine | syntax.LiveLine) -> str:
    if isinstance(line, syntax.LiveLine):
        return f"live {unparse(line.nodes)}"
    return f"{unparse(line.source, 8)} -> {unparse(line.target, 8)}"
