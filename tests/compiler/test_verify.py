"""What the verifier takes and what it refuses: real forms, and real forms broken in one place."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitlang.compiler import graph
from circuitlang.compiler.allocate import Plan
from circuitlang.compiler.drop import Demand
from circuitlang.compiler.graph import Graph, Value
from circuitlang.compiler.passes import ALL, SWITCHES, compile_program
from circuitlang.compiler.program import Program, Segment, Source
from circuitlang.compiler.schedule import Schedule
from circuitlang.compiler.verify import Malformed, verify
from circuitlang.language.graph.architecture import architecture, bits
from circuitlang.language.graph.edges import uniform
from tests.compiler.programs import (
    AT_A,
    ATTENTION_ONLY,
    GROUPED,
    MEAN,
    PARALLEL,
    PATCH,
    POST_NORM,
    SHAPE,
    ZERO,
    dense,
    edges,
    program_of,
    programs,
    run,
)


def forms(program, switches=ALL):
    """The forms of a program by the pass that gave them."""
    found = {}
    compile_program(program, switches, see=found.__setitem__)
    return found


RESAMPLE, POSITIONAL, MEANS, MIXED = (
    forms(programs()[name]) for name in ("resample", "positional", "zero and mean", "post-norm")
)
DENSE = forms(dense())
ALL_FORMS = (RESAMPLE, POSITIONAL, MEANS, MIXED, DENSE)


def some(kinds):
    """Numbers of the first three, and of the last, of each kind."""
    found: dict[str, list[int]] = {}
    for n, kind in enumerate(kinds):
        found.setdefault(kind, []).append(n)
    return sorted({n for numbers in found.values() for n in (*numbers[:3], numbers[-1])})


def refused(name, form):
    with pytest.raises(Malformed) as caught:
        verify(name, form)
    return str(caught.value)


def is_refused(name, form):
    try:
        verify(name, form)
    except Malformed:
        return True
    return False


@pytest.mark.parametrize("switch", ["", *SWITCHES])
@pytest.mark.parametrize("name", programs())
def test_what_passes_give_is_well_made_with_each_switch_off(name, switch):
    compile_program(programs()[name], ALL.without(*filter(None, [switch])), see=verify)


@pytest.mark.parametrize("switch", ["", *SWITCHES])
def test_a_dense_program_is_well_made_with_each_switch_off(switch):
    compile_program(dense(), ALL.without(*filter(None, [switch])), see=verify)


def test_the_forms_that_are_broken_below_have_values_of_all_kinds():
    kinds = {value.kind for found in ALL_FORMS for value in found["number"].values}
    kinds |= {value.kind for found in ALL_FORMS for value in found["rebase"].values}
    documented = {
        line.split("  ")[2].strip() for line in graph.__doc__.splitlines() if "    " in line[:4]
    }
    assert kinds == set(" ".join(documented).split())


SHAPES = [SHAPE, GROUPED, POST_NORM, PARALLEL, ATTENTION_ONLY]


@st.composite
def random_programs(draw):
    shape = draw(st.sampled_from([*SHAPES, *(replace(shape, layers=3) for shape in SHAPES)]))
    masks = st.integers(0, architecture(shape).everything)
    runs = []
    for _ in range(draw(st.integers(1, 5))):
        live = uniform(draw(masks) | draw(masks))
        if draw(st.booleans()):
            live |= uniform(draw(masks)).at(AT_A)
        runs.append(run(shape, draw(st.sampled_from([PATCH, MEAN, ZERO])), live))
    runs += [run(shape, PATCH, one.live - uniform(1 << draw(st.integers(0, 20)))) for one in runs]
    return program_of(shape, *dict.fromkeys(runs), watch=draw(st.booleans()))


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(random_programs(), st.sets(st.sampled_from(SWITCHES)))
def test_what_passes_give_for_random_programs_is_well_made(form, off):
    compile_program(form, ALL.without(*off), see=verify)


def test_the_message_names_the_pass_and_the_value():
    form = RESAMPLE["number"]
    broken = with_value(form, 5, operands=form.values[5].operands[:-1])
    text = refused("number", broken)
    assert text.startswith("after number: %5 = z a0.h0@0")
    assert text.endswith("has 2 operands, not 3")


# ---------------------------------------------------------------- programs


def with_request(form: Program, **changes):
    first, *others = form.requests
    return replace(form, requests=(replace(first, **changes), *others))


def with_sources(form: Program, *sources):
    return replace(form, sources=sources)


TOO_LARGE = 1 << architecture(SHAPE).size
PROGRAM: Program = POSITIONAL["prefix"]


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (replace(PROGRAM, segments=()), "no segments"),
        (replace(PROGRAM, segments=PROGRAM.segments[1:]), "does not begin at 0"),
        (replace(PROGRAM, segments=PROGRAM.segments[::2]), "does not begin at"),
        (replace(PROGRAM, segments=(Segment(0, 0), *PROGRAM.segments)), "is empty"),
        (replace(PROGRAM, segments=PROGRAM.segments[:-1]), "edge masks for 3 segments"),
        (with_sources(PROGRAM), "there is no source"),
        (with_sources(PROGRAM, *PROGRAM.sources[::-1]), "source 0 and no other is the clean run"),
        (with_sources(PROGRAM, PROGRAM.sources[0], Source(None)), "no other is the clean run"),
        (with_sources(PROGRAM, Source(None), Source(ZERO, 2)), "is no run and cannot begin"),
        (with_sources(PROGRAM, Source(None), Source(PATCH, 1)), "inside a segment"),
        (with_sources(PROGRAM, Source(None), Source(PATCH, 9)), "inside a segment"),
        (with_request(PROGRAM, masks=PROGRAM.requests[0].masks[1:]), "edge masks for"),
        (with_request(PROGRAM, masks=(TOO_LARGE,) * 4), "beyond the last"),
        (with_request(PROGRAM, masks=(-1,) * 4), "beyond the last"),
        (with_request(PROGRAM, source=2), "there is no source 2"),
        (with_request(PROGRAM, source=-1), "there is no source -1"),
        (with_request(PROGRAM, positions=1 << 5), "logits are read at 5"),
        (with_request(PROGRAM, heads=((2, 0, 1),)), "there is no head a2.h0"),
        (with_request(PROGRAM, heads=((1, 2, 1),)), "there is no head a1.h2"),
        (with_request(PROGRAM, heads=((1, 0, 0),)), "a1.h0 is read at"),
        (with_request(PROGRAM, heads=((1, 0, 1 << 5),)), "a1.h0 is read at 5"),
    ],
)
def test_broken_programs_are_refused(broken, says):
    assert says in refused("prefix", broken)


# ---------------------------------------------------------------- graphs


def with_value(form: Graph, number, **changes):
    values = list(form.values)
    values[number] = values[number]._replace(**changes)
    return Graph(form.program, values, form.finals)


def with_more(form: Graph, *values: Value):
    return Graph(form.program, [*form.values, *values], form.finals)


def with_final(form: Graph, **changes):
    first, *others = form.finals
    return Graph(form.program, form.values, (replace(first, **changes), *others))


def find(form: Graph, kind, **fields):
    """The number of the last value of a kind."""
    return next(
        n
        for n, value in reversed(list(enumerate(form.values)))
        if value.kind == kind and all(getattr(value, name) == x for name, x in fields.items())
    )


NUMBERED, BASED = RESAMPLE["number"], RESAMPLE["rebase"]
GRAPHS = [
    (found, name) for found in (RESAMPLE, MEANS, MIXED, DENSE) for name in ("number", "rebase")
]


@pytest.mark.parametrize(("found", "name"), GRAPHS)
def test_a_value_with_a_number_that_does_not_exist_is_refused(found, name):
    form = found[name]
    segments, sources = len(form.program.segments), len(form.program.sources)
    for n in some(value.kind for value in form.values):
        value = form.values[n]
        for changes in (
            {"kind": "norm"},
            {"layer": value.layer + 9},
            {"layer": -2},
            {"which": value.which + 9},
            {"which": -2},
            {"segment": segments},
            {"segment": -1},
            {"source": sources},
            {"source": -2},
        ):
            assert is_refused(name, with_value(form, n, **changes)), (value, changes)


@pytest.mark.parametrize(("found", "name"), GRAPHS)
def test_a_value_without_or_with_other_operands_is_refused(found, name):
    """Each operand in turn is left out, is there twice, or is a value that cannot stand there."""
    form = found[name]
    for n in some(value.kind for value in form.values):
        value = form.values[n]
        kept = {"sum": 1, "mixture": 1, "excess": 1, "mix": 1, "input": 2}.get(value.kind, 99)
        for place, operand in enumerate(value.operands):
            before, after = value.operands[:place], value.operands[place + 1 :]
            strange = [(operand, operand), (n,), (len(form.values),), (-1,)]
            if len(value.operands) <= kept:
                strange.append(())
            if form.values[operand].kind != "q":
                strange += [(m,) for m in range(n) if form.values[m].kind == "q"][-1:]
            for instead in strange:
                broken = with_value(form, n, operands=(*before, *instead, *after))
                assert is_refused(name, broken), (value, instead)


def test_a_kind_that_a_pass_replaces_is_refused_after_it():
    assert "is sum, of which there should be none" in refused("rebase", NUMBERED)
    assert "is mixture, of which" in refused("rebase", MIXED["number"])
    assert "is delta, of which" in refused("number", BASED)


LATE = 1
"""The second segment, in which the corrupted prompt differs."""


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (NUMBERED.values[-1], "is there 2 times"),
        (Value("sum", 4, -1, LATE, 1, (find(NUMBERED, "out", layer=1),)), "among the first 4"),
        (Value("sum", 5, -1, LATE, 1, (find(NUMBERED, "out", layer=0),)), "has layer 5"),
        (Value("sum", 4, -1, LATE, 1, (find(NUMBERED, "attn", layer=0),)), "cannot read"),
        (Value("sum", 4, -1, 0, 0, (find(NUMBERED, "out", layer=0),)), "cannot read"),
        (Value("sum", 4, -1, LATE, 1, ()), "has 0 operands, not 1"),
        (Value("sum", 4, -1, LATE, -1, (find(NUMBERED, "embed"),)), "has no source"),
        (Value("mixture", 0, -1, LATE, 1, (find(NUMBERED, "out", layer=0),)), "norms no mixture"),
        (Value("embed", -1, -1, 0, 1), "is the clean run in segment 0"),
        (Value("constant", -1, 3, LATE, 1), "is constant, of which"),
        (Value("mlp", 1, -1, LATE, -1, (find(NUMBERED, "stream", layer=4),)), "cannot read"),
        (Value("q", 1, 0, LATE, -1, (find(NUMBERED, "stream", layer=3),)), "cannot read"),
        (Value("q", 1, 0, 0, -1, (find(NUMBERED, "stream", layer=4),)), "cannot read"),
        (Value("q", 1, 0, LATE, 1, (find(NUMBERED, "stream", layer=4),)), "has a source"),
        (Value("out", 1, 1, LATE, -1, (find(NUMBERED, "z", layer=1, which=0),)), "cannot read"),
    ],
)
def test_numbered_values_that_make_no_sense_are_refused(value, says):
    assert says in refused("number", with_more(NUMBERED, value))


def test_keys_of_another_head_or_segment_are_refused():
    form = MIXED["number"]
    value = form.values[find(form, "z", layer=1, segment=LATE)]
    query, *seen = value.operands
    other = find(NUMBERED, "z", layer=1, which=1, segment=LATE)
    assert "cannot read" in refused("number", with_value(NUMBERED, other, which=0))
    for operands in ((query, *seen[::-1]), (query, *seen[2:], *seen[:2]), (query, *seen[:2] * 2)):
        assert "cannot read" in refused(
            "number", with_more(form, value._replace(operands=operands))
        )


DELTA, EMBED = find(BASED, "delta"), find(BASED, "embed")
STREAM = find(BASED, "stream", layer=7, source=1)
FIRST_OUT, LAST_OUT = (find(BASED, "out", layer=layer) for layer in (0, 1))
CONSTANT = find(MEANS["rebase"], "constant")
BUNDLE = DENSE["rebase"].values[find(DENSE["rebase"], "bundle")]


@pytest.mark.parametrize(
    ("found", "value", "says"),
    [
        (RESAMPLE, Value("input", 7, -1, LATE, 1, (STREAM,)), "has 1 operands, not 2"),
        (RESAMPLE, Value("input", 7, -1, LATE, 1, (DELTA, STREAM)), "cannot read"),
        (RESAMPLE, Value("input", 7, -1, LATE, 0, (STREAM, DELTA)), "cannot read"),
        (RESAMPLE, Value("input", 6, -1, LATE, 1, (STREAM, DELTA)), "cannot read"),
        (
            RESAMPLE,
            Value("input", 4, -1, LATE, 1, (find(BASED, "stream", layer=4, source=1), LAST_OUT)),
            "among the first 4",
        ),
        (RESAMPLE, Value("input", 7, -1, LATE, 1, (STREAM, DELTA, LAST_OUT)), "of one summand"),
        (RESAMPLE, Value("input", 7, -1, LATE, 1, (STREAM, DELTA, DELTA)), "of one summand"),
        (RESAMPLE, Value("excess", -1, -1, LATE, 1, ()), "has 0 operands, not 1"),
        (RESAMPLE, Value("excess", -1, -1, LATE, 1, (DELTA, LAST_OUT)), "of one summand"),
        (RESAMPLE, Value("excess", -1, -1, LATE, 1, (STREAM,)), "cannot read"),
        (RESAMPLE, Value("delta", -1, -1, LATE, -1, (EMBED, FIRST_OUT)), "of two summands"),
        (RESAMPLE, Value("delta", -1, -1, LATE, -1, (FIRST_OUT, LAST_OUT)), "of two summands"),
        (RESAMPLE, Value("delta", -1, -1, 0, -1, (EMBED, EMBED)), "cannot read"),
        (RESAMPLE, Value("minus", -1, -1, LATE, -1, (EMBED, EMBED)), "has 2 operands, not 1"),
        (RESAMPLE, Value("minus", -1, -1, LATE, -1, (STREAM,)), "cannot read"),
        (RESAMPLE, Value("stream", 4, -1, LATE, -1, (EMBED,)), "has 1 operands, not 0"),
        (MEANS, Value("constant", -1, 7, 0, 2), "has layer -1 and number 7"),
        (MEANS, Value("constant", -1, 3, 0, 1), "is stored for zero, which is no mean"),
        (MEANS, Value("constant", -1, 3, 0, 0), "is stored for clean, which is no mean"),
        (MEANS, Value("embed", -1, -1, 0, 2), "has tokens of average, which is no run"),
        (MEANS, Value("stream", 4, -1, 0, 2, (CONSTANT,)), "has 1 operands, not 0"),
        (MIXED, Value("mix", 0, -1, LATE, 1, ()), "has 0 operands, not 1"),
        (DENSE, BUNDLE._replace(which=1), "has 8 operands, not 2"),
        (DENSE, BUNDLE._replace(operands=BUNDLE.operands[:-1]), "has 7 operands, not 8"),
        (DENSE, BUNDLE._replace(operands=BUNDLE.operands[:1] * 8), "adds 1 heads, not 4"),
        (
            DENSE,
            BUNDLE._replace(operands=BUNDLE.operands[:4] + BUNDLE.operands[:3:-1]),
            "cannot read",
        ),
        (
            MIXED,
            Value("mix", 1, -1, LATE, 1, (find(MIXED["rebase"], "attn", layer=0),)),
            "cannot read",
        ),
    ],
)
def test_rebased_values_that_make_no_sense_are_refused(found, value, says):
    assert says in refused("rebase", with_more(found["rebase"], value))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"residuals": ()}, "not at the positions that are read"),
        ({"residuals": ((3, 0),)}, "not at the positions that are read"),
        ({"residuals": ((4, 999),)}, "delivers a value that is not there"),
        ({"residuals": ((4, -1),)}, "delivers a value that is not there"),
        ({"residuals": ((4, 0),)}, "its last stream at 4 is of %0"),
        ({"patterns": ()}, "not that of the heads and queries"),
        ({"patterns": ((1, 0, 1 << 4, 0),)}, "its attention of a1.h0 is %0"),
        ({"patterns": ((1, 0, 0, 0),)}, "its attention of a1.h0 is %0"),
    ],
)
def test_broken_results_are_refused(changes, says):
    assert says in refused("number", with_final(POSITIONAL["number"], **changes))


def test_results_of_too_few_or_too_many_runs_are_refused():
    for finals in ((), NUMBERED.finals[:2], NUMBERED.finals * 2):
        broken = Graph(NUMBERED.program, NUMBERED.values, finals)
        assert f"{len(finals)} runs are delivered of 3" in refused("number", broken)


def test_results_of_an_earlier_layer_or_another_segment_are_refused():
    for number in (find(NUMBERED, "sum", layer=6), find(NUMBERED, "stream", layer=7, segment=0)):
        assert "its last stream at 4" in refused(
            "number", with_final(NUMBERED, residuals=((4, number),))
        )


# ---------------------------------------------------------------- demands

DEMAND: Demand = POSITIONAL["drop"]


@pytest.mark.parametrize("found", ALL_FORMS)
def test_a_value_that_is_dropped_anywhere_it_is_read_is_refused(found):
    """A value loses each of its positions."""
    form = found["drop"]
    kept = [n for n, _, _ in form.kept]
    for i in some(form.graph.values[n].kind for n in kept):
        n = kept[i]
        for position in bits(form.positions[n]):
            positions = list(form.positions)
            positions[n] &= ~(1 << position)
            broken = replace(form, positions=tuple(positions))
            assert "where it is dropped" in refused("drop", broken)


def test_demand_beyond_a_segment_is_refused():
    for n, _, asked in DEMAND.kept:
        positions = list(DEMAND.positions)
        positions[n] = asked | 1 << 5
        assert "beyond its segment" in refused("drop", replace(DEMAND, positions=tuple(positions)))


def test_a_demand_for_each_value_is_needed():
    assert "demands for" in refused("drop", replace(DEMAND, positions=DEMAND.positions[1:]))


# ---------------------------------------------------------------- schedules


def with_step(form: Schedule, number, **changes):
    steps = list(form.steps)
    steps[number] = replace(steps[number], **changes)
    return replace(form, steps=tuple(steps))


def with_port(form: Schedule, number, **changes):
    first, *others = form.steps[number].ports
    return with_step(form, number, ports=(replace(first, **changes), *others))


@pytest.mark.parametrize("found", ALL_FORMS)
@pytest.mark.parametrize("name", ["fuse", "order"])
def test_every_step_is_needed_once(found, name):
    steps = found[name].steps
    for i in some(step.kind for step in steps):
        step = steps[i]
        without = replace(found[name], steps=(*steps[:i], *steps[i + 1 :]))
        assert "is computed 0 times" in refused("fuse", without)
        twice = replace(found[name], steps=(*steps, step))
        assert "is computed 2 times" in refused(name, twice)


@pytest.mark.parametrize("found", ALL_FORMS)
def test_a_step_before_what_it_reads_is_refused(found):
    """A step goes to the front; what needs nothing may."""
    form = found["order"]
    for i in some(step.kind for step in form.steps):
        step = form.steps[i]
        moved = replace(form, steps=(step, *form.steps[:i], *form.steps[i + 1 :]))
        if list(form.operands(step)):
            assert "before it is there" in refused("order", moved)
        else:
            verify("order", moved)
        verify("fuse", moved)


@pytest.mark.parametrize("found", ALL_FORMS)
def test_a_step_that_does_not_fit_its_values_is_refused(found):
    form = found["order"]
    for i in some(step.kind for step in form.steps):
        step = form.steps[i]
        heads = step.heads[::-1] if len(step.heads) > 1 else (*step.heads, 5)
        changes = [
            {"kind": "mlp" if step.kind == "delta" else "delta"},
            {"positions": step.positions | 1 << 5},
            {"values": (*step.values, ())},
            {"values": ((999,),)},
            {"heads": heads},
        ]
        if step.kind not in ("embed", "constant", "stream", "delta", "minus", "excess", "input"):
            changes.append({"layer": step.layer + 1})
        if step.kind == "project":
            changes = [
                *changes[:3],
                {"inputs": step.inputs[1:]},
                {"inputs": (EMBED, *step.inputs[1:])},
            ]
            changes += [{"inputs": step.inputs * 2}, {"ports": step.ports[1:]}, {"ports": ()}]
        for change in changes:
            assert is_refused("order", with_step(form, i, **change)), (step, change)
        for change in changes[:1] + [{"heads": (5,)}, {"layer": 7}, {"positions": 0}]:
            if step.ports:
                assert is_refused("order", with_port(form, i, **change)), (step, change)


def test_heads_of_one_group_in_one_row_attend_to_the_same_keys():
    """Two members of one batch change their first heads."""
    found = {}
    whole = uniform(architecture(GROUPED).everything)
    few = [
        run(GROUPED, PATCH, whole - edges(GROUPED, [name])) for name in ("input->m0", "input->m1")
    ]
    compile_program(program_of(GROUPED, *few), see=found.__setitem__)
    form = found["order"]
    i, step = next(
        (i, step)
        for i, step in enumerate(form.steps)
        if (step.kind, step.layer, len(step.heads), len(step.values)) == ("z", 1, 2, 2)
    )
    (a, b), (c, d) = step.values
    assert "attend to different keys in one row" in refused(
        "order", with_step(form, i, values=((c, b), (a, d)))
    )


def test_sources_are_looked_up_one_by_one():
    form = MEANS["order"]
    i, j = (i for i, s in enumerate(form.steps[:3]) if s.kind == "constant")
    both = with_step(form, i, values=form.steps[i].values + form.steps[j].values)
    assert "one by one" in refused("order", both)


# ---------------------------------------------------------------- plans

PLAN: Plan = RESAMPLE["allocate"]


def with_frees(form: Plan, number, freed):
    frees = list(form.frees)
    frees[number] = tuple(freed)
    return replace(form, frees=tuple(frees))


@pytest.mark.parametrize("found", ALL_FORMS)
def test_a_value_freed_one_reader_too_early_is_refused(found):
    """A value is freed right after it was computed."""
    form = found["allocate"]
    made = {n: i for i, step in enumerate(form.steps) for n in step.produced}
    delivered = {n for final in form.graph.finals for _, n in final.residuals}
    delivered |= {n for final in form.graph.finals for *_, n in final.patterns}
    for chosen in some(form.graph.values[n].kind for n in made):
        n, i = list(made.items())[chosen]
        freed = next((j for j, frees in enumerate(form.frees) if n in frees), None)
        broken = form
        if freed is not None:
            broken = with_frees(broken, freed, [m for m in form.frees[freed] if m != n])
        broken = with_frees(broken, i, [*broken.frees[i], n])
        text = refused("allocate", broken)
        said = "which a run delivers" if n in delivered else "after it was freed"
        assert said in text or "overwrites" in text


@pytest.mark.parametrize("found", ALL_FORMS)
def test_freeing_twice_or_what_is_not_there_is_refused(found):
    form = found["allocate"]
    for i in some(step.kind for step in form.steps):
        for n in form.frees[i]:
            assert "which is not there" in refused(
                "allocate", with_frees(form, i, [*form.frees[i], n])
            )
        if i:
            later = next(form.steps[i].produced)
            assert is_refused("allocate", with_frees(form, i - 1, [*form.frees[i - 1], later]))


def test_freeing_nothing_is_allowed():
    verify("allocate", forms(programs()["resample"], ALL.without("free"))["allocate"])


@pytest.mark.parametrize("found", ALL_FORMS)
def test_only_what_dies_there_is_overwritten(found):
    """Every difference that does not overwrite its operand could not."""
    form = found["allocate"]
    for n in {*some(value.kind for value in form.graph.values), *form.in_place}:
        value = form.graph.values[n]
        broken = replace(form, in_place=form.in_place | {n})
        if n not in form.in_place and not may_overwrite(form, n):
            text = refused("allocate", broken)
            assert "overwrite" in text, value
        else:
            assert not is_refused("allocate", broken)


def may_overwrite(form: Plan, n):
    """Whether a difference's first operand is a value of its own that nothing else reads."""
    value = form.graph.values[n]
    if value.kind != "delta" or not form.positions[n]:
        return False
    first = value.operands[0]
    readers = [m for m, v, _ in form.schedule.demand.kept if first in v.operands]
    delivered = {m for final in form.graph.finals for _, m in final.residuals}
    same = form.positions[first] == form.positions[n]
    own = form.graph.values[first].operands and first not in delivered
    return readers == [n] and same and bool(own)


def test_sizes_that_do_not_hold_what_is_there_are_refused():
    for i, live in enumerate(PLAN.live):
        sizes = list(PLAN.live)
        sizes[i] = live // 2
        assert f"not {live // 2:,}" in refused("allocate", replace(PLAN, live=tuple(sizes)))


@pytest.mark.parametrize("field", ["frees", "live"])
def test_every_step_has_frees_and_a_size(field):
    assert "frees and" in refused("allocate", replace(PLAN, **{field: getattr(PLAN, field)[1:]}))
