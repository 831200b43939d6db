"""A catalogue of specs, as a document and as a table: `circ list`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from circuitlang.report.document import Form
from circuitlang.report.stored import age

COLUMNS = ("file", "spec", "models", "claims", "last verdicts", "when")
SEVERAL = {"holds": "hold", "fails": "fail"}


class VerdictsForm(Form):
    """How often each verdict was given to a claim; assumptions are not counted."""

    counts: dict[str, int]
    expected: int = Field(description="claims that do not hold, as the spec expects of them")
    ok: bool = Field(description="every claim and assumption holds, or is as the spec expects")


class ListedForm(Form):
    """One spec and what was last found of it."""

    file: str
    spec: str | None = Field(description="its name; None where the file cannot be read as a spec")
    version: str | None = None
    models: tuple[str, ...] = ()
    claims: int = 0
    errors: int = Field(default=0, description="that `circ lint` would find in the text")
    source: Literal["lock", "store"] | None = Field(
        default=None, description="where the verdicts are from; None where there are none"
    )
    preregistered: bool = Field(default=False, description="the lock was made before any result")
    checked: datetime | None = None
    verdicts: VerdictsForm | None = None
    stale: bool | None = Field(
        default=None, description="the spec means something else than what was checked"
    )
    changes: tuple[str, ...] = Field(default=(), description="what is not as the lock has it")
    problem: str | None = Field(default=None, description="why a lock or store was not believed")


class CatalogueForm(Form):
    schema_version: str = "1"
    specs: tuple[ListedForm, ...]


def verdicts(claims: Iterable[Any]) -> VerdictsForm:
    """Of claims with `kind`, `verdict` and `ok`, from a document or a lock."""
    found = list(claims)
    own = [claim for claim in found if claim.kind == "claim"]
    return VerdictsForm(
        counts=dict(Counter(claim.verdict for claim in own)),
        expected=sum(claim.ok and claim.verdict not in ("holds", "survived") for claim in own),
        ok=all(claim.ok for claim in found),
    )


def print_catalogue(form: CatalogueForm, console: Any) -> None:
    from rich.table import Column, Table
    from rich.text import Text

    if not form.specs:
        console.print(Text("no .circ files"))
        return
    now = datetime.now(UTC)
    table = Table(*(Column(name, overflow="fold") for name in COLUMNS))
    for one in form.specs:
        title = f"{one.spec} {one.version or ''}".strip() if one.spec is not None else "?"
        cells = (
            one.file,
            title,
            ", ".join(one.models),
            str(one.claims),
            _said(one),
            _when(one, now),
        )
        style = "red" if one.errors else "yellow" if one.stale or one.problem else ""
        table.add_row(*(Text(cell) for cell in cells), style=style)
    console.print(table)


def _said(one: ListedForm) -> str:
    if one.errors:
        return f"{one.errors} error{'' if one.errors == 1 else 's'}; see `circ lint`"
    if one.problem is not None:
        return one.problem
    if one.verdicts is None:
        return "preregistered" if one.preregistered else "never checked"
    counts = [
        f"{number} {verdict if number == 1 else SEVERAL.get(verdict, verdict)}"
        for verdict, number in one.verdicts.counts.items()
    ]
    expected = f" ({one.verdicts.expected} as expected)" if one.verdicts.expected else ""
    return ", ".join(counts) + expected or "no claims"


def _when(one: ListedForm, now: datetime) -> str:
    if one.checked is None:
        return ""
    stale = ", stale" if one.stale else ""
    return f"{age(one.checked, now)} ago{' (lock)' if one.source == 'lock' else ''}{stale}"
