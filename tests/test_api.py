"""The Python interface."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import circuitlang
from circuitlang.report.document import CheckDocument, ReportForm

ROOT = Path(__file__).parent.parent
TOY = ROOT / "specs" / "toy" / "who_likes_what.circ"


def test_loading_a_spec_needs_no_torch():
    code = f"import sys, circuitlang; circuitlang.load({str(TOY)!r}); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "False", run.stderr


def test_errors_come_as_one_exception_with_everything_found(tmp_path: Path):
    path = tmp_path / "bad.circ"
    path.write_text(
        'spec s "1"\nmodel "toy"\ngroup g = a9.h0\ngroup h = a0.h9\nclaim a: size(g) > 1\n'
    )
    with pytest.raises(circuitlang.SpecError) as caught:
        circuitlang.load(path)
    assert [d.code for d in caught.value.diagnostics] == ["CL201", "CL201"]
    assert "a9.h0" in str(caught.value)


def test_check_gives_the_document():
    document = circuitlang.check(TOY, samples=16, claims=("faithful",), stored=False)
    (assumed, claim) = document.claims
    assert (assumed.kind, claim.verdict) == ("assume", "holds")
    assert all(run.values is not None for run in document.runs)


def test_a_session_answers_with_one_number_a_prompt():
    spec = circuitlang.load(TOY)
    with circuitlang.session(spec, samples=6) as session:
        whole, without = session.F("M"), session.F("M - a1.h0")
        floor = session.F("none", under="zero")
        attention = session.F("M", by="attention(a1.h0, END, X)")
        with pytest.raises(circuitlang.SpecError, match="CL101"):
            session.F("M - nobody")
    assert whole.shape == (6,)
    assert (whole - without).min() > 1
    assert floor.abs().max() < 1
    assert attention.min() > 0.9


class Page(HTMLParser):
    """What a browser would see: tags with attributes, the text of each cell, and that all tags close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.rows: list[list[str]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


REPORTED = ReportForm(
    name="effects", sentence=None, label="previous", value=0.25, low=0.2, high=0.3, n=16,
    method="wider of t and bootstrap-t",
)  # fmt: skip


@pytest.fixture(scope="module")
def checked() -> CheckDocument:
    names = ("faithful", "every_group_matters", "without_negative")
    return circuitlang.check(TOY, samples=16, claims=names, stored=False)


def test_a_notebook_shows_the_verdicts_as_a_table(checked: CheckDocument):
    page = Page(checked.model_copy(update={"reports": (REPORTED,)})._repr_html_())
    assert page.rows[0] == ["claim", "verdict", "value", "interval", "threshold", "n"]
    rows = {row[0]: row for row in page.rows[1:]}
    assert rows["assume able"][1].strip() == "holds"
    assert rows["faithful"][1].strip() == "holds"
    assert rows["faithful"][4:] == ["in 0.95..1.05", "16"]
    assert float(rows["faithful"][2]) == pytest.approx(1, abs=0.01)
    assert rows["without_negative"][1] == "fails as expected"
    assert any(row[0].startswith("expected: the negative head") for row in page.rows)
    assert "all 3 claims hold" in page.text
    assert page.rows[-2:] == [
        ["name", "of", "value", "interval", "n"],
        ["effects", "previous", "0.25", "[0.20, 0.30]", "16"],
    ]


def test_what_a_notebook_shows_runs_nothing_and_is_escaped(checked: CheckDocument):
    """Every text of the document is replaced by markup; the tags stay those of the tables."""
    evil = '<script>alert("1")</script><img src=x onerror=alert(1)>'
    clean = {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "span", "small"}
    texts = ("name", "sentence", "written", "reason", "worst", "threshold", "expected_reason")
    claims = [c.model_copy(update=dict.fromkeys(texts, evil)) for c in checked.claims]
    reports = [REPORTED.model_copy(update={"name": evil, "label": evil})]
    failed = [p.model_copy(update={"passed": False, "detail": evil}) for p in checked.preconditions]
    document = checked.model_copy(
        update={"title": evil, "claims": claims, "reports": reports, "preconditions": failed}
    )
    page = Page(document._repr_html_())
    assert set(page.tags) == clean
    assert page.attributes == {"style", "title", "colspan"}
    assert page.text.count(evil) >= 3 * len(claims)
    assert failed


def test_a_claim_that_could_not_be_decided_is_shown(checked: CheckDocument):
    (claim, *_) = checked.claims
    empty = dict.fromkeys(("value", "low", "high", "worst"))
    bad = claim.model_copy(update={**empty, "verdict": "invalid", "reason": "why", "n": 0})
    page = Page(checked.model_copy(update={"claims": (bad,)})._repr_html_())
    assert page.rows[1][1:4] == ["invalid", "", ""]
    assert page.rows[2] == ["why"]


def test_a_notebook_shows_a_spec_as_its_text(tmp_path: Path):
    path = tmp_path / "s.circ"
    path.write_text('spec s "<script>"\nmodel "toy"\nclaim a: size(M) > 1\n')
    spec = circuitlang.load(path)
    page = Page(spec._repr_html_())
    assert page.text.strip() == path.read_text().strip()
    assert "script" not in page.tags
    assert repr(spec) == f"LoadedSpec({str(path)!r})"
