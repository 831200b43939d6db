"""The logit lens and direct logit attribution, as runs and metrics of the language.

The lens (nostalgebraist 2020) puts the residual stream behind a layer through the final norm and
the unembedding. Here that is a run: M without the edges from later layers into the logits, under
zero ablation. So it is cached, shared and claimed like any other. Attention output biases of later
layers stay, as in every run. Direct logit attribution (Elhage et al. 2021) is `dla` with the frozen
norm (`spec.Lens`), of every node that has a part of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING

from circuitlang.discovery.experiment import Context, Experiment, experiment
from circuitlang.front import Front, Options, Progress
from circuitlang.language.diagnostics import Reject, suggestion
from circuitlang.language.graph.architecture import LOGITS, Receiver
from circuitlang.language.graph.edges import (
    END,
    NOTHING,
    Position,
    UnresolvedPosition,
    uniform,
)
from circuitlang.language.prompt import Prompt
from circuitlang.language.spec import (
    Lens,
    Mean,
    Measurement,
    Metric,
    MetricOperation,
    Number,
    Operation,
    Run,
    TokenScore,
)
from circuitlang.language.tasks.task_spec import TaskSpec
from circuitlang.report.diagnostics import diagnostic_form
from circuitlang.report.lens import (
    DirectForm,
    Kind,
    LensColumnForm,
    LensDocument,
    LensMapForm,
    LensNumberForm,
    LensRowForm,
    PartForm,
)
from circuitlang.report.outcome import versions

if TYPE_CHECKING:
    from circuitlang.judgement.estimator import Estimator

LEVEL = 0.95
_HERE = Position(END)
_POSITION = re.compile(r"(?:(first|last)\((\w+)\)|(\w+))(?:\s*([+-])\s*(\d+))?")


def lens(
    path: Path,
    options: Options,
    context: Context,
    progress: Progress,
    *,
    kind: Kind = "logit",
    positions: Sequence[str] = (),
) -> tuple[Front, LensDocument | None]:
    """What the stream says at each layer and position, and what each node adds at END.

    `context` gives the task and the model. `positions` are written as in the language; without
    any, they are every token where all prompts have one layout, else the labels and END. None
    where something is wrong, which is then among the front's diagnostics.
    """
    # A metric that every task has; the lens's own stand in for it below.
    asked = replace(context, under="zero", by="kl(M)", free=None)
    with experiment(path, options, asked, progress) as (front, found):
        if found is not None and (view := _view(front, found, kind, positions)) is not None:
            return front, _document(path, context, view)
    return front, None


@dataclass(frozen=True)
class _Column:
    heading: str
    position: Position

    @property
    def place(self) -> str:
        """As it is written after `@`."""
        text = str(self.position)
        return text if text.isidentifier() else f"[{text}]"


@dataclass(frozen=True)
class _Row:
    name: str
    run: Run


@dataclass(frozen=True)
class _View:
    """`sets` are the token sets that are scored, the answer first."""

    found: Experiment
    kind: Kind
    sets: tuple[str, ...]
    rows: tuple[_Row, ...]
    columns: tuple[_Column, ...]
    labelled: bool

    def pool(self, tokens: str) -> str | None:
        several = any(len(set(p.answers[tokens])) > 1 for p in self.found.drawn.prompts)
        return "mean" if several else None

    @property
    def scored(self) -> tuple[tuple[str, ...], ...]:
        """What there is a map of: the difference, which a rank has not, and each set."""
        alone = tuple((name,) for name in self.sets)
        return (self.sets, *alone) if len(self.sets) == 2 and self.kind != "rank" else alone

    def metric(
        self, sets: tuple[str, ...], position: Position, kind: Kind, through: Lens | None = None
    ) -> Metric:
        """A score of one set, or of the first less the second."""
        scores = [
            TokenScore(
                kind, tokens, position, self.pool(tokens) if kind == "logit" else None, through
            )
            for tokens in sets
        ]
        whole = scores[0] if len(scores) == 1 else MetricOperation("-", tuple(scores))
        return Metric(f"{kind} of {of(sets)}", whole, kind == "rank")

    def written(self, sets: tuple[str, ...], kind: Kind, place: str, node: str = "") -> str:
        """The same metric in the language."""
        texts = []
        for tokens in sets:
            text = f"{kind}({tokens} @ {place})"
            if node:
                text = f"dla({node} @ {place}, {tokens}, norm = frozen)"
            pooled = kind == "logit" and self.pool(tokens)
            texts.append(f"mean({text})" if pooled else text)
        return texts[0] if len(texts) == 1 else f"({' - '.join(texts)})"


def of(sets: Sequence[str]) -> str:
    return " - ".join(sets)


# ---------------------------------------------------------------- what is looked at


def _view(front: Front, found: Experiment, kind: Kind, asked: Sequence[str]) -> _View | None:
    """None with an error in the front where there is nothing to look at."""
    assert front.resolved is not None
    task = front.resolved.tasks[found.whole.task]
    if "answer" not in task.tokens:
        front.diagnostics.error(
            "CL761",
            f"Task `{task.name}` does not say what its answer is, and a lens reads tokens' logits.",
            task.span,
            "add `tokens answer = ...` to the task, and `tokens foil = ...` to compare it with",
        )
        return None
    # Positions need only be in the prompts that are looked at.
    front.prompts[found.key] = found.prompts
    sets = ("answer", "foil") if "foil" in task.tokens else ("answer",)
    prompts = found.drawn.prompts
    if asked:
        try:
            columns = [_asked(front, found, task, text) for text in asked]
        except Reject:
            return None
    else:
        columns = list(_every_token(front, found, prompts) or _labels(prompts))
    labelled = bool(asked) or len({p.layout for p in prompts}) > 1
    view = _View(found, kind, sets, tuple(_rows(found)), tuple(columns), labelled)
    metric = view.metric(sets, _HERE, "logit")
    mine = Experiment(found.runner, replace(found.extremes, metric=metric), found.context)
    return replace(view, found=mine)


def _rows(found: Experiment) -> Iterator[_Row]:
    graph, whole = found.graph, found.whole
    into_logits = graph.entering(Receiver(LOGITS))
    for layer in range(-1, graph.shape.layers):
        later = [graph.leaving(node) for node in graph.senders if node.layer > layer]
        live = uniform(graph.everything & ~(reduce(or_, later, 0) & into_logits))
        run = replace(found.floor, live=live, floor=NOTHING, free=())
        yield _Row(str(layer) if layer >= 0 else "embedding", run if later else whole)


def _every_token(
    front: Front, found: Experiment, prompts: Sequence[Prompt]
) -> Iterator[_Column] | None:
    """A column for each token; None where prompts have several layouts."""
    from circuitlang.language.tasks.tokenizer import PromptTokenizer

    layout = prompts[0].layout
    if any(prompt.layout != layout for prompt in prompts):
        return None
    assert front.resolved is not None
    tokenizer = PromptTokenizer.open(front.resolved.found[found.whole.model.name].tokenizer)
    at = {start: name for name, start, stop in layout.spans if stop == start + 1}

    def columns() -> Iterator[_Column]:
        for place in range(layout.length):
            ((commonest, _),) = Counter(p.tokens[place] for p in prompts).most_common(1)
            (text,) = tokenizer.describe([commonest])
            position = Position(END, shift=place - layout.length + 1)
            yield _Column(at.get(place, text.replace(" ", "·")), position)

    return columns()


def _labels(prompts: Sequence[Prompt]) -> Iterator[_Column]:
    """The labels that every prompt has, in their order in the first, and END."""
    shared = [name for name in prompts[0].spans if all(name in p.spans for p in prompts)]
    for name in sorted(shared, key=lambda label: prompts[0].spans[label]):
        single = all(p.spans[name][1] == p.spans[name][0] + 1 for p in prompts)
        position = Position(name) if single else Position(name, "last")
        yield _Column(str(position), position)
    yield _Column(END, _HERE)


def _asked(front: Front, found: Experiment, task: TaskSpec, text: str) -> _Column:
    """A position as it is written; raises `Reject` with the error in the front."""
    match, prompts = _POSITION.fullmatch(text.strip()), found.drawn.prompts
    known = {label for p in prompts for label in p.spans} | {END}
    if match is None:
        raise front.diagnostics.reject(
            "CL762",
            f"`{text}` is no position.",
            None,
            "write a label, END, `first(LABEL)`, `last(LABEL)`, or one shifted, as `END - 1`",
        )
    pick, picked, plain, sign, by = match.groups()
    label = picked or plain
    if label not in known:
        named = (*task.labels, END)
        is_elsewhere = label in task.some_labels
        raise front.diagnostics.reject(
            "CL762" if is_elsewhere else "CL504",
            f"No prompt has the position `{label}`."
            if is_elsewhere
            else f"Task `{task.name}` has no position `{label}`.",
            None,
            suggestion(label, named) or f"its positions are {', '.join(named)}",
        )
    shift = int(f"{sign}{by}") if by else 0
    position = Position(label, pick if pick and label != END else "span", shift)
    for prompt in prompts:
        try:
            tokens = position.tokens(prompt.layout)
        except UnresolvedPosition as problem:
            raise front.diagnostics.reject(
                "CL762",
                f'`{position}` is not in every prompt: in "{prompt.text}" {problem.reason}.',
                None,
                "name a position that every prompt has, or take one template with `--on TASK.TEMPLATE`",
            ) from None
        if len(tokens) != 1:
            raise front.diagnostics.reject(
                "CL762",
                f'`{position}` covers {len(tokens)} tokens in "{prompt.text}".',
                None,
                f"write `first({label})` or `last({label})`",
            )
    return _Column(str(position), position)


# ---------------------------------------------------------------- what comes of it


def _document(path: Path, context: Context, view: _View) -> LensDocument:
    found = view.found
    whole = found.whole
    cells: list[Number] = [
        Mean(Measurement(row.run, view.metric(sets, column.position, view.kind)))
        for sets in view.scored
        for row in view.rows
        for column in view.columns
    ]
    post_norm = found.graph.shape.post_norm
    nodes = [n for n in found.graph.senders if not (post_norm and n.kind == "head")]
    parts: list[Number] = [
        found.mean(whole, view.metric(view.sets, _HERE, "logit", Lens(node, "frozen")))
        for node in nodes
    ]
    total = found.mean(whole)
    rest = Operation("-", (total, _sum(parts)))
    estimator = found.measure([*cells, total])
    found.progress.stage("working out intervals")
    numbers = iter([_number(number, estimator) for number in cells])
    # After the invariants: they hold the logits of every lens at every position at once.
    found.progress.stage(f"{whole.task}: what each of {len(nodes)} nodes adds at END")
    estimator = found.measure([*parts, total])
    maps = tuple(
        LensMapForm(
            of=of(sets),
            by=view.written(sets, view.kind, "PLACE"),
            cells=tuple(tuple(next(numbers) for _ in view.columns) for _ in view.rows),
        )
        for sets in view.scored
    )
    resolved = found.front.resolved
    assert resolved is not None
    default_free = " free nodes(none)" if found.floor.free else ""
    words = replace(context, under=None, by=None, free=None).words
    return LensDocument(
        tool=versions(),
        file=str(path),
        spec=resolved.spec.name,
        version=resolved.spec.version,
        on=context.on or whole.task,
        with_=whole.model.name,
        context=f"under zero{words}{default_free}",
        n=len(found.drawn.prompts),
        level=LEVEL,
        kind=view.kind,
        columns_are="labels" if view.labelled else "tokens",
        rows=tuple(
            LensRowForm(name=row.name, set=_set(found, layer))
            for layer, row in enumerate(view.rows, -1)
        ),
        columns=tuple(LensColumnForm(heading=c.heading, place=c.place) for c in view.columns),
        maps=maps,
        direct=DirectForm(
            of=of(view.sets),
            parts=tuple(
                PartForm(
                    node=str(node),
                    by=view.written(view.sets, "logit", END, str(node)),
                    **(form := _number(number, estimator)).model_dump(),
                    within_noise=abs(form.value) <= estimator.margin(number),
                )
                for node, number in zip(nodes, parts, strict=True)
            ),
            rest=_number(rest, estimator),
            rest_is=_rest(found),
            total=_number(total, estimator),
        ),
        diagnostics=tuple(map(diagnostic_form, found.front.found)),
    )


def _set(found: Experiment, layer: int) -> str:
    """The live edges of a row as the language writes them."""
    shape = found.graph.shape
    first, last = layer + 1, shape.layers - 1
    if first > last:
        return "M"
    later = str(first) if first == last else f"[{first}..{last}]"
    nodes = f"[a{later}.h[*], m{later}]" if shape.mlps else f"a{later}.h[*]"
    return f"M - {nodes} -> logits"


def _rest(found: Experiment) -> str:
    """What the parts leave out; single heads of post-norm models have no part."""
    shape = found.graph.shape
    if not shape.post_norm:
        return "what biases add"
    return (
        "what the heads add, which pass a norm together in this model and have no part each, "
        "and what a cap on the logits takes"
    )


def _sum(numbers: Sequence[Number]) -> Number:
    """As a balanced tree, since formulas are worked out by recursion."""
    if len(numbers) == 1:
        return numbers[0]
    half = len(numbers) // 2
    return Operation("+", (_sum(numbers[:half]), _sum(numbers[half:])))


def _number(number: Number, estimator: Estimator) -> LensNumberForm:
    from circuitlang.judgement.decide import estimate_number
    from circuitlang.judgement.leaf import finite

    found = estimate_number(number, estimator)
    low, high = found.bounds((1 - LEVEL) / 2)
    return LensNumberForm(
        value=found.value, low=finite(low), high=finite(high), reason=found.reason
    )
