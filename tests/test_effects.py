"""Ranked exact effects: the numbers are those of the reference executor and of the language, the
planted circuits come first, and what cannot be ranked is said."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import circuitlang
from circuitlang import pipeline
from circuitlang.api import effects
from circuitlang.cli import app
from circuitlang.discovery.scores import Scores
from circuitlang.front import Options, Silent, lint
from circuitlang.language.graph.architecture import Architecture, Edge, architecture
from circuitlang.language.graph.edges import EdgeSet, Place, Position, uniform
from circuitlang.language.resolve import resolve_expression
from circuitlang.language.spec import Metric, Run
from circuitlang.report.effects import EffectForm, EffectsDocument, page
from tests.tiny_models import save_model
from truth.subjects import SUBJECTS

ROOT = Path(__file__).resolve().parent.parent
FIRST = ROOT / "specs" / "toy" / "first.circ"
TRUTH = {subject.name: subject for subject in SUBJECTS}

TINY = """
spec tiny "1.0.0"
model "./model"
task recall {
  slot A = ["w10", "w11", "w12", "w13"]
  slot B = ["w20", "w21", "w22", "w23"]
  prompt short = "{A:A1} w5 {B} {A:A2}"
  prompt long  = "w7 w8 {B} w9 {A:A1} w6 {A:A2}"
  tokens answer = "{B}"
  tokens foil = "w2"
  corrupt other { A = "w9"  B = ["w30", "w31"] }
  sample 6
}
metric score = logit(answer) - logit(foil)
ablation patch = resample(other)
default over prompts
group early = a0.h[0,1]
group late = [a1.h2, m1]
circuit some { input -> a0.h1.v  [a0.h1, input] -> a1.h2.qk  input -> m1  a1.h2 -> logits  m1 -> logits }
claim anything: F(M) > -1000
"""


def circ(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["effects", *map(str, arguments)], catch_exceptions=False)


def by_name(document: EffectsDocument) -> dict[str, EffectForm]:
    return {one.name: one for one in document.effects}


# ---------------------------------------------------------------- against the reference executor


@pytest.fixture(scope="module", params=["gpt2", "neox"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec on a random model, of prompts of two lengths; the second model's layers are parallel."""
    folder = tmp_path_factory.mktemp(request.param)
    save_model(request.param, folder / "model", seed=3)
    (folder / "tiny.circ").write_text(TINY)
    return folder / "tiny.circ"


class Reference:
    """F of any set of edges by the reference executor, one run at a time."""

    def __init__(self, path: Path) -> None:
        from circuitlang.runtime.models import load

        front = lint(path)
        assert front.resolved is not None
        (self.drawn,) = front.prompts.values()
        assert len({len(prompt.tokens) for prompt in self.drawn.prompts}) == 2
        measured = resolve_expression("F(none)", front.resolved)[0][1].measurement
        self.run: Run = measured.run
        self.metric: Metric = measured.metric
        self.graph = architecture(self.run.model.shape)
        self.model = load(self.run.model, path.parent, "cpu", lambda text: None)

    def __call__(self, live: EdgeSet) -> float:
        from dataclasses import replace

        from circuitlang.runtime.measure import measure

        ablation = None if live == uniform(self.graph.everything) else self.run.ablation
        run = replace(self.run, live=live, ablation=ablation)
        found = measure(self.model, self.drawn, {run: (self.metric,)}, reference=True)
        return float(found[run, self.metric].mean())


@pytest.fixture(scope="module")
def reference(tiny: Path) -> Reference:
    return Reference(tiny)


def edges_where(graph: Architecture, holds: Any) -> EdgeSet:
    """The edges for which `holds(sender, receiver node, port)` does."""
    mask = 0
    for number in range(graph.size):
        edge = graph.edge(number)
        if holds(str(edge.sender), str(edge.receiver.node), edge.receiver.port):
            mask |= 1 << number
    return uniform(mask)


