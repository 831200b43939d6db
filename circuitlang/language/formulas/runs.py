"""F(S ...) -> a measurement: which run, under which ablation, by which metric, on which prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from circuitlang.language.diagnostics import suggestion
from circuitlang.language.formulas.constants import missing
from circuitlang.language.formulas.inline import count, merge
from circuitlang.language.formulas.metric import MetricBuilder, direction, measures_something
from circuitlang.language.formulas.values import AblationValue, Data, MetricValue, Nodes, kind
from circuitlang.language.graph import sets
from circuitlang.language.graph.circuit_file import tell_of_inputs
from circuitlang.language.graph.edges import END, EdgeSet, Position, uniform
from circuitlang.language.spec import (
    Ablation,
    Constants,
    Each,
    Mean,
    Measurement,
    Metric,
    ModelReference,
    Rows,
    Run,
)
from circuitlang.language.text import syntax
from circuitlang.language.text.syntax import Expression
from circuitlang.language.text.unparse import unparse

if TYPE_CHECKING:
    from circuitlang.language.formulas.environment import Environment
    from circuitlang.language.formulas.evaluate import Evaluator

_METRIC_EXAMPLE = "build it from logit, prob, logprob, rank, kl, js, loss, attention or indicator"


def _corruption_help(name: str, task: Any) -> str:
    if not task.corruptions:
        return f"declare it in the task: `corrupt {name} {{ slot = value }}`"
    return f"its corruptions are {', '.join(task.corruptions)}"


@dataclass(frozen=True)
class Context:
    """What the words at an F settle, so that a metric's own runs share it.

    `ablation` is only called for what is ablated: F(M) needs none.
    """

    model: ModelReference
    task: Any
    ablation: Callable[[], Ablation]
    free: EdgeSet
    free_names: tuple[str, ...]
    env: Environment


class RunBuilder:
    def __init__(self, evaluator: Evaluator) -> None:
        self.ev = evaluator

    def score(self, e: syntax.Call, env: Environment) -> Mean | Each:
        """The value of `F(S on .. under .. by .. with .. free ..)`."""
        ev = self.ev
        if len(e.arguments) != 1 or e.generator is not None or e.named:
            raise ev.fail("CL105", "F takes one set of edges.", e, "write `F(ioi)` or `F(ioi - e)`")
        context, data = self.context(e, env, lambda inner: ev.edges(e.arguments[0], inner))
        run = self.run(e.arguments[0], context)
        return self.measured(run, self.metric(self.word(e, "by"), context, e), data)

    def word(self, e: syntax.Call, word: str) -> Expression | None:
        """What stands after a context word."""
        return next((c.value for c in e.clauses if c.word == word), None)

    def context(
        self, e: syntax.Call, env: Environment, first: Callable[[Environment], object]
    ) -> tuple[Context, Data]:
        """What the words at a call settle; the mistakes that `first` finds come before theirs."""
        ev = self.ev
        words = {c.word: c.value for c in e.clauses}
        model = self.model(words.get("with"), e, env)
        inner = replace(env, model=model)
        first(inner)
        data = self.data(words.get("on"), e, inner)
        task = ev.definitions.task(data.task, e)
        free = ev.nodes(words["free"], inner) if "free" in words else Nodes(())
        under = words.get("under")
        said = self.ablation(under, task, e, inner) if under is not None else None
        context = Context(
            model,
            task,
            lambda: said or self.ablation(None, task, e, inner),
            sets.leaving(free, ev.graph(inner)),
            (unparse(words["free"]),) if "free" in words else (),
            inner,
        )
        return context, data

    def measured(self, run: Run, metric: Metric, data: Data) -> Mean | Each:
        if data.each == "aggregate":
            return Each(Measurement(run, metric, data.rows))
        if data.each is not None:
            return Mean(Measurement(run, metric, Rows("example", f"${data.each}")))
        return Mean(Measurement(run, metric, data.rows))

    def run(self, e: Expression, context: Context) -> Run:
        ev, env = self.ev, context.env
        edges = ev.edges(e, env)
        self.check_places(edges, context.task, e)
        self.warn_of_free(e, context)
        live = edges | context.free
        everything = uniform(ev.graph(env).everything)
        ablation = None if live == everything else context.ablation()
        written = ev.printed(e, env)
        if ablation is not None and ablation.constants is not None:
            self.check_constants(ablation.constants, live, written, e, env)
        found = Run(
            context.model,
            context.task.name,
            ablation,
            live,
            written,
            context.free,
            context.free_names,
        )
        tell_of_inputs(ev.definitions.circuit_files.values(), found, ev.graph(env), ev.diagnostics)
        return found

    def check_constants(
        self, constants: Constants, live: EdgeSet, written: str, e: Expression, env: Environment
    ) -> None:
        absent = missing(constants, live, self.ev.graph(env))
        if absent:
            names = ", ".join(f"`{node}`" for node in absent[:3])
            raise self.ev.fail(
                "CL211",
                f"`{written}` ablates {count(len(absent), 'node')} without a vector in "
                f"`{constants.name}`: {names}{', ...' if len(absent) > 3 else ''}.",
                e,
                "add a vector for each, or declare them free (`free ...`)",
            )

    def warn_of_free(self, e: Expression, context: Context) -> None:
        """`F(M - K)` where every edge of K leaves a free node: K is never ablated."""
        if not (isinstance(e, syntax.Binary) and e.operator == "-" and context.free.reach):
            return
        taken = self.ev.edges(e.right, context.env)
        if taken.reach and not taken.reach & ~context.free.reach:
            self.ev.diagnostics.warn(
                "CL309",
                f"Taking out `{self.ev.printed(e.right, context.env)}` changes nothing: "
                f"it is never ablated (`free {', '.join(context.free_names)}`).",
                e.span,
                "leave it out, or do not declare it free",
            )

    def check_places(self, edges: EdgeSet, task: Any, e: Expression) -> None:
        for place in sorted(edges.places, key=str):
            for position in place.positions:
                self.check_label(position, task, e)

    def check_label(self, position: Position, task: Any, e: Expression) -> None:
        if position.label == END or position.label in task.labels:
            return
        if position.label in task.some_labels:
            raise self.ev.fail(
                "CL504",
                f"Some prompts of task `{task.name}` have no label `{position.label}`.",
                e,
                "label it in every prompt",
            )
        raise self.ev.fail(
            "CL504",
            f"Task `{task.name}` has no position `{position.label}`.",
            e,
            suggestion(position.label, (*task.labels, END))
            or f"its positions are {', '.join((*sorted(task.labels), END))}",
        )

    # ------------------------------------------------------------ context words

    def model(self, e: Expression | None, at: Expression, env: Environment) -> ModelReference:
        if e is None:
            model: ModelReference = self.ev.only("model", at, "with")
            return model
        with self.ev.after("with"):
            value = self.ev.value(e, env)
        if isinstance(value, str):
            value = self.ev.definitions.models.get(f'"{value}"', value)
        if not isinstance(value, ModelReference):
            raise self.ev.fail(
                "CL115",
                f"`with` takes a model, not {kind(value)}.",
                e,
                'name one: `model tuned = "..."`, then `with tuned`',
            )
        return value

    def data(self, e: Expression | None, at: Expression, env: Environment) -> Data:
        if e is None:
            return Data(self.ev.only("task", at, "on").name)
        with self.ev.after("on"):
            value = self.ev.data_value(e, env)
        if not isinstance(value, Data):
            raise self.ev.fail(
                "CL115",
                f"`on` takes a task, a template, a part or an example, not {kind(value)}.",
                e,
                "the circuit stands first: `F(C on task)`",
            )
        return value

    def free(self, e: syntax.Call, env: Environment) -> Nodes:
        """The free nodes in force for `nodes` and `groups`: those of the call, else the file's."""
        words = {c.word: c.value for c in merge(e.clauses, self.ev.definitions.defaults)}
        return self.ev.nodes(words["free"], env) if "free" in words else Nodes(())

    def ablation(
        self, e: Expression | None, task: Any, at: Expression, env: Environment
    ) -> Ablation:
        ev = self.ev
        if e is None:
            declared = ev.definitions.of_kind("ablation")
            if not declared and len(task.corruptions) == 1:
                value: Any = AblationValue("resample", None, None, "resample")
            else:
                value = ev.definition(ev.only("ablation", at, "under").name, at, env)
        else:
            with ev.after("under"):
                value = ev.value(e, env)
        if not isinstance(value, AblationValue) or value.kind == "corruption":
            help = (
                "write `resample(...)` or `mean(...)` of it"
                if isinstance(value, AblationValue)
                else None
            )
            help = help or "write `under patch`, `under resample(...)`, `under zero`"
            raise ev.fail("CL115", f"`under` takes an ablation, not {kind(value)}.", e or at, help)
        return self.resolved(value, task, e or at)

    def resolved(self, value: AblationValue, task: Any, at: Expression) -> Ablation:
        ev, corruption = self.ev, value.corruption
        if value.kind in ("zero", "constants"):
            return Ablation(value.written, value.kind, constants=value.constants)
        if corruption is None:
            if len(task.corruptions) != 1:
                names = ", ".join(f"`{n}`" for n in task.corruptions) or "none"
                raise ev.fail(
                    "CL104",
                    f"`resample` needs to know which corruption; task `{task.name}` has {names}.",
                    at,
                    "write `resample(name)`",
                )
            corruption = next(iter(task.corruptions))
        elif corruption != "clean" and corruption not in task.corruptions:
            raise ev.fail(
                "CL101",
                f"Task `{task.name}` has no corruption `{corruption}`.",
                at,
                suggestion(corruption, task.corruptions) or _corruption_help(corruption, task),
            )
        if value.kind == "resample":
            if corruption == "clean":
                raise ev.fail(
                    "CL106",
                    "Resampling from clean prompts ablates nothing.",
                    at,
                    "name a corruption: `resample(corruption)`",
                )
            return Ablation(value.written, "resample", corruption)
        source = None if corruption == "clean" else corruption
        if value.kind == "donors":
            return Ablation(value.written, "donors", source, draws=value.draws)
        per = self.mean_keys(value, task, at)
        return Ablation(value.written, "mean", source, per)

    def mean_keys(self, value: AblationValue, task: Any, at: Expression) -> tuple[str, ...]:
        if value.per is None:
            if len(task.templates) > 1:
                raise self.ev.fail(
                    "CL311",
                    f"This mean mixes the {len(task.templates)} templates of task `{task.name}`, "
                    "in which one position plays different roles.",
                    at,
                    f"write `mean({value.corruption} per template)`",
                )
            return ("template",)
        slots = {name for slot in task.slots for name in slot.names}
        for key in value.per:
            if key != "template" and key not in slots:
                raise self.ev.fail(
                    "CL101",
                    f"`per` knows no `{key}` in task `{task.name}`.",
                    at,
                    suggestion(key, (*slots, "template"))
                    or f"it takes template and {', '.join(sorted(slots))}",
                )
        return tuple(sorted({*value.per, "template"}))

    # ------------------------------------------------------------ metrics

    def metric(self, e: Expression | None, context: Context, at: Expression) -> Metric:
        ev = self.ev
        if e is None:
            value: Any = ev.definition(ev.only("metric", at, "by").name, at, context.env)
        elif isinstance(e, syntax.Name) or (
            isinstance(e, syntax.Call) and e.name.text in ev.definitions
        ):
            with ev.after("by"):
                value = ev.value(e, context.env)
        else:
            value = MetricValue(ev.printed(e, context.env), e, context.env.bindings)
        if not isinstance(value, MetricValue):
            raise ev.fail(
                "CL115",
                f"`by` takes a metric, not {kind(value)}.",
                e or at,
                "write for example `by logit_diff` or `by prob(answer)`",
            )
        bindings = {**context.env.bindings, **value.bindings}
        inner = replace(context, env=replace(context.env, bindings=bindings))
        expression = MetricBuilder(ev, inner).expression(value.body)
        if not measures_something(expression):
            raise ev.fail(
                "CL106", "This metric is the same for every run.", e or at, _METRIC_EXAMPLE
            )
        return Metric(value.name, expression, direction(expression) < 0)
