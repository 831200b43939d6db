"""A `PromptSet` as plain text: clean and corrupted prompts one above the other, token by token."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from circuitlang.language.graph.edges import END
from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.tasks.tokenizer import PromptTokenizer

MOST_ANSWERS = 12
LEAST_WIDTH = 40
GAP = 2
LEGEND = "^ changed by the corruption   · space   - label of several tokens"


def show_prompts(
    prompts: PromptSet, tokenizer: PromptTokenizer, limit: int = 8, width: int = 100
) -> str:
    """The first prompts of each template, about `limit` in all, in lines of `width` columns.

    Each prompt is a table with a column per token: its position, the token, the labels that cover
    it and, for each corruption, the token that takes its place, marked where it differs.
    """
    width = max(width, LEAST_WIDTH)
    chosen = first_of_each_template(prompts, limit)
    blocks = [_headline(prompts)]
    blocks += [_block(prompt, tokenizer, width) for prompt in chosen]
    if len(chosen) < len(prompts.prompts):
        blocks.append(f"... {len(prompts.prompts) - len(chosen):,} more")
    return "\n\n".join(blocks) + "\n"


def first_of_each_template(prompts: PromptSet, limit: int) -> list[Prompt]:
    share = max(1, limit // len(prompts.templates))
    seen: Counter[str] = Counter()
    chosen = []
    for prompt in prompts.prompts:
        if seen[prompt.template] < share:
            seen[prompt.template] += 1
            chosen.append(prompt)
    return chosen


def _headline(prompts: PromptSet) -> str:
    count = len(prompts.prompts)
    of = "" if prompts.population is None else f" of {prompts.population:,}"
    half = "" if prompts.split is None else f" of the half {prompts.split}"
    exact = ", all there are" if prompts.enumerated else ""
    return (
        f"task {prompts.task}: {count:,}{of} prompts{half}{exact}; "
        f"templates {', '.join(prompts.templates)}; {len(prompts.references):,} references\n"
        f"{LEGEND}"
    )


def _block(prompt: Prompt, tokenizer: PromptTokenizer, width: int) -> str:
    slots = "".join(f"   {name} = {_escaped(value)}" for name, value in prompt.slots.items())
    lines = [_cut(f"prompt {prompt.index}   template {prompt.template}{slots}", width)]
    strips = _strips(prompt, tokenizer, width - GAP)
    lines += [(" " * GAP + line).rstrip() for line in strips]
    for name, ids in prompt.answers.items():
        texts = [f'"{_escaped(text)}"' for text in tokenizer.describe(ids[:MOST_ANSWERS])]
        more = f" and {len(ids) - MOST_ANSWERS} more" if len(ids) > MOST_ANSWERS else ""
        lines.append(_cut(f"  {name}: {' '.join(texts)}{more}", width))
    return "\n".join(lines)


# ---------------------------------------------------------------- rows of a prompt's table


@dataclass(frozen=True)
class Mark:
    """A text under the tokens `start` up to `stop`; `changed` by a corruption or not."""

    start: int
    stop: int
    text: str
    changed: bool = False


@dataclass(frozen=True)
class Row:
    name: str
    marks: tuple[Mark, ...]


def prompt_rows(prompt: Prompt, tokenizer: PromptTokenizer, widest: int) -> Iterator[Row]:
    """Positions, clean tokens, labels, and the tokens of each corruption, cut to `widest` columns."""

    def tokens(name: str, ids: Sequence[int]) -> Row:
        return _cells(name, (_cut(_visible(text), widest) for text in tokenizer.describe(ids)))

    yield _cells("position", map(str, range(len(prompt.tokens))))
    yield tokens("clean", prompt.tokens)
    yield from _label_rows(prompt)
    for name, ids in prompt.corrupted.items():
        marks = tokens(name, ids).marks
        yield Row(
            name,
            tuple(
                replace(mark, changed=ids[mark.start] != prompt.tokens[mark.start])
                for mark in marks
            ),
        )


def _changes(row: Row) -> Iterator[Row]:
    """A row that marks what is changed in the one above it."""
    changed = tuple(
        replace(mark, text="^" * _columns(mark.text)) for mark in row.marks if mark.changed
    )
    if changed:
        yield Row("", changed)


def _cells(name: str, texts: Iterable[str]) -> Row:
    return Row(name, tuple(Mark(i, i + 1, text) for i, text in enumerate(texts)))


def _label_rows(prompt: Prompt) -> Iterator[Row]:
    """As many rows as labels overlap; labels of the same tokens stand together."""
    last = len(prompt.tokens) - 1
    names: dict[tuple[int, int], list[str]] = {}
    for label, span in {**prompt.spans, END: (last, last + 1)}.items():
        names.setdefault(span, []).append(label)
    waiting = [Mark(*span, "/".join(found)) for span, found in sorted(names.items())]
    title = "labels"
    while waiting:
        placed: list[Mark] = []
        for mark in waiting:
            if not placed or mark.start >= placed[-1].stop:
                placed.append(mark)
        yield Row(title, tuple(placed))
        waiting = [mark for mark in waiting if mark not in placed]
        title = ""


# ---------------------------------------------------------------- strips of columns


def _strips(prompt: Prompt, tokenizer: PromptTokenizer, width: int) -> Iterator[str]:
    """The table, broken into strips of columns that fit `width`."""
    head = min(max(map(_columns, ["position", *prompt.corrupted])), width // 3)
    rows = [
        row
        for found in prompt_rows(prompt, tokenizer, width - head - GAP)
        for row in (found, *_changes(found))
    ]
    widths = _widths(rows, len(prompt.tokens))
    start = 0
    while start < len(widths):
        stop, used = start + 1, head + GAP + widths[start]
        while stop < len(widths) and used + GAP + widths[stop] <= width:
            used += GAP + widths[stop]
            stop += 1
        if start:
            yield ""
        for row in rows:
            if line := _line(row, widths, start, stop):
                yield _padded(_cut(row.name, head), head + GAP) + line
        start = stop


def _widths(rows: Iterable[Row], count: int) -> list[int]:
    """Of each token's column. What stands under several tokens is shared out among them."""
    widths = [1] * count
    for row in rows:
        for mark in row.marks:
            least = -(-_columns(mark.text) // (mark.stop - mark.start))
            for i in range(mark.start, mark.stop):
                widths[i] = max(widths[i], least)
    return widths


def _line(row: Row, widths: Sequence[int], start: int, stop: int) -> str:
    """The columns `start` up to `stop` of one row; empty where nothing stands."""
    line = ""
    for mark in row.marks:
        first, end = max(mark.start, start), min(mark.stop, stop)
        if first < end:
            line = _padded(line, sum(widths[start:first]) + GAP * (first - start))
            covered = sum(widths[first:end]) + GAP * (end - first - 1)
            if mark.stop - mark.start == 1:
                line += _cut(mark.text, covered)
            else:
                line += _padded(mark.text if _columns(mark.text) <= covered else "", covered, "-")
    return line


# ---------------------------------------------------------------- characters


def _visible(text: str) -> str:
    return _escaped(text).replace(" ", "·")


def _escaped(text: str) -> str:
    """Control characters, which a terminal would obey, and backslashes as Python writes them."""
    return "".join(
        c if c.isprintable() and c != "\\" else c.encode("unicode_escape").decode() for c in text
    )


def _columns(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _padded(text: str, columns: int, fill: str = " ") -> str:
    return text + fill * (columns - _columns(text))


def _cut(text: str, columns: int) -> str:
    if _columns(text) <= columns:
        return text
    while _columns(text) > columns - 1:
        text = text[:-1]
    return text + "…"
