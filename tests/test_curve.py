"""`circ curve`: faithfulness against size, beside slow twins that share no code with it.

The model is a random one, in which every edge matters a little, so that all sizes differ.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from circuitlang.discovery import curve as curves
from circuitlang.discovery.experiment import Context, Experiment, experiment
from circuitlang.discovery.score_files import write_scores
from circuitlang.discovery.scores import Scores
from circuitlang.front import Options, Silent
from circuitlang.language.diagnostics import Diagnostics, Reject
from circuitlang.language.graph.architecture import architecture, bits, parse_edge
from circuitlang.language.graph.edges import uniform
from circuitlang.language.models.find import find
from circuitlang.language.models.known import KNOWN
from circuitlang.report.curve import CurveDocument
from circuitlang.report.page.curve import curve_picture
from circuitlang.report.page.render import curve_svg
from tests.test_cli import invoke
from tests.tiny_models import save_model

SPEC = """
spec curves "1.0.0"
model tiny = "./model"
task recall {
  slot A = ["w10", "w11", "w12", "w13"]
  slot B = ["w20", "w21", "w22", "w23"]
  slot C = ["w30", "w31"]
  prompt one = "{A:A1} w5 {B} {C} w6 {A:A2}"
  tokens answer = " {B}"
  tokens foil = " w2"
  corrupt other { A = "w9"  B = "w8"  C = "w34" }
  corrupt varied { A = ["w9", "w14"]  B = ["w8", "w24"]  C = "w34" }
  sample 12
}
metric difference = logit(foil) - logit(answer)
metric divergence = kl(M)
ablation patch = resample(other)
ablation average = mean(varied)
default by difference under patch on recall over prompts
report r: F(M) - F(none)
"""
QUIET = Options(stored=False, seed=5)
SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec, and scores of two rankings: one drawn by chance, one that puts early edges first."""
    found = tmp_path_factory.mktemp("curve")
    save_model("gpt2", found / "model", seed=1)
    (found / "s.circ").write_text(SPEC, encoding="utf-8")
    graph = architecture(find("./model", None, found).shape)
    rng = np.random.default_rng(3)
    write_scores(Scores(graph, rng.standard_normal(graph.size)), found / "drawn.json")
    write_scores(Scores(graph, -np.arange(graph.size) / 7), found / "early.pt")
    write_scores(Scores(graph, np.ones(graph.size)), found / "equal.json")
    partly = np.where(np.arange(graph.size) < 20, 1.0 + np.arange(graph.size), math.nan)
    write_scores(Scores(graph, partly), found / "partly.json")
    return found


@pytest.fixture(scope="module")
def on(folder: Path) -> Iterator[Experiment]:
    with experiment(folder / "s.circ", QUIET, Context(), Silent()) as (front, found):
        assert found is not None, front.found
        yield found


def asked(folder: Path, *arguments: str) -> CurveDocument:
    code, out, err = invoke("curve", folder / "s.circ", "--no-store", "--json", *arguments)
    assert code == 0, err
    return CurveDocument.model_validate_json(out)


@pytest.fixture(scope="module")
def document(folder: Path) -> CurveDocument:
    both = ("--scores", f"{folder}/drawn.json", "--scores", f"{folder}/early.pt")
    return asked(folder, *both, "--random", "3", "--seed", "5")


# ---------------------------------------------------------------- twins


def highest(folder: Path, name: str, number: int) -> list[str]:
    """By sorting the names of the file."""
    listed = json.loads((folder / name).read_text(encoding="utf-8"))["edges"]
    return sorted(listed, key=lambda edge: -listed[edge]["score"])[:number]


@pytest.fixture(scope="module")
def by_reference(folder: Path, on: Experiment) -> Callable[[list[str]], float]:
    """F of a set of edge names by the reference executor."""
    from circuitlang.runtime.measure import measure
    from circuitlang.runtime.models import load

    model = load(on.whole.model, folder, "cpu", lambda stage: None)

    def mean(edges: list[str]) -> float:
        found = [parse_edge(edge) for edge in edges]
        run = on.run(uniform(on.graph.mask(edge for edge in found if edge is not None)))
        values = measure(model, on.drawn, {run: (on.metric,)}, reference=True)
        return float(np.mean(values[run, on.metric]))

    return mean


