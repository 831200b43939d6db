"""What differs in meaning between two sides, as the JSON that `circ diff --json` prints.

`circ schema diff` prints the JSON Schema. Fields may be added under one `schema_version`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from circuitlang.report.document import Form

SCHEMA_VERSION = "1"

Kind = Literal["added", "removed", "renamed", "changed", "strengthened", "weakened", "reworded"]


class VerdictForm(Form):
    verdict: str
    ok: bool = Field(description="holds, or is what the claim expects")
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None


class SideForm(Form):
    label: str
    spec: str
    version: str | None
    papers: tuple[str, ...] = ()
    results: bool = Field(description="whether verdicts of this side are known")


class DetailForm(Form):
    """One part of what changed, such as a slot: members that came and went, or a value."""

    what: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    before: str | None = None
    after: str | None = None


class BetweenForm(Form):
    """Edges from one group to another; nodes without a group stand for themselves."""

    sender: str
    receiver: str
    added: int
    removed: int


class EdgesForm(Form):
    """Edges of a circuit by name, `@` and the tokens where they are live if not at all of them."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    between: tuple[BetweenForm, ...]
    nodes_added: tuple[str, ...] = Field(description="nodes that send now and did not")
    nodes_removed: tuple[str, ...] = Field(description="nodes that sent and do not now")


class FollowsForm(Form):
    """What changed only because something that it uses did."""

    key: str
    kind: Kind = "changed"
    edges: EdgesForm | None = None
    before: VerdictForm | None = None
    after: VerdictForm | None = None


class ChangeForm(Form):
    kind: Kind
    key: str = Field(description='such as "circuit ioi", "claim faithful" or "settings"')
    was: str | None = Field(default=None, description="its key before, where it was another")
    before: str | None = Field(default=None, description="as the spec writes it")
    after: str | None = None
    details: tuple[DetailForm, ...] = ()
    edges: EdgesForm | None = None
    through: tuple[str, ...] = Field(
        default=(), description="other changes that it is partly or wholly due to"
    )
    follows: tuple[FollowsForm, ...] = Field(
        default=(), description="what changed only because this did"
    )
    verdict_before: VerdictForm | None = None
    verdict_after: VerdictForm | None = None
    after_failure: bool = Field(
        default=False, description="a claim that was not met before is weaker now, or gone"
    )


class FlipForm(Form):
    claim: str
    before: VerdictForm
    after: VerdictForm
    same_claim: bool = Field(description="the claim means the same on both sides")


class DiffDocument(Form):
    """Changes of meaning from the left side to the right one, the most serious first."""

    schema_version: str = SCHEMA_VERSION
    before: SideForm
    after: SideForm
    changes: tuple[ChangeForm, ...]
    flips: tuple[FlipForm, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.changes and not self.flips
