"""What `circ verify` found: the JSON that it prints, and the table for a person."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from rich.console import Console
from rich.table import Table
from rich.text import Text

from circuitlang.language.formulas.inline import count
from circuitlang.report.document import DiagnosticForm, Form
from circuitlang.report.terminal import number

SCHEMA_VERSION = "1"

_STYLE = {
    "same": "green",
    "agrees": "green",
    "beyond noise": "bold yellow",
    "not compared": "dim",
    "differs": "bold red",
    "flipped": "bold red",
}


class ComparedForm(Form):
    """One locked number and what it is now."""

    name: str
    status: Literal["same", "agrees", "beyond noise", "not compared", "differs", "flipped"] = Field(
        description="same: within noise; agrees: on other prompts, within the sampling error of both; "
        "beyond noise: on the same prompts, within the locked interval; not compared: of one prompt or "
        "chosen member, which is another now; differs: beyond both; flipped: another verdict"
    )
    exceeds: Literal["noise", "both"] | None = Field(
        description="what the difference exceeds: numeric noise, or sampling error too"
    )
    same_prompts: bool
    locked_verdict: str | None
    verdict: str | None
    locked_value: float | None
    value: float | None
    difference: float | None = Field(description="None where only one of the two is a number")
    noise: float = Field(description="ten times the numeric noise of both")
    sampling_error: float | None = Field(
        description="how far the locked interval reaches, on other prompts those of both; None "
        "without interval, or where it is not bounded"
    )

    @property
    def failed(self) -> bool:
        return self.status in ("differs", "flipped")


class VerificationDocument(Form):
    """Everything one `circ verify` of one file found."""

    schema_version: str = SCHEMA_VERSION
    tool: dict[str, str]
    file: str
    spec: str
    version: str | None
    locked: str = Field(description="when it was locked")
    seed: int | None = Field(description="of prompts drawn anew; None: the locked ones")
    conditions: tuple[str, ...] = Field(
        description="what is not as it was when it was locked: models, prompts, dtype, versions"
    )
    exit_code: int = Field(description="0 nothing failed, 1 a number differs or a verdict flipped")
    seconds: float
    diagnostics: tuple[DiagnosticForm, ...]
    compared: tuple[ComparedForm, ...]


def print_verification(found: VerificationDocument, console: Console) -> None:
    """What is not as it was, flips, the table, and the last line that says it all."""
    for condition in found.conditions:
        console.print(Text(condition, style="bold magenta" if _of_model(condition) else "dim"))
    for one in found.compared:
        if one.status == "flipped":
            console.print(Text(f"VERDICT FLIPPED: {_said(one)}", style="bold red"), soft_wrap=True)
    console.print(_table(found))
    for one in found.compared:
        if one.status in ("differs", "beyond noise"):
            style = "red" if one.failed else "yellow"
            console.print(Text(f"  {_said(one)}", style=style), soft_wrap=True)
    console.print(_summary(found))


def _of_model(condition: str) -> bool:
    return condition.startswith("model ")


def _table(found: VerificationDocument) -> Table:
    name = f"{found.spec} {found.version or ''}".strip()
    title = Text(f"{name}: locked on {found.locked[:10]}, checked again", style="italic")
    table = Table(title=title, title_justify="left", pad_edge=False)
    for heading in (
        "number",
        "",
        "verdict",
        "locked",
        "now",
        "difference",
        "noise",
        "sampling error",
    ):
        table.add_column(heading, overflow="fold")
    for one in found.compared:
        flipped = one.locked_verdict != one.verdict
        table.add_row(
            Text(one.name),
            Text(one.status, style=_STYLE[one.status]),
            Text(f"{one.locked_verdict} -> {one.verdict}" if flipped else one.verdict or ""),
            number(one.locked_value),
            number(one.value),
            number(one.difference),
            number(one.noise),
            number(one.sampling_error),
        )
    return table


def _said(one: ComparedForm) -> str:
    """One number in a sentence: what its difference exceeds, and what that means."""
    if one.difference is None:
        apart = "only one of the two is a number"
    elif one.exceeds is None:
        apart = "its number is the same within numeric noise"
        if one.difference > one.noise:
            apart = "its number is of another prompt or member"
    elif one.exceeds == "noise" and one.same_prompts:
        apart = (
            f"it differs by {number(one.difference)}: within sampling error, beyond numeric noise"
        )
    elif one.exceeds == "noise":
        apart = f"it differs by {number(one.difference)}, within the sampling error of both"
    else:
        apart = f"it differs by {number(one.difference)}: beyond {_limits(one)}"
    if one.status == "flipped":
        return f"{one.name} was `{one.locked_verdict}` and is `{one.verdict}`; {apart}"
    if one.status == "beyond noise":
        return f"{one.name}: {apart}; the same prompts should give the same number"
    return f"{one.name}: {apart}"


def _limits(one: ComparedForm) -> str:
    noise = f"numeric noise ({number(one.noise)})"
    if one.sampling_error is None:
        return f"{noise}, and no sampling error is known"
    return f"{noise} and sampling error ({number(one.sampling_error)})"


def _summary(found: VerificationDocument) -> Text:
    failed = [one for one in found.compared if one.failed]
    odd = sum(one.status == "beyond noise" for one in found.compared)
    numbers = count(len(found.compared), "number")
    if failed:
        flips = sum(one.status == "flipped" for one in failed)
        flipped = f", {count(flips, 'verdict')} flipped" if flips else ""
        return Text(f"{len(failed)} of {numbers} not confirmed{flipped}", style="bold red")
    if odd:
        return Text(
            f"{odd} of {numbers} beyond numeric noise, none beyond sampling error", "bold yellow"
        )
    left = sum(one.status == "not compared" for one in found.compared)
    sampled = any(one.status == "agrees" for one in found.compared)
    within = f"numeric noise{' or sampling error' if sampled else ''}"
    text = f"{len(found.compared) - left} of {numbers}" if left else numbers
    rest = f", of {left} the verdict alone" if left else ""
    return Text(f"{text} confirmed within {within}{rest}", style="bold green")