def paths_through(graph: Architecture, member: EdgeSet) -> EdgeSet:
    """Every edge on a path from input to logits that uses an edge of `member`, by walking them all."""
    edges = [graph.edge(number) for number in range(graph.size)]
    found: set[Edge] = set()
    chosen = {graph.edge(n) for n in range(graph.size) if member.mask >> n & 1}
    behind: dict[Any, list[Edge]] = {}
    for edge in edges:
        behind.setdefault(edge.sender, []).append(edge)
    before: dict[Any, list[Edge]] = {}
    for edge in edges:
        before.setdefault(edge.receiver.node, []).append(edge)
    for edge in chosen:
        found.add(edge)
        for step, near, far in (
            (before, edge.sender, lambda e: e.sender),
            (behind, edge.receiver.node, lambda e: e.receiver.node),
        ):
            seen, stack = set(), [near]
            while stack:
                node = stack.pop()
                if node in seen:
                    continue
                seen.add(node)
                for other in step.get(node, ()):
                    found.add(other)
                    stack.append(far(other))
    return uniform(graph.mask(found))


def close(found: float, wanted: float) -> bool:
    return found == pytest.approx(wanted, abs=2e-4)


MEMBERS = {
    "a0.h1": lambda s, r, p: s == "a0.h1",
    "m0": lambda s, r, p: s == "m0",
    "a1.h2": lambda s, r, p: s == "a1.h2",
    "a1.h2.k": lambda s, r, p: (r, p) == ("a1.h2", "k"),
    "a1.h0.q": lambda s, r, p: (r, p) == ("a1.h0", "q"),
    "input->a0.h1<v>": lambda s, r, p: (s, r, p) == ("input", "a0.h1", "v"),
    "a0.h1->a1.h2<q>": lambda s, r, p: (s, r, p) == ("a0.h1", "a1.h2", "q"),
    "m1->logits": lambda s, r, p: (s, r) == ("m1", "logits"),
}
SETS = (
    "[a0.h1, m0, a1.h2]",
    "[a1.h2.k, a1.h0.q]",
    "(input -> a0.h1.v) + (a0.h1 -> a1.h2.q) + (m1 -> logits)",
)


@pytest.mark.parametrize("text", SETS)
def test_noising_is_what_the_reference_executor_gives(
    tiny: Path, reference: Reference, text: str
) -> None:
    graph = reference.graph
    everything = uniform(graph.everything)
    found = by_name(effects(tiny, text))
    assert len(found) == {0: 3, 1: 2, 2: 3}[SETS.index(text)]
    for name, one in found.items():
        member = edges_where(graph, MEMBERS[name])
        assert close(one.value, reference(everything) - reference(everything - member)), name


@pytest.mark.parametrize("text", SETS)
def test_denoising_is_what_the_reference_executor_gives(
    tiny: Path, reference: Reference, text: str
) -> None:
    graph = reference.graph
    found = by_name(effects(tiny, text, denoise=True))
    for name, one in found.items():
        live = paths_through(graph, edges_where(graph, MEMBERS[name]))
        assert close(one.value, reference(live) - reference(uniform(0))), name
    assert any(abs(one.value) > 0.01 for one in found.values())


def test_inside_a_circuit_is_what_the_reference_executor_gives(
    tiny: Path, reference: Reference
) -> None:
    graph = reference.graph
    some = {
        ("input", "a0.h1", "v"),
        *((s, "a1.h2", p) for s, p in product(("a0.h1", "input"), "qk")),
        ("input", "m1", ""),
        ("a1.h2", "logits", ""),
        ("m1", "logits", ""),
    }
    inside = edges_where(graph, lambda *edge: edge in some)
    document = effects(tiny, inside="some")
    assert len(document.effects) == len(some)
    for one in document.effects:
        member = edges_where(
            graph, lambda s, r, p, name=one.name: name == f"{s}->{r}{f'<{p}>' if p else ''}"
        )
        assert close(one.value, reference(inside) - reference(inside - member)), one.name


