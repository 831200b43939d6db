"""Types of values as far as a measure's body tells them, before anything is worked out.

A type is a word (`edges`, `number`), `Many` of a type, or a `Variable` to be found out.
"""

from __future__ import annotations

from dataclasses import dataclass

from circuitlang.language.source import Span

ANY = "any value"
_PHRASES = {
    "edges": "a set of edges",
    "nodes": "a set of nodes",
    "number": "a number",
    "position": "a position",
    "ablation": "an ablation",
    "data": "data",
    "metric": "a metric",
    "corruption": "a corruption",
    "tokens": "a set of tokens",
    "model": "a model",
    "condition": "a condition",
    "text": "text",
}
SETS = ("nodes", "edges")


@dataclass(eq=False)
class Variable:
    """A type to be found out. `first` is the use that settled it; a `rigid` one is not narrowed."""

    name: str | None = None
    type: Type | None = None
    first: Span | None = None
    rigid: bool = False
    same: Variable | None = None


@dataclass(frozen=True)
class Many:
    """A list, or a domain, of members of one type."""

    member: Type


Type = str | Many | Variable

NAMES: dict[str, Type] = {
    **dict.fromkeys(("M", "none"), "edges"),
    **dict.fromkeys(("any", "input", "logits", "heads", "mlps"), "nodes"),
    **dict.fromkeys(("zero", "resample"), "ablation"),
    "END": "position",
    "clean": "corruption",
    "examples": Many("data"),
}
FUNCTIONS: dict[str, tuple[tuple[Type, ...], Type]] = {
    "F": (("edges",), "number"),
    "path_effect": (("nodes", "nodes"), "number"),
    "size": (("edges",), "number"),
    "edges": (("edges",), Many("edges")),
    "nodes": (("edges",), "nodes"),
    "groups": (("edges",), Many("nodes")),
    "arrows": (("edges",), Many("edges")),
    "templates": (("data",), Many("data")),
    "corruptions": (("data",), Many("corruption")),
    "examples": (("data",), Many("data")),
    "inputs": (("data",), Many("data")),
    "circuits": (("number",), Many("edges")),
    "paths": (("edges",), Many("edges")),
    "edges_from": (("text",), "edges"),
    "independence": (("edges", "edges"), "number"),
    "kl": (("edges", "position"), "metric"),
    "js": (("edges", "position"), "metric"),
    "loss": (("position",), "metric"),
    "copies": (("nodes",), "metric"),
    "attention": (("nodes", "position", "position"), "metric"),
    **dict.fromkeys(("first", "last"), (("position",), "position")),
    **dict.fromkeys(("sqrt", "log", "exp"), (("number",), "number")),
}


def phrase(found: Type) -> str:
    """A type as messages say it."""
    found = resolved(found)
    if isinstance(found, Many):
        return f"a {shown(found)}"
    return _PHRASES[found] if isinstance(found, str) else ANY


def shown(found: Type) -> str:
    """A type as signatures write it."""
    found = resolved(found)
    if isinstance(found, Many):
        member = shown(found.member)
        return "list" if member == ANY else f"list of {member}"
    return found if isinstance(found, str) else ANY


def resolved(found: Type) -> Type:
    """The type behind a variable, or the variable that stands for all it was unified with."""
    while isinstance(found, Variable):
        if found.same is not None:
            found = found.same
        elif found.type is not None:
            found = found.type
        else:
            return found
    return found


def fits(found: Type, wanted: Type) -> bool:
    found, wanted = resolved(found), resolved(wanted)
    if found == wanted or isinstance(found, Variable) or isinstance(wanted, Variable):
        return True
    if isinstance(found, Many):
        inner = wanted.member if isinstance(wanted, Many) else wanted
        return (inner in (*SETS, "position") or isinstance(wanted, Many)) and fits(
            found.member, inner
        )
    return (found, wanted) in (("nodes", "edges"), ("text", "model"), ("number", "metric"))


def is_set(found: Type) -> bool:
    found = resolved(found)
    return is_set(found.member) if isinstance(found, Many) else found in SETS


def root(found: Type) -> Variable | None:
    """The variable that holds the type, if it is one."""
    if not isinstance(found, Variable):
        return None
    while found.same is not None:
        found = found.same
    if isinstance(found.type, Variable):
        return root(found.type)
    return found
