"""A `PromptSet` as plain text: tokens of clean and corrupted prompts aligned, labels, answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from circuitlang.language.prompt import Prompt, PromptSet
from circuitlang.language.tasks.tokenizer import PromptTokenizer

MOST_ANSWERS = 12


def show_prompts(
    prompts: PromptSet, tokenizer: PromptTokenizer, limit: int = 8, width: int = 100
) -> str:
    """The first `limit` prompts. In a corrupted row `.` stands for a token that is unchanged."""
    blocks = [_headline(prompts)]
    blocks += [_block(prompt, tokenizer, width) for prompt in prompts.prompts[:limit]]
    hidden = len(prompts.prompts) - limit
    if hidden > 0:
        blocks.append(f"... {hidden:,} more")
    return "\n\n".join(blocks) + "\n"


def _headline(prompts: PromptSet) -> str:
    count = len(prompts.prompts)
    of = "" if prompts.population is None else f" of {prompts.population:,}"
    exact = ", all there are" if prompts.enumerated else ""
    return (
        f"task {prompts.task}: {count:,}{of} prompts{exact}; "
        f"templates {', '.join(prompts.templates)}; {len(prompts.references):,} references"
    )


def _block(prompt: Prompt, tokenizer: PromptTokenizer, width: int) -> str:
    slots = "  ".join(f"{name}={_visible(value)}" for name, value in prompt.slots.items())
    lines = [f"prompt {prompt.index} ({prompt.template})  {slots}".rstrip()]
    lines += ["  " + line for line in _table(_rows(prompt, tokenizer), width)]
    for name, ids in prompt.answers.items():
        texts = [f'"{_escaped(text)}"' for text in tokenizer.describe(ids[:MOST_ANSWERS])]
        more = f" and {len(ids) - MOST_ANSWERS} more" if len(ids) > MOST_ANSWERS else ""
        lines.append(f"  {name}: {' '.join(texts)}{more}")
    return "\n".join(lines)


def _rows(prompt: Prompt, tokenizer: PromptTokenizer) -> list[tuple[str, list[str]]]:
    rows = [
        ("position", [str(i) for i in range(len(prompt.tokens))]),
        ("clean", [_visible(text) for text in tokenizer.describe(prompt.tokens)]),
    ]
    for name, ids in prompt.corrupted.items():
        texts = [_visible(text) for text in tokenizer.describe(ids)]
        changed = [a != b for a, b in zip(prompt.tokens, ids, strict=True)]
        rows.append((name, [t if c else "." for t, c in zip(texts, changed, strict=True)]))
    rows += [("labels", marks) for marks in _label_rows(prompt)]
    return rows


def _label_rows(prompt: Prompt) -> Iterator[list[str]]:
    """As many rows as labels overlap; a label's name stands at its first token, `-` after it."""
    waiting = sorted(prompt.spans.items(), key=lambda item: (item[1], item[0]))
    while waiting:
        marks, later = [""] * len(prompt.tokens), []
        for label, (start, stop) in waiting:
            if any(marks[start:stop]):
                later.append((label, (start, stop)))
            else:
                marks[start:stop] = [label] + ["-"] * (stop - start - 1)
        yield marks
        waiting = later


def _table(rows: Sequence[tuple[str, list[str]]], width: int) -> Iterator[str]:
    """Columns as wide as their widest cell, broken into strips that fit `width`."""
    head = max(len(name) for name, _ in rows)
    columns = list(zip(*(cells for _, cells in rows), strict=True))
    widths = [max(map(len, column)) for column in columns]
    start = 0
    while start < len(columns):
        stop, used = start, head + 2
        while stop < len(columns) and (stop == start or used + widths[stop] + 2 <= width):
            used += widths[stop] + 2
            stop += 1
        for name, cells in rows:
            pairs = zip(cells[start:stop], widths[start:stop], strict=True)
            if any(cells[start:stop]):
                text = "  ".join(cell.ljust(size) for cell, size in pairs)
                yield f"{name.ljust(head)}  {text}".rstrip()
        start = stop


def _visible(text: str) -> str:
    return _escaped(text).replace(" ", "·")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
