"""The resolved spec: what is asked for, with every name, range and measure worked out.

This is the form between the language and everything below it. It holds no syntax but
spans for messages, no weights and no prompts. A formula is a tree over `Mean(Measurement)`,
the design's F(S): the compiler collects its runs, the judgement reads its numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from circuitlang.language.graph.architecture import Node, Shape
from circuitlang.language.graph.edges import NOTHING, EdgeSet, Place, Position

if TYPE_CHECKING:
    from pathlib import Path

    from circuitlang.language.formulas.drawn import Drawable
    from circuitlang.language.source import Span

# ---------------------------------------------------------------- what a run is


@dataclass(frozen=True)
class ModelReference:
    """A model as the spec names it: hub name, local folder or shipped model."""

    name: str
    reference: str
    revision: str | None
    bos: bool
    dtype: str
    shape: Shape


@dataclass(frozen=True)
class Constants:
    """A safetensors file of vectors: which nodes it has, and its SHA-256."""

    name: str = field(compare=False)
    path: Path = field(compare=False)
    digest: str
    nodes: frozenset[str]


@dataclass(frozen=True)
class CircuitFile:
    """A file that edges are from: its format, what its `input` stands for, and its SHA-256.

    `edges` are those taken from it, of the model named `model`.
    """

    name: str
    format: str
    inputs: str
    digest: str
    model: str
    edges: EdgeSet
    span: Span


@dataclass(frozen=True)
class Ablation:
    """What a sender outside the set carries.

    `kind` is "resample" (its value on corruption `corruption` of the same prompt), "mean"
    (its mean over reference prompts with equal `per` key and layout), "donors" (its value on
    another prompt, a number is the mean over `draws` of these), "constants" (its vector in a
    file) or "zero". `corruption` None means clean prompts, of references and donors.

    What is executed for "donors" are runs of kind "donor", one for each `draw`.
    """

    name: str = field(compare=False)
    kind: str
    corruption: str | None = None
    per: tuple[str, ...] = ()
    draws: int = 0
    draw: int = 0
    constants: Constants | None = None

    @property
    def is_run(self) -> bool:
        """Whether what senders carry are the values of one run on other tokens."""
        return self.kind in ("resample", "donor")

    def at_draw(self, draw: int) -> Ablation:
        """One draw, counted from 0, of random donors; any other ablation itself."""
        if self.kind != "donors":
            return self
        return Ablation(f"{self.name}, draw {draw + 1}", "donor", self.corruption, draw=draw)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Reading:
    """What some receivers read in another run: the sum of what their edges bring there.

    They are those that `edges` has edges into, at the positions where it has them.
    """

    edges: EdgeSet
    run: Run


@dataclass(frozen=True)
class Run:
    """M[S;a] on a task's prompts: `live` edges recomputed, all others ablated.

    `live` already includes `floor`, the edges that leave free nodes. When it is every edge
    at every position, `ablation` is None: the result cannot depend on it. Receivers of
    `readings` read what they do in another run, whatever their own edges bring.
    """

    model: ModelReference
    task: str
    ablation: Ablation | None
    live: EdgeSet
    written: str = field(compare=False, default="")
    floor: EdgeSet = field(compare=False, default=NOTHING)
    free: tuple[str, ...] = field(compare=False, default=())
    readings: tuple[Reading, ...] = ()

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Kept: a live set can be an integer of 100,000 bits, and runs are keys everywhere."""
        return hash((self.model, self.task, self.ablation, self.live, self.readings))

    @property
    def with_readings(self) -> Iterator[Run]:
        """This run, and every run that something in it reads from."""
        yield self
        for reading in self.readings:
            yield from reading.run.with_readings

    @property
    def places(self) -> frozenset[Place]:
        """The places that its edges name, and those of the runs it reads from."""
        found = self.live.places
        for reading in self.readings:
            found |= reading.edges.places | reading.run.places
        return found


# ---------------------------------------------------------------- metrics: one number per prompt


