"""The printed forms of small fixed programs."""

from __future__ import annotations

import pytest

from circuitlang.compiler.passes import PASSES, compile_program
from tests.compiler.programs import programs

SHOWN = {"prefix", "number", "drop", "order", "allocate"}


@pytest.mark.parametrize("name", programs())
def test_forms_are_printed_after_every_pass(name, snapshot):
    texts: list[str] = []

    def see(done, form):
        if done in SHOWN:
            texts.append(f"after {done}: {form}")

    compile_program(programs()[name], see=see)
    assert "\n\n".join(texts) == snapshot


def test_passes_leave_what_they_are_given_alone():
    for form in programs().values():
        seen = []
        compile_program(form, see=lambda *after: seen.append((*after, str(after[1]))))  # noqa: B023
        assert [name for name, _, _ in seen] == [one.name for one in PASSES]
        for name, given, text in seen:
            assert str(given) == text, name


def test_compiling_twice_gives_the_same():
    for form in programs().values():
        assert str(compile_program(form)) == str(compile_program(form))
