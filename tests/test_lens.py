"""`circ lens` against Hugging Face's own hidden states, against `circ eval`, and as it is printed."""

from __future__ import annotations

import io
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from rich.console import Console

from circuitlang import pipeline
from circuitlang.discovery.experiment import Context
from circuitlang.discovery.lens import lens
from circuitlang.front import Options, Silent
from circuitlang.report.lens import LensDocument, heat_maps, lens_page, parts_table, print_lens
from tests.report_page.reading import hash_of, policy_of, read
from tests.test_cli import invoke
from tests.tiny_models import FAMILIES, POST_NORM, save_model

ROOT = Path(__file__).resolve().parent.parent
TOY = ROOT / "specs" / "toy"
# One layout; the foil is a set of several tokens.
SPEC = """spec tiny "1.0.0"
model "./model"
dtype "float64"
task words {
  slot A = ["w2", "w3", "w4"]
  slot B = ["w5", "w6"]
  prompt "{A} w7 {B} w8 w9 {A} w10"
  tokens answer = "w11"
  tokens foil   = ["w12", "w13"]
}
"""
ANSWER, FOIL = [11], [12, 13]
# Hugging Face works out rotary angles in float32 in a model of any dtype.
ROTARY = 1e-6
STORED = Options(stored=False)
SMALL = Options(samples=16, dtype="float64", stored=False)
DEFAULT = Context()


def found(path: Path, options: Options = STORED, context: Context = DEFAULT, **about: Any) -> Any:
    front, document = lens(path, options, context, Silent(), **about)
    assert document is not None, [d.message for d in front.found]
    return document


def errors(path: Path, **about: Any) -> list[tuple[str, str, str | None]]:
    front, document = lens(path, STORED, about.pop("context", DEFAULT), Silent(), **about)
    assert document is None
    return [(d.code, d.message, d.help) for d in front.found if d.severity == "error"]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A family's name, its spec, and the model as Hugging Face loads it, in float64."""
    import transformers as hf

    folder = tmp_path_factory.mktemp(request.param)
    save_model(request.param, folder / "model")
    (folder / "tiny.circ").write_text(SPEC, encoding="utf-8")
    plain = hf.AutoModelForCausalLM.from_pretrained(
        folder / "model", dtype=torch.float64, attn_implementation="eager"
    )
    return request.param, folder / "tiny.circ", plain.eval()


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    target = tmp_path / "toy.circ"
    target.write_text((TOY / "who_likes_what.circ").read_text(encoding="utf-8"), encoding="utf-8")
    return target


def tokens_of(path: Path) -> torch.Tensor:
    front = pipeline.lint(path)
    (drawn,) = front.prompts.values()
    return torch.tensor([prompt.tokens for prompt in drawn.prompts])


# ---------------------------------------------------------------- the lens, written out by hand


def blocks(plain: Any) -> Any:
    body = plain.base_model
    return body.h if hasattr(body, "h") else body.layers


def attention_biases(plain: Any) -> list[torch.Tensor | float]:
    """Of each layer's output projection; 0 where it has none."""
    biases: list[torch.Tensor | float] = []
    for block in blocks(plain):
        names = ("attn.c_proj", "attention.dense", "self_attn.o_proj")
        (one,) = [m for name, m in block.named_modules() if name in names]
        biases.append(0.0 if one.bias is None else one.bias)
    return biases


def final_norm(plain: Any) -> Any:
    body = plain.base_model
    return next(getattr(body, n) for n in ("ln_f", "final_layer_norm", "norm") if hasattr(body, n))


def streams(plain: Any, tokens: torch.Tensor) -> list[torch.Tensor]:
    """What goes into the first block, and what comes out of each."""
    seen: list[torch.Tensor] = []

    def keep(value: Any) -> None:
        seen.append(value[0] if isinstance(value, tuple) else value)

    handles = [blocks(plain)[0].register_forward_pre_hook(lambda _, args: keep(args))]
    handles += [
        block.register_forward_hook(lambda _, __, out: keep(out)) for block in blocks(plain)
    ]
    plain(tokens)
    for handle in handles:
        handle.remove()
    return seen


@torch.no_grad()
def read_by_hand(plain: Any, tokens: torch.Tensor) -> torch.Tensor:
    """The lens of nostalgebraist with the biases of later layers added: [row, prompt, position, vocab]."""
    biases = attention_biases(plain)
    rows = []
    for layer, stream in enumerate(streams(plain, tokens)):
        stream = stream + sum(biases[layer:], start=torch.zeros_like(stream))
        logits = plain.get_output_embeddings()(final_norm(plain)(stream))
        cap = getattr(plain.config, "final_logit_softcapping", None)
        rows.append(logits if cap is None else cap * torch.tanh(logits / cap))
    return torch.stack(rows)


