"""A change in words: a headline and lines that begin with +, - or neither."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from circuitlang.language.formulas.inline import count
from circuitlang.report.diagnostics import shown
from circuitlang.report.diff.document import (
    ChangeForm,
    DetailForm,
    DiffDocument,
    EdgesForm,
    FlipForm,
    FollowsForm,
    SideForm,
    VerdictForm,
)
from circuitlang.report.terminal import decimals_for, interval, number

LISTED = 10
WIDEST = 160
Line = tuple[str, str]


@dataclass(frozen=True)
class Told:
    """`kind` is what happened, `about` the thing it happened to."""

    kind: str
    about: str
    lines: tuple[Line, ...]
    loud: bool = False


def told(change: ChangeForm, everything: bool = False) -> Told:
    """At most `LISTED` of everything that can be many, unless everything is asked for."""
    most = None if everything else LISTED
    lines = [*_verdict(change), *_texts(change)]
    for detail in change.details:
        lines += _detail(detail, most)
    if change.edges is not None:
        lines += edge_lines(change.edges, most)
    told_of = {detail.what for detail in change.details}
    if through := [cause for cause in change.through if cause not in told_of]:
        lines.append((" ", f"also because of {_listed(through, most)}"))
    lines += _follows(change.follows, most)
    about = change.key if change.was is None else f"{change.was} → {change.key}"
    split = (line for line in lines for line in _split(line))
    return Told(_kind(change), shown(about), tuple(split), change.after_failure)


def _kind(change: ChangeForm) -> str:
    if not change.after_failure:
        return change.kind
    verb = "failed" if change.verdict_before and change.verdict_before.verdict == "fails" else None
    return f"{change.kind} after it {verb or 'was undecided'}"


def _split(line: Line) -> Iterator[Line]:
    """Nothing of a text can pass for a line of its own."""
    sign, text = line
    yield from ((sign, shown(part)) for part in text.splitlines() or [""])


def _short(text: str, most: int | None) -> str:
    return text if most is None or len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def _verdict(change: ChangeForm) -> Iterator[Line]:
    before, after = change.verdict_before, change.verdict_after
    if before is not None and after is not None:
        yield " ", f"{verdict_text(before)} → {verdict_text(after)}"
    elif before is not None:
        yield " ", f"it was: {verdict_text(before)}"
    elif after is not None:
        yield " ", f"it is: {verdict_text(after)}"


def verdict_text(verdict: VerdictForm) -> str:
    digits = decimals_for(verdict.value, verdict.low, verdict.high)
    value = number(verdict.value, digits)
    found = [verdict.verdict, value, interval(verdict.low, verdict.high, digits)]
    return " ".join(filter(None, found))


def _texts(change: ChangeForm) -> Iterator[Line]:
    before, after = change.before, change.after
    if before != after:
        before, after = _lines_apart(before, after)
    if before is not None and before != after:
        yield "-", before
    if after is not None and before != after:
        yield "+", after
    elif after is not None and change.kind == "changed" and before == after:
        yield " ", after
        if not (change.through or change.details or change.edges):
            yield " ", "written as before; what it stands for changed"


def _lines_apart(before: str | None, after: str | None) -> tuple[str | None, str | None]:
    """Without the lines that both have."""
    old, new = (before or "").splitlines(), (after or "").splitlines()
    gone = [line for line in old if line not in new]
    come = [line for line in new if line not in old]
    return "\n".join(gone) or None, "\n".join(come) or None


def _detail(detail: DetailForm, most: int | None) -> Iterator[Line]:
    if detail.before is not None or detail.after is not None:
        texts = [t if t is None else _short(t, most) for t in (detail.before, detail.after)]
        said = f"was {texts[0]}" if texts[1] is None else " → ".join(filter(None, texts))
        yield " ", f"{detail.what}: {said}"
        return
    for sign, values in (("-", detail.removed), ("+", detail.added)):
        for value in values[:most]:
            yield sign, f"{detail.what}: {_short(value, most)}"
        if most is not None and len(values) > most:
            yield sign, f"{detail.what}: {len(values) - most:,} more"


def edge_lines(edges: EdgesForm, most: int | None) -> Iterator[Line]:
    yield " ", edge_counts(edges)
    listed = len(edges.added) + len(edges.removed)
    if listed > len(edges.between) and len(edges.between) > 1:
        for pair in edges.between[:most]:
            signed = [
                f"+{pair.added}" if pair.added else "",
                f"-{pair.removed}" if pair.removed else "",
            ]
            yield " ", f"{pair.sender} -> {pair.receiver}: {' '.join(filter(None, signed))}"
        if most is not None and len(edges.between) > most:
            yield " ", f"{len(edges.between) - most:,} more pairs"
    for sign, names in (("-", edges.removed), ("+", edges.added)):
        for name in names[:most]:
            yield sign, name
        if most is not None and len(names) > most:
            yield sign, f"{count_of(len(names) - most, 'more edge')} (--all lists them)"


def edge_counts(edges: EdgesForm) -> str:
    parts = []
    for verb, names, nodes in (
        ("added", edges.added, edges.nodes_added),
        ("removed", edges.removed, edges.nodes_removed),
    ):
        if names:
            new = f" ({_listed(nodes, LISTED)})" if nodes else ""
            parts.append(f"{count_of(len(names), 'edge')} {verb}{new}")
    return ", ".join(parts) or "the same edges"


def count_of(number: int, noun: str) -> str:
    return count(number, noun) if number < 1_000 else f"{number:,} {noun}s"


def _follows(follows: Iterable[FollowsForm], most: int | None) -> Iterator[Line]:
    others = []
    for form in follows:
        if form.edges is not None:
            yield " ", f"so {form.key}: {edge_counts(form.edges)}"
        else:
            others.append(_following(form))
    if others:
        yield " ", f"so also: {_listed(others, most)}"


def _following(form: FollowsForm) -> str:
    notes: list[str] = [form.kind] if form.kind in ("weakened", "strengthened") else []
    if form.before is not None:
        after = f" → {form.after.verdict}" if form.after is not None else ""
        notes.append(f"{form.before.verdict}{after}" if after else f"was {form.before.verdict}")
    return f"{form.key} ({', '.join(notes)})" if notes else form.key


def _listed(names: Iterable[str], most: int | None) -> str:
    names = list(names)
    rest = 0 if most is None else len(names) - most
    shown_names = names if rest <= 0 else names[:most]
    return ", ".join(shown_names) + (f" and {rest:,} more" if rest > 0 else "")


def flip_text(flip: FlipForm) -> Line:
    same = "the claim is the same" if flip.same_claim else "the claim changed too"
    return " ", f"{verdict_text(flip.before)} → {verdict_text(flip.after)}; {same}"


def side_text(side: SideForm) -> str:
    version = f" {side.version}" if side.version else ""
    return f"{side.spec}{version} ({side.label})"


def summary(document: DiffDocument) -> str:
    if document.is_empty:
        return "no difference in meaning"
    changes = [c for c in document.changes if not c.after_failure]
    loud = len(document.changes) - len(changes)
    parts = [count_of(len(document.changes), "change")] if document.changes else []
    parts += [count_of(len(document.flips), "verdict") + " flipped"] if document.flips else []
    if loud:
        parts.append(f"{count_of(loud, 'claim')} weakened or removed that had not held")
    return "; ".join(parts)