def test_by_position_is_what_the_reference_executor_gives(tiny: Path, reference: Reference) -> None:
    everything = uniform(reference.graph.everything)
    document = effects(tiny, "[a0.h1, input -> a1.h2.k]", positions=True)
    # A2 is the last token of every prompt, as END is.
    assert document.positions == ("A1", "B", "A2")
    assert len(document.effects) == 6
    for one in document.effects:
        assert one.at is not None
        holds = MEMBERS.get(one.member, lambda s, r, p: (s, r, p) == ("input", "a1.h2", "k"))
        member = edges_where(reference.graph, holds).at(Place((Position(one.at),)))
        assert close(one.value, reference(everything) - reference(everything - member)), one.name
    assert document.total.value == pytest.approx(
        reference(everything) - reference(uniform(0)), abs=2e-4
    )


# ---------------------------------------------------------------- the same in the language


QUESTIONS: tuple[dict[str, Any], ...] = (
    {"set": "some"},
    {"set": "heads", "free": "mlps"},
    {"set": "some", "of": "ports"},
    {"set": "groups(some)"},
    {"set": "heads.v", "under": "zero", "by": "prob(answer)", "on": "recall.short"},
    {"inside": "some"},
    {"set": "[a0.h1, m1]", "positions": True},
    {"set": "some", "denoise": True},
    {"set": "some @ A1", "denoise": True},
    {"set": "[a0.h1, m1]", "denoise": True, "positions": True, "free": "a1.h0"},
    {"set": "heads.q", "denoise": True},
    {"set": "[early, a1.h[1,2]]", "denoise": True},
)


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_the_printed_expression_gives_the_same_numbers(
    tiny: Path, question: dict[str, Any]
) -> None:
    found = effects(tiny, **question)
    outcome = pipeline.evaluate(tiny, found.expression, Options(), Silent())
    assert outcome.measured is not None, outcome.front.found
    ((_, numbers),) = outcome.estimates
    assert len(numbers) == len(found.effects) > 0
    values = sorted(one.value for one in found.effects)
    assert values == pytest.approx(sorted(number.value for number in numbers), abs=1e-5)
    if not question.get("positions") and not question.get("denoise") and "of" not in question:
        named = {number.label: number.value for number in numbers}
        assert by_name(found).keys() == named.keys()
        for name, one in by_name(found).items():
            assert one.value == pytest.approx(named[name], abs=1e-5)


# ---------------------------------------------------------------- planted circuits


def test_what_the_toy_needs_comes_first() -> None:
    """Every planted edge but those of a0.h0 and a0.h1, of which either is enough."""
    subject = TRUTH["toy"]
    spare = ("a0.h0", "a0.h1")
    needed = {edge for edge in subject.planted if not any(head in edge for head in spare)}
    document = effects(subject.spec, samples=12)
    assert document.members == document.measured == 262
    first = {one.member for one in document.effects[: len(needed)]}
    assert first == needed
    for one in document.effects:
        assert one.share is not None
        assert (abs(one.share) > 0.2) == (one.member in needed), one
    together = effects(subject.spec, "[[a0.h0, a0.h1]]", samples=12).effects[0]
    assert together.share is not None
    assert together.share > 0.9