def scores(logits: torch.Tensor, kind: str, chosen: list[int]) -> torch.Tensor:
    match kind:
        case "logit":
            return logits[..., chosen].mean(-1)
        case "prob":
            return logits.softmax(-1)[..., chosen].sum(-1)
        case "logprob":
            return logits.softmax(-1)[..., chosen].sum(-1).log()
    best = logits[..., chosen].max(-1, keepdim=True).values
    return (logits > best).sum(-1).double()


def grid(document: LensDocument, of: str) -> torch.Tensor:
    (cells,) = [m.cells for m in document.maps if m.of == of]
    return torch.tensor([[cell.value for cell in row] for row in cells], dtype=torch.float64)


@pytest.mark.parametrize("kind", ["logit", "logprob", "prob", "rank"])
def test_the_lens_is_the_one_written_out_by_hand(family: Any, kind: Any) -> None:
    name, path, plain = family
    tokens = tokens_of(path)
    logits = read_by_hand(plain, tokens)
    assert torch.allclose(logits[-1], plain(tokens).logits, atol=1e-9), "the twin is the model"
    document = found(path, kind=kind)
    assert [row.name for row in document.rows] == ["embedding", "0", "1"]
    wanted = {
        "answer": scores(logits, kind, ANSWER).mean(1),
        "foil": scores(logits, kind, FOIL).mean(1),
    }
    if kind != "rank":
        wanted["answer - foil"] = wanted["answer"] - wanted["foil"]
    assert {m.of for m in document.maps} == set(wanted)
    for of, numbers in wanted.items():
        assert torch.allclose(grid(document, of), numbers, atol=ROTARY), (name, of)


def test_biases_of_later_layers_are_what_differs_from_the_plain_lens(family: Any) -> None:
    """Without them the twin is another lens, in the families that have such biases."""
    name, path, plain = family
    stream = streams(plain, tokens_of(path))[0]
    logits = plain.get_output_embeddings()(final_norm(plain)(stream))
    cap = getattr(plain.config, "final_logit_softcapping", None)
    logits = logits if cap is None else cap * torch.tanh(logits / cap)
    same = torch.allclose(
        grid(found(path), "answer")[0], scores(logits, "logit", ANSWER).mean(0), atol=ROTARY
    )
    assert same == (name not in ("gpt2", "neox", "neox_sequential"))


# ---------------------------------------------------------------- what each node adds


@torch.no_grad()
def test_parts_add_up_to_the_model(family: Any) -> None:
    name, path, plain = family
    tokens = tokens_of(path)
    logits = plain(tokens).logits[:, -1]
    total = (scores(logits, "logit", ANSWER) - scores(logits, "logit", FOIL)).mean()
    direct = found(path).direct
    assert direct.total.value == pytest.approx(total.item(), abs=ROTARY)
    parts = sum(part.value for part in direct.parts)
    assert parts + direct.rest.value == pytest.approx(direct.total.value, abs=1e-9)
    heads = [part for part in direct.parts if re.match(r"a\d", part.node)]
    assert len(heads) == (0 if name in POST_NORM else 8)
    if name not in POST_NORM:
        assert direct.rest.value == pytest.approx(_of_biases(plain, tokens), abs=ROTARY)


