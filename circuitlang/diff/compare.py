"""Two meanings -> what changed, what follows from it, and which verdicts are others.

A thing changed of itself where its own form did; where only what it uses did, it is listed
under that. Nothing is listed twice as a change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from circuitlang.diff.claims import direction
from circuitlang.diff.edges import edges_between
from circuitlang.diff.pairs import STATED, Pairs, closure, name_of, paired
from circuitlang.diff.values import plain_details, task_details
from circuitlang.meaning import Entry, Meaning, canonical
from circuitlang.report.diff.document import (
    ChangeForm,
    DetailForm,
    DiffDocument,
    EdgesForm,
    FlipForm,
    FollowsForm,
    Kind,
    SideForm,
    VerdictForm,
)

NOT_MET = frozenset({"fails", "undecided"})
ORDER = ("settings", "model", "task", "metric", "ablation", "group", "circuit")


@dataclass(frozen=True)
class Side:
    """A spec by what it means; `verdicts` of claims are those that belong to this meaning.

    `rests_on` is what a lock says of models and prompts that no spec does: key -> name -> value.
    """

    label: str
    meaning: Meaning
    verdicts: Mapping[str, VerdictForm] = field(default_factory=dict)
    rests_on: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def compare(before: Side, after: Side) -> DiffDocument:
    return _Comparison(before, after).document()


class _Comparison:
    def __init__(self, before: Side, after: Side) -> None:
        self.before, self.after = before, after
        self.pairs: Pairs = paired(before.meaning, after.meaning)
        self.was = {key: was for was, key in self.pairs.both}
        old, new = before.meaning.abbreviations, after.meaning.abbreviations
        self.abbreviations = {k for k in (*old, *new) if old.get(k) != new.get(k)}
        self.differing = [(w, k) for w, k in self.pairs.both if not self._is_same(w, k)]
        own = {key for was, key in self.differing if self._is_own(was, key)}
        self.changed = {*own, *self.pairs.added, *self.pairs.removed, *self.abbreviations}

    def document(self) -> DiffDocument:
        changes = [*self._one_sided(), *self._both_sided()]
        changes += self._of_ground({change.key for change in changes})
        changes.sort(key=_seriousness)
        return DiffDocument(
            before=_side_form(self.before),
            after=_side_form(self.after),
            changes=tuple(changes),
            flips=tuple(self._flips()),
        )

    # ------------------------------------------------------------ what is a change

    def _is_same(self, was: str, key: str) -> bool:
        old, new = self.pairs.old[was], self.pairs.new[key]
        return canonical(old.content) == canonical(new.content) and _kind(was) == _kind(key)

    def _is_own(self, was: str, key: str) -> bool:
        """Whether it changed by itself and not, or not only, through what it uses."""
        old, new = self.pairs.old[was], self.pairs.new[key]
        if _kind(was) != _kind(key) or old.form is None:
            return True
        if old.terms is not None:
            return direction(old, new) != "same"
        return old.form != new.form

    def _causes(self, was: str, key: str) -> list[str]:
        sides = (self.pairs.old, self.pairs.new)
        used = closure(was, sides) | closure(key, sides)
        if _kind(key) == "circuit":
            used = {part for part in used if _kind(part) != "model" or not self._has_graph(part)}
        return sorted((used & self.changed) - {was, key}, key=_order)

    def _has_graph(self, model: str) -> bool:
        """Whether it is a model of the same graph on both sides."""
        old, new = self.pairs.old.get(self.was.get(model, "")), self.pairs.new.get(model)
        if old is None or new is None:
            return False
        return all(old.content[name] == new.content[name] for name in ("reference", "shape"))

    def _is_through_abbreviation(self, was: str, key: str, causes: Iterable[str]) -> bool:
        """Written as before, and another for a `let`, a measure or a default."""
        same = self.pairs.old[was].text == self.pairs.new[key].text and _kind(was) == _kind(key)
        return same and any(cause in self.abbreviations for cause in causes)

    # ------------------------------------------------------------ changes

    def _one_sided(self) -> Iterator[ChangeForm]:
        for key in self.pairs.removed:
            verdict = self._verdict(self.before, key)
            yield ChangeForm(
                kind="removed",
                key=key,
                before=self._text(self.before.meaning.entries, key),
                verdict_before=verdict,
                after_failure=_is_unmet(verdict),
            )
        for key in self.pairs.added:
            yield ChangeForm(
                kind="added",
                key=key,
                after=self._text(self.pairs.new, key),
                verdict_after=self._verdict(self.after, key),
            )

    def _both_sided(self) -> Iterator[ChangeForm]:
        follows: dict[str, list[FollowsForm]] = {}
        changes: dict[str, ChangeForm] = {}
        for was, key in self.differing:
            causes = self._causes(was, key)
            kind = self._kind_of(was, key)
            hidden = self._is_through_abbreviation(was, key, causes)
            failed = kind == "weakened" and _is_unmet(self._verdict(self.before, was))
            if causes and not failed and (hidden or key not in self.changed):
                form = self._follows(was, key, kind)
                for cause in causes:
                    follows.setdefault(cause, []).append(form)
            else:
                changes[key] = self._change(was, key, kind, causes, failed)
        for was, key in self.pairs.both:
            if key not in changes:
                changes |= {c.key: c for c in self._of_words(was, key)}
        for cause in follows:
            if cause not in changes:
                changes[cause] = self._abbreviation(cause)
        for key, change in changes.items():
            yield change.model_copy(update={"follows": tuple(follows.get(key, ()))})

    def _kind_of(self, was: str, key: str) -> Kind:
        old, new = self.pairs.old[was], self.pairs.new[key]
        if _kind(key) not in STATED or _kind(was) != _kind(key):
            return "changed"
        found = direction(old, new)
        return "changed" if found == "same" else found

    def _change(
        self, was: str, key: str, kind: Kind, causes: Iterable[str], failed: bool
    ) -> ChangeForm:
        old, new = self.before.meaning.entries[was], self.pairs.new[key]
        texts = self._text(self.before.meaning.entries, was), self._text(self.pairs.new, key)
        return ChangeForm(
            kind=kind,
            key=key,
            was=was if was != key else None,
            before=texts[0],
            after=texts[1],
            details=(*self._details(key, old, new), *self._names(causes)),
            edges=self._edges(was, key),
            through=tuple(causes),
            verdict_before=self._verdict(self.before, was),
            verdict_after=self._verdict(self.after, key),
            after_failure=failed,
        )

    def _of_words(self, was: str, key: str) -> Iterator[ChangeForm]:
        """Another name, another sentence."""
        old, new = self.before.meaning.entries[was], self.pairs.new[key]
        if was == key and old.says == new.says:
            return
        yield ChangeForm(
            kind="renamed" if was != key else "reworded",
            key=key,
            was=was if was != key else None,
            before=old.says if old.says != new.says else None,
            after=new.says if old.says != new.says else None,
        )

    def _of_ground(self, known: set[str]) -> Iterator[ChangeForm]:
        """Other weights or prompts under a spec that says the same of them."""
        for key in self.before.rests_on.keys() & self.after.rests_on.keys() - known:
            old, new = self.before.rests_on[key], self.after.rests_on[key]
            both = {name: (old[name], new[name]) for name in sorted(old.keys() & new.keys())}
            details = tuple(
                DetailForm(what=name, before=a, after=b) for name, (a, b) in both.items() if a != b
            )
            if details:
                yield ChangeForm(kind="changed", key=key, details=details)

    def _abbreviation(self, key: str) -> ChangeForm:
        old = self.before.meaning.abbreviations.get(key)
        new = self.after.meaning.abbreviations.get(key)
        kind: Kind = "added" if old is None else "removed" if new is None else "changed"
        return ChangeForm(kind=kind, key=key, before=old, after=new)

    def _names(self, causes: Iterable[str]) -> Iterator[DetailForm]:
        """What the names stand for that something changed through."""
        old, new = self.before.meaning.abbreviations, self.after.meaning.abbreviations
        for key in causes:
            if key in self.abbreviations:
                yield DetailForm(what=key, before=old.get(key), after=new.get(key))

    def _follows(self, was: str, key: str, kind: Kind) -> FollowsForm:
        return FollowsForm(
            key=key,
            kind=kind,
            edges=self._edges(was, key),
            before=self._verdict(self.before, was),
            after=self._verdict(self.after, key),
        )

    # ------------------------------------------------------------ parts of a change

    def _text(self, entries: Mapping[str, Entry], key: str) -> str | None:
        """None of what is told in details."""
        told_in_details = _kind(key) in ("group", "model", "settings", "task")
        return None if told_in_details else entries[key].text or None

    def _details(self, key: str, old: Entry, new: Entry) -> tuple[DetailForm, ...]:
        match _kind(key):
            case "task":
                return task_details(old.content, new.content)
            case "group":
                gone = tuple(n for n in old.content if n not in new.content)
                come = tuple(n for n in new.content if n not in old.content)
                return (DetailForm(what="nodes", added=come, removed=gone),)
            case "settings" | "model":
                return plain_details(old.content, new.content)
        return ()

    def _edges(self, was: str, key: str) -> EdgesForm | None:
        if _kind(key) != "circuit":
            return None
        return edges_between(key, self.before.meaning, was, self.after.meaning)

    def _verdict(self, side: Side, key: str) -> VerdictForm | None:
        return side.verdicts.get(name_of(key)) if _kind(key) in ("claim", "assume") else None

    def _flips(self) -> Iterator[FlipForm]:
        for was, key in self.pairs.both:
            old, new = self._verdict(self.before, was), self._verdict(self.after, key)
            if old is not None and new is not None and old.verdict != new.verdict:
                same = (was, key) not in self.differing
                yield FlipForm(claim=name_of(key), before=old, after=new, same_claim=same)


def _kind(key: str) -> str:
    return key.partition(" ")[0]


def _is_unmet(verdict: VerdictForm | None) -> bool:
    return verdict is not None and not verdict.ok and verdict.verdict in NOT_MET


def _order(key: str) -> tuple[int, str]:
    kind = _kind(key)
    return (ORDER.index(kind) if kind in ORDER else len(ORDER) + (kind in STATED), key)


def _seriousness(change: ChangeForm) -> tuple[bool, bool, tuple[int, str]]:
    weaker = change.kind == "weakened" or (change.kind == "removed" and _kind(change.key) in STATED)
    return (not change.after_failure, not weaker, _order(change.key))


def _side_form(side: Side) -> SideForm:
    return SideForm(
        label=side.label,
        spec=side.meaning.name,
        version=side.meaning.revision,
        papers=side.meaning.papers,
        results=bool(side.verdicts),
    )
