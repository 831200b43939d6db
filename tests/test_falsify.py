"""Counterexamples: found beyond the sample, made simple, printed as a line, and replayed."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException

import circuitlang
from circuitlang import pipeline, strategies
from circuitlang.front import inputs_of
from circuitlang.language.tasks.halves import HALVES, half_of
from circuitlang.language.tasks.inputs import Input
from circuitlang.measurement.falsify import drawn, strategy
from circuitlang.report.outcome import document
from circuitlang.report.terminal import counterexample_line

SPEC = """spec hunt "1.0.0"
model "toy" { bos yes }
task likes {
  slot (A, B) = [("ann", "bob"), ("bob", "cid"), ("cid", "dan"), ("eve", "fay"), ("gus", "hal")]
  slot (X, Y) = [("tea", "jam"), ("rice", "milk"), ("corn", "bread"), ("fish", "cake"), ("tea", "milk")]
  where A != "bob"
  prompt plain = "{A:A1} likes {X}. {B:B1} likes {Y}. {A:A2} likes"
  prompt other = "{B:B1} likes {Y}. {A:A1} likes {X}. {A:A2} likes"
  tokens answer = " {X}"
  tokens foil   = " {Y}"
  corrupt ask_the_other { A2 = B }
  sample 4
}
metric   logit_diff = logit(answer) - logit(foil)
ablation swap       = resample(ask_the_other)
default over prompts
circuit asking {
  input          -> a0.h2.v
  a0.h2          -> a1.h0.q
  a1.h0          -> a2.h2.q
  [a1.h0, a2.h2] -> logits
}
"""


@pytest.fixture
def spec(tmp_path: Path):
    """Writes a spec with these lines at its end."""

    def write(*lines: str) -> Path:
        path = tmp_path / "hunt.circ"
        path.write_text(SPEC + "\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def decided(path: Path, **options):
    """The claims of a check, by name."""
    chosen = pipeline.Options(**options)
    outcome = pipeline.check(path, chosen, pipeline.Silent())
    assert outcome.measured is not None, [d.message for d in outcome.front.found]
    return {c.name: c for c in document(outcome, chosen, per_example=False).claims}


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    """Every allowed input with its prompt and the circuit's score on it, run one by one."""
    path = tmp_path_factory.mktemp("every") / "hunt.circ"
    path.write_text(SPEC + "claim able: F(M) >= 0\n", encoding="utf-8")
    loaded = circuitlang.load(path)
    with circuitlang.session(loaded) as session:
        front = session.front
        model = next(iter(front.resolved.spec.models.values()))
        inputs = inputs_of(front, "likes", model)
        numbers = itertools.product(*map(range, inputs.sizes))
        all_ = [Input(t, tuple(values)) for t, *values in numbers]
        made = {one: inputs.prompt(one) for one in all_ if inputs.allows(one)}
        return inputs, {
            one: (prompt, session.F("asking", prompts=[prompt]).item())
            for one, prompt in made.items()
        }


def test_the_inputs_are_the_product_that_where_allows(every):
    _, scored = every
    assert len(scored) == 2 * 4 * 5
    assert len({prompt.text for prompt, _ in scored.values()}) == 40


def test_a_text_is_read_back_as_its_input(every):
    inputs, scored = every
    for one, (prompt, _) in scored.items():
        assert inputs.read(prompt.text) == one
    assert inputs.read("bob likes tea. cid likes jam. bob likes") is None, "`where` forbids it"
    assert inputs.read("ann likes tea") is None


@pytest.mark.parametrize("share", [0.15, 0.5, 0.95])
def test_the_counterexample_refutes_and_nothing_simpler_does(spec, every, share):
    inputs, scored = every
    values = sorted(score for _, score in scored.values())
    bound = values[int(share * len(values))]
    found = decided(spec(f"claim always: forall x in inputs(likes): F(asking on x) >= {bound}"))
    claim = found["always"]
    refuting = {one for one, (_, score) in scored.items() if score < bound - 1e-4}
    assert claim.verdict == "fails"
    one = inputs.read(claim.counterexample)
    assert one in refuting
    assert not refuting.intersection(inputs.simpler(one))


@pytest.mark.parametrize("half", HALVES)
def test_prompts_of_the_other_half_refute_nothing(spec, every, half):
    inputs, scored = every
    values = [score for _, score in scored.values()]
    path = spec(
        f"claim high: forall x in inputs(likes): F(asking on x) >= {max(values) + 0.1}",
        f"claim low: forall x in inputs(likes): F(asking on x) >= {min(values) - 0.1}",
    )
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("sample 4\n", f"sample 4\n  split {half}\n"), encoding="utf-8")
    other = next(h for h in HALVES if h != half)
    for wanted, options in ((half, {}), (other, {"split": other})):
        own = [one for one, (prompt, _) in scored.items() if half_of(prompt.slots) == wanted]
        found = decided(path, **options)
        assert found["high"].verdict == "fails"
        assert inputs.read(found["high"].counterexample) in own
        assert found["low"].verdict == "survived"
        assert 4 < found["low"].looked_at <= len(own) < len(scored)


def test_what_no_prompt_refutes_survives_and_says_how_many_were_looked_at(spec, every):
    _, scored = every
    bound = min(score for _, score in scored.values()) - 0.1
    found = decided(
        spec(
            f"claim all: forall x in inputs(likes): F(asking on x) >= {bound}",
            f"claim few: forall x in search(inputs(likes), budget = 5): F(asking on x) >= {bound}",
            f"claim sampled: forall x in random(inputs(likes), 3): F(asking on x) >= {bound}",
        )
    )
    assert {c.verdict for c in found.values()} == {"survived"}
    assert 25 <= found["all"].looked_at <= 40
    assert 4 < found["few"].looked_at <= 9
    assert found["sampled"].looked_at == 3