def _of_biases(plain: Any, tokens: torch.Tensor) -> float:
    """What attention biases and the last norm's bias add under that norm's scale."""
    norm, stream = final_norm(plain), streams(plain, tokens)[-1][:, -1]
    biases = sum(attention_biases(plain), start=torch.zeros_like(stream))
    if getattr(norm, "bias", None) is not None:
        centred = stream - stream.mean(-1, keepdim=True)
        scale = (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt()
        biases = (biases - biases.mean(-1, keepdim=True)) / scale * norm.weight + norm.bias
    logits = biases @ plain.get_output_embeddings().weight.T
    return (scores(logits, "logit", ANSWER) - scores(logits, "logit", FOIL)).mean().item()


def test_invariants_are_checked_once_and_without_parts(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check holds all logits of every lens at once, which for hundreds of nodes are gigabytes."""
    from circuitlang.runtime import invariants
    from circuitlang.runtime.metrics import watched

    checked, check = [], invariants.check_invariants

    def counted(model: Any, prompts: Any, requests: Any, **about: Any) -> Any:
        expressions = [metric.expression for metrics in requests.values() for metric in metrics]
        checked.append((len(expressions), watched(expressions).lenses))
        return check(model, prompts, requests, **about)

    monkeypatch.setattr(invariants, "check_invariants", counted)
    document = found(toy, SMALL)
    assert document.direct.parts
    ((asked_of, lenses),) = checked
    assert asked_of >= 3 * len(document.rows) * len(document.columns)
    assert lenses == frozenset()


def test_the_planted_heads_stand_out(toy: Path) -> None:
    """a1.h0 says the answer and a2.h2 speaks against it, by construction."""
    direct = found(toy).direct
    ranked = sorted(direct.parts, key=lambda part: -abs(part.value))
    assert [part.node for part in ranked[:2]] == ["a1.h0", "a2.h2"]
    assert ranked[0].value > 0 > ranked[1].value
    assert all(abs(part.value) < 1e-5 for part in ranked[2:])


# ---------------------------------------------------------------- the same numbers as claims


@pytest.mark.parametrize("kind", ["logit", "logprob", "prob", "rank"])
def test_every_number_is_one_of_the_language(toy: Path, kind: Any) -> None:
    document = found(toy, SMALL, kind=kind)
    cells = [(len(document.maps) - 1, 0, 1), (0, 2, 5), (0, 3, 1)]
    for of, row, column in cells:
        value = document.maps[of].cells[row][column].value
        assert asked(toy, document.formula(of, row, column), SMALL) == pytest.approx(
            value, abs=1e-12
        )


def test_the_language_has_the_numbers_of_any_family(family: Any) -> None:
    _, path, _ = family
    document = found(path)
    for row, column in ((0, 2), (1, 6)):
        value = document.maps[0].cells[row][column].value
        assert asked(path, document.formula(0, row, column), STORED) == pytest.approx(
            value, abs=1e-12
        )
    part = document.direct.parts[-1]
    index = len(document.direct.parts) - 1
    assert asked(path, document.part_formula(index), STORED) == pytest.approx(part.value, abs=1e-12)


def asked(path: Path, formula: str, options: Options) -> float:
    outcome = pipeline.evaluate(path, formula, options, Silent())
    assert outcome.measured is not None, [d.message for d in outcome.front.found]
    ((_, (number,)),) = outcome.estimates
    value: float = number.value
    return value


def test_free_nodes_of_the_spec_are_not_free_here(toy: Path) -> None:
    plain = found(toy, SMALL)
    text = toy.read_text(encoding="utf-8")
    toy.write_text(
        text.replace("patch over prompts", "patch free m1 over prompts"), encoding="utf-8"
    )
    freed = found(toy, SMALL)
    assert torch.allclose(grid(freed, "answer"), grid(plain, "answer"), atol=1e-12)
    value = freed.maps[0].cells[0][1].value
    assert "free" in freed.context
    assert asked(toy, freed.formula(0, 0, 1), SMALL) == pytest.approx(value, abs=1e-12)


def test_the_page_s_claims_are_of_what_the_lens_shows(tmp_path: Path) -> None:
    """docs/lens.md: its claims hold, and their numbers are those of the lens."""
    text = (ROOT / "docs" / "lens.md").read_text(encoding="utf-8")
    path = tmp_path / "likes.circ"
    path.write_text(re.findall(r"```circ\n(.*?)```", text, re.DOTALL)[0], encoding="utf-8")
    options = Options(dtype="float64", stored=False)
    outcome = pipeline.check(path, options, Silent())
    claimed = {result.name: result for result in outcome.results}
    assert [result.name for result in outcome.results if result.verdict != "holds"] == []
    document = found(path, options)
    difference = grid(document, "answer - foil")[:, -1].tolist()
    names = ("not_before", "told_behind_layer_1", "taken_back_by_2")
    for name, shown in zip(names, difference[1:], strict=True):
        assert claimed[name].decision.value == pytest.approx(shown, abs=1e-12)
    (part,) = [part.value for part in document.direct.parts if part.node == "a1.h0"]
    assert claimed["one_head_writes_it"].decision.value == pytest.approx(part, abs=1e-12)


def test_intervals_hold_their_numbers(toy: Path) -> None:
    document = found(toy, Options(samples=64, stored=False))
    forms = [c for m in document.maps for row in m.cells for c in row]
    bounded = [c for c in forms if c.low is not None and c.high is not None]
    assert all(c.low <= c.value <= c.high for c in bounded)
    last = document.maps[0].cells[-1][-1]
    assert last.low is not None
    assert last.low < last.value


# ---------------------------------------------------------------- positions


def test_one_layout_has_a_column_for_each_token(family: Any) -> None:
    _, path, _ = family
    document = found(path)
    assert document.columns_are == "tokens"
    headings = [column.heading for column in document.columns]
    assert headings[1:5] == ["w7", "B", "w8", "w9"]
    assert headings[0] == headings[5], "a slot that occurs twice is no label: its commonest token"
    assert headings[0] in ("w2", "w3", "w4")
    assert document.columns[0].place == "[END - 6]"
    assert document.columns[-1].place == "END"


def test_several_layouts_have_their_labels(toy: Path) -> None:
    document = found(toy, SMALL)
    assert document.columns_are == "labels"
    assert sorted(c.place for c in document.columns) == ["A1", "A2", "B", "END", "X", "Y"]


def test_one_template_is_all_that_is_looked_at(toy: Path) -> None:
    document = found(toy, SMALL, Context(on="likes.first"))
    assert (document.on, document.n, document.columns_are) == ("likes.first", 8, "tokens")
    value = document.maps[0].cells[-1][-1].value
    formula = document.formula(0, len(document.rows) - 1, len(document.columns) - 1)
    assert asked(toy, formula, SMALL) == pytest.approx(value, abs=1e-12)
    everything = found(toy, SMALL).maps[0].cells[-1][-1].value
    assert abs(everything - value) > 1e-3


def test_positions_that_are_asked_for(toy: Path) -> None:
    chosen = ("END", "X", "first(A2)", "A1 + 1", "END - 1")
    document = found(toy, SMALL, positions=chosen)
    assert [c.heading for c in document.columns] == list(chosen)
    whole = found(toy, SMALL)
    by_place = {c.place: i for i, c in enumerate(whole.columns)}
    here, there = grid(document, "foil")[:, 1], grid(whole, "foil")[:, by_place["X"]]
    assert torch.allclose(here, there, atol=1e-12)


@pytest.mark.parametrize(
    ("position", "expected", "said", "help"),
    [
        ("ENDE", "CL504", "has no position `ENDE`.", "did you mean `END`?"),
        ("A1 + ", "CL762", "`A1 + ` is no position.", "END - 1"),
        ("END + 1", "CL762", "leaves the prompt", "every prompt has"),
        ("zebra", "CL504", "has no position `zebra`.", "END"),
        ("", "CL762", "`` is no position.", "END"),
    ],
)
def test_positions_that_cannot_be_shown(
    toy: Path, position: str, expected: str, said: str, help: str
) -> None:
    ((code, message, hint),) = errors(toy, positions=(position,))
    assert code == expected
    assert said in message
    assert hint is not None
    assert help in hint


def test_a_position_is_one_token_of_every_prompt(tmp_path: Path) -> None:
    path = tmp_path / "spans.circ"
    path.write_text(
        """spec spans "1.0.0"
model "toy" { bos yes }
task likes {
  slot X = ["tea", "jam"]
  slot Y = ["rice milk", "corn"]
  prompt one = "ann likes {X}. bob likes {Y}. ann likes"
  prompt two = "{Y:first} bob likes {X}. ann likes"
  tokens answer = " {X}"
}
""",
        encoding="utf-8",
    )
    assert (
        "covers 2 tokens" in errors(path, positions=("Y",), context=Context(on="likes.one"))[0][1]
    )
    ((code, message, hint),) = errors(path, positions=("first",))
    assert (code, "is not in every prompt" in message) == ("CL762", True)
    assert hint is not None
    ((code, message, _),) = errors(path, positions=("first",), context=Context(on="likes.one"))
    assert (code, message) == ("CL762", "No prompt has the position `first`.")
    places = [c.place for c in found(path, context=Context(on="likes.one")).columns]
    assert places == ["X", "[last(Y)]", "END"]


# ---------------------------------------------------------------- other mistakes, other tasks


def test_a_task_without_foil_shows_its_answer(toy: Path) -> None:
    text = toy.read_text(encoding="utf-8").replace('  tokens foil   = " {Y}"\n', "")
    toy.write_text(text[: text.index("metric ")], encoding="utf-8")
    document = found(toy, Options(samples=8, stored=False))
    assert [m.of for m in document.maps] == ["answer"]
    assert document.direct.of == "answer"


def test_a_task_without_answer_is_told_so(toy: Path) -> None:
    text = toy.read_text(encoding="utf-8").replace("tokens answer", "tokens other")
    toy.write_text(text[: text.index("metric ")], encoding="utf-8")
    ((code, message, hint),) = errors(toy)
    assert code == "CL761"
    assert "`likes`" in message
    assert hint is not None
    assert "tokens answer" in hint


def test_a_page_that_cannot_be_written(toy: Path) -> None:
    exit_code, _, said = invoke("lens", str(toy), "--samples", "8", "--html", str(toy / "x.html"))
    assert exit_code == 2
    assert "error[CL741]" in said


def test_unknown_context_words_are_errors_of_the_text(toy: Path) -> None:
    exit_code, _, said = invoke("lens", str(toy), "--on", "like")
    assert exit_code == 2
    assert "error[CL101]" in said
    assert "`likes`" in said


# ---------------------------------------------------------------- what is printed


@cache
def of_toy() -> LensDocument:
    one: LensDocument = found(TOY / "first.circ")
    return one


def test_the_document_is_what_its_schema_says(toy: Path) -> None:
    exit_code, printed, _ = invoke("lens", str(toy), "--samples", "8", "--json", "--no-store")
    assert exit_code == 0
    data = json.loads(printed)
    assert data["schema"] == "circ-lens"
    assert data["schema_version"] == "1"
    assert TypeAdapter(LensDocument).validate_json(printed).n == 8


def test_it_is_readable_on_80_columns_without_colour() -> None:
    stream = io.StringIO()
    print_lens(of_toy(), Console(file=stream, width=80), top=3)
    *lines, last = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in stream.getvalue()
    assert last.startswith("one of these numbers, to claim it: F(")
    for heat in heat_maps(of_toy()):
        for row in heat.texts:
            assert all(cell in stream.getvalue() for cell in row)
    assert "no evidence" in stream.getvalue().replace("\n", " ")


def test_the_table_adds_up() -> None:
    document = of_toy()
    rows = {name: float(value) for name, value, *_ in parts_table(document, 3).rows}
    assert len(rows) == 3 + 3
    whole = rows.pop("model")
    assert sum(rows.values()) == pytest.approx(whole, abs=0.02)


def test_all_parts_are_shown_and_those_that_are_noise_are_marked() -> None:
    document = of_toy()
    shown = parts_table(document, 0)
    noise = {part.node for part in document.direct.parts if part.within_noise}
    assert noise
    assert {row[0] for row in shown.rows if row[-1] == "within numeric noise"} == noise
    assert {part.node for part in document.direct.parts if abs(part.value) < 1e-9} <= noise
    assert len(shown.rows) == len(document.direct.parts) + 2
    assert len(parts_table(document, 1).headings) == 3


def test_one_prompt_has_no_interval_which_is_said_once(toy: Path) -> None:
    document = found(toy, Options(samples=1, stored=False))
    table = parts_table(document, 3)
    assert {row[2] for row in table.rows} == {""}
    assert table.caption.count("1 prompt is too few for an interval") == 1


def test_the_page_is_whole_and_needs_nothing(toy: Path, tmp_path: Path) -> None:
    page = tmp_path / "lens.html"
    exit_code, said, _ = invoke("lens", str(toy), "--samples", "8", "--html", str(page))
    assert exit_code == 0
    assert f"wrote {page}" in said
    text = page.read_text(encoding="utf-8")
    read(text)
    assert "no evidence" in text
    assert "<script" not in text
    assert not re.search(r'(?:src|href)="(?!#)', text)
    assert lens_page(of_toy(), 3).count('<table class="heat">') == 4


def test_a_report_has_the_lens_where_it_is_asked_for(toy: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    arguments = ("report", str(toy), "--samples", "16", "-o", str(target))
    assert invoke(*arguments)[0] == 0
    assert "Logit lens" not in target.read_text(encoding="utf-8")
    assert invoke(*arguments, "--lens")[0] == 0
    page = read(target.read_text(encoding="utf-8"))
    part = page.one("section", id="lens")
    assert len(part.all("table", **{"class": "heat"})) == 4
    assert "no evidence" in part.words
    (style, _) = page.all("style")
    assert hash_of(style) in policy_of(page)["style-src"]
    assert ".heat .up10 {" in style.text


def test_a_report_without_a_task_for_the_lens_is_not_written(toy: Path, tmp_path: Path) -> None:
    text = toy.read_text(encoding="utf-8").replace("tokens answer", "tokens other")
    toy.write_text(
        text[: text.index("metric ")]
        + "default over prompts\nclaim able: F(M by logit(other)) > 0\n",
        encoding="utf-8",
    )
    target = tmp_path / "report.html"
    exit_code, _, said = invoke("report", str(toy), "--samples", "16", "-o", str(target), "--lens")
    assert exit_code == 2
    assert "error[CL761]" in said
    assert not target.exists()
