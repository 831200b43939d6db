"""Which entry of one meaning is which of the other: by name, and where names changed by content."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from circuitlang.diff.claims import direction
from circuitlang.meaning import Entry, Meaning, canonical

STATED = ("claim", "assume", "report")
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class Pairs:
    """`old` holds the left entries as they would read with the names of the right side."""

    old: Mapping[str, Entry]
    new: Mapping[str, Entry]
    renamed: Mapping[str, str]

    @property
    def both(self) -> list[tuple[str, str]]:
        """(key on the left, key on the right)."""
        found = ((was, self.renamed.get(was, was)) for was in self.old)
        return [(was, key) for was, key in found if key in self.new]

    @property
    def removed(self) -> list[str]:
        kept = {was for was, _ in self.both}
        return [key for key in self.old if key not in kept]

    @property
    def added(self) -> list[str]:
        kept = {key for _, key in self.both}
        return [key for key in self.new if key not in kept]


def paired(old: Meaning, new: Meaning) -> Pairs:
    renamed = _by_content(old.entries, new.entries)
    names = {name_of(was): name_of(key) for was, key in renamed.items() if _kind(was) not in STATED}
    read = {key: _with_names(key, entry, names) for key, entry in old.entries.items()}
    renamed |= _by_content(read, new.entries, renamed)
    renamed |= _by_assertion(read, new.entries, renamed)
    return Pairs(read, new.entries, renamed)


def name_of(key: str) -> str:
    return key.partition(" ")[2]


def _kind(key: str) -> str:
    return key.partition(" ")[0]


def _left(
    old: Mapping[str, Entry], new: Mapping[str, Entry], known: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """Keys that stand on one side alone."""
    gone = [key for key in old if key not in new and key not in known]
    return gone, [key for key in new if key not in old and key not in known.values()]


def _by_content(
    old: Mapping[str, Entry], new: Mapping[str, Entry], known: Mapping[str, str] | None = None
) -> dict[str, str]:
    gone, come = _left(old, new, known or {})
    by_content: dict[tuple[str, bytes], list[str]] = defaultdict(list)
    for key in come:
        by_content[_kind(key), canonical(new[key].content)].append(key)
    found: dict[str, str] = {}
    for key in gone:
        same = by_content[_kind(key), canonical(old[key].content)]
        if same:
            found[key] = same.pop(0)
    return found


def _by_assertion(
    old: Mapping[str, Entry], new: Mapping[str, Entry], known: Mapping[str, str]
) -> dict[str, str]:
    """A claim under another name that asserts more or less of the same number, an `assume` that is
    a claim now, and the only model where that is another."""
    gone, come = _left(old, new, known)
    found: dict[str, str] = {}
    models = [[key for key in keys if _kind(key) == "model"] for keys in (gone, come)]
    if len(models[0]) == len(models[1]) == 1:
        found[models[0][0]] = models[1][0]
    stated = [[key for key in keys if _kind(key) in STATED] for keys in (gone, come)]
    for key in stated[0]:
        free = [k for k in stated[1] if k not in found.values()]
        same = [k for k in free if name_of(k) == name_of(key)]
        like = [k for k in free if _is_like(old[key], new[k])]
        if same or len(like) == 1:
            found[key] = (same or like)[0]
    return found


def _is_like(one: Entry, other: Entry) -> bool:
    told = one.terms is not None and other.terms is not None
    return told and direction(one, other) in ("strengthened", "weakened", "same")


def _with_names(key: str, entry: Entry, names: Mapping[str, str]) -> Entry:
    if not names:
        return entry
    kept = {"content", "says"} if _kind(key) not in ("ablation", "metric") else {"says"}
    read = {k: v if k in kept else _read(v, names) for k, v in entry.model_dump().items()}
    return Entry.model_validate(read)


def _read(value: Any, names: Mapping[str, str]) -> Any:
    match value:
        case str():
            return _NAME.sub(lambda m: _name(m[0], names), value)
        case dict():
            return {_read(k, names) if k in names else k: _read(v, names) for k, v in value.items()}
        case list() | tuple():
            return [_read(v, names) for v in value]
        case _:
            return value


def _name(text: str, names: Mapping[str, str]) -> str:
    """The longest beginning of a dotted name that has a new one."""
    parts = text.split(".")
    for length in range(len(parts), 0, -1):
        if (start := ".".join(parts[:length])) in names:
            return ".".join((names[start], *parts[length:]))
    return text


def closure(key: str, sides: Iterable[Mapping[str, Entry]]) -> set[str]:
    """All that an entry uses, and what that uses in turn."""
    found: set[str] = set()
    waiting = [key]
    known = list(sides)
    while waiting:
        part = waiting.pop()
        for side in known:
            for used in side[part].uses if part in side else ():
                if used not in found:
                    found.add(used)
                    waiting.append(used)
    return found