def test_noising_shows_and_gates_and_denoising_or_gates() -> None:
    """a0.h0 AND a0.h1, a0.h2 OR a0.h3; m1 backs up a1.h0."""
    subject = TRUTH["gates"]
    lost = by_name(effects(subject.spec, "planted", samples=40))
    alone = by_name(effects(subject.spec, "planted", denoise=True, samples=40))
    for head in ("a0.h0", "a0.h1"):
        assert lost[f"{head}->m0"].share > 0.1
        assert alone[f"{head}->m0"].share < 0.5 * lost[f"{head}->m0"].share
    for head in ("a0.h2", "a0.h3"):
        for edge in (f"{head}->m0", f"input->{head}<v>"):
            assert abs(lost[edge].share) < 0.01
            assert alone[edge].share > 0.2
    assert abs(lost["input->a0.h4<v>"].share) < 0.01 < 0.2 < alone["input->a0.h4<v>"].share
    idle = by_name(effects(subject.spec, "[a1.h3, a1.h4] -> logits", samples=40))
    assert all(abs(one.share) < 0.01 for one in idle.values())


# ---------------------------------------------------------------- order, intervals, what is told


@pytest.fixture(scope="module")
def toy() -> EffectsDocument:
    return effects(TRUTH["toy"].spec, "nodes(planted)", samples=24)


def test_orders(toy: EffectsDocument) -> None:
    spec = TRUTH["toy"].spec
    sizes = [abs(one.value) for one in toy.effects]
    assert sizes == sorted(sizes, reverse=True)
    assert toy.effects[-1].value < toy.effects[0].value
    values = [one.value for one in effects(spec, toy.set, samples=24, sort="effect").effects]
    assert values == sorted((one.value for one in toy.effects), reverse=True) != sizes
    names = [one.name for one in effects(spec, toy.set, samples=24, sort="name").effects]
    assert names == sorted(names)
    layers = [one.name for one in effects(spec, toy.set, samples=24, sort="layer").effects]
    assert layers == ["a0.h0", "a0.h1", "a0.h2", "m0", "a1.h0", "a2.h2"]


def test_intervals_are_of_one_member_each(toy: EffectsDocument) -> None:
    from circuitlang.judgement.decide import estimate_number
    from circuitlang.judgement.estimator import Estimator
    from circuitlang.measurement.measured import sample_of
    from circuitlang.measurement.measuring import measured_front

    front = pipeline.fetched_front(
        TRUTH["toy"].spec, Options(samples=24), Silent(), "drop(M, a1.h0)"
    )
    measured = measured_front(front, Options(samples=24), Silent())
    assert measured is not None
    found = estimate_number(front.asked[0][0], Estimator(sample_of(measured, None)))
    one = by_name(toy)["a1.h0"]
    assert (one.low, one.high) == pytest.approx(found.bounds(0.025), abs=1e-6)
    assert one.low < one.value < one.high
    assert "of many some miss" in toy.caption
    assert "no evidence" in toy.caption


def test_shares_are_of_the_total(toy: EffectsDocument) -> None:
    assert all(one.share == pytest.approx(one.value / toy.total.value) for one in toy.effects)


def test_effects_within_noise_are_marked() -> None:
    document = effects(FIRST, "[a0.h0, a1.h0]")
    assert {one.name: one.within_noise for one in document.effects} == {
        "a0.h0": True,
        "a1.h0": False,
    }


def test_a_metric_that_is_better_when_lower() -> None:
    document = effects(FIRST, "asking", by="kl(M)")
    assert document.lower_is_better
    assert document.total.value < 0
    assert "what supports the task is below 0" in document.caption
    needed = by_name(document)["a1.h0->logits"]
    assert needed.value < 0 < needed.share


