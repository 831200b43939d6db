"""What a spec measured of one edge, node or group: nothing here is worked out anew.

A member of a quantifier or of a report's list whose label is an edge, a node or a group is about
that. A claim or report without members is, if its runs differ in exactly that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from circuitlang.compiler.collect import measurements
from circuitlang.language.graph.architecture import architecture, bits, parse_edge, parse_node
from circuitlang.language.spec import Claim, ModelReference, ReportItem
from circuitlang.report.document import CheckDocument, ClaimForm, MemberForm, ReportForm
from circuitlang.report.page.edges import edges_around, edges_told_apart
from circuitlang.report.terminal import decimals_for, interval, number


@dataclass(frozen=True)
class Note:
    """A measured number: of which claim or report, at which place, as texts."""

    by: str
    written: str
    at: str
    value: str
    interval: str
    against: str


class Notes:
    """`found` has the notes of each edge, node and group by its name."""

    def __init__(self, model: ModelReference, groups: Mapping[str, tuple[str, ...]]) -> None:
        self.model, self.groups = model, groups
        self.found: dict[str, list[Note]] = defaultdict(list)

    def add_claim(self, form: ClaimForm, claim: Claim) -> None:
        if not self._is_of_model(claim.formula):
            return
        for member in form.members:
            subject, _, place = member.name.partition(": ")[0].partition(" @ ")
            if self._is_known(subject):
                self._note(subject, place, form.name, form.written, member, member.verdict)
        subject = "" if form.members else self._subject(claim.formula)
        if subject:
            against = f"{form.threshold}: {form.verdict}"
            self._note(subject, "", form.name, form.written, form, against)

    def add_report(self, form: ReportForm, item: ReportItem) -> None:
        if not all(self._is_of_model(number) for _, number in item.numbers):
            return
        subject, _, place = form.label.partition(" @ ")
        if not self._is_known(subject):
            place, subject = "", self._subject(dict(item.numbers).get(form.label))
        if subject:
            self._note(subject, place, form.name, item.written, form, "")

    def _note(
        self,
        subject: str,
        place: str,
        by: str,
        written: str,
        form: ClaimForm | MemberForm | ReportForm,
        against: str,
    ) -> None:
        if form.value is None:
            return
        decimals = decimals_for(form.value, form.low, form.high)
        ends = interval(form.low, form.high, decimals)
        value = number(form.value, decimals)
        self.found[subject].append(Note(by, written, place, value, ends, against))

    def _is_of_model(self, form: Any) -> bool:
        """Another model's nodes have the same names."""
        return all(m.run.model == self.model for m in measurements(form))

    def _is_known(self, subject: str) -> bool:
        return (
            subject in self.groups
            or parse_node(subject) is not None
            or parse_edge(subject) is not None
        )

    def _subject(self, form: Any) -> str:
        """The edge, node or group in whose edges the runs differ; empty if it is none of these."""
        if form is None:
            return ""
        mask, around = edges_told_apart(form, self.model), edges_around(form, self.model)
        graph = architecture(self.model.shape)
        if mask.bit_count() == 1:
            return str(graph.edge(next(bits(mask))))
        rows = (graph.row(mask, i) for i in range(len(graph.receivers)))
        senders = {graph.senders[s] for s in bits(reduce(or_, rows, 0))}
        if len(senders) == 1:
            (node,) = senders
            return str(node) if mask == graph.leaving(node) & around else ""
        for name, members in self.groups.items():
            nodes = {parse_node(member) for member in members}
            if nodes == senders:
                return name if mask == reduce(or_, map(graph.leaving, senders)) & around else ""
        return ""


def notes_of(
    document: CheckDocument,
    claims: Mapping[str, Claim],
    reports: Mapping[str, ReportItem],
    model: ModelReference,
    groups: Mapping[str, tuple[str, ...]],
) -> dict[str, list[Note]]:
    notes = Notes(model, groups)
    for form in document.claims:
        notes.add_claim(form, claims[form.name])
    for report in document.reports:
        notes.add_report(report, reports[report.name])
    return dict(notes.found)