def test_a_counterexample_is_looked_at_first(spec, every):
    """The search alone, of budget 1, does not find the one prompt that refutes."""
    _, scored = every
    ranked = sorted(scored.values(), key=lambda pair: pair[1])
    bound = (ranked[0][1] + ranked[1][1]) / 2
    claim = f"claim rare: forall x in search(inputs(likes), budget = 1): F(asking on x) >= {bound}"
    before = decided(spec(claim))["rare"]
    assert before.verdict == "survived"
    after = decided(spec(claim, f'counterexample rare "{ranked[0][0].text}"'))["rare"]
    assert (after.verdict, after.counterexample) == ("fails", ranked[0][0].text)


def test_a_mean_inside_belongs_to_the_sample(spec):
    found = decided(spec("claim m: forall x in inputs(likes): F(asking on x) >= 1% * F(M)"))["m"]
    assert found.looked_at == 4


def test_the_printed_line_refutes_again(spec):
    claim = "claim complete: forall K in search(subsets(nodes(M)), budget = 40): F(M - K) >= 2"
    found = decided(spec(claim), samples=16)["complete"]
    assert found.verdict == "fails"
    assert found.counterexample is not None
    assert found.counterexample.count("+") <= 1, "the smallest set that refutes"
    claim = claim.replace("budget = 40", "budget = 1")
    again = decided(spec(claim, counterexample_line(found)), samples=16)["complete"]
    assert again.verdict == "fails"
    assert found.counterexample in again.failed


def test_a_search_is_the_same_each_time_and_leaves_nothing_behind(every, tmp_path, monkeypatch):
    inputs, _ = every
    monkeypatch.chdir(tmp_path)
    first, second = (drawn(strategy(inputs), 20, 0) for _ in range(2))
    assert first == second
    assert len(set(first)) == len(first) == 20
    assert all(inputs.allows(one) for one in first)
    assert drawn(strategy(inputs), 20, 1) != first
    assert os.listdir(tmp_path) == []


def test_nothing_is_allowed(tmp_path):
    path = tmp_path / "hunt.circ"
    path.write_text(SPEC.replace('A != "bob"', 'A == "bob"') + "claim able: F(M) >= 0\n")
    front = pipeline.lint(path)
    model = next(iter(front.resolved.spec.models.values()))
    found = drawn(strategy(inputs_of(front, "likes", model)).filter(lambda one: False), 5, 0)
    assert found == []


IDS = """spec ids "1.0.0"
model "toy" { bos yes }
task seqs {
  slot S = token_ids(2..20, length = 4)
  prompt "{S}"
  tokens answer = ["tea"]
  tokens foil   = ["jam"]
  corrupt other { S = token_ids(2..20, length = 4) }
  sample 16
}
metric m = logit(answer)
"""


def test_large_slots_of_token_ids_end_and_print_no_line(tmp_path):
    """More values than can be listed: a simpler one is a half, a quarter and so on."""
    path = tmp_path / "ids.circ"
    path.write_text(IDS + "claim low: forall x in inputs(seqs): F(M on x) <= -99\n")
    front = pipeline.lint(path)
    inputs = inputs_of(front, "seqs", next(iter(front.resolved.spec.models.values())))
    largest = Input(0, (inputs.sizes[1] - 1,))
    assert inputs.sizes[1] > 10_000
    simpler = [one.values[0] for one in inputs.simpler(largest)]
    assert simpler == sorted(simpler)
    assert (simpler[0], len(simpler)) == (0, (inputs.sizes[1] - 1).bit_length())
    outcome = pipeline.check(path, pipeline.Options(), pipeline.Silent())
    (hunted,) = outcome.measured.hunts.values()
    assert hunted.decision.verdict == "fails"
    assert hunted.text is None


# ---------------------------------------------------------------- in tests of one's own


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_prompts_for_a_test_of_ones_own(data):
    loaded = circuitlang.load(Path("specs/toy/first.circ"))
    prompt = data.draw(strategies.inputs(loaded))
    assert prompt.text.endswith(" likes")
    assert set(prompt.corrupted) == {"ask_the_other"}


def test_a_failing_test_shrinks_to_the_simplest_prompt():
    loaded = circuitlang.load(Path("specs/toy/first.circ"))
    seen = []

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(strategies.inputs(loaded, "likes"))
    def no_rice(prompt):
        seen.append(prompt.text)
        assert "rice" not in prompt.text

    with pytest.raises(AssertionError):
        no_rice()
    assert seen[-1] == "ann likes rice. bob likes milk. ann likes"


def test_sets_for_a_test_of_ones_own():
    loaded = circuitlang.load(Path("specs/toy/first.circ"))

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(strategies.subsets(loaded, "nodes(asking)"))
    def without(k):
        assert "a1.h0" not in k

    with pytest.raises(AssertionError) as failed:
        without()
    assert "k='a1.h0'" in "".join(getattr(failed.value, "__notes__", []))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda spec: strategies.inputs(spec, "liked"), "likes"),
        (lambda spec: strategies.subsets(spec, "nodes(askin)"), "asking"),
    ],
)
def test_mistakes_are_diagnostics(make, said):
    loaded = circuitlang.load(Path("specs/toy/first.circ"))
    with pytest.raises(circuitlang.SpecError, match=said):
        make(loaded)


def test_a_strategy_is_one_of_hypothesis():
    loaded = circuitlang.load(Path("specs/toy/first.circ"))
    try:
        assert strategies.inputs(loaded).validate() is None
    except HypothesisException as problem:
        pytest.fail(str(problem))
