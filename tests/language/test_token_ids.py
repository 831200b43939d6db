"""Slots of token ids: what is drawn, where it stands, what needs no tokenizer, what is wrong."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from drawing import byte_level, drawn, problem, prompts, resolve, resolved, word_level

from circuitlang import pipeline
from circuitlang.language.models.find import BUNDLED
from circuitlang.language.tasks.token_ids import Sequences
from circuitlang.language.tasks.tokenizer import NeedsTokenizer, PromptTokenizer

REPEATS = """
  slot A = token_ids(1000..9999, length = 50)
  prompt "{A:first}{A:second}"
  corrupt other { first = token_ids(1000..9999, length = 50) }
  sample 40
"""
IDS = PromptTokenizer()


def repeats(**options):
    return prompts(REPEATS, IDS, bos=7, context=128, vocabulary=10_000, references=2, **options)


# ---------------------------------------------------------------- what is drawn


def test_repeated_sequences():
    found = repeats()
    assert (found.population, found.enumerated, len(found.prompts)) == (None, False, 40)
    for prompt in found.prompts:
        assert prompt.spans == {"first": (1, 51), "second": (51, 101)}
        first, second = prompt.tokens[1:51], prompt.tokens[51:]
        assert prompt.tokens[0] == 7
        assert first == second
        assert len(set(first)) == 50
        assert min(first) >= 1000
        assert max(first) <= 9999
        other = prompt.corrupted["other"]
        assert other[51:] == second
        assert other[1:51] != first
        assert len(set(other[1:51])) == 50
        assert prompt.slots["A"] == " ".join(map(str, first))
    assert len({p.tokens for p in found.prompts}) == 40


def test_sequences_are_seeded_and_a_smaller_sample_is_a_beginning():
    assert repeats() == repeats()
    assert repeats(samples=5).prompts == repeats().prompts[:5]
    assert repeats(seed=1).prompts[0].tokens != repeats().prompts[0].tokens


def test_every_sequence_has_one_number():
    all_of_them = Sequences((3, 5, 8, 9), 3)
    found = [all_of_them.at(i).ids for i in range(all_of_them.size)]
    assert len(set(found)) == all_of_them.size == 24
    assert all(len(set(ids)) == 3 for ids in found)


def test_few_sequences_are_enumerated():
    body = 'slot A = token_ids(5..7, length = 2)\nslot b = people\nprompt "{A} {b}"\n'
    found = prompts(body + "sample 50")
    assert (found.population, found.enumerated, len(found.prompts)) == (30, True, 30)
    assert prompts(body + "where A != token_ids(5)").population == 30
    both = "slot A = token_ids(5..7, length = 2)\nslot B = token_ids(5..7, length = 2)\n"
    assert prompts(both + 'where distinct(A, B)\nprompt "{A}{B}"').population == 30


def test_redrawn_sequences_are_uniform():
    body = 'slot A = token_ids(5..7, length = 2)\nprompt "{A}"\n'
    body += "corrupt c { A = token_ids(5..7, length = 2) }"
    seen = Counter()
    for seed in range(100):
        found, _ = drawn(body, IDS, seed=seed)
        seen.update(p.corrupted["c"] for p in found.prompts)
    assert len(seen) == 6
    assert min(seen.values()) > 60
    assert max(seen.values()) < 140


def test_ids_and_text_stand_in_one_prompt():
    found = prompts(
        'slot A = token_ids([20, 21, 22], length = 2)\nslot n = ["Mary", "John"]\n'
        'prompt "Then {n}{A:first} went to {A:second}"\n'
        "corrupt c { second = token_ids(23..40, length = 2) }",
        byte_level(),
        bos=1,
    )
    then, went = byte_level().encode("Then Mary")[0], byte_level().encode(" went to ")[0]
    prompt = next(p for p in found.prompts if p.slots["n"] == "Mary")
    ids = tuple(map(int, prompt.slots["A"].split()))
    assert prompt.tokens == (1, *then, *ids, *went, *ids)
    first, second = prompt.spans["first"], prompt.spans["second"]
    assert prompt.tokens[slice(*first)] == prompt.tokens[slice(*second)] == ids
    assert prompt.corrupted["c"][: second[0]] == prompt.tokens[: second[0]]
    assert set(prompt.corrupted["c"][slice(*second)]) <= set(range(23, 41))


def test_single_ids_are_listed():
    body = 'slot (A, b) = [(token_ids(20), "x"), (token_ids(21), "y")]\nprompt "see {A}"\n'
    found = prompts(body + "corrupt c { A = token_ids(22..24) }")
    assert (found.population, {p.slots["A"] for p in found.prompts}) == (2, {"20", "21"})
    assert {p.corrupted["c"][-1] for p in found.prompts} <= {22, 23, 24}
    assert prompts('slot A = token_ids(20..29)\nprompt "{A}"').population == 10


# ---------------------------------------------------------------- what is known without drawing


def test_the_length_of_a_label():
    task = resolve(
        "slot A = token_ids(1..9, length = 5)\nslot B = token_ids(3..4)\nslot n = people\n"
        'prompt p = "{A:first}{A:second} {B} {n:who}"\nprompt q = "{A:first} {B:who} {n}"'
    )
    assert task.span_length("first") == task.span_length("second") == 5
    assert task.span_length("B") == 1
    assert [task.span_length(label) for label in ("n", "who", "END")] == [None] * 3


def test_text_still_needs_a_tokenizer():
    for body in ('prompt "{A} and"', 'prompt "{A}"\ntokens answer = " x"'):
        with pytest.raises(NeedsTokenizer):
            drawn("slot A = token_ids(1..9, length = 5)\n" + body, IDS)


def test_a_model_without_a_tokenizer_is_linted_and_shown(tmp_path):
    shutil.copytree(BUNDLED / "toy", tmp_path / "bare")
    (tmp_path / "bare" / "tokenizer.json").unlink()
    spec = (Path(__file__).parent / "good" / "induction.circ").read_text(encoding="utf-8")
    path = tmp_path / "induction.circ"
    path.write_text(spec.replace('"toy"', '"./bare"'), encoding="utf-8")
    front = pipeline.lint(path)
    assert not front.found
    (found,) = front.prompts.values()
    assert len(found.prompts) == 16
    _, text = pipeline.show(path, "prompts", pipeline.Options(), pipeline.Silent())
    assert f"<{found.prompts[0].tokens[1]}>" in text
    path.write_text(path.read_text().replace('"{A', '"so {A'), encoding="utf-8")
    assert [d.code for d in pipeline.lint(path).found] == ["CL513"]


# ---------------------------------------------------------------- answers from tables


def test_the_task_tables_of_eap_ig(tmp_path):
    rows = [("see Ann and", "see Cy and", "see it and", "Ann", "Cy")]
    rows += [("see Bob and", "see Dan and", "see it and", "Bob", "Dan")]
    ids = [(*row[:3], *map(word_level().single, row[3:])) for row in rows]
    lines = [",".join(map(str, row)) for row in ids]
    head = "clean,corrupted,corrupted_hard,correct_idx,incorrect_idx"
    (tmp_path / "ioi.csv").write_text("\n".join([head, *lines]))
    found = prompts(
        """
        slot (clean, corrupted, hard, right, wrong) =
          rows("ioi.csv", "clean", "corrupted", "corrupted_hard", "correct_idx", "incorrect_idx")
        prompt "{clean}"
        tokens answer = token_ids(right)
        tokens foil   = token_ids(wrong)
        corrupt flip { clean = corrupted }
        corrupt hard_flip { clean = hard }
        """,
        folder=tmp_path,
        vocabulary=200,
    )
    assert found.enumerated
    for prompt, row in zip(sorted(found.prompts, key=lambda p: p.text), ids, strict=True):
        assert (prompt.text, prompt.corrupted_text["flip"]) == row[:2]
        assert prompt.answers == {"answer": (row[3],), "foil": (row[4],)}


def test_labels_of_eap_ig_are_years(tmp_path):
    (tmp_path / "years.csv").write_text(
        "clean,corrupted,label\nThe year 17 66 to 17,The year 17 01 to 17,66\n"
    )
    found = prompts(
        'slot (clean, corrupted, label) = rows("years.csv", "clean", "corrupted", "label")\n'
        'prompt "{clean}"\ncorrupt low { clean = corrupted }\n'
        'tokens answer = [" {y}" for y in 10..99 if y > label]',
        folder=tmp_path,
    )
    (prompt,) = found.prompts
    assert word_level().describe(prompt.answers["answer"]) == [str(y) for y in range(67, 100)]


def test_lists_of_ids_in_a_cell(tmp_path):
    (tmp_path / "t.csv").write_text('clean,right\nsee Ann,"[20, 21]"\nsee Bob,[22]\n')
    found = prompts(
        'slot (clean, right) = rows("t.csv", "clean", "right")\nprompt "{clean}"\n'
        "tokens answer = token_ids(right)",
        folder=tmp_path,
    )
    assert {p.text: p.answers["answer"] for p in found.prompts} == {
        "see Ann": (20, 21),
        "see Bob": (22,),
    }


def test_the_task_json_of_autocircuit(tmp_path):
    entry = {"clean": "see Ann and", "corrupt": "see Cy and", "answers": [" Ann", " Bob"]}
    other = {"clean": "see Eve and", "corrupt": "see Dan and", "answers": [" Eve"]}
    entries = [{**e, "wrong_answers": [" it", " the"]} for e in (entry, other)]
    (tmp_path / "task.json").write_text(json.dumps({"prompts": entries, "word_idxs": {"IO": 1}}))
    body = """
      slot (clean, corrupt_, good, bad) =
        rows("task.json", "clean", "corrupt", "answers", "wrong_answers")
      tokens answer = good
      tokens foil = bad
      corrupt flip { clean = corrupt_ }
    """
    found = prompts(body + 'prompt "{clean}"', folder=tmp_path)
    first = next(p for p in found.prompts if "Ann" in p.text)
    assert word_level().describe(first.answers["answer"]) == ["Ann", "Bob"]
    assert word_level().describe(first.answers["foil"]) == ["it", "the"]
    assert first.corrupted_text["flip"] == "see Cy and"
    assert first.slots["good"] == " Ann,  Bob"


def test_whole_prompts_may_differ_anywhere(tmp_path):
    pairs = [("Ann went to the store", "The park is red Cy"), ("one two", "to Bob")]
    (tmp_path / "t.csv").write_text("\n".join(map(",".join, [("clean", "dirty"), *pairs])))
    body = 'slot (clean, dirty) = rows("t.csv", "clean", "dirty")\nprompt "{clean}"\n'
    body += "corrupt flip { clean = dirty }"
    found = prompts(body, folder=tmp_path, bos=1)
    for prompt in found.prompts:
        assert prompt.spans == {"clean": (1, len(prompt.tokens))}
        both = zip(prompt.tokens[1:], prompt.corrupted["flip"][1:], strict=True)
        assert all(mine != other for mine, other in both)
    (tmp_path / "t.csv").write_text("clean,dirty\nsee Ann,see Ann and Bob\n")
    assert "changes the length" in problem(body, "CL501", folder=tmp_path).message


# ---------------------------------------------------------------- what can be wrong

SEQUENCE = "slot A = token_ids(1..9, length = 3)\n"


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ('slot A = token_ids(1..9, length = 0)\nprompt "{A}"', "CL105", "from 1 up, not 0"),
        ('slot A = token_ids(1..9, length = 1.5)\nprompt "{A}"', "CL105", "from 1 up"),
        ('slot A = token_ids(1..9, length = "x")\nprompt "{A}"', "CL106", "a number"),
        ('slot A = token_ids(1..9, length = 10)\nprompt "{A}"', "CL505", "No 10 of 9 ids differ"),
        ('slot A = token_ids([3, 3], length = 2)\nprompt "{A}"', "CL505", "No 2 of 1"),
        ('slot A = token_ids(0..9999, length = 1e9)\nprompt "{A}"', "CL302", "1,000,000,000"),
        ('slot A = token_ids(1..9, lenght = 3)\nprompt "{A}"', "CL105", "`length`"),
        ('slot A = token_ids(1..9, 3)\nprompt "{A}"', "CL105", "`length`"),
        ('slot A = token_ids()\nprompt "{A}"', "CL105", "`length`"),
        ('slot A = token_ids(9..1)\nprompt "{A}"', "CL505", "no values"),
        ('slot A = token_ids(-5..5)\nprompt "{A}"', "CL106", "not -5"),
        ('slot A = token_ids(1.5)\nprompt "{A}"', "CL106", "not 1.5"),
        ('slot A = token_ids("cat")\nprompt "{A}"', "CL106", 'not "cat"'),
        ('slot A = token_ids(1..9, length = n)\nprompt "{A}"', "CL101", "`n`"),
        (SEQUENCE + 'prompt "{A}"\ntokens answer = "{A}"', "CL106", "token ids"),
        (SEQUENCE + 'prompt "{A}"\nwhere A < 3', "CL106", "token ids and a number"),
        (SEQUENCE + 'prompt "{A}"\ntokens answer = [a for a in A]', "CL106", "a list"),
    ],
)
def test_mistakes_have_a_code(body, code, message):
    task, diagnostics = resolved(body)
    assert task is None
    found = next(d for d in diagnostics.found if d.code == code)
    assert message in f"{found.message} {found.help}"
    assert found.span is not None


@pytest.mark.parametrize(
    "body",
    [
        'slot A = token_ids(1..9, length = 2)\nprompt "{A}"',
        'slot A = token_ids(1..9)\nprompt "{A}"',
        'slot A = people\nprompt "{A}"\ncorrupt c { A = token_ids(7..8, length = 1) }',
        'slot A = people\nprompt "{A}"\ntokens answer = token_ids(8)',
    ],
)
def test_ids_that_the_model_does_not_have(body):
    assert "the model has 8 tokens" in problem(body, "CL520", vocabulary=8).message
    found, _ = drawn(body, vocabulary=10)
    assert found is not None


def test_sequences_longer_than_the_context():
    body = 'slot A = token_ids(0..4095, length = 4096)\nprompt "{A}{A:b}"'
    assert "8,193 tokens" in problem(body, "CL511", IDS, bos=1, context=1024).message


def test_a_sequence_is_no_answer():
    body = SEQUENCE + 'prompt "see {A}"\ntokens answer = A'
    assert "sequence of token ids" in problem(body, "CL502").message


def test_lists_stand_in_no_prompt():
    body = 'slot (a, b) = [("x", ["p", "q"])]\n'
    task, diagnostics = resolved(body + 'prompt "see {b}"')
    assert task is None
    assert [d.code for d in diagnostics.found] == ["CL106"]
    assert diagnostics.found[0].span.text == "{b}"
    counted = '[(a, b) for (a, b) in [("one", ["p"])] if token_count(a) == 1]'
    assert problem(f'slot (a, b) = {counted}\nprompt "see {{b}}"', "CL106").span.text == "{b}"


def test_huge_products_are_not_made():
    slots = "\n".join(f"slot s{i} = 0..999" for i in range(10))
    shown = " ".join(f"{{s{i}}}" for i in range(10))
    found, _ = drawn(f'{slots}\nprompt "{shown}"\nwhere s0 != s1\nsample 16')
    assert (found.population, len(found.prompts)) == (None, 16)
