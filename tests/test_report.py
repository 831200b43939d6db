"""`circ report`: what the page holds, and that no text of a spec becomes anything but text."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from pydantic import BaseModel

from circuitlang import reporting
from circuitlang.front import Options, Silent
from circuitlang.report.page.contents import Contents
from circuitlang.report.page.head import reference
from circuitlang.report.page.palette import PORTS, contrast, group_look
from circuitlang.report.page.render import VENDORED, html, svg
from circuitlang.report.terminal import explanation
from tests.report_page.reading import Element, data_of, hash_of, policy_of, read, variables
from tests.test_cli import invoke

ROOT = Path(__file__).resolve().parent.parent
TOY = ROOT / "specs" / "toy"
SMALL = """spec small "1.0.0"
paper "arXiv:2211.00593"
model "toy" { bos yes }
task likes {
  slot (A, B) = [("ann", "bob"), ("cid", "dan"), ("eve", "fay")]
  slot (X, Y) = [("tea", "jam"), ("rice", "milk"), ("corn", "bread"), ("fish", "cake")]
  prompt "{A:A1} likes {X}. {B:B1} likes {Y}. {A:A2} likes"
  tokens answer = " {X}"
  tokens foil   = " {Y}"
  corrupt ask_the_other { A2 = B }
}
metric   logit_diff = logit(answer) - logit(foil)
ablation swap       = resample(ask_the_other)
"""


@dataclass(frozen=True)
class Done:
    exit_code: int
    stdout: str
    stderr: str


def run(*arguments: str) -> Done:
    return Done(*invoke(*arguments))


def contents_of(path: Path, **options: Any) -> Contents:
    found = reporting.contents_of(path, Options(stored=False, **options), Silent())[1]
    assert found is not None
    return found


@pytest.fixture(scope="module")
def edges() -> Contents:
    return contents_of(TOY / "edges.circ")


@pytest.fixture(scope="module")
def page(edges: Contents) -> Element:
    return read(html(edges))


# ---------------------------------------------------------------- what the page says


def test_every_claim_has_a_row_and_a_part(page: Element, edges: Contents) -> None:
    rows = page.one("table", **{"class": "verdicts"}).all("a")
    assert [row.attributes["data-claim"] for row in rows] == [c.name for c in edges.document.claims]
    for claim in edges.claims:
        part = page.one("article", id=f"claim-{claim.form.name}").words
        assert " ".join(claim.form.written.split()) in part
        assert explanation(claim.form) in part
        assert claim.form.threshold in part


def test_the_head_says_what_came_of_it(page: Element) -> None:
    assert page.one("html").attributes["lang"] == "en"
    assert page.one("h1").words == "edges 1.0.0"
    assert "all 15 claims hold or meet what the spec expects" in page.one("header").words


def test_a_quick_check_says_so() -> None:
    head = contents_of(TOY / "first.circ", quick=True).head
    assert head.title == "first 1.0.0"
    assert head.subtitle == "quick check on 32 prompts per task, not the spec's sample"


def test_headings_go_down_one_step_at_a_time(page: Element) -> None:
    levels = [int(e.tag[1]) for e in page.all() if e.tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_tables_have_captions_and_scopes_and_pictures_have_names(page: Element) -> None:
    for table in page.all("table"):
        assert table.one("caption").words
        assert all(th.attributes.get("scope") in ("row", "col") for th in table.all("th"))
    for picture in page.all("svg"):
        assert picture.attributes.get("aria-hidden") == "true" or picture.attributes["aria-label"]
    assert all(e.attributes["href"].startswith("#") for e in page.all("a"))


def test_every_link_within_the_page_leads_somewhere(page: Element) -> None:
    known = [e.attributes["id"] for e in page.all() if "id" in e.attributes]
    assert len(known) == len(set(known))
    assert [a for a in page.all("a") if a.attributes["href"][1:] not in known] == []


def test_the_picture_has_the_interval_in_the_region(edges: Contents) -> None:
    shown = {view.form.name: view.picture for view in edges.claims}
    able, lacks = shown["able"], shown["full_is_minimal"]
    assert able is not None
    assert lacks is not None
    assert able.region is not None
    assert lacks.region is not None
    assert able.bar is not None
    assert able.region[0] < able.bar[0] < able.dot < able.bar[1] < able.region[1]  # type: ignore[operator]
    assert lacks.dot < lacks.region[0]  # type: ignore[operator]
    assert able.description == "value 5.98, interval [5.78, 6.18], claimed >= 3, holds"


def test_what_is_shown_per_prompt_has_the_claimed_number_as_its_mean(edges: Contents) -> None:
    shown = {view.form.name: view.distribution for view in edges.claims}
    assert shown["able"] is not None
    (able,) = shown["able"].strips
    assert "64 prompts, mean 5.98" in able.description
    assert able.interval is not None
    assert able.interval[0] < able.mean < able.interval[1]
    ratio = shown["lean_is_faithful"]
    assert ratio is not None
    assert [s.label for s in ratio.strips] == [
        "F(lean) by logit_diff",
        "F(none) by logit_diff",
        "F(M) by logit_diff",
    ]
    assert all(strip.interval is None for strip in ratio.strips)


def test_prompts_stand_clean_above_corrupted(page: Element) -> None:
    prompts = page.all("table", **{"class": "prompt"})
    assert len(prompts) == 6
    clean, corrupted = (prompts[0].one("tr", **{"class": kind}) for kind in ("clean", "corrupted"))
    assert len(clean.all("td")) == len(corrupted.all("td"))
    differing = [
        i
        for i, (a, b) in enumerate(zip(clean.all("td"), corrupted.all("td"), strict=True))
        if a.text != b.text
    ]
    marked = [i for i, td in enumerate(corrupted.all("td")) if td.attributes["class"] == "changed"]
    assert marked == differing
    assert "END" in prompts[0].words


def test_provenance(page: Element) -> None:
    facts = {
        row.one("th").words: row.one("td").words
        for row in page.one("table", **{"class": "facts"}).all("tr")
    }
    text = (TOY / "edges.circ").read_bytes()
    assert facts["SHA-256 of its text"] == hashlib.sha256(text).hexdigest()
    assert facts["model"] == "toy (shipped)"
    assert facts["seed of likes"] == "0"
    assert facts["version of torch"]
    assert facts["report written"].endswith("UTC")


def test_the_spec_is_there_line_by_line(page: Element) -> None:
    text = (TOY / "edges.circ").read_text(encoding="utf-8")
    lines = [e.text for e in page.one("section", id="spec").all("span") if "id" in e.attributes]
    assert "".join(lines) == text
    claim = next(n for n, line in enumerate(lines, 1) if line.startswith("claim wrong_port"))
    assert (
        page.one("article", id="claim-wrong_port").all("a")[0].attributes["href"]
        == f"#line-{claim}"
    )


# ---------------------------------------------------------------- the circuit


def about(contents: Contents, claim: str, figure: str) -> list[str]:
    drawn = next(f for f in contents.figures if f.name == figure)
    return [drawn.edges[i].name for i in contents.about[claim][figure][0]]


def test_a_figure_has_the_edges_of_its_circuit(edges: Contents) -> None:
    assert [(f.name, len(f.edges)) for f in edges.figures] == [
        ("full", 13),
        ("lean", 11),
        ("placed", 13),
    ]
    places = {e.name: e.places for e in edges.figures[2].edges}
    assert places["a0.h2->a1.h0<q>"] == ("END",)
    assert places["input->a0.h0<v>"] == ("A1", "B")
    assert edges.figures[0].places == ()


def test_layers_are_rows_from_the_input_up(edges: Contents) -> None:
    at = {n.name: n.place.y for n in edges.figures[0].nodes}
    assert (
        at["input"]
        > at["a0.h0"]
        == at["a0.h2"]
        > at["m0"]
        > at["a1.h0"]
        > at["a2.h2"]
        > at["logits"]
    )
    spots = [(n.place.x, n.place.y) for n in edges.figures[0].nodes]
    assert len(set(spots)) == len(spots)


def test_a_claim_is_about_what_its_runs_tell_apart(edges: Contents) -> None:
    assert about(edges, "lean_is_faithful", "full") == [e.name for e in edges.figures[1].edges]
    assert len(about(edges, "full_is_minimal", "full")) == 13
    assert about(edges, "patch_does_not", "full") == []
    assert about(edges, "able", "full") == []
    first = contents_of(TOY / "who_likes_what.circ", samples=16)
    assert about(first, "both_are_needed", "likes_circuit") == [
        "a0.h0->a1.h0<k>",
        "a0.h1->a1.h0<k>",
    ]
    assert about(first, "asks_at_the_end", "likes_circuit") == ["a0.h2->a1.h0<q>"]
    assert first.about["reads_the_food"]["likes_circuit"] == ((), ("a1.h0",))


def test_paths_lenses_and_tests_of_independence_are_about_their_parts(tmp_path: Path) -> None:
    spec = tmp_path / "parts.circ"
    lines = "input -> a0.h2.v a0.h2 -> a1.h0.q a1.h0 -> logits"
    spec.write_text(
        f"{SMALL}circuit c {{ {lines} }}\n"
        "claim path: path_effect(a0.h2, a1.h0.q) <= -1\n"
        "claim apart: independence(M - c, M) >= 5%\n"
        "claim says: F(M by lens_logit(a1.h0 @ END, answer)) >= 0\n"
    )
    found = contents_of(spec)
    assert about(found, "path", "c") == ["a0.h2->a1.h0<q>"]
    assert about(found, "apart", "c") == [edge.name for edge in found.figures[0].edges]
    assert found.about["says"]["c"] == ((), ("a1.h0",))
    html(found)


def test_drops_are_those_that_the_spec_measured(edges: Contents) -> None:
    members = {
        m.name: m for c in edges.document.claims for m in c.members if c.name == "full_is_minimal"
    }
    noted = {
        name: [n for n in notes if n.by == "full_is_minimal"] for name, notes in edges.notes.items()
    }
    noted = {name: notes for name, notes in noted.items() if notes}
    assert {name: len(notes) for name, notes in noted.items()} == dict.fromkeys(members, 1)
    assert noted["m0->a2.h2<v>"][0].value == "1.993"
    assert noted["m0->a2.h2<v>"][0].against == members["m0->a2.h2<v>"].verdict
    assert {n.by for n in edges.notes["previous"]} == {"full_is_complete"}
    assert "a0.h3" not in edges.notes
    single = contents_of(TOY / "who_likes_what.circ", samples=16).notes
    assert [n.by for n in single["previous"]].count("both_are_needed") == 1


def test_what_another_model_measured_is_not_noted(tmp_path: Path) -> None:
    spec = tmp_path / "two.circ"
    named = SMALL.replace('model "toy" { bos yes }', 'model one = "toy" { bos yes }')
    other = 'model two = "toy" { bos yes dtype "float64" }'
    lines = "input -> a0.h2.v a0.h2 -> a1.h0.q a1.h0 -> logits"
    spec.write_text(
        f"{named}{other}\ncircuit c {{ {lines} }}\n"
        "default with one\n"
        "claim here: forall e in edges(c): abs(drop(c, e)) >= 0\n"
        "claim there with two: forall e in edges(c): abs(drop(c, e)) >= 0\n"
    )
    found = contents_of(spec)
    assert {note.by for notes in found.notes.values() for note in notes} == {"here"}


def test_the_page_and_the_script_draw_the_same(page: Element, edges: Contents) -> None:
    data = data_of(page)
    assert [f["name"] for f in data["figures"]] == ["full", "lean", "placed"]
    drawn = page.all("figure", **{"class": "static"})[0]
    paths = [p.one("title").text.split(" @ ")[0] for p in drawn.all("path")]
    assert sorted(paths) == sorted(edge[0] for edge in data["figures"][0]["edges"])
    node = next(n for n in data["figures"][0]["nodes"] if n["id"] == "a2.h2")
    text = next(t for t in drawn.all("text") if t.text.startswith("a2.h2"))
    assert float(text.attributes["x"]) == node["x"]


def test_an_svg_is_text_without_scripts(tmp_path: Path) -> None:
    target = tmp_path / "placed.svg"
    done = run("report", str(TOY / "edges.circ"), "--svg", str(target), "--circuit", "placed")
    assert (done.exit_code, done.stdout) == (0, f"wrote {target}\n")
    root = ElementTree.parse(target).getroot()
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags <= {"svg", "title", "g", "path", "text", "tspan", "rect", "polygon"}
    texts = ["".join(t.itertext()) for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any(text.startswith("a1.h0") for text in texts)
    assert "previous: a0.h0, a0.h1" in texts
    assert target.stat().st_size < 20_000


def test_a_spec_without_circuits_shows_what_its_claims_are_about(tmp_path: Path) -> None:
    spec = tmp_path / "heads.circ"
    spec.write_text(f"{SMALL}claim hears: F(M - (a0.h2 -> a1.h0.q)) <= 0\n")
    (figure,) = contents_of(spec).figures
    assert [edge.name for edge in figure.edges] == ["a0.h2->a1.h0<q>"]


def test_a_spec_of_the_whole_model_has_no_figure(tmp_path: Path) -> None:
    spec = tmp_path / "whole.circ"
    spec.write_text(f"{SMALL}claim able: F(M) >= 3\n")
    text = html(contents_of(spec))
    assert "cytoscape(" not in text
    assert policy_of(read(text))["script-src"] == ["'none'"]
    done = run("report", str(spec), "--svg", str(tmp_path / "none.svg"))
    assert done.exit_code == 2
    assert "error[CL742]" in done.stderr
    assert not (tmp_path / "none.svg").exists()


# ---------------------------------------------------------------- colours


def test_texts_have_contrast_in_light_and_dark(page: Element) -> None:
    style = page.all("style")[0].text
    for colours in variables(style):
        for name in ("ink", "soft", "link", *(n for n in colours if n.startswith("s-"))):
            for ground in ("page", "band"):
                assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
        for verdict in ("holds", "fails", "undecided", "survived", "invalid", "not-run"):
            assert contrast(colours[verdict], "#ffffff") >= 4.5, verdict
        for verdict in ("holds", "fails", "undecided"):
            assert contrast(colours[f"{verdict}-text"], colours["page"]) >= 4.5, verdict
            assert contrast(colours[f"{verdict}-text"], colours["region"]) >= 3, verdict
        for port in PORTS:
            assert contrast(colours[f"port-{port}"], colours["page"]) >= 4.5, port
        assert contrast(colours["ink"], colours["changed"]) >= 4.5


def test_groups_are_told_apart_and_can_be_read() -> None:
    looks = [group_look(i) for i in range(56)]
    assert len({(look.fill, look.shape) for look in looks}) == 56
    assert all(contrast(look.fill, look.text) >= 4.5 for look in looks)


# ---------------------------------------------------------------- nothing but text


HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)></script><!--]]>&lt;\u2028\u2029\u202e\x00\x1b[31m\ud800 javascript:alert(1) {{ 7*7 }} {% raw %}"


def poisoned(value: Any) -> Any:
    """The same with every text made hostile, wherever it stands."""
    if isinstance(value, str):
        return value + HOSTILE
    if isinstance(value, BaseModel):
        texts = {name: poisoned(getattr(value, name)) for name in type(value).model_fields}
        return type(value).model_construct(**texts)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {f.name: poisoned(getattr(value, f.name)) for f in fields(value)}
        return replace(value, **changed)
    if isinstance(value, (tuple, list)):
        return type(value)(map(poisoned, value))
    if isinstance(value, dict):
        return {name: poisoned(v) for name, v in value.items()}
    return value


def untrusted(contents: Contents) -> Contents:
    """Hostile in every text that a spec can choose; what the tool chooses stays."""
    figures = tuple(
        replace(
            figure,
            nodes=tuple(replace(n, group=poisoned(n.group)) for n in figure.nodes),
            edges=tuple(replace(e, places=poisoned(e.places)) for e in figure.edges),
            groups=tuple(
                replace(g, name=poisoned(g.name), members=poisoned(g.members))
                for g in figure.groups
            ),
        )
        for figure in contents.figures
    )
    names = {f.name: f.name for f in contents.figures}
    about = {poisoned(c): {names[f]: v for f, v in fs.items()} for c, fs in contents.about.items()}
    changed = {
        f.name: poisoned(getattr(contents, f.name))
        for f in fields(contents)
        if f.name not in ("figures", "about")
    }
    changed["notes"] = {poisoned(name): notes for name, notes in changed["notes"].items()}
    return replace(contents, figures=figures, about=about, **changed)


def shapes(root: Element) -> Iterator[tuple[str, frozenset[str]]]:
    return ((e.tag, frozenset(e.attributes)) for e in root.all())


def test_hostile_texts_make_no_element_and_no_attribute(page: Element, edges: Contents) -> None:
    text = html(untrusted(edges))
    found = read(text)
    assert text.count("alert(1)") > 1000
    known = {tag for tag, _ in shapes(page)}
    assert {tag for tag, _ in shapes(found)} <= known
    attributes = {name for _, names in shapes(page) for name in names}
    assert {name for _, names in shapes(found) for name in names} <= attributes | {"colspan"}
    assert len(found.all("script")) == len(page.all("script")) == 3
    assert found.all("img") == []
    assert not any(
        "alert" in a.attributes["href"] and a.attributes["href"][0] != "#" for a in found.all("a")
    )
    raw = found.one("script", id="data").text
    assert not any(c in raw for c in "<>&\u2028\u2029")
    for forbidden in "\u202e\x00\x1b\ud800":
        assert forbidden not in text.replace(VENDORED.read_text(encoding="utf-8"), "")
    assert [e for e in found.all() if "alert(1)" in e.attributes.get("class", "").split()] == []
    data_of(found)
    text.encode("utf-8")


def test_a_hostile_svg_is_well_formed(edges: Contents) -> None:
    root = ElementTree.fromstring(svg(untrusted(edges).figures[0]))
    assert "script" not in {element.tag.rpartition("}")[2] for element in root.iter()}


def test_hostile_strings_of_a_spec_stay_texts(tmp_path: Path) -> None:
    text = "</script><script>alert(1)</script>'><img src=x onerror=alert(1)>"
    spec = tmp_path / "hostile.circ"
    spec.write_text(
        SMALL.replace('"1.0.0"', f'"{text}"').replace(
            "arXiv:2211.00593", f"javascript:alert(1) {text}"
        )
        + f"circuit c {{ input -> a0.h2.v a0.h2 -> a1.h0.q a1.h0 -> logits }} # {text}\n"
        + f'claim faithful "{text}" expect fails "{text}": faithfulness(c) in 0.95..1.05\n'
    )
    target = tmp_path / "hostile.html"
    done = run("report", str(spec), "-o", str(target), "--no-store")
    assert done.exit_code == 0, done.stderr
    found = read(target.read_text(encoding="utf-8"))
    assert len(found.all("script")) == 3
    assert found.all("img") == []
    assert text in found.one("h1").words
    assert text in found.one("article", id="claim-faithful").words
    assert [a for a in found.all("a") if not a.attributes["href"].startswith("#")] == []


def test_only_whole_identifiers_become_links() -> None:
    assert reference("arXiv:2211.00593").address == "https://arxiv.org/abs/2211.00593"
    assert reference("doi:10.1000/xyz").address == "https://doi.org/10.1000/xyz"
    assert reference("https://example.org/a").address == "https://example.org/a"
    for text in (
        "javascript:alert(1)",
        "arXiv:2211.00593 javascript:",
        "data:text/html,x",
        'https://a/"x',
    ):
        assert reference(text).address == ""


def test_the_policy_allows_this_page_and_nothing_else(page: Element) -> None:
    policy = policy_of(page)
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == ["'none'"]
    scripts = [s for s in page.all("script") if s.attributes.get("type") != "application/json"]
    assert policy["script-src"] == list(map(hash_of, scripts))
    assert policy["style-src"] == list(map(hash_of, page.all("style")))
    assert all("style" not in e.attributes for e in page.all())
    assert not any(name.startswith("on") for e in page.all() for name in e.attributes)
    assert not any("src" in e.attributes for e in page.all())


def test_cytoscape_is_the_published_file() -> None:
    note = tomllib.loads((VENDORED.parent / "cytoscape.toml").read_text(encoding="utf-8"))
    assert hashlib.sha256(VENDORED.read_bytes()).hexdigest() == note["sha256"]
    assert note["version"] in note["source"]
    assert "The Cytoscape Consortium" in (VENDORED.parent / "cytoscape.LICENSE").read_text(
        encoding="utf-8"
    )


# ---------------------------------------------------------------- the command


def spec_that_fails(folder: Path) -> Path:
    spec = folder / "fails.circ"
    spec.write_text(
        f"{SMALL}circuit c {{ a1.h0 -> logits }}\nclaim faithful: faithfulness(c) >= 0.9\n"
    )
    return spec


def test_failing_claims_have_a_report_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("report", str(spec_that_fails(tmp_path)))
    assert (done.exit_code, done.stdout) == (1, "wrote fails.html\n")
    root = read((tmp_path / "fails.html").read_text(encoding="utf-8"))
    assert "0 of 1 claim hold" in root.one("header").words
    assert [a.attributes["href"] for a in root.one("p", **{"class": "papers"}).all("a")] == [
        "https://arxiv.org/abs/2211.00593"
    ]


def test_what_cannot_run_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "broken.circ"
    spec.write_text(f"{SMALL}claim faithful: faithfulness(nothing) >= 0.9\n")
    done = run("report", str(spec))
    assert done.exit_code == 2
    assert "error[CL101]" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["broken.circ"]


def test_a_report_replaces_the_one_before(tmp_path: Path) -> None:
    target = tmp_path / "r.html"
    target.write_text("old")
    target.chmod(0o640)
    assert run("report", str(spec_that_fails(tmp_path)), "-o", str(target)).exit_code == 1
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert target.stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == [".circ", "fails.circ", "r.html"]


@pytest.mark.parametrize(
    "where",
    [
        "folder",
        "missing/r.html",
        "fails.circ",
        "pipe",
        "loop",
        "x" * 300,
        "fails.circ/x",
        "sealed/r.html",
    ],
)
def test_where_nothing_can_be_written_it_is_said(tmp_path: Path, where: str) -> None:
    spec = spec_that_fails(tmp_path)
    before = spec.read_text(encoding="utf-8")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "sealed").mkdir(mode=0o500)
    if where.startswith("sealed") and os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    done = run("report", str(spec), "-o", str(tmp_path / where), "--quick")
    assert done.exit_code == 2
    assert "error[CL741]" in done.stderr
    assert "help:" in done.stderr
    assert spec.read_text(encoding="utf-8") == before


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    spec = spec_that_fails(tmp_path)
    (tmp_path / "there").mkdir()
    link = tmp_path / "r.html"
    link.symlink_to(tmp_path / "there" / "real.html")
    assert run("report", str(spec), "-o", str(link)).exit_code == 1
    assert link.is_symlink()
    assert (tmp_path / "there" / "real.html").is_file()


def test_a_full_disk_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "r.html"
    target.write_text("old")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    spec = spec_that_fails(tmp_path)
    monkeypatch.setattr(Path, "replace", full)
    done = run("report", str(spec), "-o", str(target), "--no-store")
    assert done.exit_code == 2
    assert "No space left on device" in done.stderr
    assert target.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fails.circ", "r.html"]


def test_an_unknown_circuit_names_the_nearest(tmp_path: Path) -> None:
    done = run(
        "report", str(TOY / "edges.circ"), "--circuit", "plased", "--svg", str(tmp_path / "x.svg")
    )
    assert done.exit_code == 2
    assert "did you mean `placed`?" in done.stderr


def test_a_report_of_stored_runs_executes_nothing(tmp_path: Path) -> None:
    spec = spec_that_fails(tmp_path)
    assert run("check", str(spec)).exit_code == 1
    target = tmp_path / "r.html"
    assert run("report", str(spec), "-o", str(target)).exit_code == 1
    assert (
        "0 executed"
        in read(target.read_text(encoding="utf-8")).one("section", id="provenance").words
    )


def test_claims_decided_early_have_a_report(tmp_path: Path) -> None:
    spec = tmp_path / "looks.circ"
    text = (TOY / "who_likes_what.circ").read_text(encoding="utf-8")
    spec.write_text(text.replace('\nmodel "toy"', '\nlooks yes\nmodel "toy"'))
    found = contents_of(spec)
    shown = {view.form.name: view.distribution for view in found.claims}
    assert shown["able"] is not None
    assert "64 prompts" in shown["able"].strips[0].description


def test_the_picture_in_the_documentation_is_current(tmp_path: Path) -> None:
    """On failure: circ report specs/toy/edges.circ --svg docs/edges.svg --circuit placed."""
    target = tmp_path / "edges.svg"
    assert (
        run(
            "report", str(TOY / "edges.circ"), "--svg", str(target), "--circuit", "placed"
        ).exit_code
        == 0
    )
    assert target.read_bytes() == (ROOT / "docs" / "edges.svg").read_bytes()
