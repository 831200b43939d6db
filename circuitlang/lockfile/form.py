"""What a lock says, as frozen data. Fields stand in the order in which the file has them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

VERSION = 1


class Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LockedPart(Form):
    """One entry of the spec's meaning as canonical JSON; `digest` is of its `content`.

    Equal digests mean the same. Of a sealed part there is no `json` where the lock's own part of
    that name is the same.
    """

    digest: str
    json_: str | None = Field(default=None, alias="json")


class LockedMeaning(Form):
    """The `circuitlang.meaning.Meaning` of the spec: its entries, and in `json` the rest of it."""

    digest: str
    json_: str = Field(alias="json")
    parts: dict[str, LockedPart] = {}

    @property
    def document(self) -> dict[str, Any]:
        """What `Meaning.model_validate` reads."""
        entries = {name: json.loads(part.json_ or "null") for name, part in self.parts.items()}
        return {**json.loads(self.json_), "entries": entries}


class LockedModel(Form):
    """A model as it was used. `content` is what stored runs are keyed by; `files` are digests."""

    reference: str
    title: str
    revision: str | None = None
    commit: str | None = None
    content: str | None = None
    dtype: str
    bos: bool
    device: str | None = None
    numerics: str
    shape: dict[str, bool | int | str]
    files: dict[str, str] = {}


class LockedTask(Form):
    """The prompts that one model reads of a task, with their corruptions, answers and donors."""

    task: str
    model: str
    seed: int
    split: str | None = None
    prompts: int
    prompts_digest: str
    references: int
    references_digest: str
    population: int | None = None
    enumerated: bool


class LockedPlan(Form):
    """What the claims and reports ask of the models: a digest over each run, metric and prompts.

    Runs that a search chooses when it has seen numbers are not part of it.
    """

    runs: int
    digest: str


class LockedNumber(Form):
    """A reported number on prompts of `tasks`. `level` is the two-sided confidence of low..high."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    n: int
    method: str
    noise: float | None = None
    tasks: tuple[str, ...] = ()


class LockedClaim(LockedNumber):
    """A claim or `assume` as it was decided.

    `replayed` are the counterexamples that were looked at first, as the spec says them.
    """

    kind: Literal["claim", "assume"]
    verdict: Literal["holds", "fails", "undecided", "survived", "invalid", "not run"]
    ok: bool
    expected: str | None = None
    threshold: str
    region_low: float | None = None
    region_high: float | None = None
    unit: str
    seed: int
    members: int = 0
    worst: str | None = None
    failed: tuple[str, ...] = ()
    looked_at: int | None = None
    n_to_decide: int | None = None
    fragile: bool = False
    reason: str | None = None
    counterexample: str | None = None
    replayed: tuple[str, ...] = ()


class Facts(Form):
    """What a spec comes to before a model runs: its meaning and everything that it rests on.

    `models` are by name, `tasks` by "task model", `files` (imports and data) by path from the spec's
    folder.
    """

    spec: str
    spec_version: str | None = None
    title: str | None = None
    authors: tuple[str, ...] = ()
    doi: str | None = None
    plan: LockedPlan | None = None
    files: dict[str, str] = {}
    models: dict[str, LockedModel] = {}
    tasks: dict[str, LockedTask] = {}
    meaning: LockedMeaning


class Preregistered(Facts):
    """The spec as it was before any result, and how it has changed since.

    `seal` is that of the lock which `circ lock --preregister` wrote.
    """

    date: datetime
    seal: str
    changes: tuple[str, ...] = ()


class Lock(Facts):
    """A lock file. Without claims and reports it is one of `circ lock --preregister`."""

    version: int = VERSION
    date: datetime
    results: bool
    tool: dict[str, str] = {}
    claims: dict[str, LockedClaim] = {}
    reports: dict[str, dict[str, LockedNumber]] = {}
    preregistered: Preregistered | None = None
    seal: str = ""

    @property
    def day(self) -> str:
        return self.date.date().isoformat()

    @property
    def sealed(self) -> Preregistered | None:
        """What was preregistered, with the JSON of every part; None where nothing was."""
        if (was := self.preregistered) is None:
            return None
        own = self.meaning.parts
        parts = {n: part if part.json_ else own[n] for n, part in was.meaning.parts.items()}
        return was.model_copy(update={"meaning": was.meaning.model_copy(update={"parts": parts})})


def lock_path(spec: Path) -> Path:
    """Where the lock of a spec lies."""
    return Path(f"{spec}.lock")
