"""Expressions back to text, with the parentheses that their precedence needs."""

from __future__ import annotations

from circuitlang.language import syntax
from circuitlang.language.syntax import Expression

_LEVELS = {
    "and": 1,
    **dict.fromkeys(["<", "<=", ">", ">=", "==", "!=", "in"], 2),
    "..": 3,
    "+": 4,
    "-": 4,
    "*": 5,
    "/": 5,
    "&": 5,
    "->": 7,
}


def unparse(expression: Expression, level: int = 0) -> str:
    """`level` is the binding strength that the surroundings ask for."""
    match expression:
        case syntax.Binary(operator, left, right):
            own = _LEVELS[operator]
            gap = "" if operator == ".." else " "
            tighter_left = own + (operator in ("->", "..", "in") or own == 2)
            text = f"{unparse(left, tighter_left)}{gap}{operator}{gap}{unparse(right, own + 1)}"
            return f"({text})" if own < level else text
        case syntax.Negation(operand):
            text = f"-{unparse(operand, 6)}"
            return f"({text})" if level > 6 else text
        case syntax.At(base, place):
            text = f"{unparse(base, 9)} @ {unparse(place, 9)}"
            return f"({text})" if level > 8 else text
        case syntax.Ported(base, port):
            return f"{unparse(base, 9)}.{port}"
        case syntax.Quantifier():
            share = f"({unparse(expression.share)})" if expression.share is not None else ""
            names = _pattern(expression.names)
            domain = unparse(expression.domain)
            body = unparse(expression.body)
            return f"{expression.kind}{share} {names} in {domain}: {body}"
        case _:
            return _atom(expression)


def _atom(expression: Expression) -> str:
    match expression:
        case syntax.Name():
            return expression.text
        case syntax.NodeLiteral(text) | syntax.NumberLiteral(_, text):
            return text
        case syntax.StringLiteral(value):
            escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            return f'"{escaped}"'
        case syntax.TupleExpression(items):
            return "(" + ", ".join(map(unparse, items)) + ")"
        case syntax.ListExpression(items, generator):
            return "[" + ", ".join(map(unparse, items)) + _generator(generator) + "]"
        case syntax.Call():
            arguments = [unparse(a) for a in expression.arguments]
            arguments += [f"{name} = {unparse(value)}" for name, value in expression.named]
            clauses = "".join(" " + clause(c) for c in expression.clauses)
            inside = ", ".join(arguments) + _generator(expression.generator) + clauses
            return f"{expression.name.text}({inside.strip()})"
        case _:
            raise TypeError(type(expression).__name__)


def clause(c: syntax.Clause) -> str:
    return f"{c.word} {unparse(c.value, 8)}"


def _pattern(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else "(" + ", ".join(names) + ")"


def _generator(generator: syntax.Generator | None) -> str:
    if generator is None:
        return ""
    text = "".join(f" for {_pattern(b.names)} in {unparse(b.domain)}" for b in generator.bindings)
    return text + (f" if {unparse(generator.condition)}" if generator.condition else "")
