"""One version of a document -> what is known of it: symbols, diagnostics, the resolved spec.

The same front half that `circ lint` runs, on the text in the editor. What a half-written text
keeps from being resolved is known from its tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from circuitlang.front import Front, Options, lint_further, resolve_source
from circuitlang.language.definitions import Definitions
from circuitlang.language.diagnostics import Diagnostic, Diagnostics, Reject, shallow
from circuitlang.language.formulas.environment import Environment
from circuitlang.language.formulas.evaluate import Evaluator
from circuitlang.language.formulas.measure_types import Signature, signatures, types_of_names
from circuitlang.language.graph.architecture import Architecture, architecture
from circuitlang.language.imports import Imports, Module
from circuitlang.language.resolve import Resolved, prelude
from circuitlang.language.spec import ModelReference
from circuitlang.language.text import syntax
from circuitlang.language.text.grammar import grammar_folder
from circuitlang.language.text.parse import parse
from circuitlang.lsp.symbols import Outline, outline
from circuitlang.lsp.text import Text

# More prompts than these are not drawn while somebody types.
MOST_SAMPLES = 500


def prelude_file() -> Path:
    return (grammar_folder() / "prelude.circ").resolve()


class Analysis:
    """Everything is worked out when it is first asked for, but for what `check` does."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self.front = Front(Diagnostics())

    def check(self) -> None:
        """Resolves the text and draws its prompts: the slow part. The prelude is no spec."""
        source = self.text.source
        if (source.folder / Path(source.name).name).resolve() == prelude_file():
            return
        diagnostics = Diagnostics()
        front = resolve_source(source, diagnostics)
        tasks = front.resolved.tasks.values() if front.resolved else ()
        most = max((t.sample for t in tasks), default=0)
        samples = MOST_SAMPLES if most > MOST_SAMPLES else None
        self.front = lint_further(front, Options(samples=samples))

    def give_up(self, problem: Exception) -> None:
        """Says that `check` failed, which no text may bring about."""
        message = f"A defect of circuitlang: {type(problem).__name__}: {problem}"
        found = Diagnostic("CL901", message, None, "please report it, with this file")
        self.front = Front(Diagnostics([found]))

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        return self.front.found

    @property
    def resolved(self) -> Resolved | None:
        return self.front.resolved

    @cached_property
    def outline(self) -> Outline:
        return outline(self.text)

    @cached_property
    def file(self) -> syntax.File:
        return self.resolved.file if self.resolved else parse(self.text.source, Diagnostics())

    @cached_property
    def modules(self) -> Mapping[str, Module]:
        """The imported files, by (dotted) name."""
        definitions = self.definitions
        if definitions is not None and definitions.imports is not None:
            return definitions.imports.modules
        imports = Imports(parse, Diagnostics())
        imports.read(self.file, self.text.source)
        return imports.modules

    @cached_property
    def imported_files(self) -> frozenset[Path]:
        """The files that the document's imports name, and those that they import."""
        files = [(self.text.source.folder, self.file)]
        files += [(module.source.folder, module.file) for module in self.modules.values()]
        return frozenset(
            (folder / s.path).resolve()
            for folder, file in files
            for s in file.statements
            if isinstance(s, syntax.Import)
        )

    # ------------------------------------------------------------ values

    @property
    def definitions(self) -> Definitions | None:
        return self.resolved.definitions if self.resolved else None

    @cached_property
    def model(self) -> ModelReference | None:
        """The model whose graph nodes belong to: that of `default with`, else the first."""
        if self.resolved is None:
            return None
        models = self.resolved.spec.models
        for clause in self.resolved.definitions.defaults:
            if clause.word == "with" and isinstance(clause.value, syntax.Name):
                named = self.resolved.definitions.models.get(clause.value.text)
                if named is not None:
                    return named
        return next(iter(models.values()), None)

    @property
    def graph(self) -> Architecture | None:
        return architecture(self.model.shape) if self.model else None

    def value(self, e: syntax.Expression) -> Any:
        """What an expression means in this spec; None when it has a mistake, or there is no model."""
        if self.resolved is None or self.model is None:
            return None
        evaluator = Evaluator(replace(self.resolved.definitions, diagnostics=Diagnostics()))
        try:
            with shallow(evaluator.diagnostics, e.span):
                return evaluator.value(e, Environment(self.model, {}, {}))
        except Reject:
            return None

    def named(self, name: str) -> Any:
        """The value of a name of the file or of an import."""
        return self.value(syntax.Name(tuple(name.split(".")), self.text.source.span(0, 0)))

    # ------------------------------------------------------------ measures

    @cached_property
    def measures(self) -> Mapping[str, syntax.Measure]:
        """The built-in measures, the file's and those of its imports."""
        own = [s for s in self.file.statements if isinstance(s, syntax.Measure)]
        imported = [
            s for m in self.modules.values() for s in m.definitions if isinstance(s, syntax.Measure)
        ]
        return {**prelude(), **{s.name: s for s in (*imported, *own)}}

    @cached_property
    def signatures(self) -> Mapping[str, Signature]:
        return signatures(self.measures, types_of_names(self.file))