# ---------------------------------------------------------------- more members than the budget


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An attribution that gives three edges a score, of both signs."""
    chosen = ["a1.h0->logits", "a2.h3->logits", "m0->m1"]

    def attributed(experiment: Any) -> Scores:
        values = np.full(experiment.graph.size, np.nan)
        values[:] = 0.001
        for size, name in enumerate(chosen, 1):
            number = next(n for n in range(len(values)) if str(experiment.graph.edge(n)) == name)
            values[number] = size * (-1) ** size
        values[0] = np.nan
        return Scores(experiment.graph, values)

    monkeypatch.setattr("circuitlang.discovery.effects.attributed", attributed)
    return chosen


def test_attribution_screens_what_the_budget_does_not_allow(scored: list[str]) -> None:
    document = effects(FIRST, budget=2)
    assert {one.member for one in document.effects} == set(scored[1:])
    assert (document.screened, document.members, document.measured) == (True, 262, 2)
    assert "Screened by attribution: the others (260) were not measured." in document.caption
    assert document.title == "first 1.0.0: noising effects of 2 of 262 edges"
    nodes = effects(FIRST, "heads + mlps", budget=1)
    assert [one.member for one in nodes.effects] == ["m0"]
    placed = effects(FIRST, budget=13, positions=True)
    assert (placed.measured, len(placed.positions)) == (2, 6)
    assert {one.member for one in placed.effects} == set(scored[1:])


def test_within_the_budget_nothing_is_screened(scored: list[str]) -> None:
    whole = effects(FIRST, "asking", budget=5)
    assert not whole.screened
    assert "Screened" not in whole.caption
    limited = circ(FIRST, "asking", "--budget", 4, "--json")
    assert json.loads(limited.stdout)["screened"] is True
    lifted = circ(FIRST, "asking", "--budget", 4, "--all", "--json")
    assert len(json.loads(lifted.stdout)["effects"]) == 5


# ---------------------------------------------------------------- what is printed


def test_json_is_the_document_and_has_a_schema() -> None:
    result = circ(FIRST, "asking", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["schema"] == "circ-effects"
    assert EffectsDocument.model_validate(found).effects[0].member == "a1.h0->logits"
    schema = json.loads(CliRunner().invoke(app, ["schema", "effects"]).stdout)
    assert set(found) == set(schema["properties"])
    assert circuitlang.effects is effects


def test_top_limits_the_table_alone() -> None:
    few = circ(FIRST, "nodes(M)", "--top", 3)
    assert few.stdout.count("│a") + few.stdout.count("│m") == 3
    assert "12 more with --top all" in few.stdout
    for every in ("0", "all"):
        whole = circ(FIRST, "nodes(M)", "--top", every).stdout
        assert all(name in whole for name in ("a0.h0", "m2"))
        assert "more with" not in whole


def test_heat_maps() -> None:
    layers = circ(FIRST, "nodes(M)", "--heat").stdout
    assert ["layer", "h0", "h1", "h2", "h3", "mlp"] in [
        line.split() for line in layers.splitlines()
    ]
    assert ["1", "12.0", "0.0", "0.0", "0.0", "0.0"] in [
        line.split() for line in layers.splitlines()
    ]
    places = circ(FIRST, "[a0.h2, a1.h0]", "--heat", "--positions").stdout
    rows = [line.split() for line in places.splitlines()]
    assert ["member", "A1", "X", "B1", "Y", "A2", "END"] in rows
    assert ["a1.h0", "0.0", "0.0", "0.0", "0.0", "0.0", "12.0"] in rows
    assert "CL756" in circ(FIRST, "asking", "--heat").stderr


def test_a_page_has_the_table_and_the_map(tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    result = circ(FIRST, "nodes(M)", "--html", target)
    assert (result.exit_code, result.stdout) == (0, f"wrote {target}\n")
    html = target.read_text()
    assert "effects of nodes by layer" in html
    assert '<th scope="row">a1.h0</th>' in html
    assert "no evidence" in html
    assert "<table" in page(effects(FIRST, "asking"), 2)
    spec = tmp_path / "first.circ"
    spec.write_text(FIRST.read_text())
    assert "CL741" in circ(spec, "asking", "--html", spec).stderr
    assert spec.read_text() == FIRST.read_text()


# ---------------------------------------------------------------- what is said


@pytest.mark.parametrize(
    ("code", "exit_code", "arguments"),
    [
        ("CL751", 2, ["none"]),
        ("CL751", 2, ["mlps", "--of", "ports"]),
        ("CL751", 2, ["asking", "--of", "groups"]),
        ("CL751", 2, ["asking", "--free", "any"]),
        ("CL752", 2, ["F(M)"]),
        ("CL752", 2, ["[1, 2]"]),
        ("CL752", 2, ["subsets(heads)"]),
        ("CL106", 2, ["[a0.h0.q, m0]"]),
        ("CL101", 2, ["headz"]),
        ("CL101", 2, ["asking @ nowhere"]),
        ("CL101", 2, ["asking", "--in", "acking"]),
        ("CL101", 2, ["asking", "--under", "nothing"]),
        ("CL001", 2, [""]),
        ("CL001", 2, ["heads)"]),
        ("CL753", 0, ["asking", "--by", "(logit(foil) - logit(answer))"]),
        ("CL754", 0, ["[a0.h0, a0.h1]"]),
        ("CL755", 0, ["heads", "--in", "asking"]),
        ("CL756", 2, ["asking", "--denoise", "--in", "asking"]),
        ("CL756", 2, ["asking", "--heat"]),
        ("CL756", 2, ["[[a0.h2, a2.h2]]", "--denoise"]),
    ],
)
def test_what_goes_wrong_has_a_code(code: str, exit_code: int, arguments: list[str]) -> None:
    result = circ(FIRST, *arguments)
    assert result.exit_code == exit_code
    said = [line.partition("]")[0].partition("[")[2] for line in result.stderr.splitlines()]
    assert {found for found in said if found.startswith("CL")} == {code}


def test_a_page_that_cannot_be_written_is_refused_before_anything_runs() -> None:
    result = circ(FIRST, "headz", "--html", "nowhere/page.html")
    assert result.exit_code == 2
    assert "error[CL741]" in result.stderr
    assert "CL101" not in result.stderr


@pytest.mark.parametrize("arguments", [["--sort", "colour"], ["--top", "few"], ["--of", "layers"]])
def test_unknown_words_are_wrong_usage(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["effects", str(FIRST), *arguments])
    assert result.exit_code == 2
    assert arguments[1] in result.stderr


def test_shares_of_nothing_are_left_out() -> None:
    document = effects(FIRST, "asking", by="(logit(foil) - logit(answer))")
    assert [one.share for one in document.effects] == [None] * 5
    assert [found.code for found in document.diagnostics] == ["CL753"]
    assert "%│" not in circ(FIRST, "asking", "--by", "(logit(foil) - logit(answer))").stdout


def test_an_ablation_that_changes_nothing_has_no_shares(tmp_path: Path) -> None:
    spec = tmp_path / "same.circ"
    spec.write_text(FIRST.read_text().replace("{ A2 = B }", "{ A2 = A }"))
    document = effects(spec, "asking")
    assert all(one.within_noise and one.share is None for one in document.effects)
    codes = {found.code for found in document.diagnostics}
    assert {"CL753", "CL754"} <= codes


def test_zeros_of_denoising_are_not_said_to_show_in_denoising() -> None:
    said = circ(FIRST, "[a0.h0, a0.h1]", "--denoise").stderr
    assert "CL754" in said
    assert "without `--denoise`" in said


def test_too_few_prompts_have_no_interval() -> None:
    document = effects(FIRST, "asking", samples=3)
    assert all((one.low, one.high) == (None, None) for one in document.effects)
    assert "too few" in document.effects[0].reason


def test_a_label_that_a_prompt_of_the_task_lacks_is_an_error() -> None:
    with pytest.raises(circuitlang.SpecError, match="CL504"):
        effects(FIRST, "asking @ [A2 + 5]")


def test_free_nodes_are_left_out_of_every_edge() -> None:
    document = effects(FIRST, free="mlps", samples=8)
    assert not any(one.member.startswith("m") for one in document.effects)
    assert document.set == "M - (mlps)"
    assert document.free == ("mlps",)
    assert "free mlps" in document.caption
