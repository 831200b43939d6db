"""Task blocks: what they mean and what is wrong with them, before anything is drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.source import Source
from circuitlang.language.tasks.task import TaskSpec, resolve_task
from circuitlang.language.tasks.template import Placeholder
from circuitlang.language.text import syntax
from circuitlang.language.text.parse import parse

GREATER_THAN = """
  slot noun    = ["war", "siege", "drought", "voyage"]
  slot century = 11..17
  slot tens    = 2..8
  slot unit    = 0..9
  prompt "The {noun} lasted from the year {century}{tens}{unit} to the year {century}"
  tokens answer = ["{d}" for d in 0..9 if d > tens]
  tokens foil   = ["{d}" for d in 0..9 if d < tens]
  corrupt low_year { tens = 0  unit = 1..9 }
  sample 256
  seed 0
"""

IOI = """
  slot IO     = people
  slot S      = people
  slot place  = ["store", "park", "school", "station"]
  where IO != S
  prompt abba = "Then, {IO} and {S:S1} went to the {place}. {S:S2} gave it to"
  prompt baba = "Then, {S:S1} and {IO} went to the {place}. {S:S2} gave it to"
  tokens answer = " {IO}"
  tokens foil   = " {S}"
  corrupt abc { IO = people  S1 = people  S2 = people  where distinct(IO, S1, S2) }
  corrupt swap { S2 = IO }
  sample 500
