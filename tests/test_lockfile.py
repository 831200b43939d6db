"""The file: what is written is what is read, and nothing but that is believed."""

from __future__ import annotations

import tomllib
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitlang.language.graph.architecture import Shape
from circuitlang.lockfile import Lock, LockProblem, lock_path, lock_text, read_lock, write_lock
from circuitlang.lockfile.form import (
    Facts,
    LockedClaim,
    LockedMeaning,
    LockedModel,
    LockedNumber,
    LockedPart,
    LockedTask,
    Preregistered,
)
from circuitlang.lockfile.read import lock_of
from circuitlang.lockfile.write import with_seal
from circuitlang.meaning import canonical

DAY = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DRAWN = settings(derandomize=True, deadline=None, database=None, max_examples=60)


def meaning(*names: str) -> LockedMeaning:
    parts = {n: LockedPart(digest="sha256:1", json=canonical({"form": n}).decode()) for n in names}
    return LockedMeaning(digest="sha256:0", json="{}", parts=parts)


def lock(name: str = "small", **changed: Any) -> Lock:
    known: dict[str, Any] = {
        "spec": name,
        "date": DAY,
        "results": True,
        "tool": {"torch": "2.13.0"},
        "files": {"names.txt": "sha256:2"},
        "models": {
            "toy": LockedModel(
                reference="toy", title="toy", dtype="float32", bos=True, numerics="",
                shape=asdict(Shape(2, 2, 1, 8, 4, 16, 32, family="gpt2", context=16)),
            )
        },
        "tasks": {
            "t toy": LockedTask(
                task="t", model="toy", seed=2**80, prompts=3, prompts_digest="sha256:3",
                references=0, references_digest="sha256:4", enumerated=False,
            )
        },
        "claims": {"a": claim()},
        "reports": {"r": {"F(M)": LockedNumber(value=1.5, n=3, method="t")}},
        "meaning": meaning("claim a", "report r"),
    }  # fmt: skip
    return with_seal(Lock(**{**known, **changed}))


def claim(**changed: Any) -> LockedClaim:
    known: dict[str, Any] = {
        "kind": "claim", "verdict": "holds", "ok": True, "value": 0.1 + 0.2, "low": 1e-300,
        "high": 1.0, "level": 0.9, "threshold": ">= 0", "n": 3, "method": "t", "unit": "prompts",
        "seed": 0,
    }  # fmt: skip
    return LockedClaim(**{**known, **changed})


def read(text: str) -> Lock:
    return lock_of(text.encode(), "small.circ.lock")


def code_of(data: bytes) -> str:
    with pytest.raises(LockProblem) as problem:
        lock_of(data, "small.circ.lock")
    assert "small.circ.lock" in problem.value.message
    assert problem.value.help
    return problem.value.code


# ---------------------------------------------------------------- there and back


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = lock_path(tmp_path / "small.circ")
    assert path.name == "small.circ.lock"
    write_lock(path, lock())
    assert read_lock(path) == lock()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 2**0.5, 5e-324, -0.0, 3])
def test_every_number_survives(value: float) -> None:
    written = lock(claims={"a": claim(value=value)})
    assert read(lock_text(written)) == written


def test_a_number_that_is_none_is_written_and_sealed() -> None:
    found = read(lock_text(lock(claims={"a": claim(value=float("nan"))}))).claims["a"].value
    assert found is not None
    assert found != found


TEXT = st.text(st.characters(codec=None), max_size=30)
HOSTILE = st.sampled_from(
    [
        "'''", '"""', "\\", "\\u0000", "]\n[seal]\ndigest = 1", "<<<<<<< ours\n", "\n=======\n", "\x00",
        "\x7f", "\r\n", "\u2028", "\ufeff", "\ud800", "a.b", "", " ", "#", "${x}", "<script>",
    ]
)  # fmt: skip


@DRAWN
@given(name=TEXT | HOSTILE, sentence=TEXT | HOSTILE)
def test_hostile_text_survives(name: str, sentence: str) -> None:
    """Halves of surrogate pairs alone are spelled out: UTF-8 cannot hold them."""
    written = lock(
        name,
        claims={name: claim(reason=sentence, failed=(sentence, name))},
        reports={sentence: {name: LockedNumber(n=1, method=sentence)}},
        files={sentence: name},
        tool={name: sentence},
        meaning=LockedMeaning(
            digest="d",
            json="{}",
            parts={
                part: LockedPart(digest="d", json='{"a":"\'"}')
                for part in (f"claim {name}", f"report {sentence}")
            },
        ),
    )
    found = read(lock_text(written))
    if any("\ud800" <= c <= "\udfff" for c in name + sentence):
        assert lock_text(found) == lock_text(written)
    else:
        assert found == written
    assert found.meaning.document["entries"].popitem()[1] == {"a": "'"}


def test_json_stands_in_single_quotes_where_it_can() -> None:
    plain = lock_text(lock())
    assert """json = '{"form":"claim a"}'""" in plain
    for text in ("it's", "a\x7fb", "a\u2028b"):
        part = LockedPart(digest="d", json=canonical({"form": text}).decode())
        parts = {**meaning("report r").parts, "claim a": part}
        whole = meaning().model_copy(update={"parts": parts})
        found = read(lock_text(lock(meaning=whole)))
        assert found.meaning.document["entries"]["claim a"] == {"form": text}


def test_one_changed_number_is_one_changed_line_and_the_seal() -> None:
    one, other = lock_text(lock()), lock_text(lock(claims={"a": claim(value=0.25)}))
    pairs = zip(one.splitlines(), other.splitlines(), strict=True)
    changed = [a.partition(" ")[0] for a, b in pairs if a != b]
    assert changed == ["value", "digest"]
    assert one.splitlines()[-1].startswith("digest")


