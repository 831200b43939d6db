"""`import "other.circ" as other`: the definitions of another spec, under qualified names.

An imported file is parsed, and every name that it defines is written out with the import's name
in front, where it is defined and where it is used. After that `other.circuit` is a definition
like any other, and nothing below has to know about files. Claims, reports and defaults of an
imported spec stay behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from circuitlang.language.diagnostics import Diagnostics, Reject, suggestion
from circuitlang.language.files import read_inside
from circuitlang.language.source import Source, Span
from circuitlang.language.text import syntax

DEEPEST_IMPORT = 8
MOST_IMPORTS = 64
MOST_CHARACTERS = 2_000_000

Parse = Callable[[Source, Diagnostics], syntax.File]
Definition = syntax.Define | syntax.Circuit | syntax.Measure | syntax.Task | syntax.Model


@dataclass(frozen=True)
class Module:
    """One imported file under one name; `name` is dotted where an import imports."""

    name: str
    path: str
    source: Source
    file: syntax.File

    def __contains__(self, name: str) -> bool:
        return name in self.own

    @cached_property
    def own(self) -> Mapping[str, tuple[Definition, ...]]:
        """What the file defines, by unqualified name; a task and a circuit may share one."""
        found: dict[str, tuple[Definition, ...]] = {}
        for s in self.file.statements:
            if isinstance(s, Definition) and s.name is not None:
                found[s.name] = (*found.get(s.name, ()), s)
        return found

    @cached_property
    def imports(self) -> Mapping[str, syntax.Import]:
        return {s.name: s for s in self.file.statements if isinstance(s, syntax.Import)}

    @cached_property
    def definitions(self) -> tuple[Definition, ...]:
        """The file's definitions with every name of the file qualified; tasks keep their insides."""
        labels = frozenset(_labels(self.file))
        names = frozenset({*self.own, *self.imports})
        qualify = _Qualification(tuple(self.name.split(".")), names, labels)
        found: list[Definition] = []
        for s in (s for group in self.own.values() for s in group):
            name = f"{self.name}.{s.name}"
            if isinstance(s, (syntax.Task, syntax.Model)):
                found.append(replace(s, name=name))
            else:
                found.append(replace(qualify.walk(s, frozenset()), name=name))
        return tuple(found)

    def let(self, name: str) -> syntax.Expression | None:
        """The value of the file's own `let`, as its tasks look it up."""
        for s in self.own.get(name, ()):
            if isinstance(s, syntax.Define) and s.kind == "let":
                return s.value
        return None

    def names(self, *kinds: str) -> tuple[str, ...]:
        """Qualified names of what is defined as one of `kinds`: "metric", "task", "model", ..."""
        return tuple(f"{self.name}.{n}" for n, g in self.own.items() for s in g if word(s) in kinds)


def word(s: Definition) -> str:
    """The word that defines it: model, task, circuit, measure, group, let, metric, ablation."""
    return s.kind if isinstance(s, syntax.Define) else type(s).__name__.lower()


def _labels(file: syntax.File) -> Iterator[str]:
    from circuitlang.language.formulas.check_names import words_of_task

    for s in file.statements:
        if isinstance(s, syntax.Task):
            yield from words_of_task(s)


@dataclass(frozen=True)
class _Qualification:
    """Puts `prefix` before every free name in `names`; after `@` a label stays what it is."""

    prefix: tuple[str, ...]
    names: frozenset[str]
    labels: frozenset[str]

    def walk(self, part: Any, bound: frozenset[str]) -> Any:
        match part:
            case syntax.Name(parts):
                free = parts[0] in self.names and parts[0] not in bound
                return replace(part, parts=(*self.prefix, *parts)) if free else part
            case syntax.Measure():
                return replace(part, body=self.walk(part.body, frozenset(part.parameters)))
            case syntax.Quantifier():
                return replace(
                    part,
                    share=self.walk(part.share, bound),
                    domain=self.walk(part.domain, bound),
                    body=self.walk(part.body, bound | set(part.names)),
                )
            case syntax.At(base, place):
                return replace(
                    part, base=self.walk(base, bound), place=self.walk(place, bound | self.labels)
                )
            case (
                syntax.Call(generator=syntax.Generator())
                | syntax.ListExpression(generator=syntax.Generator())
            ):
                return self._generated(part, bound)
            case tuple():
                return tuple(self.walk(p, bound) for p in part)
        if not is_dataclass(part) or isinstance(part, (Span, type)):
            return part
        inner = {f.name: self.walk(getattr(part, f.name), bound) for f in fields(part)}
        return replace(part, **inner)

    def _generated(
        self, part: syntax.Call | syntax.ListExpression, bound: frozenset[str]
    ) -> syntax.Call | syntax.ListExpression:
        assert part.generator is not None
        inner, bindings = bound, []
        for binding in part.generator.bindings:
            bindings.append(replace(binding, domain=self.walk(binding.domain, inner)))
            inner = inner | set(binding.names)
        condition = self.walk(part.generator.condition, inner)
        generator = syntax.Generator(tuple(bindings), condition)
        if isinstance(part, syntax.ListExpression):
            return replace(part, items=self.walk(part.items, inner), generator=generator)
        return replace(
            part,
            name=self.walk(part.name, bound),
            arguments=self.walk(part.arguments, inner),
            named=self.walk(part.named, bound),
            clauses=self.walk(part.clauses, bound),
            generator=generator,
        )


# ---------------------------------------------------------------- reading


