"""What came and went between two contents, as text for a reader."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from circuitlang.meaning import canonical
from circuitlang.report.diff.document import DetailForm


def task_details(before: Any, after: Any) -> tuple[DetailForm, ...]:
    """Prompts, slots, conditions, sample, seed, split, token sets and corruptions that differ."""
    return tuple(_task(before, after))


def _task(before: Any, after: Any) -> Iterator[DetailForm]:
    old, new = before["asked"], after["asked"]
    yield from _value("prompts", old["prompts"], new["prompts"])
    yield from _each("slot", old["slots"], new["slots"])
    yield from _value("where", old["where"], new["where"])
    for setting in ("sample", "seed"):
        yield from _value(setting, old[setting], new[setting])
    halves = [_half(content.get("split")) for content in (old, new)]
    if halves[0] != halves[1]:
        yield DetailForm(what="split", before=halves[0], after=halves[1])
    yield from _each("tokens", before["tokens"], after["tokens"])
    old, new = before["corruptions"], after["corruptions"]
    for name in sorted({*old, *new}):
        if name not in old or name not in new:
            yield from _each("corruption", _only(old, name), _only(new, name))
            continue
        yield from _each(f"corruption {name}:", old[name]["puts"], new[name]["puts"])
        yield from _value(f"corruption {name}: where", old[name]["where"], new[name]["where"])


def _half(split: str | None) -> str:
    return "all prompts" if split is None else f"the half `{split}`"


def plain_details(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[DetailForm, ...]:
    """Of a content with a value for each name; what is in a name in both is compared within."""
    found: list[DetailForm] = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found += [
                d.model_copy(update={"what": f"{name} {d.what}"}) for d in plain_details(old, new)
            ]
        else:
            found += _value(name, old, new)
    return tuple(found)


def _only(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return {name: content[name]} if name in content else {}


def _each(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[DetailForm]:
    gone, come = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
    if gone or come:
        yield DetailForm(
            what=f"{kind}s" if not kind.endswith(("s", ":")) else kind,
            added=tuple(f"{name} = {shown(after[name])}" for name in come),
            removed=tuple(f"{name} = {shown(before[name])}" for name in gone),
        )
    for name in sorted(before.keys() & after.keys()):
        yield from _value(f"{kind} {name}", before[name], after[name])


def _value(what: str, before: Any, after: Any) -> Iterator[DetailForm]:
    if canonical(before) == canonical(after):
        return
    if isinstance(before, list) and isinstance(after, list):
        old, new = ({canonical(v): v for v in values} for values in (before, after))
        added = tuple(shown(v) for key, v in new.items() if key not in old)
        removed = tuple(shown(v) for key, v in old.items() if key not in new)
        if added or removed:
            yield DetailForm(what=what, added=added, removed=removed)
            return
    yield DetailForm(what=what, before=shown(before), after=shown(after))


def shown(value: Any) -> str:
    """A value of a task's content as text."""
    match value:
        case {"formula": formula}:
            return str(formula)
        case {"text": text}:
            name = value.get("name")
            return f"{name} = {shown(text)}" if name else shown(text)
        case {"number": number}:
            return str(number)
        case {"count": count, "digest": digest}:
            return f"{count:,} values ({str(digest)[7:19]})"
        case {"ids": ids}:
            return f"token ids {json.dumps(ids)}"
        case {"puts": puts}:
            return "{ " + "; ".join(f"{k} = {shown(v)}" for k, v in puts.items()) + " }"
        case list():
            return "[" + ", ".join(map(shown, value)) + "]"
        case True | False:
            return "yes" if value else "no"
        case None:
            return "none"
        case _:
            return json.dumps(value, ensure_ascii=False)
