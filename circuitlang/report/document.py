"""The result of a check as a document: the JSON that `circ check --json` prints.

The schema is versioned by `schema_version`: fields may be added under the same version, a
change of meaning or a removal raises it. `circ schema` prints the JSON Schema.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = "1"


class Form(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, ser_json_inf_nan="null"
    )


class RelatedForm(Form):
    """Another place that a finding is about."""

    message: str
    file: str
    line: int = Field(description="counted from 1")
    column: int = Field(description="counted from 1, in characters")


class DiagnosticForm(Form):
    code: str
    severity: Literal["error", "warning", "note"]
    title: str
    message: str
    help: str | None
    file: str | None
    line: int | None = Field(description="counted from 1")
    column: int | None = Field(description="counted from 1, in characters")
    end_line: int | None
    end_column: int | None
    related: tuple[RelatedForm, ...] = ()


class ModelForm(Form):
    name: str = Field(description="the name that `with` uses")
    reference: str
    title: str
    revision: str | None
    commit: str | None
    dtype: str
    device: str
    bos: bool
    layers: int
    heads: int
    kv_heads: int
    edges: int
    note: str = Field(description="what the reader must know of the graph, e.g. ungrouped heads")


class CorruptedForm(Form):
    text: str
    tokens: tuple[int, ...]


class PromptForm(Form):
    index: int
    template: str
    slots: dict[str, str]
    text: str
    tokens: tuple[int, ...] = Field(description="token ids, BOS included when the model has one")
    spans: dict[str, tuple[int, int]] = Field(description="label -> first token, one past the last")
    token_sets: dict[str, tuple[int, ...]] = Field(description="answer, foil, ... as token ids")
    corrupted: dict[str, CorruptedForm]
    donors: tuple[int, ...] = Field(
        default=(), description="the prompts that random donors are, by index, one for each draw"
    )


class TaskForm(Form):
    name: str
    model: str
    templates: tuple[str, ...]
    n: int
    population: int | None
    enumerated: bool
    prompts: tuple[PromptForm, ...]
    references: tuple[PromptForm, ...] = Field(
        description="reference prompts of mean ablations; empty when no run uses a mean"
    )


class EdgesForm(Form):
    """A set of edges: the named ones, or all but the named ones."""

    all_except: bool
    edges: tuple[str, ...]


class PositionedForm(Form):
    """At these token positions of these prompts these edges are live."""

    prompts: tuple[int, ...]
    positions: tuple[int, ...]
    live: EdgesForm


class AblationForm(Form):
    name: str
    kind: Literal["resample", "mean", "donors", "constants", "zero"]
    corruption: str | None = Field(description="None with kind mean or donors: clean prompts")
    per: tuple[str, ...]
    draws: int | None = Field(
        default=None, description="of kind donors: a value is the mean over so many of a prompt's"
    )
    file: str | None = Field(default=None, description="of kind constants: the safetensors file")
    sha256: str | None = Field(default=None, description="of the file's bytes")


class ReceiversForm(Form):
    """Receivers such as a9.h9<q>, at these token positions of these prompts."""

    prompts: tuple[int, ...] | None = Field(description="None for all")
    positions: tuple[int, ...] | None = Field(description="None for all")
    receivers: tuple[str, ...]


class WiringForm(Form):
    """Which edges carry what in a run."""

    set: str = Field(description="S as written")
    live: EdgesForm | None = Field(description="live edges at every position, free ones included")
    live_at: tuple[PositionedForm, ...] = Field(description="instead of `live` for positional sets")
    under: AblationForm | None = Field(description="None when every edge is live")
    readings: tuple[ReadingForm, ...] = Field(
        default=(),
        description="receivers that read from other runs; the last that names one counts",
    )


class ReadingForm(Form):
    """These receivers read what their edges bring in another run."""

    receivers: tuple[ReceiversForm, ...]
    run: WiringForm


class RunForm(WiringForm):
    """F(S on task under ablation by metric with model free nodes), one entry per metric."""

    on: str
    by: str
    with_: str = Field(serialization_alias="with", validation_alias="with")
    free: tuple[str, ...]
    n: int
    mean: float | None
    sd: float | None
    values: tuple[float | None, ...] | None = Field(
        description="one per prompt, with --per-example"
    )


class MemberForm(Form):
    name: str
    verdict: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: str | None


class ClaimForm(Form):
    name: str
    kind: Literal["claim", "assume"]
    sentence: str | None
    written: str
    target: str
    verdict: Literal["holds", "fails", "undecided", "survived", "invalid", "not run"]
    ok: bool = Field(description="the claim holds, or meets what the spec expects of it")
    expected: str | None
    expected_reason: str | None
    value: float | None
    low: float | None
    high: float | None
    level: float | None = Field(description="two-sided confidence of low..high")
    threshold: str
    region_low: float | None
    region_high: float | None
    n: int
    unit: str
    method: str
    n_to_decide: int | None
    reason: str | None = Field(description="why the verdict is not `holds`")
    worst: str | None
    failed: tuple[str, ...] = Field(description="members refuted after Holm's correction")
    members: tuple[MemberForm, ...]
    companions: dict[str, float]
    looked_at: int | None = Field(
        default=None,
        description="of a claim about more members than these: how many were drawn or searched",
    )
    fragile: bool = Field(
        default=False,
        description="it holds by less than a tenth of the interval's half-width: a threshold that "
        "was chosen on these prompts looks like this",
    )
    counterexample: str | None = Field(
        default=None, description="the simplest member known to refute the claim, as a spec says it"
    )
    noise: float | None = Field(
        default=None, description="how far the numeric noise of its metrics can move the value"
    )
    member_count: int = Field(default=0, description="how many members it has, listed or not")


class ReportForm(Form):
    name: str
    sentence: str | None
    label: str
    value: float | None = Field(description="None when it is not a finite number")
    low: float | None
    high: float | None
    n: int
    method: str
    level: float | None = Field(default=None, description="two-sided confidence of low..high")
    noise: float | None = Field(
        default=None, description="how far the numeric noise of its metrics can move the value"
    )


class PreconditionForm(Form):
    code: str
    title: str
    passed: bool
    detail: str


class InvariantForm(Form):
    name: str
    deviation: float = Field(description="largest |logit difference| / max |logit|")
    passed: bool


class DifferenceForm(Form):
    """One metric of the sampled runs and prompts against the reference executor."""

    by: str = Field(description="the metric")
    on: str
    with_: str = Field(serialization_alias="with", validation_alias="with")
    largest: float = Field(description="largest |difference|, in the metric's unit")
    scale: float = Field(description="largest |value| of the metric in this check")
    relative: float | None = Field(description="largest / scale; None when the scale is 0")


class AgainstReferenceForm(Form):
    """A sample of runs, executed by the reference executor too."""

    runs: int
    prompts: int = Field(description="of each task")
    differences: tuple[DifferenceForm, ...]


class PreregisteredForm(Form):
    """When the spec was sealed before any result, and what has changed since."""

    date: str
    changes: tuple[str, ...]


class CheckDocument(Form):
    """Everything one `circ check` of one file found."""

    schema_version: str = SCHEMA_VERSION
    tool: dict[str, str] = Field(description="versions of what produced the numbers")
    file: str
    spec: str
    version: str | None
    papers: tuple[str, ...]
    title: str = Field(description="the table's title; says so when the check was a quick one")
    heading: str | None = Field(default=None, description="the title that the spec gives itself")
    authors: tuple[str, ...] = ()
    doi: str | None = None
    exit_code: int = Field(description="0 all hold or meet expectations, 1 otherwise, 2 not run")
    seconds: float
    seed: int | None
    locked: str | None = Field(
        default=None, description="with --frozen: when the verdicts were locked; nothing was run"
    )
    preregistered: PreregisteredForm | None = Field(
        default=None, description="of what a lock was read or written"
    )
    diagnostics: tuple[DiagnosticForm, ...]
    models: tuple[ModelForm, ...] = ()
    tasks: tuple[TaskForm, ...] = ()
    preconditions: tuple[PreconditionForm, ...] = ()
    invariants: tuple[InvariantForm, ...] = ()
    noise: dict[str, float] = Field(default_factory=dict, description="metric -> numeric noise")
    against_reference: AgainstReferenceForm | None = Field(
        default=None, description="with --against-reference; its differences count as noise"
    )
    runs: tuple[RunForm, ...] = ()
    executed_runs: int = Field(default=0, description="runs that were executed in this check")
    stored_runs: int = Field(default=0, description="runs whose numbers came from the store")
    claims: tuple[ClaimForm, ...] = ()
    reports: tuple[ReportForm, ...] = ()

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from circuitlang.report.html import page

        return page(self)
