"""Strategies for syntax trees that the grammar can write, without places in a text."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from circuitlang.language.source import Source, Span
from circuitlang.language.text import syntax
from circuitlang.language.text.build import number_value
from circuitlang.language.text.grammar import WORD_SETTINGS

NOWHERE = Span(Source("t.circ", "", Path()), 0, 0)
HERE = st.just(NOWHERE)
NAMES = st.sampled_from(["a", "ioi", "prob_diff", "x1", "a_rather_long_name_of_something", "END"])
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=12)
NUMBERS = st.sampled_from(["0", "02", "5%", "1e-3", "0.95", "123456789"])
NODES = st.sampled_from(["a9.h9", "m3", "m[*]", "a9.h[6,9]", "a[0..3].h[*]", "a3.h0.kv", "m[1,2]"])
LEAVES = st.one_of(
    st.builds(syntax.Name, st.lists(NAMES, min_size=1, max_size=3).map(tuple), HERE),
    st.builds(syntax.NodeLiteral, NODES, HERE),
    st.builds(syntax.StringLiteral, TEXTS, HERE),
    NUMBERS.map(lambda text: syntax.NumberLiteral(number_value(text), text, NOWHERE)),
)
PATTERNS = st.one_of(NAMES.map(lambda n: (n,)), st.lists(NAMES, min_size=2, max_size=3).map(tuple))
WORDS = st.sampled_from(["on", "under", "by", "with", "free", "over", "per"])
OPERATORS = st.sampled_from(["and", "<", "<=", ">", ">=", "==", "!=", "in", "..", *"+-*/&", "->"])


def several(elements, least=0, most=4):
    return st.lists(elements, min_size=least, max_size=most).map(tuple)


def _clauses(inner, least=0):
    return several(st.builds(syntax.Clause, WORDS, inner, HERE), least, 2)


def _generators(inner):
    bindings = several(st.builds(syntax.Binding, PATTERNS, inner, HERE), 1, 2)
    return st.none() | st.builds(syntax.Generator, bindings, st.none() | inner)


def _compound(inner):
    lists = st.builds(syntax.ListExpression, several(inner), st.none(), HERE) | st.builds(
        syntax.ListExpression, several(inner, 1), _generators(inner), HERE
    )
    named = several(st.tuples(NAMES, inner), 0, 2)
    names = st.builds(syntax.Name, several(NAMES, 1, 2), HERE)
    calls = st.builds(
        syntax.Call, names, several(inner), named, st.none(), _clauses(inner), HERE
    ) | st.builds(
        syntax.Call, names, several(inner, 1), named, _generators(inner), _clauses(inner), HERE
    )
    places = st.builds(syntax.Name, several(NAMES, 1, 2), HERE) | lists
    return st.one_of(
        lists,
        calls,
        st.builds(syntax.TupleExpression, several(inner, 2), HERE),
        st.builds(syntax.Ported, lists | calls, st.sampled_from(["q", "kv"]), HERE),
        st.builds(syntax.At, inner, places, HERE),
        st.builds(syntax.Binary, OPERATORS, inner, inner, HERE),
        st.builds(syntax.Negation, inner, HERE),
    )


EXPRESSIONS = st.recursive(LEAVES, _compound, max_leaves=25)
FORMULAS = st.recursive(
    EXPRESSIONS,
    lambda inner: (
        st.builds(
            syntax.Quantifier,
            st.sampled_from(["forall", "exists"]),
            st.none(),
            PATTERNS,
            EXPRESSIONS,
            inner,
            HERE,
        )
        | st.builds(
            syntax.Quantifier,
            st.just("most"),
            EXPRESSIONS,
            PATTERNS,
            EXPRESSIONS,
            inner,
            HERE,
        )
    ),
    max_leaves=3,
)
SETTINGS = st.builds(
    syntax.Setting,
    NAMES,
    st.one_of(TEXTS, st.booleans(), st.floats(0, 1e20, allow_infinity=False)),
    HERE,
) | st.builds(
    syntax.Setting,
    st.sampled_from(sorted(WORD_SETTINGS)),
    st.builds(syntax.Name, several(NAMES, 1, 1), HERE),
    HERE,
)
ENDPOINT_PARTS = st.one_of(
    st.builds(syntax.Name, several(NAMES, 1, 2), HERE),
    st.builds(syntax.NodeLiteral, NODES, HERE),
    st.builds(syntax.ListExpression, several(EXPRESSIONS), st.none(), HERE),
)
ENDPOINTS = ENDPOINT_PARTS | st.builds(
    syntax.At, ENDPOINT_PARTS, st.builds(syntax.Name, several(NAMES, 1, 1), HERE), HERE
)
WHERES = st.builds(syntax.Where, EXPRESSIONS, HERE)
CORRUPTS = st.builds(
    syntax.Corrupt,
    NAMES,
    several(WHERES | st.builds(syntax.Rewrite, NAMES, EXPRESSIONS, HERE)),
    HERE,
)
TASK_LINES = st.one_of(
    st.builds(syntax.Slot, PATTERNS, EXPRESSIONS, HERE),
    st.builds(syntax.Tokens, NAMES, EXPRESSIONS, HERE),
    st.builds(
        syntax.PromptTemplate,
        st.none() | NAMES,
        st.builds(syntax.StringLiteral, TEXTS, HERE),
        HERE,
    ),
    WHERES,
    CORRUPTS,
    SETTINGS,
)
EDGES = st.builds(syntax.EdgeLine, ENDPOINTS, ENDPOINTS, HERE) | st.builds(
    syntax.LiveLine, ENDPOINTS, HERE
)
CLAUSES = _clauses(EXPRESSIONS)
STATEMENTS = st.one_of(
    st.builds(syntax.SpecHeader, NAMES, TEXTS, HERE),
    st.builds(syntax.Import, TEXTS, NAMES, HERE),
    st.builds(syntax.Counterexample, NAMES, TEXTS, HERE),
    st.builds(syntax.Model, st.none() | NAMES, TEXTS, several(SETTINGS), HERE),
    st.builds(syntax.Task, NAMES, several(TASK_LINES), HERE),
    st.builds(syntax.Circuit, NAMES, several(EDGES), st.none(), HERE),
    st.builds(syntax.Circuit, NAMES, st.just(()), EXPRESSIONS, HERE),
    st.builds(syntax.Measure, NAMES, several(NAMES, 0, 3), EXPRESSIONS, HERE),
    st.builds(
        syntax.Define,
        st.sampled_from(["group", "let", "metric", "ablation"]),
        NAMES,
        EXPRESSIONS,
        HERE,
    ),
    st.builds(
        syntax.Claim,
        st.sampled_from(["claim", "assume"]),
        NAMES,
        st.none() | TEXTS,
        CLAUSES,
        st.none() | st.tuples(NAMES, TEXTS, HERE),
        FORMULAS,
        HERE,
    ),
    st.builds(syntax.Report, NAMES, st.none() | TEXTS, CLAUSES, EXPRESSIONS, HERE),
    st.builds(syntax.Default, _clauses(EXPRESSIONS, 1), HERE),
    SETTINGS,
)
FILES = st.builds(syntax.File, several(STATEMENTS, 1, 5))
