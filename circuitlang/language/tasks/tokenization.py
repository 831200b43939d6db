"""A rendered prompt in tokens, and the checks that its tokens must pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from circuitlang.language.tasks.prompt_problems import Problems, quoted, token_number
from circuitlang.language.tasks.task_spec import Corruption
from circuitlang.language.tasks.template import Placeholder, Rendered, Template
from circuitlang.language.tasks.text_values import Value
from circuitlang.language.tasks.token_ids import TokenIds
from circuitlang.language.tasks.tokenizer import PromptTokenizer

TokenSpan = tuple[int, int]


@dataclass(frozen=True)
class Tokenized:
    """`spans` holds the tokens of each placeholder, None where its value has none.

    A token belongs to a placeholder when they share a character, so the space that
    byte-level tokenizers put before a word belongs to the word's token. A value that is all the
    text there is has all its tokens. `texts` are the pieces that were put into tokens, each by
    itself; `ending` is the one that the prompt ends in, or "" after token ids. `text` is the
    prompt for people.
    """

    text: str
    values: tuple[str, ...]
    ids: tuple[int, ...]
    spans: tuple[TokenSpan | None, ...]
    texts: tuple[str, ...]
    ending: str


def tokenize(
    template: Template, values: Sequence[Value], tokenizer: PromptTokenizer, bos: int | None
) -> Tokenized:
    """`values` holds one value per placeholder."""
    ids: list[int] = [] if bos is None else [bos]
    spans: list[TokenSpan | None] = []
    texts: list[str] = []
    shown, ending = "", ""
    for piece in template.render(values):
        start = len(ids)
        if isinstance(piece, TokenIds):
            ids += piece.ids
            spans.append((start, len(ids)))
            shown += tokenizer.text(piece.ids)
            ending = ""
        else:
            found, offsets = tokenizer.encode(piece.text)
            ids += found
            spans += (_span(piece, place, offsets, start) for place in piece.ranges)
            texts.append(piece.text)
            shown += piece.text
            ending = piece.text
    return Tokenized(shown, tuple(map(str, values)), tuple(ids), tuple(spans), tuple(texts), ending)


def _span(
    piece: Rendered,
    place: tuple[int, int],
    offsets: tuple[tuple[int, int], ...],
    shift: int,
) -> TokenSpan | None:
    start, stop = place
    if (start, stop) == (0, len(piece.text)) and offsets:
        return shift, shift + len(offsets)
    shared = [i for i, (a, b) in enumerate(offsets) if a < b and a < stop and b > start]
    return (shared[0] + shift, shared[-1] + 1 + shift) if shared and start < stop else None


def label_spans(template: Template, tokens: Tokenized) -> dict[str, TokenSpan]:
    """The spans of the labels that this prompt has."""
    found = ((label, tokens.spans[index]) for label, index in template.labels.items())
    return {label: span for label, span in found if span is not None}


@dataclass(frozen=True)
class TokenChecks:
    """P4, P6, P7 and the context of one prompt; what is wrong goes into `problems`."""

    tokenizer: PromptTokenizer
    problems: Problems
    bos: int | None
    context: int | None

    def clean(self, index: int, template: Template, tokens: Tokenized) -> None:
        for label, place in template.labels.items():
            written = template.placeholders[place]
            if tokens.spans[place] is None and label == (written.label or written.slot):
                self._report_unplaced(index, written, label, tokens)
        if self.context is not None and len(tokens.ids) > self.context:
            self.problems.add(
                index,
                "CL511",
                template.name,
                template.span,
                lambda: (
                    f"Prompt {index} has {len(tokens.ids):,} tokens; "
                    f"the model reads {self.context:,}.",
                    "shorten the prompt",
                ),
            )
        unknown = self.tokenizer.unknown
        if unknown is not None and unknown in tokens.ids:
            for text in tokens.texts:
                for token, (start, stop) in zip(*self.tokenizer.encode(text), strict=True):
                    if token == unknown:
                        self._report_unknown(index, template, tokens, quoted(text[start:stop]))

    def _report_unplaced(
        self, index: int, written: Placeholder, label: str, tokens: Tokenized
    ) -> None:
        self.problems.add(
            index,
            "CL504",
            label,
            written.span,
            lambda: (
                f"`{label}` has no token in prompt {index}, {quoted(tokens.text)}.",
                "leave empty values out, or write a template without this slot",
            ),
            severity="error" if label == written.label else "warning",
        )

    def _report_unknown(self, index: int, template: Template, tokens: Tokenized, word: str) -> None:
        self.problems.add(
            index,
            "CL514",
            template.name,
            template.span,
            lambda: (
                f"The tokenizer does not know {word} in prompt {index}, "
                f"{quoted(tokens.text)}: all unknown words look the same to the model.",
                "use words of the model's vocabulary",
            ),
            word,
            "warning",
        )

    def pair(
        self,
        index: int,
        corruption: Corruption,
        clean: Tokenized,
        corrupted: Tokenized,
        rewritten: tuple[bool, ...],
    ) -> None:
        """Lengths and spans agree, and nothing differs outside what is rewritten."""
        if len(clean.ids) != len(corrupted.ids):
            self.problems.add(
                index,
                "CL501",
                corruption.name,
                corruption.span,
                lambda: self._unequal(index, corruption, clean, corrupted),
                self._culprit(clean, corrupted),
            )
        elif clean.spans != corrupted.spans:
            self.problems.add(
                index,
                "CL501",
                corruption.name + " spans",
                corruption.span,
                lambda: self._misaligned(index, corruption, clean, corrupted),
                self._culprit(clean, corrupted),
            )
        else:
            self._check_outside(index, corruption, clean, corrupted, rewritten)

    def _unequal(
        self, index: int, corruption: Corruption, clean: Tokenized, corrupted: Tokenized
    ) -> tuple[str, str | None]:
        return (
            f"`{corruption.name}` changes the length of prompt {index}: {quoted(clean.text)} is "
            f"{token_number(len(clean.ids))}, {quoted(corrupted.text)} is "
            f"{token_number(len(corrupted.ids))}{self._cause(clean, corrupted)}.",
            "use values of equal token count, such as "
            '`[n for n in names if token_count(" {n}") == 1]`',
        )

    def _misaligned(
        self, index: int, corruption: Corruption, clean: Tokenized, corrupted: Tokenized
    ) -> tuple[str, str | None]:
        return (
            f"`{corruption.name}` moves slots to other tokens in prompt {index}: "
            f"{quoted(clean.text)} against {quoted(corrupted.text)}"
            f"{self._cause(clean, corrupted)}.",
            "use values that are tokenized alike",
        )

    def _cause(self, clean: Tokenized, corrupted: Tokenized) -> str:
        for i, (mine, other) in enumerate(zip(clean.spans, corrupted.spans, strict=True)):
            sizes = _size(mine), _size(other)
            if sizes[0] != sizes[1]:
                return (
                    f": {quoted(clean.values[i])} is {token_number(sizes[0])}, "
                    f"{quoted(corrupted.values[i])} is {sizes[1]}"
                )
        return ""

    def _culprit(self, clean: Tokenized, corrupted: Tokenized) -> str | None:
        """The longer of the first two values that differ in token count."""
        for i, (mine, other) in enumerate(zip(clean.spans, corrupted.spans, strict=True)):
            if _size(mine) != _size(other):
                values = clean.values if _size(mine) > _size(other) else corrupted.values
                return quoted(values[i])
        return None

    def _check_outside(
        self,
        index: int,
        corruption: Corruption,
        clean: Tokenized,
        corrupted: Tokenized,
        rewritten: tuple[bool, ...],
    ) -> None:
        allowed = {
            token
            for span, own in zip(clean.spans, rewritten, strict=True)
            if span is not None and own
            for token in range(*span)
        }
        for at, (mine, other) in enumerate(zip(clean.ids, corrupted.ids, strict=True)):
            if mine != other and at not in allowed:
                self._report_outside(index, corruption, at, (mine, other))
                return

    def _report_outside(
        self, index: int, corruption: Corruption, at: int, change: tuple[int, int]
    ) -> None:
        before, after = map(quoted, self.tokenizer.describe(change))
        self.problems.add(
            index,
            "CL518",
            corruption.name,
            corruption.span,
            lambda: (
                f"`{corruption.name}` also changes token {at} of prompt {index}, from {before} to "
                f"{after}, which no rewritten slot covers.",
                "its values merge with their neighbours; put a space between",
            ),
            severity="warning",
        )


def _size(span: TokenSpan | None) -> int:
    return 0 if span is None else span[1] - span[0]
