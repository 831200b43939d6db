"""lark's parse tree -> the syntax tree."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lark import Token, Tree

from circuitlang.language.source import Source, Span
from circuitlang.language.text import syntax

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_AROUND_SIGNS = re.compile(r"(?<!\s)\s*([\[\],]|\.\.)\s*")
_OPERATORS = {
    "both": "and",
    "within": "in",
    "interval": "..",
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "meet": "&",
    "arrow_expr": "->",
}


def unescape(literal: str) -> str:
    body = literal[3:-3] if literal.startswith('"""') else literal[1:-1]
    return _ESCAPE.sub(lambda m: "\n" if m[1] == "n" else m[1], body)


def number_value(text: str) -> float:
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


class Builder:
    """One method per grammar rule; `build` dispatches on the rule's name."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def span(self, tree: Tree[Token] | Token) -> Span:
        if isinstance(tree, Token):
            return self.source.span(tree.start_pos or 0, tree.end_pos or 0)
        return self.source.span(tree.meta.start_pos, tree.meta.end_pos)

    def build(self, tree: Any) -> Any:
        if isinstance(tree, Token):
            return str(tree)
        if tree.data in _OPERATORS:
            left, right = map(self.build, tree.children)
            return syntax.Binary(_OPERATORS[tree.data], left, right, self.span(tree))
        method: Callable[[Any], Any] = getattr(self, tree.data)
        return method(tree)

    def each(self, children: Any) -> tuple[Any, ...]:
        return tuple(self.build(child) for child in children if child is not None)

    # ------------------------------------------------------------ statements

    def spec(self, t: Any) -> syntax.SpecHeader:
        return syntax.SpecHeader(str(t.children[0]), unescape(t.children[1]), self.span(t))

    def imports(self, t: Any) -> syntax.Import:
        return syntax.Import(unescape(t.children[0]), str(t.children[1]), self.span(t))

    def model(self, t: Any) -> syntax.Model:
        name, reference, *settings = t.children
        return syntax.Model(
            str(name) if name else None,
            unescape(reference),
            self.each(settings),
            self.span(t),
        )

    def setting(self, t: Any) -> syntax.Setting:
        name, value = t.children
        if isinstance(value, Tree):
            parsed: str | float | bool | syntax.Name = str(value.children[0]) == "yes"
        elif value.type == "STRING":
            parsed = unescape(value)
        elif value.type == "NAME":
            parsed = syntax.Name((str(value),), self.span(value))
        else:
            parsed = number_value(value)
        return syntax.Setting(str(name), parsed, self.span(t))

    def task(self, t: Any) -> syntax.Task:
        return syntax.Task(str(t.children[0]), self.each(t.children[1:]), self.span(t))

    def slot(self, t: Any) -> syntax.Slot:
        return syntax.Slot(self.build(t.children[0]), self.build(t.children[1]), self.span(t))

    def tokens(self, t: Any) -> syntax.Tokens:
        return syntax.Tokens(str(t.children[0]), self.build(t.children[1]), self.span(t))

    def prompt(self, t: Any) -> syntax.PromptTemplate:
        name, text = t.children
        literal = syntax.StringLiteral(unescape(text), self.span(text))
        return syntax.PromptTemplate(str(name) if name else None, literal, self.span(t))

    def corrupt(self, t: Any) -> syntax.Corrupt:
        return syntax.Corrupt(str(t.children[0]), self.each(t.children[1:]), self.span(t))

    def where(self, t: Any) -> syntax.Where:
        return syntax.Where(self.build(t.children[0]), self.span(t))

    def rewrite(self, t: Any) -> syntax.Rewrite:
        return syntax.Rewrite(str(t.children[0]), self.build(t.children[1]), self.span(t))

    def circuit_block(self, t: Any) -> syntax.Circuit:
        return syntax.Circuit(str(t.children[0]), self.each(t.children[1:]), None, self.span(t))

    def circuit_value(self, t: Any) -> syntax.Circuit:
        return syntax.Circuit(str(t.children[0]), (), self.build(t.children[1]), self.span(t))

    def edge_line(self, t: Any) -> syntax.EdgeLine:
        source, target = self.each(t.children)
        return syntax.EdgeLine(source, target, self.span(t))

    def live_line(self, t: Any) -> syntax.LiveLine:
        return syntax.LiveLine(self.build(t.children[0]), self.span(t))

    def measure(self, t: Any) -> syntax.Measure:
        name, parameters, body = t.children
        names = tuple(str(p) for p in parameters.children) if parameters else ()
        return syntax.Measure(str(name), names, self.build(body), self.span(t))

    def _define(self, t: Any) -> syntax.Define:
        return syntax.Define(
            str(t.data), str(t.children[0]), self.build(t.children[1]), self.span(t)
        )

    group = metric = ablation = let = _define

    def _claim(self, t: Any) -> syntax.Claim:
        name, sentence, clauses, expect, formula = t.children
        return syntax.Claim(
            str(t.data),
            str(name),
            unescape(sentence) if sentence else None,
            self.each(clauses.children),
            self._expect(expect),
            self.build(formula),
            self.span(t),
        )

    claim = assume = _claim

    def _expect(self, t: Any) -> tuple[str, str, Span] | None:
        if t is None:
            return None
        verdict, reason = t.children
        return str(verdict), unescape(reason) if reason else "", self.span(t)

    def report(self, t: Any) -> syntax.Report:
        name, sentence, clauses, value = t.children
        return syntax.Report(
            str(name),
            unescape(sentence) if sentence else None,
            self.each(clauses.children),
            self.build(value),
            self.span(t),
        )

    def counterexample(self, t: Any) -> syntax.Counterexample:
        claim, member = t.children
        return syntax.Counterexample(str(claim), unescape(member), self.span(t))

    def default(self, t: Any) -> syntax.Default:
        return syntax.Default(self.each(t.children), self.span(t))

    # ------------------------------------------------------------ expressions

    def clause(self, t: Any) -> syntax.Clause:
        word, value = t.children
        return syntax.Clause(str(word.children[0]), self.build(value), self.span(t))

    def pattern(self, t: Any) -> tuple[str, ...]:
        return tuple(str(name) for name in t.children)

    def quantified(self, t: Any) -> syntax.Quantifier:
        quantifier, names, domain, body = t.children
        return syntax.Quantifier(
            str(quantifier.children[0]),
            None,
            self.build(names),
            self.build(domain),
            self.build(body),
            self.span(t),
        )

    def most(self, t: Any) -> syntax.Quantifier:
        share, names, domain, body = t.children
        return syntax.Quantifier(
            "most",
            self.build(share),
            self.build(names),
            self.build(domain),
            self.build(body),
            self.span(t),
        )

    def compare(self, t: Any) -> syntax.Binary:
        left, operator, right = t.children
        return syntax.Binary(str(operator), self.build(left), self.build(right), self.span(t))

    def negate(self, t: Any) -> syntax.Negation:
        return syntax.Negation(self.build(t.children[0]), self.span(t))

    def at(self, t: Any) -> syntax.At:
        base, place = self.each(t.children)
        return syntax.At(base, place, self.span(t))

    def ported(self, t: Any) -> syntax.Ported:
        return syntax.Ported(self.build(t.children[0]), str(t.children[1]), self.span(t))

    def name(self, t: Any) -> syntax.Name:
        return syntax.Name(tuple(str(part) for part in t.children), self.span(t))

    def node(self, t: Any) -> syntax.NodeLiteral:
        text = _AROUND_SIGNS.sub(r"\1", t.children[0])
        return syntax.NodeLiteral(text, self.span(t))

    def number(self, t: Any) -> syntax.NumberLiteral:
        text = str(t.children[0])
        return syntax.NumberLiteral(number_value(text), text, self.span(t))

    def string(self, t: Any) -> syntax.StringLiteral:
        return syntax.StringLiteral(unescape(t.children[0]), self.span(t))

    def group_expr(self, t: Any) -> Any:
        return self.build(t.children[0])

    def tuple_expr(self, t: Any) -> syntax.TupleExpression:
        return syntax.TupleExpression(self.each(t.children), self.span(t))

    def list(self, t: Any) -> syntax.ListExpression:
        items, generator = self._items(t.children[0])
        return syntax.ListExpression(items, generator, self.span(t))

    def call(self, t: Any) -> syntax.Call:
        name, arguments, clauses = t.children
        items, generator = self._items(arguments)
        plain = tuple(item for item in items if not isinstance(item, tuple))
        named = tuple(item for item in items if isinstance(item, tuple))
        return syntax.Call(
            self.build(name),
            plain,
            named,
            generator,
            self.each(clauses.children),
            self.span(t),
        )

    def named(self, t: Any) -> tuple[str, Any]:
        return str(t.children[0]), self.build(t.children[1])

    def _items(self, t: Any) -> tuple[tuple[Any, ...], syntax.Generator | None]:
        if t is None:
            return (), None
        *items, generator = t.children
        return self.each(items), self.build(generator) if generator else None

    def generator(self, t: Any) -> syntax.Generator:
        *bindings, condition = t.children
        return syntax.Generator(
            self.each(bindings), self.build(condition.children[0]) if condition else None
        )

    def binding(self, t: Any) -> syntax.Binding:
        return syntax.Binding(self.build(t.children[0]), self.build(t.children[1]), self.span(t))
