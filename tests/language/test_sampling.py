"""Drawing prompts: uniform, seeded, aligned in tokens, and every precondition reported."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from drawing import IOI, byte_level, drawn, problem, prompts, resolve, word_level
from tokenizers import Tokenizer, models

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.prompt import PromptSet
from circuitlang.language.tasks.sampling import draw
from circuitlang.language.tasks.task import TaskSpec
from circuitlang.language.tasks.tokenizer import PromptTokenizer, UnusableTokenizer


def again(task: TaskSpec, **options) -> PromptSet:
    found = draw(
        task,
        word_level(),
        bos=None,
        context=None,
        references=0,
        diagnostics=Diagnostics(),
        **options,
    )
    assert found is not None
    return found


# ---------------------------------------------------------------- what is drawn


def test_ioi():
    found = prompts(IOI + "sample 20", bos=1)
    assert found.templates == ("abba", "baba")
    assert found.population == 5 * 4 * 2 * 2
    assert not found.enumerated
    assert len(found.prompts) == 20
    assert len(found.references) == 80  # all there are
    assert list(found.prompts[0].slots) == ["IO", "S", "place"]
    for prompt in found.prompts:
        io, s = prompt.slots["IO"], prompt.slots["S"]
        assert io != s
        assert prompt.tokens[0] == 1
        words = word_level().describe(prompt.tokens)
        first = {"abba": (3, 5), "baba": (5, 3)}[prompt.template]
        assert words[first[0]] == io
        assert words[first[1]] == s
        assert prompt.spans["IO"] == (first[0], first[0] + 1)
        assert prompt.spans["S1"] == (first[1], first[1] + 1)
        assert words[prompt.spans["S2"][0]] == s
        assert "S" not in prompt.spans
        assert prompt.answers["answer"] == (word_level().single(io),)
        assert prompt.answers["foil"] == (word_level().single(s),)
        for ids in prompt.corrupted.values():
            assert len(ids) == len(prompt.tokens)


def test_corruptions_rewrite_slots_and_labels():
    for prompt in prompts(IOI + "sample 40").prompts:
        words = {
            name: word_level().describe(ids)
            for name, ids in {**prompt.corrupted, "clean": prompt.tokens}.items()
        }
        io, first, second = (prompt.spans[label][0] for label in ("IO", "S1", "S2"))
        clean = words["clean"]
        abc = [words["abc"][i] for i in (io, first, second)]
        assert len(set(abc)) == 3
        assert words["flip"][second] == clean[io]
        assert words["flip"][first] == clean[first]
        assert words["exchange"][io] == clean[first]
        assert [words["exchange"][i] for i in (first, second)] == [clean[io]] * 2
        assert prompt.corrupted_text["flip"].count(clean[io]) == 2


def test_redraws_vary_and_are_uniform():
    task = resolve('slot a = people\nprompt "see {a}"\ncorrupt c { a = people }')
    seen = Counter()
    for seed in range(200):
        found = again(task, seed=seed)
        assert found.population == 5
        assert not found.enumerated
        seen.update(p.corrupted_text["c"] for p in found.prompts)
    assert len(seen) == 5
    assert min(seen.values()) > 150
    assert max(seen.values()) < 250


def test_greater_than_digits():
    body = """
      slot century = 11..17
      slot tens    = 2..8
      slot unit    = 0..9
      prompt "The year {century}{tens}{unit} to the year {century}"
      tokens answer = ["{d}" for d in 0..9 if d > tens]
      tokens foil   = ["{d}" for d in 0..9 if d < tens]
      corrupt low_year { tens = 0  unit = 1..9 }
      sample 64
    """
    found = prompts(body, byte_level())
    assert found.population == 490
    for prompt in found.prompts:
        shown = byte_level().describe(prompt.tokens)
        tens = int(prompt.slots["tens"])
        assert shown[prompt.spans["tens"][0]] == str(tens)
        assert byte_level().describe(prompt.answers["answer"]) == [
            str(d) for d in range(tens + 1, 10)
        ]
        assert byte_level().describe(prompt.answers["foil"]) == [str(d) for d in range(tens)]
        low = byte_level().describe(prompt.corrupted["low_year"])
        assert low[prompt.spans["tens"][0]] == "0"
        assert low[prompt.spans["unit"][0]] in "123456789"
        assert set(prompt.spans) == {"tens", "unit"}


def test_agreement_from_jsonl_and_tuple_slots(tmp_path):
    records = [
        {"clean": "see Ann and Bob", "corrupt": "see Cy and Bob", "good": " Ann", "bad": " Cy"},
        {"clean": "see Eve and Dan", "corrupt": "see Bob and Dan", "good": " Eve", "bad": " Bob"},
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, records)))
    found = prompts(
        """
        slot (clean, dirty, good, bad) = rows("pairs.jsonl", "clean", "corrupt", "good", "bad")
        prompt "{clean}"
        tokens answer = good
        tokens foil = bad
        corrupt flip { clean = dirty }
        """,
        folder=tmp_path,
    )
    assert found.enumerated
    assert found.population == 2
    assert {p.text: p.corrupted_text["flip"] for p in found.prompts} == {
        r["clean"]: r["corrupt"] for r in records
    }
    for prompt in found.prompts:
        assert prompt.answers["answer"] == (word_level().single(prompt.slots["good"]),)


def test_one_name_of_a_tuple_slot_can_be_rewritten():
    found = prompts(
        'slot (a, b) = [("Ann", "Bob"), ("Cy", "Dan")]\nslot (c, d) = [("red", "blue")]\n'
        'prompt "see {a} and {b}"\ncorrupt x { a = d }'
    )
    texts = {p.corrupted_text["x"] for p in found.prompts}
    assert texts == {"see blue and Bob", "see blue and Dan"}


def test_domains_and_conditions_may_count_tokens():
    names = '["Mary", "John", "Alexandrina"]'
    by_domain = prompts(
        f'slot a = [n for n in {names} if token_count(" {{n}}") == 1]\nprompt "Then {{a}}"',
        byte_level(),
    )
    by_condition = prompts(
        f'slot a = {names}\nwhere token_count(" {{a}}") == 1\nprompt "Then {{a}}"', byte_level()
    )
    assert by_domain.population == by_condition.population == 2


def test_spans_cover_all_tokens_of_a_slot():
    found = prompts('slot a = ["Alexandrina"]\nprompt "Then {a} went"', byte_level(), bos=7)
    (prompt,) = found.prompts
    start, stop = prompt.spans["a"]
    assert stop - start > 1
    assert "".join(byte_level().describe(prompt.tokens[start:stop])).strip() == "Alexandrina"


# ---------------------------------------------------------------- how it is drawn


def test_drawing_is_deterministic_and_seeded():
    assert prompts(IOI + "sample 12") == prompts(IOI + "sample 12")
    other = prompts(IOI + "sample 12", seed=1)
    assert [p.text for p in other.prompts] != [p.text for p in prompts(IOI + "sample 12").prompts]
    assert other.references == prompts(IOI + "sample 30").references


def test_the_draw_is_the_same_on_every_machine():
    found = prompts(IOI + "sample 4")
    assert [p.corrupted_text["abc"] for p in found.prompts] == [
        "Then, Ann and Cy went to the park. Eve gave it to",
        "Then, Dan and Eve went to the park. Cy gave it to",
        "Then, Ann and Bob went to the store. Eve gave it to",
        "Then, Bob and Eve went to the store. Ann gave it to",
    ]


def test_a_smaller_sample_is_the_beginning_of_a_larger_one():
    small, large = prompts(IOI, samples=7), prompts(IOI, samples=31)
    assert small.prompts == large.prompts[:7]


def test_templates_have_equal_shares():
    shares = Counter(p.template for p in prompts(IOI, samples=15).prompts)
    assert shares == {"abba": 8, "baba": 7}


def test_a_large_sample_enumerates():
    body = 'slot a = people\nslot b = 1..3\nwhere b != 2\nprompt p = "see {a} {b}"\n'
    body += 'prompt q = "{a} is {b}"\ncorrupt c { b = 5 }\nsample 20'
    found = prompts(body)
    assert found.enumerated
    assert found.population == 20
    assert len({p.text for p in found.prompts}) == 20
    assert not prompts(body, samples=19).enumerated
    assert len(prompts(body, samples=19).prompts) == 19


def test_a_task_without_slots():
    found = prompts('prompt "see Ann"\ntokens answer = " Bob"')
    assert (found.population, found.enumerated, len(found.prompts)) == (1, True, 1)


def test_draws_are_uniform_over_the_product():
    counts = Counter()
    task = resolve('slot a = people\nslot b = 1..3\nprompt "see {a} {b}"')
    for seed in range(400):
        counts.update(p.text for p in again(task, samples=3, seed=seed).prompts)
    assert len(counts) == 15
    assert min(counts.values()) > 50
    assert max(counts.values()) < 115


BIG = 'slot a = 0..99\nslot b = 0..99\nslot c = 0..99\nprompt "see {a} {b} {c}"\n'


def test_a_large_product_is_sampled_without_counting():
    found = prompts(BIG + "where a != b and b != c", samples=300)
    assert found.population is None
    assert not found.enumerated
    assert len({p.text for p in found.prompts}) == 300
    assert all(p.slots["a"] != p.slots["b"] != p.slots["c"] for p in found.prompts)
    assert prompts(BIG, samples=20).prompts == prompts(BIG, samples=50).prompts[:20]


# ---------------------------------------------------------------- what can be wrong


def test_unequal_lengths():
    body = 'slot a = ["Mary", "John"]\nprompt "Then {a} went"\ncorrupt c { a = "Alexandrina" }'
    found = problem(body, "CL501", byte_level())
    assert '"Alexandrina" is' in found.message
    assert "2 of 2 prompts" in found.message
    assert found.span.text.startswith("corrupt c")


def test_equal_lengths_but_other_places():
    body = (
        'slot (a, b) = [("Mary", "Alexandrina"), ("Alexandrina", "Mary")]\n'
        'prompt "Then {a} and {b} went"\ncorrupt c { a = b  b = a }'
    )
    assert "moves slots" in problem(body, "CL501", byte_level()).message


def test_every_kind_of_problem_is_said_once():
    body = (
        'slot a = ["Mary", "John", "Alexandrina"]\nprompt "Then {a} went"\n'
        'corrupt c { a = "Alexandrina" }\ncorrupt d { a = "Oh" }\n'
        'tokens answer = " {a}"\ntokens foil = " Mary"'
    )
    _, diagnostics = drawn(body, byte_level())
    errors = [d.code for d in diagnostics.found if d.severity == "error"]
    assert sorted(errors) == ["CL501", "CL501", "CL502", "CL503"]


def test_an_answer_of_several_tokens():
    found = problem(
        'slot a = ["Mary", "Alexandrina"]\nprompt "Then {a}"\ntokens answer = " {a}"',
        "CL502",
        byte_level(),
    )
    assert "1 of 2 prompts" in found.message
    assert 'where token_count(" {a}") == 1' in found.help


def test_an_answer_without_its_space():
    found = problem(
        'slot a = ["Mary"]\nprompt "Then {a} gave a ring to"\ntokens answer = "school"',
        "CL502",
        byte_level(),
    )
    assert 'write " school"' in found.help


def test_an_answer_that_merges_with_the_prompt():
    body = 'slot a = ["Ann"]\nprompt "Then {a} r"\ntokens answer = "ing"'
    tokenizer = Tokenizer(
        models.BPE(
            {c: i for i, c in enumerate([*"Then Ar ig", "in", "ing", "ring"])},
            [("i", "n"), ("in", "g"), ("r", "ing")],
        )
    )
    found = problem(body, "CL502", PromptTokenizer(tokenizer))
    assert found.severity == "warning"
    assert "no token of its own" in found.message


def test_an_unknown_answer():
    found = problem('slot a = people\nprompt "see {a}"\ntokens answer = "Zed"', "CL502")
    assert "does not know" in found.message


def test_an_unknown_word_in_a_prompt():
    found = problem('slot a = ["Ann", "Zed"]\nprompt "see {a}"', "CL514")
    assert found.severity == "warning"
    assert '"Zed"' in found.message


def test_answer_and_foil_that_meet():
    found = problem(
        'slot a = people\nslot b = people\nprompt "see {a} and {b}"\n'
        'tokens answer = "{a}"\ntokens foil = ["{b}", "one"]',
        "CL503",
    )
    assert "5 of 25 prompts" in found.message


def test_an_empty_token_set():
    found = problem(
        'slot a = 0..9\nprompt "see {a}"\ntokens answer = ["{d}" for d in 0..9 if d > a]', "CL516"
    )
    assert "a = 9" in found.message
    assert "1 of 10 prompts" in found.message


def test_a_label_without_tokens():
    body = 'slot a = ["", "Ann"]\nprompt "see {a%s} and Bob"'
    assert problem(body % ":who", "CL504").severity == "error"
    assert problem(body % "", "CL504").severity == "warning"


def test_nothing_satisfies_where():
    found = problem('slot a = people\nprompt "see {a}"\nwhere a == "x"', "CL507")
    assert found.span.text == 'a == "x"'
    assert "None" in problem(BIG + "where a == 100", "CL507").message


def test_too_little_satisfies_where():
    found = problem(BIG + "where a < 2 and b < 2", "CL507", samples=300, references=0)
    assert found.severity == "warning"
    assert "of 300 prompts" in found.message


def test_a_corruption_that_cannot_be_satisfied():
    found = problem(
        'slot a = ["Ann", "Bob"]\nprompt "see {a}"\ncorrupt c { a = ["Ann", "Bob"] where a == "x" }',
        "CL507",
    )
    assert "`c`" in found.message
    found = problem(
        'slot a = people\nprompt "see {a}"\ncorrupt c { a = "Bob" where a != "Bob" }', "CL507"
    )
    assert "nothing at random" in found.help


def test_a_prompt_longer_than_the_context():
    found = problem('slot a = people\nprompt "see {a} and one"', "CL511", context=3)
    assert "4 tokens" in found.message


def test_a_corruption_that_changes_nothing():
    body = 'slot a = people\nslot b = ["red"]\nprompt "see {a}"\ncorrupt c { b = "blue" }'
    found = problem(body, "CL512")
    assert found.severity == "warning"


def test_a_change_outside_the_rewritten_slot():
    tokenizer = Tokenizer(
        models.BPE(
            {c: i for i, c in enumerate(["s", "a", "b", "x", "sa", "ax"])}, [("s", "a"), ("a", "x")]
        )
    )
    diagnostics = Diagnostics()
    task = resolve('slot v = ["s"]\nslot w = ["b"]\nprompt "{v}{w}x"\ncorrupt c { w = "a" }')
    draw(task, PromptTokenizer(tokenizer), bos=None, context=None, diagnostics=diagnostics)
    assert {d.code for d in diagnostics.found} <= {"CL501", "CL518"}
    assert diagnostics.found


def test_problems_of_the_references_are_found_too():
    body = 'slot a = ["Mary", "John", "Alexandrina"]\nprompt "Then {a}"\ntokens answer = " {a}"'
    problems = [problem(body, "CL502", byte_level(), samples=1, seed=s) for s in range(8)]
    assert any("1 of 3 reference prompts" in p.message for p in problems)


def test_type_mistakes_of_single_rows_are_diagnostics():
    found = problem('slot a = ["1", "x"]\nprompt "see {a}"\nwhere a < 3', "CL106")
    assert "text and a number" in found.message


# ---------------------------------------------------------------- the tokenizer


def test_the_tokenizer_file(tmp_path):
    word_level().tokenizer.save(str(tmp_path / "tokenizer.json"))
    opened = PromptTokenizer.open(tmp_path / "tokenizer.json")
    assert opened.encode("see Ann") == word_level().encode("see Ann")
    (tmp_path / "broken.json").write_text("{}")
    for name in ("broken.json", "absent.json"):
        with pytest.raises(UnusableTokenizer):
            PromptTokenizer.open(tmp_path / name)


def test_single_tokens():
    assert byte_level().single(" Mary") is not None
    assert byte_level().single(" Alexandrina") is None
    assert byte_level().single("") is None
    assert word_level().single("Zed") is None
