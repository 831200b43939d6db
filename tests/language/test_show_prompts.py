"""The table of prompts: what a person checks at a glance."""

from __future__ import annotations

from drawing import IOI, byte_level, prompts, word_level
from tokenizers import Tokenizer, models, pre_tokenizers

from circuitlang.language.tasks.show_prompts import LEGEND, show_prompts
from circuitlang.language.tasks.tokenizer import PromptTokenizer

IDS = """
  slot A = token_ids(5..99, length = 12)
  prompt "{A:first}{A:second}"
  corrupt other { first = token_ids(5..99, length = 12) }
  sample 2
"""


def test_the_table():
    body = 'slot a = ["Ann"]\nprompt "see {a:who} and Bob"\ntokens answer = " one"\n'
    text = show_prompts(prompts(body + 'corrupt other { a = "Cy" }', bos=1), word_level())
    assert text == (
        "task t: 1 of 1 prompts, all there are; templates 1; 1 references\n"
        f"{LEGEND}\n"
        "\n"
        "prompt 0   template 1   a = Ann\n"
        "  position  0      1    2      3    4\n"
        "  clean     <bos>  see  Ann    and  Bob\n"
        "  labels                who/a       END\n"
        "  other     <bos>  see  Cy     and  Bob\n"
        "                        ^^\n"
        '  answer: "one"\n'
    )


def test_labels_stand_under_their_tokens_and_marks_under_what_changes():
    found = prompts(IOI + "sample 2", bos=1)
    block = show_prompts(found, word_level()).split("\n\n")[1].splitlines()
    rows = {line.split()[0]: line for line in block if line.strip()}
    prompt = found.prompts[0]
    for label in ("IO", "S1", "S2", "place"):
        at = rows["labels"].index(f" {label}") + 1
        assert rows["clean"][at:].split()[0] == prompt.slots[label.rstrip("12")]
    flipped = block.index(rows["flip"])
    marks, at = block[flipped + 1], rows["labels"].index("S2")
    assert marks.strip() == "^" * len(prompt.slots["IO"])
    assert marks.index("^") == at
    assert rows["labels"].index("END") == rows["position"].index(str(len(prompt.tokens) - 1))


def test_spans_are_drawn_over_their_tokens_and_named_in_every_strip():
    text = show_prompts(prompts(IDS, bos=1, references=2), word_level(), width=70)
    lines = text[: text.index("prompt 1 ")].splitlines()
    clean = [line for line in lines if line.startswith("  clean")]
    labels = [line for line in lines if "second-" in line]
    assert len(clean) == 2
    assert labels == ["  labels    ---  second" + "-" * (len(clean[1]) - 23)]
    assert text.count("first---") == 2


def test_the_table_breaks_long_prompts_and_marks_spaces():
    found = prompts('slot a = ["Alexandrina"]\nprompt "Then {a} went to the\\npark"', byte_level())
    text = show_prompts(found, byte_level(), width=40)
    assert text.count("position") > 1
    assert max(map(len, text.splitlines()[2:])) <= 40
    assert all(line == line.rstrip() for line in text.splitlines())
    assert "·went" in text
    assert "\\n" in text


def test_control_characters_are_written_out():
    found = prompts('slot a = ["\x1b[31m"]\nprompt "Then {a:here} went"', byte_level())
    text = show_prompts(found, byte_level())
    assert "\x1b" not in text
    assert "\\x1b" in text


def test_wide_characters_take_two_columns():
    vocabulary = {w: i for i, w in enumerate(["<unk>", "see", "\u6f22\u5b57", "red", "abcd"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    body = 'slot a = ["\u6f22\u5b57"]\nprompt "see {a} red"\ncorrupt c { a = "abcd" }'
    found = PromptTokenizer(tokenizer)
    lines = show_prompts(prompts(body, found), found).splitlines()
    assert "see  \u6f22\u5b57  red" in lines[5]
    assert "see  abcd  red" in lines[7]


def test_each_template_is_shown():
    found = prompts(IOI + "sample 40")
    text = show_prompts(found, word_level(), limit=4)
    assert text.count("template abba") == text.count("template baba") == 2
    assert "... 36 more" in text
    assert show_prompts(found, word_level(), limit=1).count("\nprompt") == 2
