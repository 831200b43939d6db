"""`circ diff`: every change of meaning once, the most serious first, and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from circuitlang.diff import diff
from circuitlang.language.diagnostics import Diagnostics
from circuitlang.lockfile import read_lock, write_lock
from circuitlang.lockfile.form import LockedTask
from circuitlang.report.diff.document import ChangeForm, DiffDocument
from circuitlang.report.diff.markdown import code, markdown
from tests.diff.versions import BEFORE, COSMETIC, PLANTED, edited, locked, spec
from tests.test_cli import invoke


def of_files(before: Path, after: Path) -> DiffDocument:
    diagnostics = Diagnostics()
    found = diff(str(before), str(after), diagnostics)
    assert found is not None, diagnostics.found
    return found


def of_edits(folder: Path, *edits: tuple[str, str]) -> DiffDocument:
    old = spec(folder, "old.circ", BEFORE)
    return of_files(old, spec(folder, "new.circ", edited(BEFORE, *edits)))


def by_key(document: DiffDocument) -> dict[str, ChangeForm]:
    keys = [change.key for change in document.changes]
    assert len(set(keys)) == len(keys)
    return {change.key: change for change in document.changes}


def following(document: DiffDocument) -> set[str]:
    return {form.key for change in document.changes for form in change.follows}


# ---------------------------------------------------------------- all at once, and one by one


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> DiffDocument:
    folder = tmp_path_factory.mktemp("everything")
    return of_edits(folder, *PLANTED.values(), *COSMETIC.values())


def test_every_planted_change_is_reported_once_and_nothing_else(everything: DiffDocument) -> None:
    kinds = {key: change.kind for key, change in by_key(everything).items()}
    assert kinds == {
        "settings": "changed",
        "model toy": "changed",
        "task likes": "changed",
        "metric logit_diff": "changed",
        "ablation patch": "changed",
        "group previous": "changed",
        "circuit full": "changed",
        "let positions": "changed",
        "claim lean_is_faithful": "weakened",
        "claim lean_is_minimal": "weakened",
        "claim full_has_the_backup": "strengthened",
        "claim full_is_minimal": "strengthened",
        "claim wrong_port": "removed",
        "claim necessary": "added",
        "claim idle_head": "renamed",
        "claim wrong_asker": "changed",
        "claim placed_is_faithful": "reworded",
        "report drops": "changed",
    }
    details = [
        (d.what, d.added, d.removed, d.before, d.after)
        for c in everything.changes
        for d in c.details
    ]
    assert sorted(details, key=str) == sorted(
        [
            ("looks", (), (), "no", "yes"),
            ("dtype", (), (), '"float32"', '"float64"'),
            ("slot X", (), ('"cake"',), None, None),
            ("slot Y", (), ('"cake"',), None, None),
            ("seed", (), (), "0", "7"),
            ("sample", (), (), "64", "32"),
            ("split", (), (), "all prompts", "the half `decide`"),
            ("corruption unknown: A2", (), ('"lee"',), None, None),
            ("tokens foil", (), (), '" {Y}"', '[" tea"] + [" {Y}"]'),
            ("nodes", ("a0.h3",), (), None, None),
        ],
        key=str,
    )


def test_edges_are_under_what_they_are_due_to(everything: DiffDocument) -> None:
    changes = by_key(everything)
    full = changes["circuit full"].edges
    assert full is not None
    assert full.removed == ("a1.h0->a2.h2<q>",)
    assert changes["circuit full"].through == ("group previous",)
    due = {form.key: form.edges for form in changes["group previous"].follows if form.edges}
    assert set(due) == {"circuit lean", "circuit placed"}
    placed = due["circuit placed"]
    assert placed is not None
    assert placed.added == ("input->a0.h3<v> @ A1, B", "a0.h3->a1.h0<k> @ X, Y")
    assert placed.nodes_added == ("a0.h3",)
    assert [(p.sender, p.receiver, p.added, p.removed) for p in placed.between] == [
        ("input", "previous", 1, 0),
        ("previous", "positive", 1, 0),
    ]


@pytest.mark.parametrize("name", PLANTED)
def test_one_change_alone_is_one_change(tmp_path: Path, name: str) -> None:
    document = of_edits(tmp_path, PLANTED[name])
    assert len(document.changes) == 1
    assert document.changes[0].key not in following(document)


def test_what_is_cosmetic_is_no_difference(tmp_path: Path) -> None:
    assert of_edits(tmp_path, *COSMETIC.values()).is_empty


@pytest.mark.parametrize("name", COSMETIC)
def test_each_cosmetic_change_is_no_difference(tmp_path: Path, name: str) -> None:
    assert of_edits(tmp_path, COSMETIC[name]).is_empty


@pytest.mark.parametrize(
    ("edit", "key", "claims"),
    [
        (PLANTED["seed"], "task likes", 16),
        (PLANTED["metric"], "metric logit_diff", 16),
        (PLANTED["ablation"], "ablation patch", 14),
        (("under patch over", "under zero over"), "default under", 14),
    ],
)
def test_claims_that_follow_stand_under_their_cause(
    tmp_path: Path, edit: tuple[str, str], key: str, claims: int
) -> None:
    (change,) = of_edits(tmp_path, edit).changes
    assert change.key == key
    stated = [form.key for form in change.follows if form.key.startswith(("claim", "assume"))]
    assert len(stated) >= claims


def test_a_circuit_that_is_renamed_changes_no_claim(tmp_path: Path) -> None:
    renamed = re.sub(r"\blean\b(?! circuit)", "thin", BEFORE)
    document = of_files(spec(tmp_path, "old.circ", BEFORE), spec(tmp_path, "new.circ", renamed))
    (change,) = document.changes
    assert (change.kind, change.was, change.key) == ("renamed", "circuit lean", "circuit thin")


def test_a_measure_that_changes_is_named(tmp_path: Path) -> None:
    own = "measure kept(C) = F(C) / F(M)\nclaim keeps: kept(lean) >= 0.9\nclaim too: kept(full) >= 0.9\n"
    old = spec(tmp_path, "old.circ", BEFORE + own)
    new = spec(tmp_path, "new.circ", BEFORE + own.replace("/ F(M)", "/ effect"))
    (change,) = of_files(old, new).changes
    assert change.key == "measure kept"
    assert (change.before, change.after) == ("(C) = F(C) / F(M)", "(C) = F(C) / effect")
    assert [form.key for form in change.follows] == ["claim keeps", "claim too"]


def test_a_measure_written_out_by_hand_is_no_difference(tmp_path: Path) -> None:
    own = "measure kept(C) = F(C) / F(M)\nlet least = 0.9\nclaim keeps: kept(lean under zero) >= least\n"
    by_hand = "claim keeps: F(lean under zero) / F(M under zero) >= 90%\n"
    old = spec(tmp_path, "old.circ", BEFORE + own)
    assert of_files(old, spec(tmp_path, "new.circ", BEFORE + by_hand)).is_empty


def test_an_import_means_what_it_gives(tmp_path: Path) -> None:
    shared = "group previous = a0.h[0,1]  # who was named two words ago; either head suffices\n"
    spec(tmp_path, "shared.circ", f'spec shared "1.0.0"\nmodel "toy"\n{shared}')
    taken = edited(BEFORE, (shared, 'import "shared.circ" as shared\n'))
    taken = re.sub(r"\bprevious\b", "shared.previous", taken)
    taken = taken.replace('fails "`shared.previous`', 'fails "`previous`').replace("_shared.", "_")
    document = of_files(spec(tmp_path, "old.circ", BEFORE), spec(tmp_path, "new.circ", taken))
    found = {c.key: c.kind for c in document.changes}
    assert found.pop("group shared.previous") == "renamed"
    assert set(found) <= {"claim full_is_complete"}, "groups(full) are those of the file itself"


# ---------------------------------------------------------------- stronger and weaker

CLAIM = "faithfulness(lean) >= 0.8"
STEPS = [
    (CLAIM, "faithfulness(lean) >= 0.7", "weakened"),
    (CLAIM, "faithfulness(lean) >= 90%", "strengthened"),
    (CLAIM, "0.7 <= faithfulness(lean)", "weakened"),
    (CLAIM, "faithfulness(lean) in 0.8..1.2", "strengthened"),
    (CLAIM, "faithfulness(lean) in 0.7..1.2", "changed"),
    (CLAIM, "faithfulness(lean) > 0.8", "strengthened"),
    (CLAIM, f"{CLAIM} and necessity(lean) >= 0.5", "strengthened"),
    (CLAIM, "necessity(lean) >= 0.8", "changed"),
    (CLAIM, "faithfulness(lean under zero) >= 0.8", "changed"),
    (CLAIM, "faithfulness(full) >= 0.8", "changed"),
    ("abs(drop(full, m0)) <= 5% * effect", "abs(drop(full, m0)) <= 10% * effect", "weakened"),
    ("abs(drop(full, m0)) <= effect / 20", "abs(drop(full, m0)) <= effect / 40", "strengthened"),
    ("F(lean) >= F(M) - 1", "F(lean) >= F(M) - 2", "weakened"),
    ("F(lean) >= -2", "F(lean) >= -1", "strengthened"),
    ("forall h in previous: F(h) > 0", "exists h in previous: F(h) > 0", "weakened"),
    ("most(50%) h in heads: F(h) > 0", "most(60%) k in heads: F(k) > 0", "strengthened"),
    ("forall h in previous: F(h) > 0", "forall h in asker: F(h) > 0", "changed"),
]


@pytest.mark.parametrize(("old", "new", "kind"), STEPS)
def test_a_step_is_up_or_down(tmp_path: Path, old: str, new: str, kind: str) -> None:
    texts = (f"{BEFORE}claim step: {formula}\n" for formula in (old, new))
    paths = [spec(tmp_path, f"{i}.circ", text) for i, text in enumerate(texts)]
    opposite = {"weakened": "strengthened", "strengthened": "weakened", "changed": "changed"}
    for before, after, expected in ((*paths, kind), (*paths[::-1], opposite[kind])):
        (change,) = of_files(before, after).changes
        assert (change.key, change.kind) == ("claim step", expected)
        assert change.before != change.after


def test_heads_of_claims_are_steps_too(tmp_path: Path) -> None:
    plain = spec(tmp_path, "0.circ", f"{BEFORE}claim step: {CLAIM}\n")
    wide = spec(tmp_path, "1.circ", f"{BEFORE}claim step over templates: {CLAIM}\n")
    expecting = spec(tmp_path, "2.circ", f"{BEFORE}claim step expect fails: {CLAIM}\n")
    assumed = spec(tmp_path, "3.circ", f"{BEFORE}assume step: {CLAIM}\n")
    kinds = [of_files(plain, other).changes[0].kind for other in (wide, expecting, assumed)]
    assert kinds == ["strengthened", "weakened", "changed"]
    assert of_files(plain, assumed).changes[0].was == "claim step"


def test_less_of_what_is_expected_to_fail_is_more(tmp_path: Path) -> None:
    old = spec(tmp_path, "0.circ", f"{BEFORE}claim step expect fails: {CLAIM}\n")
    new = spec(tmp_path, "1.circ", f"{BEFORE}claim step expect fails: F(lean) / F(M) >= 2\n")
    lower = spec(
        tmp_path, "2.circ", f"{BEFORE}claim step expect fails: faithfulness(lean) >= 0.7\n"
    )
    assert of_files(old, lower).changes[0].kind == "strengthened"
    assert of_files(old, new).changes[0].kind == "changed"


# ---------------------------------------------------------------- after a failure

WEAKER = PLANTED["weakened"]


def alarms(document: DiffDocument) -> list[str]:
    found = [change.key for change in document.changes if change.after_failure]
    assert found == [change.key for change in document.changes][: len(found)]
    return found


@pytest.mark.parametrize("verdict", ["fails", "undecided", "holds", "survived", "invalid"])
def test_a_threshold_weakened_after_a_failure_comes_first(tmp_path: Path, verdict: str) -> None:
    old = spec(tmp_path, "old.circ", BEFORE)
    new = spec(
        tmp_path, "new.circ", edited(BEFORE, PLANTED["seed"], PLANTED["model dtype"], WEAKER)
    )
    lock = locked(old, lean_is_faithful=verdict)
    unmet = ["claim lean_is_faithful"] if verdict in ("fails", "undecided") else []
    assert alarms(of_files(old, new)) == alarms(of_files(lock, new)) == unmet
    assert alarms(of_files(new, old)) == []
    _, printed, _ = invoke("diff", old, new)
    loud = "WEAKENED AFTER IT FAILED" if verdict == "fails" else "WEAKENED AFTER IT WAS UNDECIDED"
    assert (printed.splitlines()[1].startswith(loud)) == bool(unmet)
    _, commented, _ = invoke("diff", old, new, "--markdown")
    assert (f"**⚠️ {loud}** `claim lean_is_faithful`" in commented) == bool(unmet)


@pytest.mark.parametrize(
    "edits",
    [
        [(": faithfulness(lean) in", ' "so it is": faithfulness(lean) in'), WEAKER],
        [("claim lean_is_faithful: ", "claim lean_is_good: "), WEAKER],
        [("claim lean_is_faithful: faithfulness(lean) in 0.95..1.05\n", "")],
        [("claim lean_is_faithful: faith", 'claim lean_is_faithful expect fails "so": faith')],
        [PLANTED["group"], WEAKER],
    ],
    ids=["reworded too", "renamed too", "removed", "expected to fail", "circuit changed too"],
)
def test_other_ways_to_claim_less_are_told_too(tmp_path: Path, edits: Any) -> None:
    old = spec(tmp_path, "old.circ", BEFORE)
    locked(old, lean_is_faithful="fails")
    (alarm,) = alarms(of_files(old, spec(tmp_path, "new.circ", edited(BEFORE, *edits))))
    assert alarm in ("claim lean_is_faithful", "claim lean_is_good")


@pytest.mark.parametrize("name", ["let", "measure"])
def test_a_threshold_behind_a_name_is_told_too(tmp_path: Path, name: str) -> None:
    head = "let least = 0.9\n" if name == "let" else "measure least = 0.9\n"
    text = f"{BEFORE}{head}claim step: faithfulness(lean) >= least\n"
    old = spec(tmp_path, "old.circ", text)
    locked(old, step="fails")
    new = spec(tmp_path, "new.circ", text.replace("least = 0.9", "least = 0.5"))
    document = of_files(old, new)
    assert alarms(document) == ["claim step"]
    assert document.changes[0].through == (f"{name} least",)


def test_verdicts_belong_to_what_was_decided(tmp_path: Path) -> None:
    """A lock that is out of date says nothing of a claim that has changed since."""
    old = spec(tmp_path, "old.circ", BEFORE)
    locked(old, lean_is_faithful="fails")
    spec(tmp_path, "old.circ", edited(BEFORE, WEAKER))
    new = spec(tmp_path, "new.circ", edited(BEFORE, (WEAKER[0], "faithfulness(lean) >= 0.5")))
    assert alarms(of_files(old, new)) == []
    first = spec(tmp_path, "first.circ", BEFORE)
    assert alarms(of_files(first, old)) == ["claim lean_is_faithful"], "the lock beside the other"


def test_verdicts_that_flip(tmp_path: Path) -> None:
    old, new = spec(tmp_path, "old.circ", BEFORE), spec(tmp_path, "new.circ", BEFORE)
    locks = locked(old), locked(new, lean_is_faithful="fails", placed_is_faithful="undecided")
    document = of_files(*locks)
    assert document.changes == ()
    flips = [(f.claim, f.before.verdict, f.after.verdict, f.same_claim) for f in document.flips]
    assert flips == [
        ("lean_is_faithful", "holds", "fails", True),
        ("placed_is_faithful", "holds", "undecided", True),
    ]
    assert invoke("diff", *locks)[0] == 1


def test_other_weights_and_prompts_under_the_same_spec(tmp_path: Path) -> None:
    old, new = spec(tmp_path, "old.circ", BEFORE), spec(tmp_path, "new.circ", BEFORE)
    locks = locked(old), locked(new)
    facts = read_lock(locks[0])
    for path, commit in zip(locks, ("1" * 40, "2" * 40), strict=True):
        model = facts.models["toy"].model_copy(update={"commit": commit})
        task = LockedTask(
            task="likes",
            model="toy",
            seed=0,
            prompts=64,
            prompts_digest=f"sha256:{commit}",
            references=0,
            references_digest="",
            enumerated=False,
        )
        ground = {"models": {"toy": model}, "tasks": {"likes toy": task}}
        write_lock(path, facts.model_copy(update=ground))
    found = {
        c.key: [(d.what, d.before, d.after) for d in c.details] for c in of_files(*locks).changes
    }
    assert found == {
        "model toy": [("commit", "1" * 40, "2" * 40)],
        "task likes": [("prompts of toy", f"sha256:{'1' * 40}", f"sha256:{'2' * 40}")],
    }
    assert of_files(locks[0], new).is_empty, "a spec says nothing of either"


# ---------------------------------------------------------------- the command


def test_exit_codes(tmp_path: Path) -> None:
    old, new = (
        spec(tmp_path, "old.circ", BEFORE),
        spec(tmp_path, "new.circ", edited(BEFORE, WEAKER)),
    )
    broken = spec(tmp_path, "broken.circ", BEFORE + "claim x: faithfulness(leen) >= 0.8\n")
    assert invoke("diff", old, old)[:2] == (0, "no difference in meaning\n")
    assert invoke("diff", old, new)[0] == 1
    assert invoke("diff", old, new, "--exit-zero")[0] == 0
    code_, out, err = invoke("diff", old, broken, "--exit-zero")
    assert (code_, out) == (2, "")
    assert "error[CL101]" in err
    assert "broken.circ:" in err
    assert invoke("diff", old, tmp_path / "absent.circ")[0] == 2


def test_json_is_read_back(tmp_path: Path, everything: DiffDocument) -> None:
    _, schema, _ = invoke("schema", "diff")
    assert json.loads(schema) == DiffDocument.model_json_schema(mode="serialization")
    assert DiffDocument.model_validate_json(everything.model_dump_json()) == everything
    old, new = (
        spec(tmp_path, "old.circ", BEFORE),
        spec(tmp_path, "new.circ", edited(BEFORE, WEAKER)),
    )
    _, out, _ = invoke("diff", old, new, "--json")
    assert DiffDocument.model_validate_json(out) == of_files(old, new)


def test_long_lists_are_cut_unless_all_is_asked_for(tmp_path: Path) -> None:
    old = spec(tmp_path, "old.circ", BEFORE)
    new = spec(
        tmp_path, "new.circ", edited(BEFORE, ("circuit full {\n", "circuit full {\n  any -> any\n"))
    )
    _, short, _ = invoke("diff", old, new)
    _, long, _ = invoke("diff", old, new, "--all")
    assert "239 more edges (--all lists them)" in short
    assert len(short.splitlines()) < 60
    assert "more" not in long
    assert long.count("\n  + ") > 249


def test_neither_torch_nor_numpy_is_imported(tmp_path: Path) -> None:
    old, new = (
        spec(tmp_path, "old.circ", BEFORE),
        spec(tmp_path, "new.circ", edited(BEFORE, WEAKER)),
    )
    locked(old, lean_is_faithful="fails")
    run = (
        "import sys\n"
        "from circuitlang.cli import app\n"
        "try:\n"
        f"    app(['diff', {str(old)!r}, {str(new)!r}, '--markdown'], standalone_mode=False)\n"
        "finally:\n"
        "    print(sorted({'torch', 'transformers', 'transformer_lens', 'scipy', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_a_comment_fits_on_a_pull_request(tmp_path: Path) -> None:
    many = "".join(f"claim c{i}: faithfulness(lean + m{i % 2}) >= 0.{i}\n" for i in range(1_000))
    text = markdown(of_edits(tmp_path, ("report drops:", f"{many}report drops:"), WEAKER))
    assert len(text) < 65_536
    assert "`claim lean_is_faithful`" in text
    assert re.search(r"\.\.\. and \d+ more; `circ diff` prints them all\.\n$", text)


def test_a_lock_beside_a_spec_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    old, new = (
        spec(tmp_path, "old.circ", BEFORE),
        spec(tmp_path, "new.circ", edited(BEFORE, WEAKER)),
    )
    locked(old).write_text("version = 1\n")
    code_, out, err = invoke("diff", old, new)
    assert (code_, out.count("weakened")) == (1, 1)
    assert "warning[CL712]" in err


def test_a_counterexample_is_part_of_a_claim(tmp_path: Path) -> None:
    own = "claim always: forall x in inputs(likes): F(full on x) > 0\n"
    one = 'counterexample always "ann likes tea. bob likes jam. ann likes"\n'
    old = spec(tmp_path, "old.circ", BEFORE + own)
    (change,) = of_files(old, spec(tmp_path, "new.circ", BEFORE + own + one)).changes
    assert (change.kind, change.key) == ("changed", "claim always")
    assert change.after == f"{change.before}\n{one.strip().replace(' always', '')}"


# ---------------------------------------------------------------- hostile text

HOSTILE = "</code><script>alert(1)</script> ```\n# x [a](javascript:b) @someone | `` \\u202e"


def test_no_text_of_a_spec_is_markdown(tmp_path: Path) -> None:
    said = HOSTILE.replace("\n", "\\n").replace("\\u202e", "\u202e")
    edit = ("claim placed_is_faithful: faith", f'claim placed_is_faithful "{said}": faith')
    document = of_edits(tmp_path, edit, ('["ann", "bob",', f'["ann", "b{said}",'))
    outside, fence = [], ""
    for line in markdown(document).splitlines():
        ticks = re.match(r"`{3,}", line)
        if not fence and ticks:
            fence = ticks[0]
        elif fence and line == fence:
            fence = ""
        elif fence:
            assert line[:2] in ("+ ", "- ", "  "), line
        else:
            outside.append(re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", line))
    assert fence == ""
    assert not re.search(r"[<>@\[\]#|]", "".join(outside).removeprefix("###"))
    assert "\u202e" not in markdown(document)
    _, printed, _ = invoke("diff", tmp_path / "old.circ", tmp_path / "new.circ")
    assert "\u202e" not in printed


@pytest.mark.parametrize("text", ["a`b", "``", "`", "a``b`c", "", " ", "x\n# y"])
def test_code_spans_hold_any_text(text: str) -> None:
    span = code(text)
    match = re.fullmatch(r"(`+)(.+?)\1", span)
    assert match is not None
    assert match[1] not in re.findall("`+", match[2])
    assert "\n" not in span


def test_a_lock_that_says_nonsense_is_refused(tmp_path: Path) -> None:
    old = spec(tmp_path, "old.circ", BEFORE)
    path = locked(old)
    lock = read_lock(path)
    for key, content in (
        ("model toy", {"reference": "toy", "shape": {"layers": 10**9}}),
        ("circuit full", {"model": "toy", "at": {"": {"edges": {"input": "a0.h[0..9999999]"}}}}),
        ("task likes", {"asked": []}),
        ("group previous", 3),
    ):
        entry = json.loads(lock.meaning.parts[key].json_ or "")
        part = {"json": json.dumps({**entry, "content": content}), "digest": "sha256:0"}
        parts = {**lock.meaning.parts, key: type(lock.meaning.parts[key])(**part)}
        meaning = lock.meaning.model_copy(update={"parts": parts})
        write_lock(path, lock.model_copy(update={"meaning": meaning}))
        exit_code, _, err = invoke("diff", path, old)
        assert exit_code == 1 if key == "model toy" else "error[CL705]" in err
    later = lock.meaning.model_copy(update={"json_": '{"version": 9}'})
    write_lock(path, lock.model_copy(update={"meaning": later}))
    assert "error[CL705]" in invoke("diff", path, old)[2]
