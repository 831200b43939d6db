"""Text to token ids, through a model's tokenizer.json; no special tokens are added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class UnusableTokenizer(Exception):
    """The file is no tokenizer that this version of `tokenizers` reads (CL513)."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class NeedsTokenizer(Exception):
    """Text has to be put into tokens and no tokenizer is at hand. Not a mistake of the spec."""


@dataclass(frozen=True)
class PromptTokenizer:
    """Without a `tokenizer` it knows token ids only, and raises `NeedsTokenizer` for text."""

    tokenizer: Tokenizer | None = None

    @classmethod
    @cache
    def open(cls, path: Path | None) -> PromptTokenizer:
        """Read once per process; None where a model has no file. Raises `UnusableTokenizer`."""
        if path is None:
            return cls()
        if not path.is_file():
            raise UnusableTokenizer(path, "there is no such file")
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as problem:  # the library raises bare Exception
            raise UnusableTokenizer(path, str(problem)) from problem
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return cls(tokenizer)

    def encode(self, text: str) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
        """The text's tokens, and for each the characters it came from."""
        if self.tokenizer is None:
            raise NeedsTokenizer
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        return tuple(encoding.ids), tuple(encoding.offsets)

    def count(self, text: str) -> int:
        return len(self.encode(text)[0])

    def single(self, text: str) -> int | None:
        """The text's token when it is exactly one that the tokenizer knows."""
        ids, _ = self.encode(text)
        return ids[0] if len(ids) == 1 and ids[0] != self.unknown else None

    def describe(self, ids: Sequence[int]) -> list[str]:
        """Each token as text; tokens that are part of a character keep their internal name."""
        return [self._shown(token) for token in ids]

    def text(self, ids: Sequence[int]) -> str:
        """The tokens read together, for people."""
        if self.tokenizer is None:
            return " ".join(self.describe(ids))
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False)
        return text

    def _shown(self, token: int) -> str:
        if self.tokenizer is None:
            return f"<{token}>"
        text: str = self.tokenizer.decode([token], skip_special_tokens=False)
        if text and "\ufffd" not in text:
            return text
        return self.tokenizer.id_to_token(token) or f"<{token}>"

    @cached_property
    def unknown(self) -> int | None:
        """The id that stands for every word outside the vocabulary."""
        if self.tokenizer is None:
            return None
        name = getattr(self.tokenizer.model, "unk_token", None)
        return self.tokenizer.token_to_id(name) if name else None
