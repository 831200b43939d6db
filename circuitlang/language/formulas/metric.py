"""Metric expressions: functions of one run, or of one run and another run's logits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from circuitlang.language.diagnostics import Reject, suggestion
from circuitlang.language.formulas.inline import count
from circuitlang.language.formulas.values import MetricValue, Nodes, kind
from circuitlang.language.graph.architecture import LOGITS, Node
from circuitlang.language.graph.edges import END, Place, Position
from circuitlang.language.spec import (
    AttentionScore,
    CopyScore,
    Divergence,
    Lens,
    Loss,
    MetricConstant,
    MetricExpression,
    MetricOperation,
    TokenScore,
    TopToken,
)
from circuitlang.language.text import syntax
from circuitlang.language.text.grammar import LATER
from circuitlang.language.text.syntax import Expression
from circuitlang.language.text.unparse import unparse

if TYPE_CHECKING:
    from circuitlang.language.formulas.evaluate import Evaluator
    from circuitlang.language.formulas.runs import Context

_TOKEN_SCORES = ("logit", "logprob", "prob", "rank")
_LENSES = tuple(f"lens_{kind}" for kind in _TOKEN_SCORES)
_UNARY = ("abs", "square", "sqrt", "log", "exp")
_COMPARED = ("kl", "js")
_ADDED = ("+", "*", "max", "min")
NORMS = ("frozen", "none")
_DLA = (
    "write `norm = frozen` for the scale that the run's last residual has, so that parts add up, "
    "or `norm = none`"
)
EXAMPLES = {
    "attention": "attention(a9.h6, END, S1)",
    "copies": "copies(a9.h6 @ S1)",
    "dla": "dla(a9.h6 @ END, answer, norm = frozen)",
    "loss": "loss(label)",
    **{name: f"{name}(a9.h6 @ END, answer)" for name in _LENSES},
    "indicator": "indicator(logit(answer) > logit(foil))",
}
_BUILT_FROM = (
    "a metric is built from logit, prob, logprob, rank, kl, js, loss, attention, dla, copies, "
    "indicator, and lens_rank and its like"
)


class MetricBuilder:
    """Builds one metric in the context of one F."""

    def __init__(self, evaluator: Evaluator, context: Context) -> None:
        self.ev = evaluator
        self.context = context
        self.depth = 0

    def fail(self, code: str, message: str, e: Expression, help: str | None = None) -> Reject:
        return self.ev.fail(code, message, e, help)

    def expression(self, e: Expression) -> MetricExpression:
        match e:
            case syntax.NumberLiteral(value):
                return MetricConstant(value)
            case syntax.Negation(operand):
                return MetricOperation("neg", (self.expression(operand),))
            case syntax.Binary("+" | "-" | "*" | "/" as operator, left, right):
                return self.operation(operator, (left, right), e)
            case syntax.Name():
                return self.named(e)
            case syntax.Call():
                return self.call(e)
            case _:
                raise self.fail(
                    "CL106",
                    "This is not a metric.",
                    e,
                    _BUILT_FROM,
                )

    def operation(
        self, operator: str, parts: tuple[Expression, ...], e: Expression
    ) -> MetricOperation:
        built = MetricOperation(operator, tuple(map(self.expression, parts)))
        if directions_meet(built):
            better = {direction(o): part for o, part in zip(built.operands, parts, strict=True)}
            higher, lower = (unparse(better[way]) for way in (1, -1))
            self.ev.diagnostics.warn(
                "CL315",
                f"`{higher}` is better when it is higher and `{lower}` when it is lower, so that "
                "together they say neither.",
                e.span,
                "turn one of them round with `-`, or make two metrics",
            )
        return built

    def named(self, e: syntax.Name) -> MetricExpression:
        if e.text in self.context.task.tokens:
            raise self.fail(
                "CL106",
                f"`{e.text}` is a set of tokens.",
                e,
                f"write `logit({e.text})` or `prob({e.text})`",
            )
        value = self.ev.value(e, self.context.env)
        if not isinstance(value, MetricValue):
            raise self.fail("CL106", f"A metric is needed here, not {kind(value)}.", e, _BUILT_FROM)
        self.depth += 1
        if self.depth > 50:
            raise self.fail("CL109", f"Metric `{e.text}` needs itself.", e, "break the circle")
        return self.expression(value.body)

    def call(self, e: syntax.Call) -> MetricExpression:
        name = e.name.text
        if e.clauses and name != "mean":
            raise self.fail(
                "CL115",
                "A context word has no meaning inside a metric.",
                e,
                "say it at the F that uses the metric",
            )
        if name in _TOKEN_SCORES:
            return self.token_score(e, None)
        if name in (*_LENSES, "dla"):
            return self.lens(e, None)
        match name:
            case "kl" | "js":
                return self.divergence(e)
            case "loss":
                return Loss(self.place(self.arguments(e, 1)[0]))
            case "attention":
                return self.attention(e)
            case "copies":
                return self.copies(e)
            case "indicator":
                return self.condition(self.arguments(e, 1)[0])
            case "mean" | "max" | "min":
                return self.pooled(e)
        if name in _UNARY:
            return MetricOperation(name, (self.expression(self.arguments(e, 1)[0]),))
        roles = ("attention", "copies", "dla")
        known = (*_TOKEN_SCORES, *_LENSES, *_COMPARED, "loss", *roles, "indicator", *_UNARY)
        if name in LATER:
            raise self.fail("CL307", f"`{name}` is not run by this version.", e, LATER[name])
        raise self.fail(
            "CL101",
            f"No metric function is called `{name}`.",
            e.name,
            suggestion(name, known) or _BUILT_FROM,
        )

    def arguments(self, e: syntax.Call, number: int) -> tuple[Expression, ...]:
        if len(e.arguments) != number or e.generator is not None or e.named:
            usage = EXAMPLES.get(e.name.text, f"{e.name.text}(answer)")
            raise self.fail(
                "CL105",
                f"`{e.name.text}` takes {count(number, 'argument')}, not {len(e.arguments)}.",
                e,
                f"write `{usage}`",
            )
        return e.arguments

    def token_score(self, e: syntax.Call, pool: str | None) -> TokenScore:
        argument = self.arguments(e, 1)[0]
        position = Position(END)
        if isinstance(argument, syntax.At):
            position = self.position(argument.place)
            argument = argument.base
        return self.scored(e, TokenScore(e.name.text, self.token_set(argument), position, pool))

    def lens(self, e: syntax.Call, pool: str | None) -> TokenScore:
        """`lens_rank(a9.h6 @ S2, answer)`: what a node's own output says; at END without a place."""
        norm, e = ("own", e) if e.name.text != "dla" else self.norm(e)
        written, tokens = self.arguments(e, 2)
        value = self.ev.value(written, self.context.env)
        node = self.one_node(value, written, e)
        places = [m.place or Place((Position(END),)) for m in value.members]
        positions = [position for place in places for position in place.positions]
        if len(positions) != 1:
            raise self.fail(
                "CL106", "One position is needed here.", written, "name one label, or END"
            )
        self.ev.runs.check_label(positions[0], self.context.task, written)
        if norm != "own" and node.kind == "head" and self.context.model.shape.post_norm:
            raise self.fail(
                "CL307",
                f"What `{node}` writes passes a norm together with the other heads of its layer, "
                "so its own part in the logits is not defined here.",
                written,
                f"its effect on them is: `direct(M, {node})`",
            )
        kind_of = "logit" if e.name.text == "dla" else e.name.text.removeprefix("lens_")
        score = TokenScore(kind_of, self.token_set(tokens), positions[0], pool, Lens(node, norm))
        return self.scored(e, score)

    def norm(self, e: syntax.Call) -> tuple[str, syntax.Call]:
        """Which final norm `dla` says, and the call without it."""
        for name, value in e.named:
            found = value.text if isinstance(value, syntax.Name) else ""
            if name != "norm" or found not in NORMS or len(e.named) > 1:
                raise self.fail(
                    "CL105",
                    f"`dla` takes `norm` once, and it is {' or '.join(NORMS)}.",
                    value,
                    suggestion(found, NORMS) or _DLA,
                )
            return found, replace(e, named=())
        raise self.fail(
            "CL105",
            "`dla` does not say what the final norm does to the node's output.",
            e,
            _DLA,
        )

    def copies(self, e: syntax.Call) -> CopyScore:
        """`copies(a9.h9 @ S1)`: of the place's tokens, at END without one."""
        (written,) = self.arguments(e, 1)
        value = self.ev.value(written, self.context.env)
        head = self.one_head(value, written, e)
        if self.context.model.shape.layers < 2:
            raise self.fail(
                "CL307",
                "The copy score reads what stands after block 0, and this model has no other.",
                written,
                f"claim what the head writes: `lens_rank({head} @ END, answer)`",
            )
        places = [m.place or Place((Position(END),)) for m in value.members]
        positions = tuple(dict.fromkeys(p for place in places for p in place.positions))
        for position in positions:
            self.ev.runs.check_label(position, self.context.task, written)
        return CopyScore(head, Place(positions))

    def one_head(self, value: Any, written: Expression, e: syntax.Call) -> Node:
        self.whole(value, written)
        nodes = list({m.node for m in value.members}) if isinstance(value, Nodes) else []
        if len(nodes) == 1 and nodes[0].kind == "head":
            found: Node = nodes[0]
            return found
        what = kind(value) if not nodes else f"{len(nodes)} nodes" if nodes[1:] else str(nodes[0])
        raise self.fail(
            "CL106",
            f"`{e.name.text}` needs one head, not {what}.",
            written,
            f"write `{EXAMPLES[e.name.text]}`; loop over several heads",
        )

    def scored(self, e: syntax.Call, score: TokenScore) -> TokenScore:
        self.ev.definitions.score_spans.setdefault((self.context.task.name, score), e.span)
        return score

    def whole(self, value: Any, written: Expression) -> None:
        """Fails for a port: what is measured of a node is what it does with all that it reads."""
        ported = next((m for m in getattr(value, "members", ()) if getattr(m, "ports", "")), None)
        if ported is not None:
            raise self.fail(
                "CL106",
                f"`{ported}` is what a head reads, and this measures what it does.",
                written,
                f"write `{ported.node}`",
            )

    def one_node(self, value: Any, written: Expression, e: syntax.Call) -> Node:
        """The only node of a set, at whatever places."""
        self.whole(value, written)
        nodes = {m.node for m in value.members} if isinstance(value, Nodes) else set()
        if len(nodes) == 1 and (node := nodes.pop()) != LOGITS:
            return node
        found = f"{len(value.members)} nodes" if nodes else kind(value)
        found = "`logits`" if isinstance(value, Nodes) and not nodes else found
        raise self.fail(
            "CL106",
            f"`{e.name.text}` needs one head or MLP, not {found}.",
            written,
            f"write `{EXAMPLES[e.name.text]}`; loop over several nodes",
        )

    def token_set(self, e: Expression) -> str:
        known = tuple(self.context.task.tokens)
        if isinstance(e, syntax.Name) and e.text in known:
            return e.text
        if isinstance(e, syntax.Name):
            raise self.fail(
                "CL101",
                f"Task `{self.context.task.name}` has no token set `{e.text}`.",
                e,
                suggestion(e.text, known) or f"declare it in the task: `tokens {e.text} = ...`",
            )
        raise self.fail(
            "CL106", "A token set is needed here.", e, "declare `tokens NAME = ...` in the task"
        )

    def pooled(self, e: syntax.Call) -> MetricExpression:
        """`mean(logit(foil))` pools one set; `max(a, b)` takes several metrics."""
        if len(e.arguments) == 1 and isinstance(e.arguments[0], syntax.Call):
            inner = e.arguments[0]
            if inner.name.text in ("logit", "lens_logit", "dla"):
                if e.name.text == "min":
                    raise self.fail(
                        "CL106",
                        "`min` of one set's logits is not offered.",
                        e,
                        "write `mean(...)` or `max(...)`",
                    )
                if inner.name.text != "logit":
                    return self.lens(inner, e.name.text)
                return self.token_score(inner, e.name.text)
        if e.name.text == "mean" or len(e.arguments) < 2:
            raise self.fail(
                "CL105",
                f"`{e.name.text}` here pools the logits of one token set.",
                e,
                f"write `{e.name.text}(logit(foil))`",
            )
        return self.operation(e.name.text, e.arguments, e)

    def divergence(self, e: syntax.Call) -> Divergence:
        name = e.name.text
        if not 1 <= len(e.arguments) <= 2 or e.named or e.generator is not None:
            raise self.fail("CL105", f"`{name}` takes a set of edges.", e, f"write `{name}(M)`")
        place = self.place(e.arguments[1]) if len(e.arguments) == 2 else None
        if place is not None and any(p.label == END for p in place.positions):
            raise self.fail(
                "CL106",
                f"`{name}` compares predictions of the tokens it names, and {place} here would be "
                "the prompt's last one.",
                e.arguments[1],
                f"write `{name}({unparse(e.arguments[0])})` for the prediction after the prompt",
            )
        self.depth += 1
        if self.depth > 50:
            raise self.fail(
                "CL109",
                "This metric compares with a run that needs the metric.",
                e,
                "compare with a set of edges, as in `kl(M)`",
            )
        return Divergence(self.ev.runs.run(e.arguments[0], self.context), place, name)

    def attention(self, e: syntax.Call) -> AttentionScore:
        head, query, key = self.arguments(e, 3)
        node = self.one_head(self.ev.value(head, self.context.env), head, e)
        return AttentionScore(node, self.place(query), self.place(key))

    def condition(self, e: Expression) -> MetricExpression:
        if isinstance(e, syntax.Binary):
            if e.operator in syntax.RELATIONS:
                return MetricOperation(
                    e.operator, (self.expression(e.left), self.expression(e.right))
                )
            if e.operator == "in" and isinstance(e.left, syntax.Name) and e.left.text == "argmax":
                return TopToken(self.token_set(e.right), Position(END))
        raise self.fail(
            "CL106",
            "`indicator` needs a comparison.",
            e,
            "write `indicator(logit(answer) > logit(foil))` or `indicator(argmax in answer)`",
        )

    def place(self, e: Expression) -> Place:
        place = self.ev.place(e, self.context.env)
        for position in place.positions:
            self.ev.runs.check_label(position, self.context.task, e)
        return place

    def position(self, e: Expression) -> Position:
        place = self.place(e)
        if len(place.positions) != 1:
            raise self.fail("CL106", "One position is needed here.", e, "name one label, or END")
        return place.positions[0]