def test_each_point_is_what_the_reference_executor_finds(
    folder: Path,
    by_reference: Callable[[list[str]], float],
    document: CurveDocument,
) -> None:
    whole, floor = by_reference(highest(folder, "drawn.json", document.edges)), by_reference([])
    assert document.whole == pytest.approx(whole, abs=1e-4)
    assert document.floor == pytest.approx(floor, abs=1e-4)
    points = {point.edges: point for point in document.curves[0].points}
    for size in (1, 2, 10, 20, 50, 100):
        kept = by_reference(highest(folder, "drawn.json", size))
        expected = (kept - floor) / (whole - floor)
        assert points[size].value == pytest.approx(expected, abs=1e-3)
    assert len({round(point.value, 4) for point in points.values()}) >= 7


def test_areas_are_those_of_the_language(folder: Path, document: CurveDocument) -> None:
    copied = folder / "early.json"
    assert invoke("convert", folder / "early.pt", copied)[0] == 0
    for curve, name in zip(document.curves, ("drawn.json", "early.json"), strict=True):
        for found, measure in ((curve.cpr, "cpr"), (curve.cmd, "cmd")):
            text = f'{measure}("{name}")'
            code, out, err = invoke(
                "eval", folder / "s.circ", text, "--json", "--no-store", "--seed", "5"
            )
            assert code == 0, err
            (report,) = json.loads(out)["reports"]
            assert found is not None
            assert found.value == pytest.approx(report["value"], abs=1e-6)
            assert found.low == pytest.approx(report["low"], abs=1e-6)


def test_areas_are_the_trapezoid_rule(document: CurveDocument) -> None:
    for curve in document.curves:
        by_size = {point.edges: point.value for point in curve.points}
        f = np.array([by_size[round(share * document.edges)] for share in SHARES])
        assert curve.cpr is not None
        assert curve.cmd is not None
        assert curve.cpr.value == pytest.approx(np.trapezoid(f, SHARES), abs=1e-6)
        assert curve.cmd.value == pytest.approx(np.trapezoid(abs(1 - f), SHARES), abs=1e-6)


def test_a_ranking_by_size_is_the_language_s_absolute(folder: Path) -> None:
    found = asked(folder, "--scores", f"{folder}/drawn.json", "--rank", "size", "--random", "0")
    text = 'cpr("drawn.json", scores = "absolute")'
    _, out, _ = invoke("eval", folder / "s.circ", text, "--json", "--no-store")
    (report,) = json.loads(out)["reports"]
    assert found.curves[0].cpr is not None
    assert found.curves[0].cpr.value == pytest.approx(report["value"], abs=1e-6)
    assert found.ranked_by == "size"
    assert found.random is None


def pruned_by_hand(edges: list[str]) -> set[str]:
    """EAP-IG's rule: nodes without an edge in, or without one out, go, until none does."""
    kept = {tuple(re.sub("<.>", "", edge).split("->")) + (edge,) for edge in edges}
    while True:
        senders, receivers = {s for s, _, _ in kept}, {r for _, r, _ in kept}
        fewer = {
            (s, r, e)
            for s, r, e in kept
            if (s == "input" or s in receivers) and (r == "logits" or r in senders)
        }
        if fewer == kept:
            return {edge for _, _, edge in kept}
        kept = fewer


@pytest.mark.parametrize("seed", range(20))
def test_pruning_leaves_what_eap_ig_leaves(seed: int, on: Experiment) -> None:
    graph = on.graph
    chosen = random.Random(seed).sample(range(graph.size), 2 + 4 * seed)
    edges = [str(graph.edge(number)) for number in chosen]
    left = curves.on_paths(sum(1 << number for number in chosen), graph)
    assert {str(edge) for edge in graph.edges(left)} == pruned_by_hand(edges)


