"""How a spec differs from what was locked of it, part by part."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from circuitlang.front import Front
from circuitlang.language.diagnostics import Related
from circuitlang.language.source import Span
from circuitlang.language.text import syntax
from circuitlang.lockfile.form import Facts, LockedMeaning, LockedModel, LockedPart, LockedTask
from circuitlang.locks.facts import facts_of

CHANGED = "changed"
MOST_NAMED = 8


@dataclass(frozen=True)
class Change:
    """One thing that is not as it was: `part` as locks name it, `what` became of it.

    `meant` says that it is part of what the spec means, not of what the spec is run on; `follows`
    that nothing changed in how it is made of other parts.
    """

    part: str
    what: str
    meant: bool = True
    follows: bool = False

    @property
    def of_model(self) -> bool:
        """Whether it is the model's files that changed."""
        return not self.meant and self.part.startswith("model ")

    def __str__(self) -> str:
        return f"{self.part} {self.what}"


def staleness(front: Front, locked: Facts) -> list[Change]:
    """What has changed as far as the front alone tells: meaning, files, prompts that are drawn."""
    return changes(locked, facts_of(front))


def changes(was: Facts, now: Facts) -> list[Change]:
    """What has changed between two states of a spec; what only one of them knows is left out.

    Another plan is told only where nothing else explains it.
    """
    found = _of_meaning(was.meaning, now.meaning)
    if (was.spec, was.spec_version) != (now.spec, now.spec_version):
        titles = (f"{f.spec} {f.spec_version or ''}".strip() for f in (was, now))
        found.append(Change("spec:", " is ".join(titles)))
    for file in sorted(was.files.keys() & now.files.keys()):
        if was.files[file] != now.files[file]:
            found.append(Change(f"file {file}", CHANGED, False))
    for name in was.models.keys() & now.models.keys():
        found += _of_model(name, was.models[name], now.models[name])
    for name in was.tasks.keys() & now.tasks.keys():
        of_prompts = _of_prompts(was.tasks[name], now.tasks[name])
        other = any(change.part == f"task {was.tasks[name].task}" for change in found)
        found += [replace(change, follows=other) for change in of_prompts]
    if not found and was.plan and now.plan and was.plan != now.plan:
        found.append(Change("plan:", "other runs are needed", False))
    return found


def _of_meaning(was: LockedMeaning, now: LockedMeaning) -> list[Change]:
    """What changed by itself first."""
    digests = ({name: part.digest for name, part in m.parts.items()} for m in (was, now))
    found = [
        replace(change, follows=_made_alike(was.parts[change.part], now.parts[change.part]))
        if change.what == CHANGED
        else change
        for change in compared(*digests)
    ]
    return sorted(found, key=lambda change: change.follows)


def _made_alike(was: LockedPart, now: LockedPart) -> bool:
    forms = [json.loads(part.json_ or "{}").get("form") for part in (was, now)]
    return forms[0] is not None and forms[0] == forms[1]


def compared(was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Change]:
    """Digests by name: changed ones in the order they had, then new ones, then those that are gone."""
    for name, digest in was.items():
        if name in now and now[name] != digest:
            yield Change(name, CHANGED)
    yield from (Change(name, "is new") for name in now if name not in was)
    yield from (Change(name, "is gone") for name in was if name not in now)


def _of_model(name: str, was: LockedModel, now: LockedModel) -> Iterator[Change]:
    if was.commit is not None and now.commit is not None:
        if was.commit != now.commit:
            yield Change(f"model {name}:", f"commit {was.commit[:12]} is {now.commit[:12]}", False)
        return
    for file in sorted(was.files.keys() & now.files.keys()):
        if was.files[file] != now.files[file]:
            yield Change(f"model {name}:", f"{file} changed", False)


def _of_prompts(was: LockedTask, now: LockedTask) -> Iterator[Change]:
    by = f" ({was.model})" if was.model != now.model else ""
    if (was.prompts, was.prompts_digest) != (now.prompts, now.prompts_digest):
        yield Change(f"task {was.task}:", f"prompts changed{by}", False)
    if was.references and now.references and was.references_digest != now.references_digest:
        yield Change(f"task {was.task}:", f"reference prompts changed{by}", False)


def in_words(found: Sequence[Change]) -> str:
    """The changes in one line: what follows from others is only counted."""
    own = [change for change in found if not change.follows] or list(found)
    named, rest = own[:MOST_NAMED], len(found) - len(own[:MOST_NAMED])
    text = ", ".join(map(str, named))
    more = "what uses them" if len(own) < len(found) and len(own) <= MOST_NAMED else "others"
    return f"{text} (and {rest} {'part' if rest == 1 else 'parts'}: {more})" if rest else text


# ---------------------------------------------------------------- where it stands in the spec


def places(front: Front, found: Sequence[Change]) -> tuple[Span | None, Related]:
    """The first changed statement, and the others with what became of them."""
    assert front.resolved is not None
    stated = {key: s.span for s in front.resolved.file.statements if (key := _key(s))}
    own = [change for change in found if not change.follows] or list(found)
    at = [
        (stated[key], f"{change} since it was locked")
        for change in own[:MOST_NAMED]
        if (key := change.part.rstrip(":")) in stated
    ]
    if not at:
        return None, ()
    return at[0][0], tuple(at[1:])


def _key(s: syntax.Statement) -> str | None:
    """The name that a statement's part of the meaning has."""
    match s:
        case syntax.Claim():
            return f"{s.kind} {s.name}"
        case syntax.Define():
            return f"{s.kind} {s.name}"
        case syntax.Model(name=None):
            return f"model {s.reference}"
        case syntax.Model() | syntax.Task() | syntax.Circuit() | syntax.Report():
            return f"{type(s).__name__.lower()} {s.name}"
    return None