def measures_something(e: MetricExpression) -> bool:
    """Whether any part of the metric is read off a run."""
    if isinstance(e, MetricOperation):
        return any(map(measures_something, e.operands))
    return not isinstance(e, MetricConstant)


def direction(e: MetricExpression) -> int:
    """1 when higher is better, -1 when lower is: kl, js, loss and rank fall as a run improves.

    A difference, a quotient and a comparison go with what stands first, or against what stands
    second where the first has no direction: constants and attention have none, which is 0.
    """
    match e:
        case MetricConstant() | AttentionScore() | CopyScore():
            return 0
        case Divergence() | Loss() | TokenScore(kind="rank"):
            return -1
        case MetricOperation("neg", (operand,)):
            return -direction(operand)
        case MetricOperation("-" | "/" | ">" | ">=", (left, right)):
            return direction(left) or -direction(right)
        case MetricOperation("<" | "<=", (left, right)):
            return -direction(left) or direction(right)
        case MetricOperation("==" | "!="):
            return 1
        case MetricOperation("*", (left, right)):
            turned = -1 if _is_negative(left) or _is_negative(right) else 1
            return turned * (direction(left) or direction(right))
        case MetricOperation(_, operands):
            return next((found for found in map(direction, operands) if found), 0)
        case _:
            return 1


def directions_meet(e: MetricOperation) -> bool:
    """Whether scores are joined that are better the opposite way."""
    return e.operator in _ADDED and {1, -1} <= set(map(direction, e.operands))


def _is_negative(e: MetricExpression) -> bool:
    match e:
        case MetricConstant(value):
            return value < 0
        case MetricOperation("neg", (MetricConstant(value),)):
            return value > 0
        case _:
            return False