"""

SMALL = 'slot a = ["x", "y"]\nprompt "see {a}"\n'


def resolve(
    body: str, folder: Path = Path(), lets: str = 'let people = ["Ann", "Bob", "Cy"]'
) -> tuple[TaskSpec | None, Diagnostics]:
    syntax_errors, diagnostics = Diagnostics(), Diagnostics()
    source = Source("t.circ", f"{lets}\ntask t {{\n{body}\n}}\n", folder)
    file = parse(source, syntax_errors)
    assert not syntax_errors.found, syntax_errors.found
    values = {s.name: s.value for s in file.statements if isinstance(s, syntax.Define)}
    (task,) = (s for s in file.statements if isinstance(s, syntax.Task))
    return resolve_task(task, values.get, diagnostics, values), diagnostics


def sound(body: str, **options) -> TaskSpec:
    task, diagnostics = resolve(body, **options)
    assert task is not None, diagnostics.found
    assert not diagnostics.found
    return task


def test_greater_than():
    task = sound(GREATER_THAN)
    assert task.slot_names == ("noun", "century", "tens", "unit")
    assert [len(slot.rows) for slot in task.slots] == [4, 7, 7, 10]
    assert task.templates[0].name == "1"
    assert task.templates[0].segments[1] == Placeholder("noun", None, task.span)
    assert task.labels == ("noun", "tens", "unit")
    assert task.ambiguous_labels == {"century": ()}
    assert list(task.tokens) == ["answer", "foil"]
    assert [r.target for r in task.corruptions["low_year"].rewrites] == ["tens", "unit"]
    assert (task.sample, task.seed) == (256, 0)


def test_ioi_labels_and_conditions():
    task = sound(IOI)
    assert [t.name for t in task.templates] == ["abba", "baba"]
    assert set(task.labels) == {"IO", "S1", "S2", "place"}
    assert task.ambiguous_labels == {"S": ("S1", "S2")}
    assert len(task.conditions) == 1
    assert len(task.corruptions["abc"].conditions) == 1
    assert (task.sample, task.seed) == (500, 0)


def test_labels_of_some_templates():
    task = sound(
        'slot a = ["x", "y"]\nprompt p = "one {a:first}"\nprompt q = "two {a} and {a:second}"'
    )
    assert task.labels == ()
    assert task.some_labels == ("first", "a", "second")
    assert task.ambiguous_labels == {"a": ("second",)}


def test_a_slot_may_be_named_like_its_domain():
    assert len(sound('slot people = people\nprompt "{people}"').slots[0].rows) == 3


def test_tuple_slots_from_lists_and_tables(tmp_path):
    (tmp_path / "pairs.csv").write_text("clean,dirty,good\na b,c d,x\ne f,g h,y\n")
    task = sound(
        'slot (country, capital) = [("France", "Paris"), ("Peru", "Lima")]\n'
        'slot (clean, good) = rows("pairs.csv", "clean", "good")\n'
        'prompt "{clean} {country}"\ntokens answer = good\ntokens foil = capital',
        folder=tmp_path,
    )
    assert task.slots[0].rows == (("France", "Paris"), ("Peru", "Lima"))
    assert task.slots[1].rows == (("a b", "x"), ("e f", "y"))


def test_domains_that_count_tokens_wait_for_the_tokenizer():
    task = sound('slot a = [w for w in people if token_count(" {w}") == 1]\nprompt "{a}"')
    assert task.slots[0].needs_tokenizer
    assert task.slots[0].rows == ()


def test_unnamed_prompts_are_numbered_and_braces_escaped():
    task = sound('slot a = ["x"]\nprompt "{{{a}}}"\nprompt q = "{a}"\nprompt "b {a}"')
    assert [t.name for t in task.templates] == ["1", "q", "3"]
    (rendered,) = task.templates[0].render(["x"])
    assert (rendered.text, rendered.ranges) == ("{x}", ((1, 2),))


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (SMALL + 'slot a = ["z"]', "CL102", "slot `a` is defined twice"),
        ('slot (a, a) = [("x", "y")]\nprompt "{a}"', "CL102", "slot `a`"),
        ('slot a = ["x"]\nprompt p = "{a}"\nprompt p = "{a}"', "CL102", "prompt `p`"),
        (SMALL + 'tokens answer = "x"\ntokens answer = "y"', "CL102", "token set `answer`"),
        (SMALL + 'corrupt c { a = "y" }\ncorrupt c { a = "x" }', "CL102", "corruption `c`"),
        (SMALL + 'corrupt c { a = "y" a = "x" }', "CL102", "rewrite of c `a`"),
        (SMALL + "sample 3\nsample 4", "CL102", "setting `sample`"),
        ('slot a = ["x"]\nprompt "{a:l} {a:l}"', "CL102", "`l` stands twice"),
        ('slot a = ["x"]\nslot b = ["y"]\nprompt "{a:b} {b}"', "CL102", "slot and a label"),
        ('slot a = ["x"]\nprompt "{a:a} {a}"', "CL102", "slot and a label"),
        ('slot a = ["x"]\nprompt "{a:END}"', "CL108", "END"),
        ('slot END = ["x"]\nprompt "{END}"', "CL108", "END"),
        ('slot country = ["x"]\nprompt "{contry}"', "CL506", "did you mean `country`"),
        ('slot a = ["x"]\nprompt "{a b}"', "CL506", "{slot:label}"),
        ('slot a = ["x"]\nprompt "{a:}"', "CL506", "{slot:label}"),
        ('slot a = ["x"]\nprompt "open {a"', "CL506", "{{"),
        ('slot a = []\nprompt "{a}"', "CL505", "`a` has no values"),
        ('slot a = 9..1\nprompt "{a}"', "CL505", "`a` has no values"),
        ('slot a = [("x", "y")]\nprompt "{a}"', "CL106", "tuple of 2"),
        ('slot (a, b) = [("x", "y", "z")]\nprompt "{a}"', "CL106", "tuple of 3"),
        ('slot (a, b) = ["x"]\nprompt "{a}"', "CL106", "tuples of 2 texts"),
        ('slot a = [people]\nprompt "{a}"', "CL106", "a list"),
        ('slot a = ["x", "x"]\nprompt "{a}"', "CL517", "1 too many"),
        ('slot a = 0..999999999\nprompt "{a}"', "CL302", "1,000,000,000"),
        ('slot a = [a9.h9]\nprompt "{a}"', "CL106", "node"),
        ('slot a = ["x"]\nslot b = [a]\nprompt "{a}{b}"', "CL101", "cannot depend on the slot"),
        ('slot a = file("nowhere.txt")\nprompt "{a}"', "CL110", "nowhere.txt"),
        (SMALL + "sampel 3", "CL107", "did you mean `sample`"),
        (SMALL + "sample 0", "CL107", "from 1 up"),
        (SMALL + "sample 2.5", "CL107", "whole"),
        (SMALL + 'seed "x"', "CL107", "whole"),
        (SMALL + "seed yes", "CL107", "whole"),
        (SMALL + "split serch", "CL107", "did you mean `split search`"),
        (SMALL + 'split "decide"', "CL107", "did you mean `split decide`"),
        (SMALL + "split 1", "CL107", "write `split search` or `split decide`"),
        (SMALL + "split yes", "CL107", "`split` is `search` or `decide`"),
        (SMALL + "split both", "CL107", "write `split search` or `split decide`"),
        (SMALL + "split search\nsplit decide", "CL102", "`split` is defined twice"),
        (SMALL + "sample 1e12", "CL302", "at most"),
        ('slot a = ["x"]', "CL103", "no prompt"),
        (SMALL + 'corrupt c { b = "y" }', "CL101", "rewrites `b`"),
        (SMALL + "corrupt c { a = nobody }", "CL101", "nobody"),
        (SMALL + 'corrupt c { a = "y" where q != a }', "CL101", "`q`"),
        (SMALL + "corrupt c { a = [] }", "CL505", "no value"),
        (SMALL + "corrupt c { a = [(1, 2)] }", "CL106", "a tuple"),
        (SMALL + 'prompt "twice {a:q}"\ncorrupt c { q = "y" }', "CL504", "`1` does not have"),
        (SMALL + 'tokens answer = " {aa}"', "CL101", "did you mean `a`"),
        (SMALL + "tokens answer = [x for x in nobody]", "CL101", "nobody"),
        (SMALL + "tokens answer = a > 3", "CL106", "text and a number"),
        (SMALL + 'tokens answer = a == "x"', "CL106", "a condition"),
        (SMALL + 'tokens answer = "{a}"\ntokens foil = "{a}"', "CL503", "same tokens"),
        (SMALL + "where a", "CL106", "condition"),
        (SMALL + "where b == a", "CL101", "`b`"),
        (SMALL + 'where distict(a, "x")', "CL101", "did you mean `distinct`"),
        ('slot (a, b) = token_ids(1..9, length = 2)\nprompt "{a}"', "CL106", "tuples of 2 texts"),
        (SMALL + "tokens answer = token_id(a)", "CL101", "did you mean `token_ids`"),
    ],
)
def test_mistakes_have_a_code(body, code, message):
    task, diagnostics = resolve(body)
    assert code in [d.code for d in diagnostics.found]
    found = next(d for d in diagnostics.found if d.code == code)
    assert message in f"{found.message} {found.help}"
    assert found.span is not None
    assert (task is None) == diagnostics.has_errors


def test_all_mistakes_of_a_task_are_found():
    _, diagnostics = resolve(
        'slot a = [1, nobody]\nprompt "{b}"\ntokens answer = c\ncorrupt d { e = 1 }\nsample no'
    )
    assert [d.code for d in diagnostics.sorted] == ["CL101", "CL506", "CL101", "CL107"]


def test_a_placeholder_is_pointed_at():
    _, diagnostics = resolve('slot a = ["x"]\nprompt "see {a} and {b:c}"')
    assert diagnostics.found[0].span.text == "{b:c}"
