"""Tasks drawn with small tokenizers that are made here: for the tests of prompts."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from tokenizers import decoders as token_decoders

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.prompt import PromptSet
from circuitlang.language.source import Source
from circuitlang.language.tasks.sampling import draw
from circuitlang.language.tasks.task import TaskSpec, resolve_task
from circuitlang.language.tasks.tokenizer import PromptTokenizer
from circuitlang.language.text import syntax
from circuitlang.language.text.parse import parse

NAMES = ["Ann", "Bob", "Cy", "Dan", "Eve"]
LETS = f"let people = {json.dumps(NAMES)}\n"
WORDS = ["<unk>", "<bos>", "Then", ",", "and", "went", "to", "the", ".", "gave", "it", "park"]
WORDS += ["store", "see", "of", "is", "red", "blue", "one", "two", "The", "year"]
CORPUS = [
    " Mary John Ann Bob went to the park store school gave a ring to Then, and . "
    "The war siege drought voyage lasted from the year to the year",
    " Mary John Ann Bob went to the park",
] * 20


@cache
def word_level() -> PromptTokenizer:
    vocabulary = {w: i for i, w in enumerate([*WORDS, *NAMES, *map(str, range(100))])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PromptTokenizer(tokenizer)


@cache
def byte_level() -> PromptTokenizer:
    tokenizer = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    split = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, split])
    tokenizer.decoder = token_decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PromptTokenizer(tokenizer)


def resolve(body: str, folder: Path = Path(), name: str = "t") -> TaskSpec:
    task, diagnostics = resolved(body, folder, name)
    assert task is not None, diagnostics.found
    return task


def resolved(
    body: str, folder: Path = Path(), name: str = "t"
) -> tuple[TaskSpec | None, Diagnostics]:
    diagnostics = Diagnostics()
    file = parse(Source("t.circ", f"{LETS}task {name} {{\n{body}\n}}\n", folder), diagnostics)
    values = {s.name: s.value for s in file.statements if isinstance(s, syntax.Define)}
    (task,) = (s for s in file.statements if isinstance(s, syntax.Task))
    return resolve_task(task, values.get, diagnostics), diagnostics


def drawn(
    body: str, tokenizer: PromptTokenizer | None = None, folder: Path = Path(), **options
) -> tuple[PromptSet | None, Diagnostics]:
    diagnostics = Diagnostics()
    options = {"bos": None, "context": 64, **options}
    task = resolve(body, folder)
    return draw(task, tokenizer or word_level(), diagnostics=diagnostics, **options), diagnostics


def prompts(body: str, tokenizer: PromptTokenizer | None = None, **options) -> PromptSet:
    found, diagnostics = drawn(body, tokenizer, **options)
    assert found is not None, diagnostics.found
    assert not diagnostics.found
    return found


def problem(body: str, code: str, tokenizer: PromptTokenizer | None = None, **options):
    found, diagnostics = drawn(body, tokenizer, **options)
    assert (found is None) == diagnostics.has_errors
    (diagnostic,) = (d for d in diagnostics.found if d.code == code)
    assert diagnostic.span is not None
    return diagnostic


IOI = """
  slot IO    = people
  slot S     = people
  slot place = ["store", "park"]
  where IO != S
  prompt abba = "Then, {IO} and {S:S1} went to the {place}. {S:S2} gave it to"
  prompt baba = "Then, {S:S1} and {IO} went to the {place}. {S:S2} gave it to"
  tokens answer = " {IO}"
  tokens foil   = " {S}"
  corrupt abc { IO = people  S1 = people  S2 = people  where distinct(IO, S1, S2) }
  corrupt flip { S2 = IO }
  corrupt exchange { IO = S  S = IO }
"""
