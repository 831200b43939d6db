"""`circ attribute`: scores of a spec's edges, what is said of them, and the file they go into."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from circuitlang.cli import app
from circuitlang.discovery.attribution import COMPARED, agreement, attributed, attributed_at
from circuitlang.discovery.experiment import Context, experiment
from circuitlang.discovery.score_files import read_scores
from circuitlang.discovery.scores import Scores
from circuitlang.front import Options, Silent
from circuitlang.language.diagnostics import Reject
from circuitlang.language.graph.architecture import parse_edge
from circuitlang.language.graph.edges import END, Position, uniform
from circuitlang.report.attribution import AttributionDocument
from truth.subjects import SUBJECTS

EDGES = Path(__file__).resolve().parent.parent / "specs" / "toy" / "edges.circ"
SCALE = Options(stored=False, samples=16)


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    path = tmp_path / "edges.circ"
    path.write_text(EDGES.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def run(*arguments: object) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, ["attribute", *map(str, arguments), "--no-store"])
    return found.exit_code, found.stdout, found.stderr


def test_document_has_the_largest_scores_and_their_exact_effects(toy):
    code, out, _ = run(toy, "--samples", 16, "--json", "--top", 13)
    assert code == 0
    found = AttributionDocument.model_validate_json(out)
    planted = {edge.partition("@")[0] for edge in SUBJECTS[0].planted}
    assert {one.edge for one in found.scores} == planted
    sizes = [abs(one.score) for one in found.scores]
    assert sizes == sorted(sizes, reverse=True)
    with experiment(toy, SCALE, Context(), Silent()) as (_, made):
        assert made is not None
        for one in found.scores:
            edge = made.graph.mask([parse_edge(one.edge)])
            number = made.difference(made.whole, made.without(uniform(edge)))
            assert one.effect == pytest.approx(made.measure([number]).value(number), abs=1e-4)
    assert found.agreement.edges == COMPARED
    assert found.agreement.correlation is not None
    assert found.agreement.of_highest is not None
    assert 0 < found.agreement.of_highest <= 1


def test_all_scores_go_into_a_file_and_come_back(toy, tmp_path):
    for name in ("scores.json", "scores.pt"):
        code, _, err = run(toy, "--samples", 16, "--compare", 0, "-o", tmp_path / name)
        assert (code, f"wrote {tmp_path / name}" in err) == (0, True)
        with experiment(toy, SCALE, Context(), Silent()) as (_, made):
            assert made is not None
            expected = attributed(made)
            found = read_scores(tmp_path / name, made.graph)
        np.testing.assert_allclose(found.values, expected.values, rtol=1e-5, atol=1e-7)
        assert found.told == expected.told
        assert (found.told["method"], found.told["steps"]) == ("eap-ig", "5")


def test_free_nodes_edges_have_no_score(toy):
    with experiment(toy, SCALE, Context(free="m0"), Silent()) as (_, made):
        assert made is not None
        scores = attributed(made)
        free = made.graph.leaving(next(n for n in made.graph.senders if str(n) == "m0"))
        missing = {n for n in range(made.graph.size) if np.isnan(scores.values[n])}
    assert missing == {n for n in range(scores.graph.size) if free >> n & 1}
    assert missing


def test_scores_at_places_add_up(toy):
    with experiment(toy, SCALE, Context(), Silent()) as (_, made):
        assert made is not None
        places = (Position("X"), Position(END))
        found = attributed_at(made, places=places)
        whole = attributed(made)
    assert found.by_place is not None
    np.testing.assert_allclose(found.by_place.sum(0), whole.values, atol=1e-5)
    np.testing.assert_allclose(found.scores.values, whole.values, atol=1e-5)
    at = found.scores.graph.edge_number(parse_edge("m0->a1.h0<v>"))
    assert abs(found.by_place[0, at]) > 100 * abs(found.by_place[1, at])


def test_a_template_is_scored_on_its_prompts_alone(toy):
    with experiment(toy, SCALE, Context(on="likes.first"), Silent()) as (_, made):
        assert made is not None
        first = attributed(made)
        assert {p.template for p in made.prompts.prompts} == {"first"}
        assert first.told["prompts"] == "8"
    with experiment(toy, SCALE, Context(), Silent()) as (_, made):
        assert made is not None
        assert not np.allclose(attributed(made).values, first.values)


def test_perfect_scores_agree_perfectly(toy):
    with experiment(toy, SCALE, Context(), Silent()) as (_, made):
        assert made is not None
        every = [made.without(uniform(1 << n)) for n in range(made.graph.size)]
        differences = [made.difference(made.whole, run) for run in every]
        estimator = made.measure(differences)
        exact = np.array([estimator.value(difference) for difference in differences])
        again = agreement(made, Scores(made.graph, exact), 20)
        turned = agreement(made, Scores(made.graph, -exact), 20)
    assert again.of_highest == pytest.approx(1)
    assert turned.of_highest == pytest.approx(-1)
    assert (again.signs, turned.signs) == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--by", "rank(answer)"), "CL791", "a rank changes in steps"),
        (("--by", "indicator(argmax in answer)"), "CL791", "an indicator is 0 or 1"),
        (("--by", "kl(M)", "--method", "eap"), "CL792", "take `--method eap-ig`"),
        (("--free", "any"), "CL784", "declare fewer nodes free"),
        (("--by", "rank(answer) - rank(foil)"), "CL791", "a rank changes in steps"),
        (("--positions", "A1,EMD"), "CL504", "END"),
        (("--under", "swop"), "CL101", "swop"),
        (("-o", "scores.txt"), "CL105", "scores.txt"),
        (("-o", "nowhere/scores.json"), "CL110", "nowhere"),
        (("-o", "-"), "CL105", ".json or .pt"),
    ],
)
def test_mistakes_have_codes(toy, monkeypatch, tmp_path, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    exit_code, out, err = run(toy, "--samples", 8, "--compare", 0, *arguments)
    assert (exit_code, f"error[{code}]" in err) == (2, True), err
    assert words in err
    assert "Traceback" not in out + err


def test_kl_is_attributed_on_the_way_to_the_model(toy):
    code, out, _ = run(toy, "--samples", 8, "--by", "kl(M)", "--json")
    assert code == 0
    found = AttributionDocument.model_validate_json(out)
    assert found.lower_is_better
    assert "A lower kl(M) is better" in found.caption


def test_terminal_and_page_say_the_sign_and_that_it_is_no_evidence(toy, tmp_path):
    code, out, _ = run(toy, "--samples", 8, "--heat", "--positions", "X,END")
    assert code == 0
    flat = " ".join(out.split())
    assert "above 0 where ablating the edge lowers the metric" in flat
    assert "is no evidence" in flat
    assert "elsewhere" in flat
    code, _, _ = run(toy, "--samples", 8, "--html", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert code == 0
    assert "is no evidence" in text
    assert "://" not in text.replace("http://www.w3.org", "")


def test_schema_is_named(toy):
    _, out, _ = run(toy, "--samples", 8, "--compare", 0, "--json")
    assert json.loads(out)["schema"] == "circ-attribution"


def test_nothing_to_compare_is_said(toy):
    _, out, _ = run(toy, "--samples", 8, "--compare", 0)
    assert "not compared with exact effects" in out


def test_attribution_needs_an_adapter(toy, monkeypatch):
    from circuitlang.runtime import models

    monkeypatch.setattr(models, "_adapter", lambda plain, dtype: (None, "it has none here"))
    code, _, err = run(toy, "--samples", 8)
    assert code == 2
    assert "error[CL206]" in err
    assert "it has none here" in err


def test_reject_unwinds(toy):
    with experiment(toy, SCALE, Context(by="rank(answer)"), Silent()) as (front, made):
        assert made is not None
        with pytest.raises(Reject):
            attributed(made)
    assert [d.code for d in front.found if d.severity == "error"] == ["CL791"]