@dataclass(frozen=True)
class Lens:
    """How a node's output becomes logits.

    `norm` is "own", the final norm of the output itself (the logit lens; nostalgebraist 2020),
    "frozen", the final norm with the scale of the run's last residual there, so that what nodes
    write adds up to the logits before any soft-cap, output biases apart, or "none", no norm and no
    soft-cap (direct logit attribution; Wang et al. 2022, footnote 1). "copied" is not about the
    output: the head's values and output weights applied to the stream after block 0, in the norm
    of block 1 (the copy score; Wang et al. 2022, section 3.1).
    """

    node: Node
    norm: str = "own"


@dataclass(frozen=True)
class TokenScore:
    """`logit`, `logprob`, `prob` or `rank` of a named token set at one position.

    prob sums over the set, logprob is its logsumexp, rank is the best (lowest) rank in the
    set counted from 0; logit of several tokens needs `pool` "mean" or "max". With `lens` the
    logits are those of a node's own output there, not of the whole residual stream.
    """

    kind: str
    tokens: str
    position: Position
    pool: str | None = None
    lens: Lens | None = None


@dataclass(frozen=True)
class Divergence:
    """How far this run's next token is from a reference run's, over the vocabulary, in nats.

    `kind` is "kl", KL(reference || this run), or "js", the Jensen-Shannon divergence: the mean
    KL of both from their mean, at most ln 2. With `place` it is the mean over the predictions of
    the tokens there, each made one position before; without, of what follows the prompt.
    """

    reference: Run
    place: Place | None = None
    kind: str = "kl"


@dataclass(frozen=True)
class Loss:
    """Mean next-token loss over the tokens of `place`, in nats."""

    place: Place


@dataclass(frozen=True)
class AttentionScore:
    """Mean over query tokens of the summed attention to the key tokens."""

    head: Node
    query: Place
    key: Place


@dataclass(frozen=True)
class CopyScore:
    """The share of the place's tokens that are among the `among` likeliest copies of themselves.

    What `head` would write there if it attended to the token alone, read through `Lens("copied")`.
    """

    head: Node
    place: Place
    among: int = 5

    @property
    def lens(self) -> Lens:
        return Lens(self.head, "copied")


@dataclass(frozen=True)
class TopToken:
    """1 where the most likely next token at `position` belongs to the named token set."""

    tokens: str
    position: Position


@dataclass(frozen=True)
class MetricOperation:
    """`operator` over one or two metric expressions: + - * / neg abs min max, comparisons give 0 or 1."""

    operator: str
    operands: tuple[MetricExpression, ...]


@dataclass(frozen=True)
class MetricConstant:
    value: float


MetricExpression = (
    TokenScore
    | Divergence
    | Loss
    | AttentionScore
    | CopyScore
    | TopToken
    | MetricOperation
    | MetricConstant
)


@dataclass(frozen=True)
class Metric:
    name: str = field(compare=False)
    expression: MetricExpression
    lower_is_better: bool = field(compare=False)

    def __str__(self) -> str:
        return self.name


# ---------------------------------------------------------------- numbers and formulas


@dataclass(frozen=True)
class Rows:
    """Which of the task's prompts a number averages over: all, one template, one part or one prompt.

    `kind`: "all", "template" (`key` is its name), "part" (`slot` has value `key`) or
    "example" (`key` is the prompt's index in the sample).
    """

    kind: str = "all"
    key: str | int = ""
    slot: str = ""


@dataclass(frozen=True)
class Measurement:
    """One metric of one run on some of its task's prompts: a vector, one entry per prompt."""

    run: Run
    metric: Metric
    rows: Rows = Rows()


@dataclass(frozen=True)
class Constant:
    value: float


@dataclass(frozen=True)
class Mean:
    """F(S): the mean of a measurement."""

    measurement: Measurement


@dataclass(frozen=True)
class Each:
    """The per-prompt value inside an `Aggregate`."""

    measurement: Measurement


