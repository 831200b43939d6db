"""Text to token ids, through a model's tokenizer.json; no special tokens are added."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer


LARGEST_TOKENIZER = 200_000_000
LARGEST_GROWTH = 10_000


class UnusableTokenizer(Exception):
    """The file is no tokenizer that this version of `tokenizers` reads (CL513)."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class NeedsTokenizer(Exception):
    """Text has to be put into tokens and no tokenizer is at hand. Not a mistake of the spec."""


def growth(part: Any) -> float:
    """How much longer the steps of a normalizer or decoder may make a text of one character."""
    match part:
        case {"type": "Sequence"}:
            steps = part.get("normalizers") or part.get("decoders") or ()
            return prod(map(growth, steps), start=1.0)
        case {"type": "Replace", "content": str(new), "pattern": {"String": str(old)}}:
            return max(1.0, len(new) / len(old) if old else 1.0 + len(new))
        case {"type": "Replace", "content": str(new)} | {"type": "Prepend", "prepend": str(new)}:
            return 1.0 + len(new)
        case _:
            return 1.0


@dataclass(frozen=True)
class PromptTokenizer:
    """Without a `tokenizer` it knows token ids only, and raises `NeedsTokenizer` for text."""

    tokenizer: Tokenizer | None = None
    path: Path = Path()

    @classmethod
    @cache
    def open(cls, path: Path | None) -> PromptTokenizer:
        """Read once per process; None where a model has no file. Raises `UnusableTokenizer`."""
        if path is None:
            return cls()
        if not path.is_file():
            raise UnusableTokenizer(path, "there is no such file")
        from tokenizers import Tokenizer

        if path.stat().st_size > LARGEST_TOKENIZER:
            raise UnusableTokenizer(path, f"it is larger than {LARGEST_TOKENIZER // 1_000_000} MB")
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as problem:  # the library raises bare Exception
            raise UnusableTokenizer(path, str(problem)) from problem
        for part in (tokenizer.normalizer, tokenizer.decoder):
            if part is not None and growth(json.loads(part.__getstate__())) > LARGEST_GROWTH:
                raise UnusableTokenizer(path, "its replacements make texts too long")
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return cls(tokenizer, path)

    def encode(self, text: str) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
        """The text's tokens, and for each the characters it came from."""
        if self.tokenizer is None:
            raise NeedsTokenizer
        try:
            encoding = self.tokenizer.encode(text, add_special_tokens=False)
        except Exception as problem:  # the library raises bare Exception
            raise UnusableTokenizer(self.path, str(problem)) from problem
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
