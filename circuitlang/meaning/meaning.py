"""What a spec means: JSON without a trace of how it was written.

Takes a resolved spec and gives a `Meaning`: one entry for each thing with a name. An entry's
`content` is equal where the thing means the same; its `form` is how it is made of other named
things, so that a change can be told from the changes that follow from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from circuitlang.compiler.collect import measurements, runs_of
from circuitlang.front import Front
from circuitlang.language.diagnostics import Reject
from circuitlang.language.formulas.environment import Environment
from circuitlang.language.formulas.evaluate import Evaluator
from circuitlang.language.formulas.values import AblationValue, Edges, Nodes
from circuitlang.language.imports import names_in, reached
from circuitlang.language.resolve import Resolved, prelude
from circuitlang.language.spec import Claim, ModelReference, ReportItem
from circuitlang.language.text import syntax
from circuitlang.language.text.syntax import Expression
from circuitlang.language.text.unparse import clause, quoted, unparse
from circuitlang.meaning.canonical import Json, digest, ordered
from circuitlang.meaning.edges import edges_content
from circuitlang.meaning.expressions import dissolved, is_default, tidy, without
from circuitlang.meaning.formulas import Formulas
from circuitlang.meaning.tasks import task_content
from circuitlang.meaning.terms import Data, Terms, terms_of


class Entry(Data):
    """`text` is what a reader sees, `uses` the keys of other entries and abbreviations.

    `form` is None where the thing is made of nothing else with a name. `terms` and `says`, the
    sentence with the reason of what is expected, belong to claims; a report has a sentence too.
    """

    content: Any
    form: str | None = None
    text: str = ""
    uses: tuple[str, ...] = ()
    says: str | None = None
    terms: Terms | None = None


class Meaning(Data):
    """`abbreviations` are `let`s, measures and defaults: they mean nothing but what uses them, and
    say through what a claim changed."""

    version: Literal[1] = 1
    name: str
    revision: str | None
    papers: tuple[str, ...]
    entries: dict[str, Entry]
    abbreviations: dict[str, str]

    def parts(self) -> dict[str, Json]:
        """What each nameable thing means, by keys such as "circuit ioi" and "settings"."""
        return {key: entry.content for key, entry in self.entries.items()}


def meaning(front: Front) -> Meaning:
    """Of a front without errors."""
    assert front.resolved is not None
    return _Reader(front.resolved).meaning()


class _Reader:
    def __init__(self, resolved: Resolved) -> None:
        self.resolved, self.spec = resolved, resolved.spec
        self.definitions = resolved.definitions
        self.models = {m.name: _model(m) for m in self.spec.models.values()}
        self.tasks = {name: task_content(task) for name, task in resolved.tasks.items()}
        self.formulas = Formulas(self.models, self.tasks)
        self.model = self._default_model()
        statements = self.definitions.statements
        self.lets = {
            name: s.value
            for name, s in statements.items()
            if isinstance(s, syntax.Define) and s.kind == "let"
        }
        own = self.definitions.measures.items()
        self.measures = {name: s for name, s in own if s is not prelude().get(name)}
        self.keys = self._keys()
        self.in_force = self._in_force()

    def meaning(self) -> Meaning:
        entries = dict(self._entries())
        used = {name for entry in entries.values() for name in entry.uses}
        return Meaning(
            name=self.spec.name,
            revision=self.spec.version,
            papers=self.spec.papers,
            entries=dict(sorted(entries.items())),
            abbreviations={k: v for k, v in sorted(self._abbreviations()) if k in used},
        )

    def _default_model(self) -> ModelReference:
        for c in self.definitions.defaults:
            if c.word == "with" and isinstance(c.value, syntax.Name):
                found = self.spec.models.get(c.value.text)
                if found is not None:
                    return found
        return next(iter(self.spec.models.values()))

    def _in_force(self) -> dict[str, str]:
        """What holds where a context word is left out: the default, or the only one declared."""
        words = {"on": "task", "under": "ablation", "by": "metric", "with": "model"}
        only = {word: self.definitions.of_kind(kind) for word, kind in words.items()}
        found = {word: known[0].name for word, known in only.items() if len(known) == 1}
        return found | {c.word: unparse(tidy(c.value)) for c in self.definitions.defaults}

    def _keys(self) -> dict[str, str]:
        """The key of the entry or abbreviation that a name stands for."""
        found = {name: f"measure {name}" for name in self.measures}
        for name, s in self.definitions.statements.items():
            word = s.kind if isinstance(s, syntax.Define) else "circuit"
            found[name] = f"{word} {name}"
        return found

    def _entries(self) -> Iterator[tuple[str, Entry]]:
        yield (
            "settings",
            Entry(content={"looks": self.spec.looks, "guaranteed": self.spec.guaranteed}),
        )
        for name, model in self.models.items():
            yield model_key(name), Entry(content=model, text=model["reference"])
        for name, task in self.tasks.items():
            yield f"task {name}", Entry(content=task)
        yield from self._definitions()
        statements = {
            s.name: s
            for s in self.resolved.file.statements
            if isinstance(s, syntax.Claim | syntax.Report)
        }
        for claim in self.spec.claims:
            yield f"{claim.kind} {claim.name}", self._claim(claim, statements[claim.name])
        for report in self.spec.reports:
            yield f"report {report.name}", self._report(report, statements[report.name])

    # ------------------------------------------------------------ definitions

    def _definitions(self) -> Iterator[tuple[str, Entry]]:
        statements = self.definitions.statements
        known = {name: (s,) for name, s in statements.items()}
        used = reached(self.resolved.file.statements, known)
        evaluator, env = Evaluator(self.definitions), Environment(self.model, {}, {})
        for name, s in statements.items():
            if name not in self.keys or ("." in name and name not in used):
                continue
            entry = self._definition(name, s, evaluator, env)
            if entry is not None:
                yield self.keys[name], entry

    def _definition(
        self, name: str, s: syntax.Define | syntax.Circuit, evaluator: Evaluator, env: Environment
    ) -> Entry | None:
        if isinstance(s, syntax.Define) and s.kind == "let":
            return None
        if isinstance(s, syntax.Circuit) and s.value is None:
            lines = sorted(map(self._line, s.lines))
            form, uses, text = "\n".join(lines), self._uses(s.lines), "\n".join(lines)
        else:
            assert s.value is not None
            form, uses, text = self._form(s.value), self._uses(s.value), unparse(s.value)
        if isinstance(s, syntax.Define) and s.kind == "metric":
            return Entry(content=form, text=text, uses=uses)
        try:
            value = evaluator.definition(name, syntax.Name(tuple(name.split(".")), s.span), env)
        except Reject:
            return None
        if isinstance(value, Edges):
            uses = tuple(sorted((*uses, model_key(self.model.name))))
        return Entry(content=self._value(value), form=form, text=text, uses=uses)

    def _value(self, value: Any) -> Json:
        match value:
            case Edges(edges):
                content = edges_content(edges, self.model.shape)
                return {"model": self.model.reference, "at": content}
            case Nodes(members):
                return sorted(map(str, members))
            case AblationValue():
                return {
                    "kind": value.kind,
                    "task": value.task,
                    "corruption": value.corruption,
                    "per": sorted(value.per or ()),
                    "draws": value.draws,
                    "file": value.constants.digest if value.constants else None,
                }
        raise TypeError(type(value).__name__)

    def _line(self, line: syntax.EdgeLine | syntax.LiveLine) -> str:
        if isinstance(line, syntax.LiveLine):
            return f"live {self._form(line.nodes)}"
        return f"{self._form(line.source)} -> {self._form(line.target)}"

    # ------------------------------------------------------------ claims and reports

    def _claim(self, claim: Claim, s: syntax.Claim | syntax.Report) -> Entry:
        assert isinstance(s, syntax.Claim)
        written_out = self._written_out(s.formula)
        own = (c for c in s.clauses if c.word != "over" and not is_default(c, self.in_force))
        words = "".join(f" {clause(c)}" for c in s.clauses)
        expected = f" expect {claim.expect[0]}" if claim.expect else ""
        return Entry(
            content={
                "formula": digest(self.formulas.content(claim.formula)),
                "over": claim.target,
                "expect": claim.expect[0] if claim.expect else None,
            },
            form=f"{self._clauses(s.clauses)}{expected}: {unparse(written_out)}",
            text="\n".join((f"{words}{expected}: {claim.written}".strip(": "), *self._refuting(s))),
            uses=self._claim_uses(s.formula, s.clauses, [claim.formula]),
            says=": ".join(filter(None, (claim.sentence, claim.expect and claim.expect[1])))
            or None,
            terms=terms_of(written_out, map(self._clause, own)),
        )

    def _refuting(self, s: syntax.Claim) -> Iterator[str]:
        for c in self.resolved.file.statements:
            if isinstance(c, syntax.Counterexample) and c.claim == s.name:
                yield f"counterexample {quoted(c.member)}"

    def _report(self, report: ReportItem, s: syntax.Claim | syntax.Report) -> Entry:
        assert isinstance(s, syntax.Report)
        numbers = [number for _, number in report.numbers]
        words = "".join(f" {clause(c)}" for c in s.clauses)
        return Entry(
            content={
                "numbers": digest(ordered(map(self.formulas.content, numbers))),
                "over": report.target,
            },
            form=f"{self._clauses(s.clauses)}: {unparse(self._written_out(s.value))}",
            text=f"{words}: {report.written}".strip(": "),
            uses=self._claim_uses(s.value, s.clauses, numbers),
            says=report.sentence,
        )

    def _clauses(self, clauses: tuple[syntax.Clause, ...]) -> str:
        said = (c for c in clauses if not is_default(c, self.in_force))
        return " ".join(sorted(map(self._clause, said)))

    def _clause(self, c: syntax.Clause) -> str:
        return clause(tidy(dissolved(c, self.lets.get)))

    def _claim_uses(self, e: Any, clauses: Any, forms: Sequence[Any]) -> tuple[str, ...]:
        """What is named, and what the formula's runs are made of though nothing names it."""
        found: dict[str, None] = dict.fromkeys(self._uses((e, clauses)))
        for form in forms:
            metrics = {m.metric.name for m in measurements(form)}
            runs = list(runs_of(form))
            ablations = {run.ablation.name for run in runs if run.ablation is not None}
            for run in runs:
                found[f"task {run.task}"] = found[model_key(run.model.name)] = None
            found |= {self.keys[name]: None for name in metrics | ablations if name in self.keys}
        said = {c.word for c in clauses}
        for c in self.definitions.defaults:
            if c.word not in said:
                found[f"default {c.word}"] = None
                found |= dict.fromkeys(self._uses(c.value) if c.word == "free" else ())
        return tuple(sorted(found))

    # ------------------------------------------------------------ expressions

    def _form(self, e: Expression) -> str:
        return unparse(self._written_out(e))

    def _written_out(self, e: Expression) -> Expression:
        """Without `let`s and the spec's own measures; what the language itself defines stays."""
        found = dissolved(e, self.lets.get, self.measures.get)
        return tidy(without(found, self.in_force))  # type: ignore[no-any-return]

    def _uses(self, e: Any) -> tuple[str, ...]:
        """Keys of all that an expression names, through its abbreviations too."""
        found: dict[str, None] = {}
        waiting = [e]
        while waiting:
            for name in names_in(waiting.pop()):
                text = self.definitions.qualified(name.parts)
                key = self.keys.get(text or "")
                if name.text == "groups":
                    found |= {self.keys[group]: None for group in self.definitions.groups()}
                if text in self.definitions.tasks:
                    found[f"task {text}"] = None
                if key is None or key in found:
                    continue
                found[key] = None
                if text in self.lets:
                    waiting.append(self.lets[text])
                elif text in self.measures:
                    waiting.append(self.measures[text].body)
        return tuple(sorted(found))

    def _abbreviations(self) -> Iterator[tuple[str, str]]:
        for name, value in self.lets.items():
            yield f"let {name}", unparse(tidy(value))
        for name, measure in self.measures.items():
            given = f"({', '.join(measure.parameters)}) = " if measure.parameters else "= "
            yield f"measure {name}", given + unparse(tidy(measure.body))
        for c in self.definitions.defaults:
            yield f"default {c.word}", unparse(tidy(c.value))


def model_key(name: str) -> str:
    return f"model {name.strip(chr(34))}"


def _model(model: ModelReference) -> Mapping[str, Json]:
    """Its revision as written: which commit that is now, a spec does not say."""
    return {
        "reference": model.reference,
        "revision": model.revision,
        "bos": model.bos,
        "dtype": model.dtype,
        "shape": asdict(model.shape),
    }