@dataclass(frozen=True)
class Operation:
    """`operator` in + - * / neg abs square sqrt log exp min max mean median."""

    operator: str
    operands: tuple[Number, ...]


@dataclass(frozen=True)
class Aggregate:
    """A statistic over the prompts: `kind` mean, median, quantile (`level`) or share (of a condition)."""

    kind: str
    body: Number | Comparison
    level: float | None = None


@dataclass(frozen=True)
class MemberShare:
    """The share of a domain's members for which a condition holds, to be compared with a number.

    With `drawn` the members are a random sample of the domain, otherwise they are all of it.
    """

    domain: str
    members: tuple[tuple[str, Formula], ...]
    drawn: bool


Number = Constant | Mean | Each | Operation | Aggregate | MemberShare


@dataclass(frozen=True)
class Comparison:
    operator: str
    left: Number
    right: Number


@dataclass(frozen=True)
class Within:
    number: Number
    low: Number
    high: Number


@dataclass(frozen=True)
class Both:
    parts: tuple[Formula, ...]


@dataclass(frozen=True)
class Search:
    """How the members of a domain too large to list are found, once there are numbers.

    `strategy` "greedy" grows sets: `runs` chains of `steps`, each trying `width` additions.
    "search" draws `budget` members. `seed` starts what is drawn, `instantiate` gives the formula
    of a member under a label and may raise `Reject`, and `first` is that of one member. `replayed`
    are members that refuted the claim before, with their labels.
    """

    strategy: str
    parameters: tuple[tuple[str, int], ...]
    candidates: Drawable
    seed: int
    first: Formula
    instantiate: Callable[[Any, str], Formula] = field(compare=False, repr=False)
    replayed: tuple[tuple[Any, str], ...] = ()


@dataclass(frozen=True)
class Quantified:
    """`kind` forall, exists or most (at least the share `level`): one formula per member.

    `extent` says what the members are of the domain: "all" of it; "drawn", a random sample;
    "prompts", those of the sample, which are all where the task is enumerated; "found", chosen by
    `search` and none before it has run, with `tried` the number of members it looked at.
    At most `limit` prompts of the sample are looked at, and beyond it at most `budget`, those with
    the texts `counterexamples` before any other.
    """

    kind: str
    variable: str
    domain: str
    members: tuple[tuple[str, Formula], ...]
    level: float | None = None
    extent: str = "all"
    limit: int | None = None
    search: Search | None = None
    tried: int | None = None
    budget: int = 0
    counterexamples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Independence:
    """That two numbers do not depend on each other over the prompts, tested at `level`."""

    one: Measurement
    other: Measurement
    level: float


Formula = Comparison | Within | Both | Quantified | Independence


# ---------------------------------------------------------------- statements


@dataclass(frozen=True)
class Claim:
    """`kind` claim or assume. `target` is "prompts", "templates" or None when not declared."""

    name: str
    kind: str
    sentence: str | None
    formula: Formula
    target: str | None
    expect: tuple[str, str] | None
    written: str
    span: Span


@dataclass(frozen=True)
class ReportItem:
    """A number, or one number per member of a list, printed without a threshold."""

    name: str
    sentence: str | None
    numbers: tuple[tuple[str, Number], ...]
    target: str | None
    written: str
    span: Span


@dataclass(frozen=True)
class Spec:
    """`papers`, `title`, `authors` and `doi` say what it belongs to, and change nothing else."""

    name: str
    version: str | None
    papers: tuple[str, ...]
    models: Mapping[str, ModelReference]
    tasks: tuple[str, ...]
    claims: tuple[Claim, ...]
    reports: tuple[ReportItem, ...]
    groups: Mapping[str, tuple[str, ...]]
    circuits: Mapping[str, EdgeSet]
    circuit_files: tuple[CircuitFile, ...] = ()
    looks: bool = False
    guaranteed: bool = False
    title: str | None = None
    authors: tuple[str, ...] = ()
    doi: str | None = None