# ---------------------------------------------------------------- what is refused


WRITTEN = lock_text(lock()).encode()


def test_every_truncated_lock_is_refused() -> None:
    """But for one that lacks the last line's end, which says the same."""
    for length in range(len(WRITTEN)):
        data = WRITTEN[:length]
        if WRITTEN[length:].strip():
            assert code_of(data) in ("CL712", "CL715")
        else:
            assert lock_of(data, "x") == lock()


@pytest.mark.parametrize("bit", [0, 1, 5])
def test_every_flipped_byte_is_refused_or_says_the_same(bit: int) -> None:
    for place in range(len(WRITTEN)):
        data = bytearray(WRITTEN)
        data[place] ^= 1 << bit
        assert outcome(bytes(data)) in ("CL712", "CL714", "CL715", lock())


def outcome(data: bytes) -> Lock | str:
    try:
        return lock_of(data, "x")
    except LockProblem as problem:
        return problem.code


@DRAWN
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_are_more_than_refused(data: bytes) -> None:
    assert code_of(data).startswith("CL7")


def test_layout_and_comments_are_free() -> None:
    text = lock_text(lock())
    assert read(text.replace("\n", "\r\n")) == lock()
    assert read(text.replace(" = ", "=") + "\n# reviewed\n") == lock()


def test_conflict_markers_are_named() -> None:
    text = lock_text(lock())
    ours = f"<<<<<<< HEAD\n{text}=======\n{text}>>>>>>> branch\n"
    assert code_of(ours.encode()) == "CL713"
    assert code_of(ours.replace("\n", "\r\n").encode()) == "CL713"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("version = 1", "version = 2", "CL714"),
        ("version = 1", "version = 99999999999999999999", "CL714"),
        ("version = 1", "version = 0", "CL712"),
        ("version = 1", 'version = "1"', "CL712"),
        ("version = 1", "", "CL712"),
        ("ok = true", "ok = false", "CL715"),
        ("2026-01-02", "2025-01-02", "CL715"),
        ("[seal]", "[seal]\nby = 1", "CL712"),
        ("[seal]", "[sealed]", "CL712"),
    ],
)
def test_edits_are_told_apart(old: str, new: str, code: str) -> None:
    text = lock_text(lock())
    assert old in text
    assert code_of(text.replace(old, new, 1).encode()) == code


def resealed(change: dict[str, Any]) -> bytes:
    """A lock that somebody forged with care: the seal holds."""
    import tomlkit

    from circuitlang.lockfile.seal import seal_of

    content = {**tomllib.loads(lock_text(lock())), **change}
    return tomlkit.dumps({**content, "seal": {"digest": seal_of(content)}}).encode()


MODEL = tomllib.loads(lock_text(lock()))["models"]["toy"]
SHAPE = MODEL["shape"]


@pytest.mark.parametrize(
    "change",
    [
        {"claims": {"a": {"value": 1.0}}},
        {"date": "yesterday"},
        {"models": []},
        {"meaning": {"digest": "d", "json": "{", "parts": {}}},
        {"meaning": {"digest": "d", "json": "{}", "parts": {"claim a": {"digest": "d"}}}},
        {"meaning": {"digest": "d", "json": "[" * 100_000, "parts": {}}},
        {"unheard": 1},
        {"claims": {}},
        {"results": False},
        {"models": {"toy": MODEL | {"shape": SHAPE | {"layers": 10**9}}}},
        {"models": {"toy": MODEL | {"shape": SHAPE | {"layers": "two"}}}},
        {"models": {"toy": MODEL | {"shape": SHAPE | {"colour": 1}}}},
        {"models": {"toy": MODEL | {"shape": {}}}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_sealed_lock_of_another_form_is_refused(change: dict[str, Any]) -> None:
    assert code_of(resealed(change)) == "CL712"


def test_deep_and_large_files_are_refused(tmp_path: Path, monkeypatch: Any) -> None:
    assert code_of(b"a = " + b"[" * 100_000) == "CL712"
    path = tmp_path / "small.circ.lock"
    path.write_bytes(WRITTEN)
    monkeypatch.setattr("circuitlang.lockfile.read.LARGEST", 100)
    with pytest.raises(LockProblem, match="larger"):
        read_lock(path)
    with pytest.raises(LockProblem, match="directory") as problem:
        read_lock(tmp_path)
    assert problem.value.code == "CL712"


def test_a_missing_lock_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "small.circ.lock").write_bytes(WRITTEN)
    with pytest.raises(LockProblem) as problem:
        read_lock(tmp_path / "smal.circ.lock")
    assert (problem.value.code, problem.value.help) == ("CL711", "did you mean `small.circ.lock`?")


def test_a_full_disk_leaves_the_old_lock(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "small.circ.lock"
    write_lock(path, lock())

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_lock(path, lock("other"))
    assert read_lock(path) == lock()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


# ---------------------------------------------------------------- what was sealed


def test_sealed_parts_are_those_of_the_lock_where_they_are_the_same() -> None:
    parts = {
        "claim a": LockedPart(digest="sha256:1"),
        "claim b": meaning("claim b").parts["claim b"],
    }
    known = {name: getattr(lock(), name) for name in Facts.model_fields}
    known["meaning"] = meaning().model_copy(update={"parts": parts})
    whole = lock(preregistered=Preregistered(**known, date=DAY, seal="sha256:5"))
    found = read(lock_text(whole))
    assert found == whole
    assert found.sealed is not None
    entries = found.sealed.meaning.document["entries"]
    assert entries == {"claim a": {"form": "claim a"}, "claim b": {"form": "claim b"}}
    assert lock().sealed is None
