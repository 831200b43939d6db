"""Evaluates the expressions of a task: domains of slots, token sets, `where` conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from circuitlang.language.diagnostics import Diagnostics, Reject
from circuitlang.language.source import Span
from circuitlang.language.tasks.data_files import LONGEST_LIST, LONGEST_TEXT, DataFiles
from circuitlang.language.tasks.interpolation import Hole, name_in, pieces
from circuitlang.language.tasks.mentions import Scope, unknown_function, unknown_name
from circuitlang.language.tasks.text_values import (
    Number,
    Value,
    compare,
    keys,
    kind,
    number,
    padded,
    printed,
    without_repeats,
)
from circuitlang.language.tasks.token_id_calls import read_ids, sequences
from circuitlang.language.tasks.token_ids import TokenIds
from circuitlang.language.tasks.tokenizer import NeedsTokenizer
from circuitlang.language.text import syntax
from circuitlang.language.text.syntax import Expression

LARGEST_LIST = 20_000_000
MOST_STEPS = 10_000_000

Bindings = Mapping[str, Value]


@dataclass
class Steps:
    """How much work the tasks of a file have taken."""

    taken: int = 0


class Evaluator:
    """Evaluates under bindings; a mistake is recorded and raises `Reject`.

    Without `token_count`, what counts tokens raises `NeedsTokenizer`; without `vocabulary`, the
    number of the model's tokens, ids are not compared with it. All evaluations with the same
    `steps` together take at most `MOST_STEPS`, about a microsecond each.
    """

    def __init__(
        self,
        scope: Scope,
        diagnostics: Diagnostics,
        token_count: Callable[[str], int] | None = None,
        vocabulary: int | None = None,
        steps: Steps | None = None,
    ) -> None:
        self.scope = scope
        self.diagnostics = diagnostics
        self.files = DataFiles(diagnostics)
        self.vocabulary = vocabulary
        self._token_count = token_count
        self._steps = steps or Steps()
        self._counts: dict[str, int] = {}
        self._definitions: dict[str, Value] = {}
        self._open: list[str] = []

    def value(self, expression: Expression, bindings: Bindings) -> Value:
        try:
            return self._value(expression, bindings)
        except RecursionError:
            self._open.clear()
            raise self.diagnostics.reject(
                "CL008",
                "This is nested too deeply to be worked out.",
                expression.span,
                "name its parts with `let`",
            ) from None

    def condition(self, expression: Expression, bindings: Bindings) -> bool:
        value = self.value(expression, bindings)
        if not isinstance(value, bool):
            raise self._mistyped("a condition", value, expression.span, "compare it: `... == ...`")
        return value

    def members(self, expression: Expression, bindings: Bindings) -> list[str | TokenIds]:
        """The texts or token ids of a token set: one, or a list of them."""
        value = self.value(expression, bindings)
        found = value if isinstance(value, list) else [value]
        return [
            member if isinstance(member, TokenIds) else self._printed(member, expression.span)
            for member in found
        ]

    def spend(self, steps: int, span: Span) -> None:
        """Counts work done for the task; raises `Reject` when it was too much."""
        self._steps.taken += steps
        if self._steps.taken > MOST_STEPS:
            raise self.diagnostics.reject(
                "CL302",
                f"Working out the tasks takes more than {MOST_STEPS:,} steps.",
                span,
                "shorten its lists, or leave out `where` conditions that compare long lists",
            )

    # ------------------------------------------------------------ one case per form

    def _value(self, e: Expression, bindings: Bindings) -> Value:
        match e:
            case syntax.Name():
                return self._name(e, bindings)
            case syntax.StringLiteral():
                return self._string(e, bindings)
            case syntax.NumberLiteral(value, text):
                return Number(value, text)
            case syntax.Binary():
                return self._binary(e, bindings)
            case syntax.Negation(operand):
                return number(-self._number(operand, bindings).value)
            case syntax.ListExpression(items, None):
                return [self._value(item, bindings) for item in items]
            case syntax.ListExpression():
                return self._comprehension(e, bindings)
            case syntax.TupleExpression(items):
                return tuple(self._part(item, bindings) for item in items)
            case syntax.Call():
                return self._call(e, bindings)
            case _:
                what = "a node" if isinstance(e, syntax.NodeLiteral) else "no text expression"
                raise self.diagnostics.reject(
                    "CL106",
                    f"`{e.span.text}` is {what}; a task deals in text.",
                    e.span,
                    'texts stand in quotes: "..."',
                )

    def _part(self, e: Expression, bindings: Bindings) -> Value:
        value = self._value(e, bindings)
        if isinstance(value, tuple):
            raise self._mistyped("text, a number or a list", value, e.span, "tuples do not nest")
        return value

    def _name(self, name: syntax.Name, bindings: Bindings) -> Value:
        if name.text in bindings:
            return bindings[name.text]
        if name.text in self._definitions:
            return self._definitions[name.text]
        definition = self.scope.lookup(name.text)
        if definition is None:
            raise unknown_name(name, [*bindings, *self.scope.names], self.diagnostics)
        if name.text in self._open:
            raise self.diagnostics.reject(
                "CL109", f"`{name.text}` needs itself.", name.span, "break the circle"
            )
        self._open.append(name.text)
        try:
            self._definitions[name.text] = self._value(definition, {})
        finally:
            if self._open:
                self._open.pop()
        return self._definitions[name.text]

    def _string(self, literal: syntax.StringLiteral, bindings: Bindings) -> str:
        parts = []
        for piece in pieces(literal.value):
            if isinstance(piece, Hole):
                name = name_in(literal, piece)
                parts.append(self._printed(self._name(name, bindings), name.span))
            else:
                parts.append(piece)
        length = sum(map(len, parts))
        if length > LONGEST_TEXT:
            raise self._too_large(f"{length:,} characters", LONGEST_TEXT, literal.span)
        self.spend(length // 1_000, literal.span)
        return "".join(parts)

    def _binary(self, e: syntax.Binary, bindings: Bindings) -> Value:
        match e.operator:
            case "and":
                return self.condition(e.left, bindings) and self.condition(e.right, bindings)
            case "..":
                return self._range(e, bindings)
            case "in":
                return self._within(e, bindings)
        left, right = self._value(e.left, bindings), self._value(e.right, bindings)
        if e.operator in syntax.RELATIONS:
            holds = compare(e.operator, left, right)
            if holds is None:
                raise self._clash(e, left, right)
            return holds
        if isinstance(left, Number) and isinstance(right, Number):
            return self._arithmetic(e, left, right)
        if isinstance(left, list) and isinstance(right, list):
            return self._combined(e, left, right)
        raise self._clash(e, left, right)

    def _range(self, e: syntax.Binary, bindings: Bindings) -> list[Value]:
        first, last = self._number(e.left, bindings), self._number(e.right, bindings)
        for bound, side in ((first, e.left), (last, e.right)):
            if not bound.is_whole:
                raise self.diagnostics.reject(
                    "CL106",
                    f"A range runs over whole numbers; {bound.text} is none.",
                    side.span,
                    "write for example `0..9`",
                )
        start, stop = int(first.value), int(last.value) + 1
        if stop - start > LONGEST_LIST:
            raise self._too_large(f"{stop - start:,} values", LONGEST_LIST, e.span)
        self.spend(max(stop - start, 0), e.span)
        digits = first.text.lstrip("-")
        width = len(digits) if digits.isdigit() else 1
        return [Number(float(i), padded(i, width)) for i in range(start, stop)]

    def _within(self, e: syntax.Binary, bindings: Bindings) -> bool:
        left = self._value(e.left, bindings)
        if isinstance(e.right, syntax.Binary) and e.right.operator == "..":
            low, high = (self._number(side, bindings) for side in (e.right.left, e.right.right))
            above, below = compare(">=", left, low), compare("<=", left, high)
            if above is None or below is None:
                raise self._clash(e, left, low)
            return above and below
        right = self._value(e.right, bindings)
        if not isinstance(right, list) or isinstance(left, bool | list):
            raise self._clash(e, left, right)
        self.spend(len(right), e.span)
        return any(compare("==", left, member) for member in right)

    def _arithmetic(self, e: syntax.Binary, left: Number, right: Number) -> Number:
        a, b = left.value, right.value
        match e.operator:
            case "+":
                return number(a + b, (left, right))
            case "-":
                return number(a - b, (left, right))
            case "*":
                return number(a * b)
            case "/" if b:
                return number(a / b)
            case "/":
                raise self.diagnostics.reject("CL106", "This divides by zero.", e.span)
        raise self._clash(e, left, right)

    def _combined(self, e: syntax.Binary, left: list[Value], right: list[Value]) -> list[Value]:
        if e.operator == "+":
            if len(left) + len(right) > LONGEST_LIST:
                size = f"{len(left) + len(right):,} values"
                raise self._too_large(size, LONGEST_LIST, e.span)
            self.spend(len(left) + len(right), e.span)
            return without_repeats([*left, *right])
        if e.operator not in ("-", "&"):
            raise self._clash(e, left, right)
        self.spend(len(left) + len(right), e.span)
        others = {key for member in right for key in keys(member)}
        keep_shared = e.operator == "&"
        return [m for m in left if others.isdisjoint(keys(m)) != keep_shared]

    # ------------------------------------------------------------ comprehensions

    def _comprehension(self, e: syntax.ListExpression, bindings: Bindings) -> list[Value]:
        generator = e.generator
        if generator is None or len(e.items) != 1:
            raise self.diagnostics.reject(
                "CL105", "A list with `for` has one expression before it.", e.span
            )
        found: list[Value] = []
        characters = 0
        for inner in self._rows(generator.bindings, bindings, 1, e.span):
            if generator.condition is None or self.condition(generator.condition, inner):
                value = self._value(e.items[0], inner)
                found.append(value)
                characters += len(value) if isinstance(value, str) else 0
                if characters > LARGEST_LIST:
                    size = f"more than {LARGEST_LIST:,} characters"
                    raise self._too_large(size, LARGEST_LIST, e.span)
        return found

    def _rows(
        self, loops: tuple[syntax.Binding, ...], bindings: Bindings, outer: int, span: Span
    ) -> Iterator[Bindings]:
        if not loops:
            yield bindings
            return
        domain = self._value(loops[0].domain, bindings)
        if not isinstance(domain, list):
            raise self._mistyped("a list", domain, loops[0].domain.span)
        size = outer * len(domain)
        if size > LONGEST_LIST:
            raise self._too_large(f"{size:,} combinations", LONGEST_LIST, span)
        self.spend(2 * len(domain), span)
        for member in domain:
            bound = self._bind(loops[0], member)
            yield from self._rows(loops[1:], {**bindings, **bound}, size, span)

    def _bind(self, loop: syntax.Binding, member: Value) -> Bindings:
        if len(loop.names) == 1:
            return {loop.names[0]: member}
        if isinstance(member, tuple) and len(member) == len(loop.names):
            return dict(zip(loop.names, member, strict=True))
        found = f"{len(member)}" if isinstance(member, tuple) else kind(member)
        raise self.diagnostics.reject(
            "CL106",
            f"The pattern has {len(loop.names)} names and the list's members have {found}.",
            loop.span,
        )

    # ------------------------------------------------------------ calls

    def _call(self, e: syntax.Call, bindings: Bindings) -> Value:
        if (
            (e.named and e.name.text != "token_ids")
            or e.clauses
            or (e.generator and e.name.text != "distinct")
        ):
            raise self.diagnostics.reject(
                "CL105",
                f"`{e.name.text}` takes plain arguments here.",
                e.span,
                f"write `{e.name.text}(a, b)`",
            )
        match e.name.text:
            case "distinct":
                return self._distinct(e, bindings)
            case "token_count":
                return self._tokens_in(e, bindings)
            case "file":
                return self.files.lines(self._strings(e, bindings, 1, 1)[0], e.span)
            case "token_ids":
                return self._token_ids(e, bindings)
            case "rows":
                name, *columns = self._strings(e, bindings, 2, None)
                return self.files.rows(name, tuple(columns), e.span)
        raise unknown_function(e, self.diagnostics)

    def _distinct(self, e: syntax.Call, bindings: Bindings) -> bool:
        if e.generator is not None:
            items = syntax.ListExpression(e.arguments, e.generator, e.span)
            members: list[Value] = self._comprehension(items, bindings)
        else:
            members = []
            for argument in e.arguments:
                value = self._value(argument, bindings)
                members += value if isinstance(value, list) else [value]
        self.spend(len(members), e.span)
        return len(without_repeats(members)) == len(members)

    def _tokens_in(self, e: syntax.Call, bindings: Bindings) -> Number:
        (text,) = self._strings(e, bindings, 1, 1)
        if self._token_count is None:
            raise NeedsTokenizer
        if text not in self._counts:
            self.spend(1 + len(text), e.span)
            self._counts[text] = self._token_count(text)
        return number(self._counts[text])

    def _token_ids(self, e: syntax.Call, bindings: Bindings) -> Value:
        if len(e.arguments) != 1 or [name for name, _ in e.named] not in ([], ["length"]):
            raise self.diagnostics.reject(
                "CL105",
                "`token_ids` takes token ids and, to draw several of them, a `length`.",
                e.span,
                "write `token_ids(1000..9999, length = 50)` or `token_ids(column)`",
            )
        value = self._value(e.arguments[0], bindings)
        ids = read_ids(value, e.arguments[0].span, self.vocabulary, self.diagnostics)
        self.spend(len(ids), e.span)
        if e.named:
            length = self._number(e.named[0][1], bindings)
            return sequences(ids, length, e, self.diagnostics)
        if len(ids) == 1 and not isinstance(value, list):
            return TokenIds((ids[0],))
        return [TokenIds((i,)) for i in ids]

    def _strings(
        self, e: syntax.Call, bindings: Bindings, least: int, most: int | None
    ) -> list[str]:
        if len(e.arguments) < least or (most is not None and len(e.arguments) > most):
            wanted = f"{least}" if most == least else f"at least {least}"
            usage = {
                "rows": 'rows("pairs.jsonl", "column", ...)',
                "file": 'file("names.txt")',
            }.get(e.name.text, f'{e.name.text}("{{slot}}")')
            raise self.diagnostics.reject(
                "CL105",
                f"`{e.name.text}` takes {wanted} texts, not {len(e.arguments)}.",
                e.span,
                f"write {usage}",
            )
        return [self._printed(self._value(a, bindings), a.span) for a in e.arguments]

    # ------------------------------------------------------------ types

    def _number(self, e: Expression, bindings: Bindings) -> Number:
        value = self._value(e, bindings)
        if not isinstance(value, Number):
            raise self._mistyped("a number", value, e.span)
        return value

    def _printed(self, value: Value, span: Span) -> str:
        text = printed(value)
        if text is None:
            raise self._mistyped("text or a number", value, span)
        return text

    def _mistyped(self, wanted: str, value: Value, span: Span, help: str | None = None) -> Reject:
        return self.diagnostics.reject(
            "CL106", f"This is {kind(value)}; {wanted} is needed here.", span, help
        )

    def _clash(self, e: syntax.Binary, left: Value, right: Value) -> Reject:
        return self.diagnostics.reject(
            "CL106",
            f"`{e.operator}` does not take {kind(left)} and {kind(right)}.",
            e.span,
            "both sides have to be texts, or both numbers",
        )

    def _too_large(self, size: str, limit: int, span: Span) -> Reject:
        return self.diagnostics.reject(
            "CL302", f"This makes {size}; the limit is {limit:,}.", span, "make it smaller"
        )