def test_pruned_sizes_are_reported_and_resampling_does_not_feel_them(folder: Path) -> None:
    scores = ("--scores", f"{folder}/drawn.json", "--random", "0", "--grid", "5,20,60,100")
    as_asked, pruned = asked(folder, *scores), asked(folder, *scores, "--prune")
    some = [asked(folder, *scores, "--under", "average", *more) for more in ([], ["--prune"])]
    for point, other in zip(as_asked.curves[0].points, pruned.curves[0].points, strict=True):
        left = pruned_by_hand(highest(folder, "drawn.json", point.edges))
        assert point.pruned == other.pruned == len(left)
        assert point.value == pytest.approx(other.value, abs=1e-4)
    apart = [
        abs(one.value - other.value)
        for one, other in zip(*(found.curves[0].points for found in some), strict=True)
    ]
    assert max(apart) > 1e-3


# ---------------------------------------------------------------- random rankings


def test_random_circuits_are_nested_and_drawn_anew(on: Experiment) -> None:
    drawn = curves.random_rankings(on.candidates, 3, 7)
    found = curves.Curves(on, drawn, (1, 5, 30, on.graph.size), False, 0)
    for ranking in drawn:
        assert sorted(ranking.order) == list(bits(on.candidates))
        sets = [found.circuit(ranking, size) for size in found.sizes]
        assert [s.bit_count() for s in sets if s is not None] == list(found.sizes)
        assert all(one & other == one for one, other in pairwise(sets))
    assert len({ranking.order for ranking in drawn}) == 3
    again = curves.random_rankings(on.candidates, 3, 7)
    assert [ranking.order for ranking in again] == [ranking.order for ranking in drawn]
    other = curves.random_rankings(on.candidates, 3, 8)
    assert [ranking.order for ranking in other] != [ranking.order for ranking in drawn]


def test_the_random_band_is_that_of_its_circuits(
    on: Experiment, by_reference: Callable[[list[str]], float], document: CurveDocument
) -> None:
    drawn, size = curves.random_rankings(on.candidates, 3, 5), 50
    everything = [str(edge) for edge in on.graph.edges(on.graph.everything)]
    whole, floor = by_reference(everything), by_reference([])
    values = [
        (by_reference([str(on.graph.edge(e)) for e in ranking.order[:size]]) - floor)
        / (whole - floor)
        for ranking in drawn
    ]
    assert document.random is not None
    (point,) = [p for p in document.random.points if p.edges == size]
    assert point.mean == pytest.approx(np.mean(values), abs=1e-3)
    assert point.least == pytest.approx(min(values), abs=1e-3)
    assert point.largest == pytest.approx(max(values), abs=1e-3)
    assert max(values) - min(values) > 0.01
    for curve in document.curves:
        assert curve.above_random is not None
        assert curve.cpr is not None
        assert document.random.cpr is not None
        difference = curve.cpr.value - document.random.cpr.mean
        assert curve.above_random.value == pytest.approx(difference, abs=1e-9)
        assert curve.above_random.low is not None
        assert curve.above_random.low < curve.above_random.value


# ---------------------------------------------------------------- sizes


def sizes(grid: str | None, edges: int) -> tuple[int, ...]:
    return curves.sizes_of(grid, edges, Diagnostics())


def test_grids_have_mib_s_sizes_and_a_series_of_powers() -> None:
    gpt2 = architecture(KNOWN["gpt2"]).size
    assert sizes("mib", gpt2) == (32, 65, 162, 325, 650, 1625, 3249, 6498, 16246, 32491)
    assert sizes("log", 262) == (1, 2, 5, 10, 20, 50, 100, 200, 262)
    assert sizes("log", 100) == (1, 2, 5, 10, 20, 50, 100)
    assert sizes(None, gpt2) == tuple(sorted({*sizes("mib", gpt2), *sizes("log", gpt2)}))
    assert sizes("100, 10,100", 262) == (10, 100)


def test_wrong_sizes_are_all_said_at_once() -> None:
    diagnostics = Diagnostics()
    with pytest.raises(Reject):
        curves.sizes_of("0,5,999", 262, diagnostics)
    (found,) = diagnostics.found
    assert "Circuits of 0, 999 edges cannot be had" in found.message


