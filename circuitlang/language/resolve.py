"""Syntax tree -> resolved spec. Needs each model's shape, and neither weights nor tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from circuitlang.language import spec as forms
from circuitlang.language.definitions import Definitions
from circuitlang.language.diagnostics import Diagnostics, Reject, shallow, suggestion
from circuitlang.language.formulas.check_names import (
    check_measure,
    check_statement,
    feeds_tasks,
    says,
    used_names,
    words_of_task,
)
from circuitlang.language.formulas.claims import ClaimResolver
from circuitlang.language.formulas.environment import Environment
from circuitlang.language.formulas.evaluate import BUILTIN_WORDS, Evaluator
from circuitlang.language.formulas.functions import is_function
from circuitlang.language.formulas.inline import merge
from circuitlang.language.formulas.measure_types import check_measure_types, types_of_names
from circuitlang.language.formulas.values import Edges, Formulas, Nodes
from circuitlang.language.imports import Imports, reached
from circuitlang.language.models.find import Found, find
from circuitlang.language.models.statement import Locate, resolve_model
from circuitlang.language.settings import settings as read_settings
from circuitlang.language.source import Source, Span
from circuitlang.language.spec import ModelReference
from circuitlang.language.tasks.mentions import Lookup
from circuitlang.language.tasks.task import TaskSpec, resolve_task
from circuitlang.language.tasks.text import Steps
from circuitlang.language.text import syntax
from circuitlang.language.text.grammar import grammar_folder
from circuitlang.language.text.parse import LARGEST_FILE, parse, parse_expression

MOST_BYTES = 4 * LARGEST_FILE
T = TypeVar("T")


@dataclass(frozen=True)
class Resolved:
    """The spec, what its tasks and models are, and what is needed to resolve more formulas."""

    spec: forms.Spec
    tasks: Mapping[str, TaskSpec]
    found: Mapping[str, Found]
    definitions: Definitions
    file: syntax.File
    source: Source


def load(path: Path, diagnostics: Diagnostics) -> Source | None:
    """Reads a spec file; problems are recorded."""
    name = str(path)
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        near = [p.name for p in path.parent.glob("*.circ")] if path.parent.is_dir() else []
        diagnostics.error("CL110", f"There is no file `{name}`.", None, suggestion(path.name, near))
        return None
    except (OSError, ValueError) as problem:
        diagnostics.error(
            "CL110",
            f"`{name}` cannot be read: {getattr(problem, 'strerror', None) or problem}.",
            None,
            "give a .circ file" if path.is_dir() else None,
        )
        return None
    if len(data) > MOST_BYTES:
        diagnostics.error(
            "CL006",
            f"`{name}` has more than {MOST_BYTES:,} bytes; a spec has at most {LARGEST_FILE:,} "
            "characters.",
            None,
            'move data into a file and read it with rows("...") or file("...")',
        )
        return None
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as problem:
        diagnostics.error(
            "CL007", f"`{name}` is not UTF-8 text (byte {problem.start}).", None, "save it as UTF-8"
        )
        return None
    return Source(name, text, path.parent)


@cache
def prelude() -> dict[str, syntax.Measure]:
    """The built-in measures, by name."""
    path = grammar_folder() / "prelude.circ"
    diagnostics = Diagnostics()
    source = Source("prelude.circ", path.read_text(encoding="utf-8"), path.parent)
    file = parse(source, diagnostics)
    assert not diagnostics.found, diagnostics.found
    return {s.name: s for s in file.statements if isinstance(s, syntax.Measure)}


def resolve(
    source: Source,
    diagnostics: Diagnostics,
    locate: Locate = find,
    seed: int | None = None,
    dtype: str | None = None,
) -> Resolved | None:
    """The resolved spec, or None when nothing can be run; findings are in `diagnostics`.

    `locate` finds a model by reference, revision and folder; it raises `ModelNotFound`. `seed`
    replaces the first task's own for the members that are drawn of domains, and `dtype` every model's.
    """
    file = parse(source, diagnostics)
    return _Resolver(source, file, diagnostics, locate, seed, dtype).resolve()


class _Resolver:
    def __init__(
        self,
        source: Source,
        file: syntax.File,
        diagnostics: Diagnostics,
        locate: Locate,
        seed: int | None,
        dtype: str | None,
    ) -> None:
        self.source, self.file, self.diagnostics = source, file, diagnostics
        self.locate, self.seed, self.dtype = locate, seed, dtype
        self.found: dict[str, Found] = {}
        self.seen: dict[str, Span] = {}
        self.refused: list[syntax.Unread] = []
        self.steps = Steps()

    def each(self, *kinds: type) -> Iterator[Any]:
        return (s for s in self.file.statements if isinstance(s, kinds))

    def resolve(self) -> Resolved | None:
        header = self._header()
        settings = read_settings(self.each(syntax.Setting), self.diagnostics)
        statements = self._named_statements()
        measures = self._measures()
        imports = self._imports()
        models = self._models(settings, bool(imports.modules or imports.unread))
        imported = self._add_imported(imports, settings, statements, measures, models)
        tasks = {**self._tasks(statements), **imported}
        for name in check_measure_types(measures, self.diagnostics, types_of_names(self.file)):
            self.refused.append(syntax.Unread("measure", name))
            del measures[name]
        definitions = Definitions(
            self.diagnostics,
            self.source.folder,
            statements,
            measures,
            tasks,
            models,
            self._defaults(),
            imports=imports,
            given_seed=self.seed,
        )
        definitions.unread = (*self.file.unread, *self.refused, *imports.unread)
        definitions.frees = any(says(s, "free") for s in self.file.statements)
        self._check_measures(definitions)
        known = self._first_model(definitions)
        if known is None or None in tasks.values():
            self._check_all_names(definitions)
        if known is None:
            return None
        evaluator = Evaluator(definitions)
        env = Environment(known, {}, {})
        circuits, groups = self._evaluate_definitions(evaluator, env)
        resolver = ClaimResolver(evaluator, env, self.each(syntax.Counterexample))
        claims = [c for s in self.each(syntax.Claim) if (c := resolver.claim(s))]
        reports = [r for s in self.each(syntax.Report) if (r := resolver.report(s))]
        self._expect_claims()
        self._unused(definitions)
        spec = forms.Spec(
            header.name if header else Path(self.source.name).stem,
            header.version if header else None,
            settings.get("paper", ()),
            {n: m for n, m in models.items() if m is not None},
            tuple(tasks),
            tuple(claims),
            tuple(reports),
            groups,
            circuits,
            tuple(definitions.circuit_files.values()),
            bool(settings.get("looks", False)),
            "guarantee" in settings,
            settings.get("title"),
            settings.get("authors", ()),
            settings.get("doi"),
        )
        good = {n: t for n, t in tasks.items() if t is not None}
        return Resolved(spec, good, self.found, definitions, self.file, self.source)

    # ------------------------------------------------------------ statements

    def _header(self) -> syntax.SpecHeader | None:
        headers = list(self.each(syntax.SpecHeader))
        for extra in headers[1:]:
            self.diagnostics.error(
                "CL102", "The file has a second `spec` line.", extra.span, "delete one"
            )
        if not headers and self.file.statements and not self._unread("spec"):
            name = Path(self.source.name).stem
            self.diagnostics.warn(
                "CL103",
                "The spec has no name and version.",
                self.source.span(0, 0),
                f'start with `spec {name} "0.1.0"`',
            )
        return headers[0] if headers else None

    def _claim_name(self, name: str, span: Span, seen: dict[str, Span] | None = None) -> bool:
        seen = self.seen if seen is None else seen
        if name in seen:
            first = seen[name]
            self.diagnostics.error(
                "CL102",
                f"`{name}` is defined twice.",
                span.part(name),
                "rename one of them",
                ((first.part(name), "The first is here:"),),
            )
            return False
        if name in BUILTIN_WORDS or is_function(name):
            self.diagnostics.error(
                "CL108",
                f"`{name}` has a meaning in the language already.",
                span.part(name),
                f"choose another name, such as `my_{name}`",
            )
            self.refused.append(syntax.Unread("", name))
            return False
        measure = prelude().get(name)
        if measure is not None and (seen is self.seen or not measure.parameters):
            self.diagnostics.error(
                "CL108",
                f"`{name}` is a built-in measure and means the same in every spec.",
                span.part(name),
                f"choose another name, such as `my_{name}`",
            )
            self.refused.append(syntax.Unread("", name))
            return False
        seen[name] = span
        return True

    def _named_statements(self) -> dict[str, Any]:
        found = {}
        for s in self.each(syntax.Define, syntax.Circuit):
            if self._claim_name(s.name, s.span):
                found[s.name] = s
        return found

    def _measures(self) -> dict[str, syntax.Measure]:
        own = {}
        for s in self.each(syntax.Measure):
            if self._claim_name(s.name, s.span):
                self._check_parameters(s)
                own[s.name] = s
        return {**prelude(), **own}

    def _check_parameters(self, s: syntax.Measure) -> None:
        for i, name in enumerate(s.parameters):
            if name in BUILTIN_WORDS:
                self.diagnostics.error(
                    "CL108",
                    f"`{name}` has a meaning in the language and cannot be a parameter.",
                    s.span.part(name),
                    "choose another name",
                )
            if name in s.parameters[:i]:
                self.diagnostics.error(
                    "CL102",
                    f"Measure `{s.name}` has two parameters `{name}`.",
                    s.span.part(name),
                    "rename one of them",
                )

    def _imports(self) -> Imports:
        imports = Imports(parse, self.diagnostics)
        for s in self.each(syntax.Import):
            self._claim_name(s.name, s.span)
        imports.read(self.file, self.source)
        return imports

    def _add_imported(
        self,
        imports: Imports,
        settings: Mapping[str, Any],
        statements: dict[str, Any],
        measures: dict[str, syntax.Measure],
        models: dict[str, ModelReference | None],
    ) -> dict[str, TaskSpec | None]:
        """Enters imported definitions under their dotted names, and gives imported tasks; tasks and
        models only where they are used."""
        tasks: dict[str, TaskSpec | None] = {}
        known: dict[str, tuple[Any, ...]] = {}
        of_module = {}
        for module in imports.modules.values():
            for s in module.definitions:
                assert s.name is not None
                known[s.name] = (*known.get(s.name, ()), s)
                of_module[s.name] = module
        used = reached(self.file.statements, known)
        for name, s in ((name, s) for name, group in known.items() for s in group):
            module = of_module[name]
            match s:
                case syntax.Measure():
                    measures[name] = s
                case syntax.Model() if name in used:
                    models[name] = self._model(name, s, settings, module.source.folder)
                case syntax.Task() if name in used:
                    tasks[name] = self._task(s, module.let, tuple(module.own))
                case syntax.Define() | syntax.Circuit():
                    statements[name] = s
        return tasks

    def _first_model(self, definitions: Definitions) -> ModelReference | None:
        """The model whose graph is meant where nothing else is said: the default, else the first."""
        for c in definitions.defaults:
            if c.word == "with" and isinstance(c.value, syntax.Name):
                found = definitions.models.get(c.value.text)
                if found is not None:
                    return found
        known = [m for m in definitions.models.values() if m is not None]
        if known:
            return known[0]
        if definitions.imports and definitions.imports.modules and not definitions.models:
            others = definitions.imported("model")
            self.diagnostics.error(
                "CL103",
                "The spec declares no model.",
                self.source.span(0, 0),
                f"add `default with {others[0]}`" if others else 'add `model "toy"`',
            )
        return None

    def _unread(self, kind: str) -> bool:
        return any(u.kind in (kind, "") for u in self.file.unread)

    def _models(
        self, settings: Mapping[str, Any], imports: bool
    ) -> dict[str, ModelReference | None]:
        models: dict[str, ModelReference | None] = {}
        for s in self.each(syntax.Model):
            name = s.name or f'"{s.reference}"'
            if name in models:
                self.diagnostics.error(
                    "CL102",
                    "A second model needs a name of its own.",
                    s.span,
                    f'write `model other = "{s.reference}"`',
                )
                continue
            if s.name is None or self._claim_name(s.name, s.span):
                models[name] = self._model(name, s, settings, self.source.folder)
        if not (models or imports or self._unread("model")) and self.file.statements:
            self.diagnostics.error(
                "CL103", "The spec declares no model.", self.source.span(0, 0), 'add `model "toy"`'
            )
        return models

    def _model(
        self, name: str, s: syntax.Model, settings: Mapping[str, Any], folder: Path
    ) -> ModelReference | None:
        declared = resolve_model(name, s, settings, folder, self.locate, self.diagnostics)
        if declared is None:
            return None
        reference, self.found[name] = declared
        if reference is not None and self.dtype is not None:
            reference = replace(reference, dtype=self.dtype)
        return reference

    def _tasks(self, statements: Mapping[str, Any]) -> dict[str, TaskSpec | None]:
        def lookup(name: str) -> syntax.Expression | None:
            s = statements.get(name)
            return s.value if isinstance(s, syntax.Define) and s.kind == "let" else None

        lets = tuple(n for n in statements if lookup(n) is not None)
        tasks: dict[str, TaskSpec | None] = {}
        seen: dict[str, Span] = {}
        for s in self.each(syntax.Task):
            if self._claim_name(s.name, s.span, seen):
                tasks[s.name] = self._task(s, lookup, lets)
        return tasks

    def _task(self, s: syntax.Task, lookup: Lookup, lets: tuple[str, ...]) -> TaskSpec | None:
        """Of a task with an error nothing is known but its words, and nothing is said of them."""
        task = resolve_task(s, lookup, self.diagnostics, lets, self.steps)
        if task is None:
            self.refused += [syntax.Unread("label", word) for word in words_of_task(s)]
        return task

    def _defaults(self) -> tuple[syntax.Clause, ...]:
        found: dict[str, syntax.Clause] = {}
        for s in self.each(syntax.Default):
            for c in s.clauses:
                if c.word == "per":
                    self.diagnostics.error(
                        "CL115",
                        "`per` belongs into `mean(... per ...)`.",
                        c.span,
                        "write for example `under mean(clean per template)`",
                    )
                elif c.word in found:
                    self.diagnostics.error(
                        "CL102",
                        f"`default {c.word}` is given twice.",
                        c.span,
                        "delete one",
                        ((found[c.word].span, "The first is here:"),),
                    )
                else:
                    found[c.word] = c
        return merge((), tuple(found.values()))

    def _check_measures(self, definitions: Definitions) -> None:
        for s in self.each(syntax.Measure):
            check_measure(s, definitions, self.diagnostics)

    def _check_all_names(self, definitions: Definitions) -> None:
        """What can be said of formulas that cannot be worked out: names that nobody defines."""
        tasks = list(self.each(syntax.Task))
        if not all(t.complete for t in tasks):
            return
        words = frozenset(word for t in tasks for word in words_of_task(t))
        for s in self.each(syntax.Define, syntax.Circuit, syntax.Claim, syntax.Report):
            if not (isinstance(s, syntax.Define) and feeds_tasks(s, self.file)):
                check_statement(s, words, definitions, self.diagnostics)

    def _unused(self, definitions: Definitions) -> None:
        used = used_names(self.file)
        if "groups" in used or self.diagnostics.has_errors:
            return
        for name in definitions.groups():
            if name not in used:
                self.diagnostics.warn(
                    "CL114",
                    f"Group `{name}` is not used.",
                    self.seen[name].part(name),
                    "use it in a circuit, or delete it",
                )

    def _evaluate_definitions(
        self, evaluator: Evaluator, env: Environment
    ) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
        circuits, groups = {}, {}
        own_groups = evaluator.definitions.groups()
        for name, s in evaluator.definitions.statements.items():
            if "." in name:
                continue
            if isinstance(s, syntax.Define) and (s.kind == "metric" or feeds_tasks(s, self.file)):
                continue
            evaluator.expanded = 0
            try:
                with shallow(self.diagnostics, s.span):
                    value = evaluator.definition(name, syntax.Name((name,), s.span), env)
            except Reject:
                continue
            if isinstance(s, syntax.Circuit) and isinstance(value, Edges):
                circuits[name] = value.set
            elif isinstance(value, Nodes) and name in own_groups:
                groups[name] = tuple(map(str, value.members))
        return circuits, groups

    def _expect_claims(self) -> None:
        seen: dict[str, Span] = {}
        for s in self.each(syntax.Claim, syntax.Report):
            if s.name in seen:
                self.diagnostics.error(
                    "CL102",
                    f"`{s.name}` is the name of two claims or reports.",
                    s.span.part(s.name),
                    "rename one of them",
                    ((seen[s.name].part(s.name), "The first is here:"),),
                )
            seen[s.name] = s.span
        claims = [s.name for s in self.each(syntax.Claim)]
        for c in self.each(syntax.Counterexample):
            if c.claim not in claims and not self._unread("claim"):
                self.diagnostics.error(
                    "CL101",
                    f"No claim is called `{c.claim}`.",
                    c.span.part(c.claim),
                    suggestion(c.claim, claims) or f"the claims are {', '.join(claims) or 'none'}",
                )
        if not seen and self.file.statements and not self._unread("claim"):
            self.diagnostics.warn(
                "CL103",
                "The spec makes no claim.",
                self.source.span(0, 0),
                "add `claim faithful: faithfulness(circuit) in 0.8..1.2`",
            )


def labels_of(text: str, resolved: Resolved) -> tuple[str, ...] | None:
    """How a spec writes each member of a set or list of sets; None when it has errors."""

    def labels(resolver: ClaimResolver, e: syntax.Expression) -> tuple[str, ...]:
        evaluator, env, inlined = resolver.evaluator, resolver.env, resolver.inlined(e, ())
        members = evaluator.listed(inlined, evaluator.value(inlined, env), env)
        return tuple(label for _, label in members)

    found = of_loose_text(text, resolved, labels)
    return found[0] if found is not None else None


def of_loose_text(
    text: str, resolved: Resolved, work: Callable[[ClaimResolver, syntax.Expression], T]
) -> tuple[T, Span] | None:
    """What `work` makes of an expression that stands in no file, and its place; None with errors."""
    diagnostics = resolved.definitions.diagnostics
    e = parse_expression(Source("expression", text, resolved.source.folder), diagnostics)
    if e is None:
        return None
    env = Environment(next(iter(resolved.spec.models.values())), {}, {})
    resolver = ClaimResolver(Evaluator(resolved.definitions), env)
    try:
        with shallow(diagnostics, e.span):
            return work(resolver, e), e.span
    except Reject:
        return None


def resolve_expression(text: str, resolved: Resolved) -> tuple[tuple[str, Any, Span], ...]:
    """(label, number or condition, place) of a loose expression; empty when it has errors."""
    found = of_loose_text(text, resolved, ClaimResolver.any_value)
    if found is None:
        return ()
    value, span = found
    if isinstance(value, Formulas):
        return (("", value, span),)
    return tuple((label, number, span) for label, number in value)
