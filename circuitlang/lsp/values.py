"""Values that can be suggested, by their type: positions, ablations, metrics, sets, domains, ...

What an argument has to be is known of every function, and of every measure that types were
inferred for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lsprotocol.types import CompletionItemKind as Kind

from circuitlang.language.formulas.value_types import FUNCTIONS, Many, Type, resolved
from circuitlang.lsp import suggestions as some
from circuitlang.lsp import words
from circuitlang.lsp.cursor import Cursor, of_statement
from circuitlang.lsp.suggestions import SETS, Suggestion

_TOKEN_SCORES = ("logit", "logprob", "prob", "rank")
_ARITHMETIC = ("abs", "square", "sqrt", "log", "exp", "min", "max", "mean")


def positions(cursor: Cursor) -> Iterator[Suggestion]:
    yield Suggestion("END", Kind.Reference, words.BUILTINS["END"])
    yield from some.labels(cursor)
    yield from some.calls("first", "last")
    yield from some.bound(cursor)


def data(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.defined(cursor, "task")
    yield from some.bound(cursor)
    for task in cursor.outline.tasks:
        for child in task.children:
            if child.kind == "prompt":
                about = f"template of {task.name}"
                yield Suggestion(f"{task.name}.{child.name}", Kind.Text, about)


def ablations(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.defined(cursor, "ablation")
    named = {k: words.ABLATIONS[k] for k in ("zero", "resample", "mean")}
    yield from some.of_words(named, Kind.Event)
    yield from some.calls(*words.ABLATION_CALLS)
    yield from some.bound(cursor)


def metrics(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.defined(cursor, "metric")
    yield from some.calls(*words.METRIC_CALLS, *_ARITHMETIC)
    yield from some.bound(cursor)
    if cursor.call == "indicator":
        yield Suggestion("argmax", Kind.Keyword, words.METRIC_WORDS["argmax"])


def models(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.defined(cursor, "model")
    yield from some.bound(cursor)


def free(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.node_sets()
    yield from some.defined(cursor, "group")
    yield from some.calls("nodes")


def targets(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.of_words(words.TARGETS, Kind.EnumMember)


def keys(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.of_words(words.MEAN_KEYS, Kind.EnumMember)
    yield from some.inside_tasks(cursor, "slot")


def slots(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.inside_tasks(cursor, "slot")


def corruptions(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.inside_tasks(cursor, "corrupt")
    yield from some.bound(cursor)
    yield from some.imports(cursor)
    if cursor.call in ("mean", "donors"):
        yield Suggestion("clean", Kind.Event, words.ABLATIONS["clean"])


def mean(cursor: Cursor) -> Iterator[Suggestion]:
    """`mean` is an ablation, a metric or a number, by where it stands."""
    if not of_statement("metric")(cursor, ""):
        yield from corruptions(cursor)
    yield from any_value(cursor)


def token_sets(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.inside_tasks(cursor, "tokens")
    yield from some.bound(cursor)


def sets(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.bound(cursor)
    yield from some.defined(cursor, *SETS)
    yield from some.imports(cursor)
    yield from some.of_words({n: words.BUILTINS[n] for n in ("M", "none")}, Kind.Constant)
    yield from some.node_sets()
    yield from some.calls("nodes", "edges", "edges_from")


def domains(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.bound(cursor)
    yield from some.defined(cursor, "group", "let")
    yield from some.imports(cursor)
    yield from some.of_words({"examples": words.BUILTINS["examples"]}, Kind.Constant)
    yield from some.calls(*words.DOMAIN_CALLS)
    yield from some.node_sets()


def texts(cursor: Cursor) -> Iterator[Suggestion]:
    yield from some.bound(cursor)


def any_value(cursor: Cursor) -> Iterator[Suggestion]:
    """Everything that can stand where a value is wanted, the likeliest first."""
    yield from some.bound(cursor)
    if str(cursor.back()) == ",":
        yield from some.named_arguments(cursor.call)
    if of_statement("metric")(cursor, ""):
        yield from metrics(cursor)
        return
    yield from some.defined(cursor, *SETS)
    yield from some.measures(cursor)
    yield from some.calls(*words.OTHER_CALLS, *words.STATISTIC_CALLS)
    if of_statement("claim", "assume")(cursor, ""):
        yield from some.formula_words("forall", "exists", "most")
    yield from some.imports(cursor)
    yield from some.calls(*words.DOMAIN_CALLS, *words.ABLATION_CALLS)
    yield from some.of_words(words.BUILTINS, Kind.Constant)
    yield from some.of_words({"zero": words.ABLATIONS["zero"]}, Kind.Constant)
    yield from some.defined(cursor, "ablation", "metric", "task", "model")
    yield from some.labels(cursor)


# ---------------------------------------------------------------- arguments


_OF_TYPE: dict[str, Callable[[Cursor], Iterator[Suggestion]]] = {
    "edges": sets,
    "nodes": sets,
    "position": positions,
    "data": data,
    "ablation": ablations,
    "metric": metrics,
    "model": models,
    "corruption": corruptions,
    "tokens": token_sets,
    "slot": slots,
    "mean": mean,
    "domain": domains,
    "text": texts,
}
_TAKES: dict[str, tuple[Type, ...]] = {
    **{name: takes for name, (takes, _) in FUNCTIONS.items()},
    **dict.fromkeys(_TOKEN_SCORES, ("tokens",)),
    **{f"lens_{score}": ("nodes", "tokens") for score in _TOKEN_SCORES},
    **dict.fromkeys(("random", "greedy", "search", "subsets"), ("domain",)),
    "resample": ("corruption",),
    "donors": ("corruption", "number"),
    "parts": ("data", "slot"),
    "mean": ("mean",),
    "indicator": ("metric",),
}


def wanted(cursor: Cursor) -> str:
    """The type of the argument that stands at the place; "" where nothing is known of it."""
    name, index = cursor.argument
    signature = cursor.analysis.signatures.get(name)
    takes = _TAKES.get(name)
    if takes is None and signature is not None:
        takes = tuple(found for _, found in signature.parameters)
    found = resolved(takes[index]) if takes is not None and index < len(takes) else ""
    if isinstance(found, Many):
        found = "domain"
    return found if isinstance(found, str) and found in _OF_TYPE else ""


def of_known_type(cursor: Cursor, previous: str) -> bool:
    return bool(wanted(cursor))


def argument(cursor: Cursor) -> Iterator[Suggestion]:
    yield from _OF_TYPE[wanted(cursor)](cursor)