@pytest.mark.parametrize("grid", ["lgo", "", "10,", "-3", "1.5", "0", "263", "9" * 5000, "１０"])
def test_other_grids_are_refused(grid: str, folder: Path) -> None:
    code, _, err = invoke(
        "curve", folder / "s.circ", "--scores", folder / "drawn.json", f"--grid={grid}"
    )
    assert code == 2
    assert "error[CL773]" in err
    if grid == "0":
        assert "A circuit of 0 edges" in err
    if grid == "lgo":
        assert "did you mean `log`?" in err


def test_sizes_without_areas(folder: Path) -> None:
    found = asked(folder, "--scores", f"{folder}/drawn.json", "--grid", "3,9", "--random", "1")
    assert found.sizes == (3, 9)
    assert found.curves[0].cpr is found.curves[0].above_random is None
    assert found.random is not None
    assert found.random.cpr is None


# ---------------------------------------------------------------- contexts


def test_a_metric_that_is_better_lower_is_ranked_by_what_keeps_it_low(
    folder: Path, tmp_path: Path
) -> None:
    """The file has the supporting edges first, and so have curve and language."""
    found = asked(folder, "--scores", f"{folder}/drawn.json", "--by", "divergence", "--random", "0")
    assert found.lower_is_better
    assert found.whole < found.floor
    _, out, _ = invoke(
        "eval", folder / "s.circ", 'cpr("drawn.json" by divergence)', "--json", "--no-store"
    )
    (report,) = json.loads(out)["reports"]
    assert found.curves[0].cpr is not None
    assert found.curves[0].cpr.value == pytest.approx(report["value"], abs=1e-6)


def test_free_nodes_are_in_every_circuit(folder: Path, on: Experiment) -> None:
    """The curve of scores that free edges lack reaches M where all others are taken."""
    free = on.graph.leaving(on.graph.senders[0])
    rest = on.graph.size - free.bit_count()
    values = np.arange(on.graph.size, dtype=float)
    values[list(bits(free))] = math.nan
    write_scores(Scores(on.graph, values), folder / "free.json")
    found = asked(
        folder, "--scores", f"{folder}/free.json", "--free", "input", "--random", "2",
        "--grid", f"{rest - 1},{rest},{rest + 1}",
    )  # fmt: skip
    assert found.free == ("input",)
    assert [point.edges for point in found.curves[0].points] == [rest - 1, rest, rest + 1]
    assert [point.value for point in found.curves[0].points[1:]] == pytest.approx([1, 1], abs=1e-6)


def test_without_files_attribution_s_scores_are_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def supposed(experiment: Experiment) -> Scores:
        rng = np.random.default_rng(3)
        return Scores(
            experiment.graph, rng.standard_normal(experiment.graph.size), {"method": "supposed"}
        )

    monkeypatch.setattr(curves, "attributed", supposed)
    own = asked(folder, "--grid", "5,30", "--random", "0")
    file = asked(folder, "--scores", f"{folder}/drawn.json", "--grid", "5,30", "--random", "0")
    assert own.curves[0].name == "supposed"
    assert own.curves[0].points == file.curves[0].points


@pytest.mark.parametrize("metric", ["difference", "divergence"])
def test_attribution_s_own_curve_is_that_of_its_file(folder: Path, metric: str) -> None:
    """Also by a metric that is better lower, whose file has the sign turned."""
    target = folder / f"{metric}.json"
    words = ("--by", metric, "--no-store")
    assert invoke("attribute", folder / "s.circ", *words, "-o", target)[0] == 0
    options = ("--by", metric, "--random", "1")
    own, file = asked(folder, *options), asked(folder, *options, "--scores", str(target))
    assert own.curves[0].told.items() <= file.curves[0].told.items()
    for one, other in zip(own.curves[0].points, file.curves[0].points, strict=True):
        assert (one.edges, one.pruned) == (other.edges, other.pruned)
        assert one.value == pytest.approx(other.value, abs=1e-6)
    assert own.curves[0].above_random is not None
    assert own.curves[0].above_random.value > 0


