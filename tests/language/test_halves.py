"""The halves of a task's prompts: `split search` and `split decide`, and what sees one alone."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from drawing import IOI, NAMES, drawn, problem, prompts, resolve, resolved, word_level
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitlang import pipeline
from circuitlang.front import Options, draw_prompts, inputs_of, lint, resolve_file
from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.prompt import PromptSet
from circuitlang.language.source import Source
from circuitlang.language.tasks.halves import HALVES, half_of, of_half
from circuitlang.language.tasks.inputs import Input, Inputs
from circuitlang.language.tasks.population import LARGEST_COUNTED, Population
from circuitlang.language.tasks.sampling import draw
from circuitlang.language.tasks.task_spec import TaskSpec
from circuitlang.language.tasks.text import Evaluator
from circuitlang.language.tasks.text_values import Number
from circuitlang.language.text.format import format_text
from circuitlang.locks.facts import facts_of
from circuitlang.meaning import meaning

NUMBERS = 'slot a = people\nslot b = 0..99\nslot c = 0..49\nprompt "{a} {b} {c}"\n'
LARGE = 'slot a = 0..99\nslot b = 0..99\nslot c = 0..99\nprompt "{a} {b} {c}"\n'
SPEC = """spec s "0.1.0"
model "toy" { bos yes }
task likes {
  slot A = ["ann", "bob", "cid", "dan"]
  slot X = ["tea", "jam", "rice", "milk"]
  slot Y = ["tea", "jam", "rice", "milk"]
  where X != Y
  prompt "{A:A1} likes {X}. eve likes {Y}. {A:A2} likes"
  tokens answer = " {X}"
  tokens foil   = " {Y}"
  corrupt others { A1 = "ida"  A2 = "kim" }
  sample 16
}
metric   logit_diff = logit(answer) - logit(foil)
ablation patch      = resample(others)
claim able: F(M) > 0
"""


def of(task: TaskSpec, **options) -> PromptSet:
    options = {"references": 0, **options}
    found = Diagnostics()
    made = draw(task, word_level(), bos=None, context=None, diagnostics=found, **options)
    assert made is not None, found.found
    return made


def texts(found: PromptSet) -> set[str]:
    return {prompt.text for prompt in found.prompts}


def by_hand(slots: dict[str, str]) -> str:
    """What docs/language.md says of a half, on its own."""
    text = "[" + ",".join(f'["{name}","{slots[name]}"]' for name in sorted(slots)) + "]"
    return "search" if int(hashlib.sha256(text.encode()).hexdigest()[:2], 16) % 2 == 0 else "decide"


def spec_file(folder: Path, setting: str = "", claims: str = "") -> Path:
    path = folder / "s.circ"
    text = SPEC.replace("  sample 16\n", f"  sample 16\n  {setting}\n") + claims
    path.write_text(text, encoding="utf-8")
    return path


# ---------------------------------------------------------------- which half


def test_a_half_is_what_it_always_was():
    """Were it not, circuits would have been found on the prompts that decide their claims."""
    assert half_of({"X": "tea", "Y": "jam"}) == by_hand({"X": "tea", "Y": "jam"})
    assert [half_of({"X": word}) for word in ("tea", "jam", "rice", "milk")] == [
        by_hand({"X": word}) for word in ("tea", "jam", "rice", "milk")
    ]
    digest = hashlib.sha256(json.dumps([["é", "\ud800"]]).replace(" ", "").encode()).digest()
    assert half_of({"é": "\ud800"}) == HALVES[digest[0] % 2]


def test_a_half_is_of_the_text_and_not_of_the_order():
    for name in NAMES:
        for number in range(20):
            slots = {"a": name, "b": Number(number, f"{number:02}")}
            assert half_of(slots) == half_of(dict(reversed(slots.items())))
            assert half_of(slots) == half_of({"a": name, "b": f"{number:02}"})


def test_there_are_two_halves():
    task = resolve(NUMBERS)
    assert of_half(task, "search") == replace(task, split="search")
    assert of_half(of_half(task, "search"), None) == task
    with pytest.raises(ValueError, match="not 'other'"):
        of_half(task, "other")


# ---------------------------------------------------------------- what is drawn


@pytest.mark.parametrize("body", [NUMBERS, NUMBERS + "where b > c", IOI])
def test_halves_share_nothing_and_are_everything(body):
    task = resolve(body)
    whole = of(task, samples=100_000)
    halves = {half: of(of_half(task, half), samples=100_000) for half in HALVES}
    assert texts(halves["search"]).isdisjoint(texts(halves["decide"]))
    assert texts(halves["search"]) | texts(halves["decide"]) == texts(whole)
    assert sum(found.population for found in halves.values()) == whole.population
    for half, found in halves.items():
        assert found.split == half
        assert found.population == len(found.prompts)
        assert {by_hand(dict(p.slots)) for p in found.prompts} == {half}


def test_each_is_about_half_of_a_large_population():
    """25,000 prompts: five standard deviations are 395 of them."""
    task = of_half(resolve(NUMBERS), "search")
    size = len(Population.of(task, Evaluator(task.scope, Diagnostics())).counted)
    assert abs(size - 12_500) < 395


@pytest.mark.parametrize("where", ["", "where a > b"])
def test_halves_of_what_is_too_large_to_count(where):
    task = resolve(LARGE + where)
    found = {half: of(of_half(task, half), samples=2_000) for half in (*HALVES, None)}
    assert LARGEST_COUNTED < 100**3
    for half in HALVES:
        assert found[half].population is None
        assert len(texts(found[half])) == 2_000
        for prompt in found[half].prompts:
            assert by_hand(dict(prompt.slots)) == half
            assert not where or int(prompt.slots["a"]) > int(prompt.slots["b"])
    both = [by_hand(dict(prompt.slots)) for prompt in found[None].prompts]
    assert abs(both.count("search") - 1_000) < 112  # five standard deviations


def test_a_half_too_large_to_count_has_as_many_prompts_as_a_sample_can():
    body = 'slot a = 0..999\nslot b = 0..299\nprompt "{a} {b}"\nsplit decide'
    task = resolve(body)
    population = Population.of(task, Evaluator(task.scope, Diagnostics()))
    assert population.counted is None
    from circuitlang.language.tasks.population import random_stream

    drawn_ones = [tuple(map(str, a.values())) for a in population.draws(random_stream("x"))]
    assert len(set(drawn_ones)) == len(drawn_ones) > 140_000


def test_neither_seed_nor_sample_moves_a_prompt():
    task = resolve(NUMBERS + "split search")
    for seed, samples in product((0, 1, 7), (8, 64)):
        for prompt in of(task, seed=seed, samples=samples).prompts:
            assert by_hand(dict(prompt.slots)) == "search"
    small, large = (of(task, samples=n).prompts for n in (8, 64))
    assert large[:8] == small
    assert texts(of(task, seed=1, samples=8)) != texts(of(task, seed=2, samples=8))


def test_templates_of_one_assignment_are_in_one_half():
    first, second = 'prompt "see {a} {b}"\n', 'prompt "of {b} and {a}"\n'
    slots = "slot a = people\nslot b = 0..9\n"

    def assignments(body: str, template: str) -> set[tuple[str, ...]]:
        found = of(resolve(slots + body + "split decide\nsample 1000"))
        return {tuple(p.slots.values()) for p in found.prompts if p.template == template}

    both = [assignments(first + second, name) for name in ("1", "2")]
    assert both[0] == both[1] == assignments(second + first, "1") == assignments(first, "1")
    assert 0 < len(both[0]) < 50


def test_a_half_that_is_drawn_whole_is_enumerated():
    found = prompts(NUMBERS.replace("0..99", "0..3").replace("0..49", "[0]") + "split search")
    assert found.enumerated
    assert 0 < len(found.prompts) == found.population < 20
    assert not of(resolve(NUMBERS + "split search"), samples=32).enumerated


def test_references_are_of_the_half():
    found = of(resolve(NUMBERS + "split decide\nsample 4"), references=64)
    assert len(found.references) == 64
    assert {by_hand(dict(prompt.slots)) for prompt in found.references} == {"decide"}


def test_without_the_setting_nothing_is_chosen():
    found = of(resolve(NUMBERS), samples=64)
    assert found.split is None
    assert {by_hand(dict(prompt.slots)) for prompt in found.prompts} == set(HALVES)


@st.composite
def small_tasks(draw) -> str:
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    slots = [f"slot s{i} = 0..{size - 1}" for i, size in enumerate(sizes)]
    names = [f"s{i}" for i in range(len(sizes))]
    templates = draw(st.lists(st.permutations(names), min_size=1, max_size=2))
    lines = [f'prompt "{k} {" ".join(f"{{{n}}}" for n in t)}"' for k, t in enumerate(templates)]
    where = draw(st.sampled_from(["", f"where {names[0]} >= {names[-1]}"]))
    return "\n".join([*slots, *lines, where])


@settings(max_examples=60, deadline=None)
@given(small_tasks(), st.integers(0, 5))
def test_halves_of_any_task(body, seed):
    task = resolve(body)
    whole = of(task, samples=1_000, seed=seed)
    expected = {half: set() for half in HALVES}
    for prompt in whole.prompts:
        expected[by_hand(dict(prompt.slots))].add(prompt.text)
    for half in HALVES:
        found, diagnostics = drawn(f"{body}\nsplit {half}", samples=1_000, seed=seed, references=0)
        if expected[half]:
            assert texts(found) == expected[half]
            assert found.enumerated
            assert not diagnostics.found
        else:
            assert found is None
            (said,) = diagnostics.found
            assert (said.code, f"half `{half}` has none" in said.message) == ("CL507", True)


# ---------------------------------------------------------------- inputs


def test_inputs_are_those_of_the_half():
    task = resolve('slot a = people\nslot b = 0..9\nprompt "see {a} {b}"\nprompt "of {b} {a}"')
    every = Inputs(task, word_level())
    halves = {half: Inputs(of_half(task, half), word_level()) for half in HALVES}
    for template, a, b in product(range(2), range(5), range(10)):
        one = Input(template, (a, b))
        half = by_hand({"a": NAMES[a], "b": str(b)})
        assert {name for name, inputs in halves.items() if inputs.allows(one)} == {half}
        text = every.prompt(one).text
        assert [name for name, inputs in halves.items() if inputs.read(text)] == [half]
        assert all(map(halves[half].allows, halves[half].simpler(one)))


# ---------------------------------------------------------------- errors


def test_a_half_may_be_empty():
    body = 'slot a = ["Ann"]\nprompt "see {a}"\nsplit '
    empty = next(half for half in HALVES if half != by_hand({"a": "Ann"}))
    found = problem(body + empty, "CL507")
    assert found.message == f"`t` allows 1 prompt, and its half `{empty}` has none of them."
    assert found.help == "give its slots more values, or leave out `split`"
    assert len(prompts(body + by_hand({"a": "Ann"})).prompts) == 1


def test_what_where_leaves_empty_is_not_the_halfs():
    found = problem(NUMBERS + 'where a == "x"\nsplit search', "CL507")
    assert found.message == "None of the slot values of `t` satisfies `where`."


def test_what_is_not_found_is_said_of_the_half():
    found = problem(LARGE + "where a + b > 1000\nsplit search", "CL507")
    assert "None of those tried of the slot values of `t` in the half `search`" in found.message


def test_split_is_no_reserved_word():
    body = 'slot split = ["Ann", "Bob"]\nslot search = ["of"]\nprompt "see {split} {search}"\n'
    body += "where split != search\ncorrupt c { split = search  search = split }\nsplit search"
    task, diagnostics = resolved(body)
    assert [d.code for d in diagnostics.found if d.severity == "error"] == []
    assert (task.slot_names, task.split) == (("split", "search"), "search")
    assert task.corruptions["c"].rewrites[0].target == "split"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("claim able", "split search\nclaim able", "`split` belongs into a task"),
        ("bos yes", "bos yes split search", "no setting `split`"),
    ],
)
def test_split_belongs_into_a_task(tmp_path, before, after, said):
    path = tmp_path / "s.circ"
    path.write_text(SPEC.replace(before, after), encoding="utf-8")
    (found,) = lint(path).found
    assert found.code == "CL107"
    assert said in f"{found.message} {found.help}"


# ---------------------------------------------------------------- text, meaning, locks


def test_it_is_written_as_it_is_read():
    written = 'task t {\n  slot a = b\n  prompt "{a}"\n  split decide\n}\n'
    spread = 'task t { slot a = b prompt "{a}" split\n  decide }'
    for text in (written, spread):
        assert format_text(Source("t.circ", text, Path()), Diagnostics()) == written


def test_it_is_meant_only_where_it_is_said(tmp_path):
    stated = {
        setting: meaning(resolve_file(spec_file(tmp_path, setting)))
        for setting in ("", "split search", "split decide")
    }
    parts = [m.parts() for m in stated.values()]
    asked = [part["task likes"]["asked"] for part in parts]
    assert [part == parts[0] for part in parts] == [True, False, False]
    assert [a.get("split") for a in asked] == [None, "search", "decide"]
    assert "split" not in asked[0]


def test_a_lock_says_the_half_only_where_there_is_one(tmp_path):
    halves = []
    for setting in ("", "split decide"):
        front = resolve_file(spec_file(tmp_path, setting))
        draw_prompts(front, Options())
        halves.append(facts_of(front).tasks["likes toy"].split)
    assert halves == [None, "decide"]


def test_shown_forms_say_the_half(tmp_path):
    path = spec_file(tmp_path, "split decide")
    _, spec = pipeline.show(path, "spec", Options(), pipeline.Silent())
    assert "seed 0, split decide, corruptions others" in spec
    _, shown = pipeline.show(path, "prompts", Options(), pipeline.Silent())
    assert " prompts of the half decide; templates" in shown


# ---------------------------------------------------------------- a caller's half


def test_a_caller_can_draw_the_other_half(tmp_path):
    path = spec_file(tmp_path, "split search\n  sample 100".replace("\n  sample 100", ""))
    found = {}
    for half in (None, *HALVES):
        front = resolve_file(path, split=half)
        draw_prompts(front, Options(samples=100, split=half))
        found[half] = front.prompts["likes", '"toy"']
    assert found[None] == found["search"]
    assert texts(found["search"]).isdisjoint(texts(found["decide"]))
    assert len(texts(found["search"]) | texts(found["decide"])) == 4 * 4 * 3
    assert {by_hand(dict(p.slots)) for p in found["decide"].prompts} == {"decide"}


def test_one_front_can_draw_both(tmp_path):
    front = resolve_file(spec_file(tmp_path))
    for half in HALVES:
        draw_prompts(front, Options(split=half))
        assert {by_hand(dict(p.slots)) for p in front.prompts["likes", '"toy"'].prompts} == {half}
        model = next(iter(front.resolved.spec.models.values()))
        assert inputs_of(front, "likes", model).task.split == half


def test_another_half_is_not_the_spec_that_was_written():
    assert Options().decides_spec
    assert not Options(split="search").decides_spec
    assert not Options(seed=0).decides_spec


def test_a_counterexample_is_of_the_half(tmp_path):
    text = "ann likes tea. eve likes jam. ann likes"
    own = by_hand({"A": "ann", "X": "tea", "Y": "jam"})
    other = next(half for half in HALVES if half != own)
    claims = f'claim all: forall x in inputs(likes): F(M on x) > 0\ncounterexample all "{text}"\n'
    assert lint(spec_file(tmp_path, f"split {own}", claims)).found == ()
    (said,) = lint(spec_file(tmp_path, f"split {other}", claims)).found
    assert said.code == "CL318"
    assert said.message == f'The prompt "{text}" is not in the half `{other}` of task `likes`.'
    assert lint(spec_file(tmp_path, f"split {own}", claims), Options(split=other)).found == ()
