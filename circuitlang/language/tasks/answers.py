"""Token sets in token ids: each member is one token, none is empty, answer and foil are apart."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property

from circuitlang.language.tasks.mentions import free_names
from circuitlang.language.tasks.prompt_problems import Problems, quoted
from circuitlang.language.tasks.task_spec import TaskSpec, TokenSet
from circuitlang.language.tasks.text import Bindings, Evaluator
from circuitlang.language.tasks.text_values import identity, shown
from circuitlang.language.tasks.token_ids import TokenIds
from circuitlang.language.tasks.tokenizer import PromptTokenizer
from circuitlang.language.text import syntax


@dataclass(frozen=True)
class _Members:
    """What is written, and the token that it is: None where it is none or several."""

    written: tuple[tuple[str | TokenIds, int | None], ...]

    @cached_property
    def tokens(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(t for _, t in self.written if t is not None))

    @cached_property
    def without_token(self) -> tuple[str | TokenIds, ...]:
        return tuple(member for member, token in self.written if token is None)


@dataclass
class AnswerTokens:
    """Works the token sets of prompts out, each combination of the slots they use once."""

    task: TaskSpec
    tokenizer: PromptTokenizer
    evaluator: Evaluator
    problems: Problems
    _known: dict[tuple[Hashable, ...], _Members] = field(default_factory=dict)
    _names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _checked: set[tuple[str, str, str]] = field(default_factory=set)

    def of(self, index: int, bindings: Bindings) -> dict[str, tuple[int, ...]]:
        """Token ids by set name; what is wrong goes into `problems`."""
        found = {}
        for name, tokens in self.task.tokens.items():
            members = self._members(tokens, bindings)
            self.evaluator.spend(len(members.written) // 10, tokens.value.span)
            if not members.written:
                self._report_empty(index, tokens, bindings)
            for member in members.without_token:
                if isinstance(member, str):
                    self._report_split(index, tokens, member)
                else:
                    self._report_several(index, tokens, member)
            found[name] = members.tokens
        shared = set(found.get("answer", ())) & set(found.get("foil", ()))
        if shared:
            self._report_shared(index, min(shared), bindings)
        return found

    def _members(self, tokens: TokenSet, bindings: Bindings) -> _Members:
        if tokens.name not in self._names:
            self._names[tokens.name] = tuple(sorted(free_names(tokens.value) & bindings.keys()))
        used = self._names[tokens.name]
        key = (tokens.name, *(identity(bindings[name]) for name in used))
        if key not in self._known:
            members = self.evaluator.members(tokens.value, bindings)
            self._known[key] = _Members(tuple((m, self._token(m)) for m in members))
        return self._known[key]

    def _token(self, member: str | TokenIds) -> int | None:
        if isinstance(member, str):
            return self.tokenizer.single(member)
        return member.ids[0] if len(member.ids) == 1 else None

    def check_follows(self, index: int, template: str, text: str, bindings: Bindings) -> None:
        """Warns when an answer, written right after the text, is read as other tokens, or continues
        the text's last word where a word of its own would be another token.

        The prompts of a template end alike, so each answer is tried once per template.
        """
        for name in {"answer", "foil"} & self.task.tokens.keys():
            tokens = self.task.tokens[name]
            for answer, token in self._members(tokens, bindings).written:
                if token is None or isinstance(answer, TokenIds):
                    continue
                if (template, name, answer) in self._checked:
                    continue
                self._checked.add((template, name, answer))
                ids, _ = self.tokenizer.encode(text)
                joined, _ = self.tokenizer.encode(text + answer)
                if text[-1:] == " " and self._has_blank_within(answer):
                    self._report_blank(index, tokens, answer)
                elif joined != (*ids, token):
                    self._report_merged(index, tokens, answer, joined[-2:])
                elif _is_one_word(text, answer) and self.tokenizer.single(" " + answer) not in (
                    None,
                    token,
                ):
                    self._report_continued(index, tokens, text, answer)

    def _has_blank_within(self, answer: str) -> bool:
        """Whether the tokenizer makes the blank before a word a part of it."""
        word = answer.lstrip()
        spaced = self.tokenizer.single(" " + word)
        return spaced is not None and spaced != self.tokenizer.single(word)

    # ------------------------------------------------------------ messages

    def _report_blank(self, index: int, tokens: TokenSet, answer: str) -> None:
        self.problems.add(
            index,
            "CL502",
            "blank",
            tokens.value.span,
            lambda: (
                f"Prompt {index} ends in a blank, which is a token of its own, and the next word "
                "begins with another.",
                f"end the prompt without the blank, and write {quoted(' ' + answer.lstrip())}",
            ),
            None,
            "warning",
        )

    def _report_continued(self, index: int, tokens: TokenSet, text: str, answer: str) -> None:
        last = text.split()[-1]
        self.problems.add(
            index,
            "CL502",
            tokens.name + " continued",
            tokens.value.span,
            lambda: (
                f"Written after prompt {index}, {quoted(answer)} of `{tokens.name}` continues its "
                f"last word: {quoted(last + answer)}.",
                f"write {quoted(' ' + answer)}, with the space, for a word of its own",
            ),
            quoted(answer),
            "warning",
        )

    def _report_merged(
        self, index: int, tokens: TokenSet, answer: str, ending: tuple[int, ...]
    ) -> None:
        pieces = " ".join(map(quoted, self.tokenizer.describe(ending)))
        spaced = self.tokenizer.single(" " + answer) is not None and answer[:1] != " "
        self.problems.add(
            index,
            "CL502",
            tokens.name + " joined",
            tokens.value.span,
            lambda: (
                f"Written after prompt {index}, {quoted(answer)} of `{tokens.name}` is no token "
                f"of its own; the text then ends in {pieces}.",
                f"write {quoted(' ' + answer)}, with the space" if spaced else None,
            ),
            quoted(answer),
            "warning",
        )

    def _report_split(self, index: int, tokens: TokenSet, text: str) -> None:
        self.problems.add(
            index,
            "CL502",
            tokens.name,
            tokens.value.span,
            lambda: self._split(tokens, text),
            quoted(text),
        )

    def _split(self, tokens: TokenSet, text: str) -> tuple[str, str | None]:
        ids, _ = self.tokenizer.encode(text)
        if len(ids) == 1:
            return (
                f"The tokenizer does not know {quoted(text)} of `{tokens.name}`.",
                "use words of the model's vocabulary",
            )
        pieces = " ".join(map(quoted, self.tokenizer.describe(ids))) or "nothing"
        message = f"{quoted(text)} of `{tokens.name}` is {len(ids)} tokens, not one: {pieces}."
        if self.tokenizer.single(" " + text.lstrip()) is not None and text[:1] != " ":
            return message, f"write {quoted(' ' + text)}, with the space before the word"
        if text[:1] == " " and self.tokenizer.single(text[1:]) is not None:
            return message, f"write {quoted(text[1:])}, without the space"
        counted = tokens.value
        pattern = counted.span.text if isinstance(counted, syntax.StringLiteral) else '" {slot}"'
        return message, f"leave such values out: `where token_count({pattern}) == 1`"

    def _report_several(self, index: int, tokens: TokenSet, member: TokenIds | str) -> None:
        self.problems.add(
            index,
            "CL502",
            tokens.name + " ids",
            tokens.value.span,
            lambda: (
                f"A member of `{tokens.name}` is a sequence of token ids, not one token.",
                "write `token_ids(column)` without `length`, or score `loss(label)` instead",
            ),
        )

    def _report_empty(self, index: int, tokens: TokenSet, bindings: Bindings) -> None:
        used = self._names[tokens.name]
        values = ", ".join(f"{name} = {shown(bindings[name])}" for name in used)
        self.problems.add(
            index,
            "CL516",
            tokens.name,
            tokens.value.span,
            lambda: (
                f"`{tokens.name}` is empty in prompt {index}{f', where {values}' if used else ''}.",
                "leave such values out with `where`",
            ),
            values or None,
        )

    def _report_shared(self, index: int, token: int, bindings: Bindings) -> None:
        text = quoted(self.tokenizer.describe([token])[0])
        slots = ", ".join(f"{name} = {shown(bindings[name])}" for name in self.task.slot_names)
        self.problems.add(
            index,
            "CL503",
            "",
            self.task.tokens["foil"].value.span,
            lambda: (
                f"{text} is both an answer and a foil in prompt {index}"
                + (f", where {slots}." if slots else "."),
                "make the two differ, for example with `where`",
            ),
            text,
        )


def _is_one_word(text: str, answer: str) -> bool:
    """Whether an answer goes on with the text's last word; an acronym may go on letter by letter."""
    last, first = text[-1:], answer[:1]
    return last.isalpha() and first.isalpha() and not (last.isupper() and first.isupper())