# ---------------------------------------------------------------- what is found


def curve(folder: Path, *arguments: str) -> tuple[int, str, str]:
    return invoke("curve", folder / "s.circ", "--no-store", *arguments)


def test_scores_that_are_equal_rank_nothing(folder: Path) -> None:
    code, _, err = curve(folder, "--scores", f"{folder}/equal.json", "--grid", "5")
    assert code == 0
    assert "warning[CL771]" in err


def test_a_file_without_scores_is_an_error(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text('["Resid Start->A0.1.K"]', encoding="utf-8")
    code, out, err = curve(folder, "--scores", f"{tmp_path}/names.json")
    assert (code, out) == (2, "")
    assert "error[CL771]" in err


def test_scores_of_another_model_are_an_error(folder: Path, tmp_path: Path) -> None:
    other = architecture(KNOWN["gpt2"])
    write_scores(Scores(other, np.arange(other.size, dtype=float)), tmp_path / "gpt2.json")
    code, _, err = curve(folder, "--scores", f"{tmp_path}/gpt2.json")
    assert code == 2
    assert "error[CL207]" in err


def test_sizes_beyond_the_scored_edges_are_left_out(folder: Path, on: Experiment) -> None:
    code, out, err = curve(folder, "--scores", f"{folder}/partly.json", "--json", "--grid", "mib")
    assert code == 0
    assert "warning[CL774]" in err
    (found,) = CurveDocument.model_validate_json(out).curves
    assert found.scored == 20
    assert max(point.edges for point in found.points[:-1]) <= 20
    assert found.points[-1].edges == on.graph.size
    assert found.cpr is None


def test_ablation_that_costs_nothing_is_an_error(folder: Path, tmp_path: Path) -> None:
    """The metric turned round gains from ablation; one of the corruption's own is unmoved."""
    text = SPEC.replace("logit(foil) - logit(answer)", "logit(answer) - logit(foil)")
    both = []
    for name, spec in (("plain", SPEC), ("turned", text)):
        path = folder / f"{name}.circ"
        path.write_text(spec, encoding="utf-8")
        both.append(
            invoke("curve", path, "--no-store", "--scores", folder / "drawn.json", "--grid", "5")
        )
    assert [code for code, _, _ in both] == [0, 2]
    assert "error[CL772]" in both[1][2]
    still = SPEC.replace(
        'corrupt other { A = "w9"  B = "w8"  C = "w34" }', "corrupt other { C = C }"
    )
    (folder / "still.circ").write_text(still, encoding="utf-8")
    code, _, err = invoke(
        "curve", folder / "still.circ", "--no-store", "--scores", folder / "drawn.json"
    )
    assert code == 2
    assert "error[CL772]" in err


# ---------------------------------------------------------------- what is shown


def test_the_table_says_what_it_shows_and_what_it_does_not(folder: Path) -> None:
    both = ("--scores", f"{folder}/drawn.json", "--scores", f"{folder}/early.pt")
    code, out, _ = curve(folder, *both, "--random", "2")
    assert code == 0
    for text in ("pruned", "CPR", "CMD", "random", "no evidence", "mean of 2 random rankings"):
        assert text in out
    assert "nan" not in out


def test_the_schema_is_that_of_the_document(folder: Path, document: CurveDocument) -> None:
    schema = json.loads(invoke("schema", "curve")[1])
    written = json.loads(document.model_dump_json(by_alias=True))
    assert set(schema["properties"]) == set(written)
    assert schema["title"] == "CurveDocument"
    assert CurveDocument.model_validate(written) == document
    assert (written["schema"], written["schema_version"]) == ("circ-curve", "1")
    assert written["with"] == "tiny"


Picture = Callable[[CurveDocument], ElementTree.Element]
SVG = "{http://www.w3.org/2000/svg}"


def parsed(document: CurveDocument) -> ElementTree.Element:
    return ElementTree.fromstring(curve_svg(curve_picture(document)))


def test_the_figure_has_a_line_for_each_ranking(document: CurveDocument) -> None:
    root = parsed(document)
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags <= {"svg", "title", "desc", "style", "rect", "text", "g", "line", "polyline",
                    "polygon", "circle"}  # fmt: skip
    assert root.get("role") == "img"
    ids = {element.get("id"): element for element in root.iter() if element.get("id")}
    assert [i for i in (root.get("aria-labelledby") or "").split() if i not in ids] == []
    assert "no evidence" in (ids["description"].text or "")
    lines = list(root.iter(f"{SVG}polyline"))
    assert len(lines) == len(document.curves) + 1
    assert "prefers-color-scheme: dark" in "".join(root.find(f"{SVG}style").itertext())
    width, height = float(root.get("width") or 0), float(root.get("height") or 0)
    for shape in (*lines, *root.iter(f"{SVG}polygon")):
        pairs = [tuple(map(float, p.split(","))) for p in (shape.get("points") or "").split()]
        assert pairs
        assert all(0 <= x <= width and 0 <= y <= height for x, y in pairs)


def test_points_of_the_figure_are_where_the_numbers_are(document: CurveDocument) -> None:
    """Across by the logarithm of the size, upwards by the value."""
    picture = curve_picture(document)
    for curve, line in zip(document.curves, picture.lines, strict=True):
        drawn = [point for point in curve.points if point.edges]
        xs, ys = np.array(line.points).T
        for numbers, pixels, sign in (
            ([math.log(point.edges) for point in drawn], xs, 1),
            ([point.value for point in drawn], ys, -1),
        ):
            slope, start = np.polyfit(numbers, pixels, 1)
            assert pixels == pytest.approx(slope * np.array(numbers) + start, abs=0.01)
            assert slope * sign > 0


def test_a_hostile_name_stays_text(document: CurveDocument) -> None:
    name = "</svg><script>alert(1)</script>\u202e\x00&.json"
    hostile = document.model_copy(
        update={
            "by": name,
            "curves": tuple(c.model_copy(update={"name": name}) for c in document.curves * 4),
        }
    )
    root = parsed(hostile)
    assert not list(root.iter(f"{SVG}script"))
    assert len(list(root.iter(f"{SVG}polyline"))) == 4 * len(document.curves) + 1


def test_numbers_that_are_not_finite_are_drawn_nowhere(document: CurveDocument) -> None:
    first = document.curves[0]
    odd = [
        p.model_copy(update={"value": v, "low": None, "high": None})
        for p, v in zip(first.points, (math.nan, math.inf, 1e308, -1e308), strict=False)
    ]
    curve = first.model_copy(update={"points": (*odd, *first.points[4:])})
    root = parsed(document.model_copy(update={"curves": (curve,)}))
    assert "nan" not in "".join(line.get("points") or "" for line in root.iter(f"{SVG}polyline"))


def test_figures_go_where_they_should(folder: Path, tmp_path: Path) -> None:
    scores = ("--scores", f"{folder}/drawn.json", "--grid", "5,30", "--random", "1")
    code, out, err = curve(folder, *scores, "--json", "--svg", str(tmp_path / "c.svg"))
    assert code == 0, err
    assert CurveDocument.model_validate_json(out).sizes == (5, 30)
    assert ElementTree.parse(tmp_path / "c.svg").getroot().tag == f"{SVG}svg"
    code, out, _ = curve(folder, *scores, "--svg", "-")
    assert ElementTree.fromstring(out).tag == f"{SVG}svg"
    before = (folder / "drawn.json").read_bytes()
    wrong: list[tuple[Any, ...]] = [
        (folder / "drawn.json",), ("-", "--json"), (tmp_path / "no" / "c.svg",), (folder / "s.circ",),
    ]  # fmt: skip
    for target, *more in wrong:
        code, _, err = curve(folder, *scores, "--grid", "0", "--svg", str(target), *more)
        assert code == 2
        assert "error[CL775]" in err
        assert "CL773" not in err  # nothing is measured before
    assert (folder / "drawn.json").read_bytes() == before
    assert (folder / "s.circ").read_text(encoding="utf-8") == SPEC