@dataclass
class Imports:
    """Reads a spec's imports and theirs; what goes wrong is in `diagnostics`.

    `unread` are the imports that could not be read, so that nothing complains of their names.
    """

    parse: Parse
    diagnostics: Diagnostics
    modules: dict[str, Module] = field(default_factory=dict)
    unread: list[syntax.Unread] = field(default_factory=list)
    _characters: int = 0
    _full: bool = False
    _files: dict[Path, tuple[Source, syntax.File]] = field(default_factory=dict)

    def read(self, file: syntax.File, source: Source) -> None:
        """Fills `modules`, keyed by (dotted) name."""
        own = (Path(source.folder) / Path(source.name).name).resolve()
        self._read_all(file, source, "", (own,))
        self._check_reexport(file, "")

    def _read_all(
        self, file: syntax.File, source: Source, prefix: str, open_: tuple[Path, ...]
    ) -> None:
        for s in file.statements:
            if not isinstance(s, syntax.Import) or prefix + s.name in self.modules:
                continue
            try:
                module = self._module(s, source, prefix, open_)
            except Reject:
                self.unread.append(syntax.Unread("import", prefix + s.name))
                continue
            self.modules[module.name] = module
            self.unread += [
                syntax.Unread(u.kind, f"{module.name}.{u.name}" if u.name else None)
                for u in module.file.unread
            ]
            path = (source.folder / s.path).resolve()
            self._read_all(module.file, module.source, f"{module.name}.", (*open_, path))
            self._check_reexport(module.file, f"{module.name}.")

    def _module(
        self, s: syntax.Import, source: Source, prefix: str, open_: tuple[Path, ...]
    ) -> Module:
        span = s.span.part(f'"{s.path}"')
        text = read_inside(s.path, source.folder, span, self.diagnostics)
        path = (source.folder / s.path).resolve()
        if path in open_:
            chain = " -> ".join(p.name for p in (*open_[open_.index(path) :], path))
            raise self.diagnostics.reject(
                "CL109", f"These files import each other: {chain}.", span, "break the circle"
            )
        if len(open_) > DEEPEST_IMPORT or len(self.modules) >= MOST_IMPORTS:
            if self._full:
                raise Reject
            self._full = True
            raise self.diagnostics.reject(
                "CL302",
                f"A spec imports at most {MOST_IMPORTS} files, {DEEPEST_IMPORT} deep.",
                span,
                "put the shared definitions into fewer files",
            )
        self._characters += len(text)
        if self._characters > MOST_CHARACTERS:
            raise self.diagnostics.reject(
                "CL302",
                f"The imported files have more than {MOST_CHARACTERS:,} characters together.",
                span,
                "import what is needed, and that once",
            )
        if path not in self._files:
            name = str(Path(source.name).parent / s.path)
            imported = Source(name, text.replace("\r\n", "\n"), path.parent, unsaved=source.unsaved)
            self._files[path] = imported, self.parse(imported, self.diagnostics)
        imported, file = self._files[path]
        return Module(prefix + s.name, s.path, imported, file)

    def _check_reexport(self, file: syntax.File, prefix: str) -> None:
        """`a.b.x` where `b` is an import of `a`: imports are not handed on."""
        for name in names_in(file.statements):
            module = self.modules.get(prefix + name.parts[0])
            if module is None or len(name.parts) < 2 or name.parts[1] in module:
                continue
            inner = module.imports.get(name.parts[1])
            if inner is not None:
                self.diagnostics.error(
                    "CL101",
                    f"`{name.parts[1]}` is an import of `{module.path}` and is not handed on.",
                    name.span,
                    f'write `import "{inner.path}" as {inner.name}` in this file too',
                )

    def unknown(self, parts: tuple[str, ...], at: Span) -> Reject:
        """The error for a name that starts with an import's and goes on with nothing it defines."""
        name = qualified(parts, self.modules)
        assert name is not None
        module, rest = self.modules[name], parts[name.count(".") + 1 :]
        if not rest:
            some = ", ".join(f"`{name}.{n}`" for n in list(module.own)[:5])
            return self.diagnostics.reject(
                "CL106",
                f"`{name}` is an imported spec, not a value.",
                at,
                f"name something of it: {some}" if some else f"`{module.path}` defines nothing",
            )
        help = suggestion(rest[0], module.own) or f"it defines {', '.join(module.own) or 'nothing'}"
        return self.diagnostics.reject(
            "CL101", f"`{module.path}` defines no `{rest[0]}`.", at, help
        )


def names_in(part: Any) -> Iterator[syntax.Name]:
    """Every name in a piece of the tree, called names included."""
    stack = [part]
    while stack:
        part = stack.pop()
        if isinstance(part, syntax.Name):
            yield part
        elif isinstance(part, tuple):
            stack.extend(reversed(part))
        elif is_dataclass(part) and not isinstance(part, (Span, type)):
            stack.extend(getattr(part, f.name) for f in reversed(fields(part)) if f.name != "span")


def reached(
    statements: Iterable[syntax.Statement], definitions: Mapping[str, tuple[Definition, ...]]
) -> frozenset[str]:
    """Names of `definitions` that `statements` mention, or that those mention in turn."""
    found: set[str] = set()
    waiting: list[Any] = list(statements)
    while waiting:
        for name in names_in(waiting.pop()):
            text = qualified(name.parts, definitions)
            if text is not None and text not in found:
                found.add(text)
                waiting += definitions[text]
    return frozenset(found)


def qualified(parts: tuple[str, ...], known: Iterable[str] | Mapping[str, Any]) -> str | None:
    """The longest beginning of a dotted name that is known."""
    for length in range(len(parts), 0, -1):
        if (text := ".".join(parts[:length])) in known:
            return text
    return None
