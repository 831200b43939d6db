"""What a store holds, as documents and on the terminal: `circ cache`."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from pydantic import ByteSize, Field

from circuitlang.report.document import Form


class StoredRunsForm(Form):
    """The runs of one model on one task's prompts."""

    model: str | None = Field(description="as specs name it; None where the store does not say")
    task: str | None
    dtype: str | None
    device: str | None
    runs: int = Field(description="records: one metric of one run on all prompts of a sample")
    parts: int = Field(description="chunks of executions that did not end")
    prompts: int = Field(description="of the largest sample")
    bytes: int
    oldest: datetime
    newest: datetime


class StoredResultForm(Form):
    """The last check of a spec."""

    spec: str = Field(description="the spec's path from the store's folder")
    bytes: int
    kept: datetime


class StoreForm(Form):
    """Everything in a store."""

    store: str
    format: int
    bytes: int = Field(description="of the file")
    runs: tuple[StoredRunsForm, ...]
    results: tuple[StoredResultForm, ...]


class VerifiedForm(Form):
    """What was looked at, and what of it is not as it was written."""

    store: str
    records: int
    damaged: int
    pages: tuple[str, ...] = Field(description="what SQLite finds wrong with the file")

    @property
    def sound(self) -> bool:
        return not self.damaged and not self.pages


class PrunedForm(Form):
    """What was dropped, or would be."""

    store: str
    dry_run: bool
    runs: int
    parts: int
    results: int
    bytes_before: int
    bytes_after: int | None = Field(description="None with --dry-run")


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def age(since: datetime, now: datetime) -> str:
    """Such as "3 days"; the largest unit alone."""
    seconds = max(0, int((now - since).total_seconds()))
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            number = seconds // length
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return "less than a minute"


def size(number: int) -> str:
    """Such as "1.5MiB"."""
    return ByteSize(number).human_readable(separator=" ")


def print_store(form: StoreForm, console: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    now = datetime.now(UTC)
    console.print(Text(f"{form.store}: {size(form.bytes)}"))
    if form.runs:
        table = Table("model", "task", "numbers", "on", "prompts", "size", "last written")
        for group in form.runs:
            unfinished = f" and {group.parts} unfinished" if group.parts else ""
            cells = (
                group.model or "?",
                group.task or "?",
                f"{group.runs}{unfinished}",
                f"{group.device or '?'} {group.dtype or '?'}",
                str(group.prompts),
                size(group.bytes),
                f"{age(group.newest, now)} ago",
            )
            table.add_row(*map(Text, cells))
        console.print(table)
    if form.results:
        table = Table("last check of", "size", "when")
        for result in form.results:
            when = f"{age(result.kept, now)} ago"
            spec = os.path.normpath(os.path.join(os.path.dirname(form.store), result.spec))
            table.add_row(*map(Text, (spec, size(result.bytes), when)))
        console.print(table)
    if not form.runs and not form.results:
        console.print(Text("nothing is stored"))


def pruned_text(form: PrunedForm) -> str:
    verb = "would drop" if form.dry_run else "dropped"
    after = ""
    if form.bytes_after is not None:
        after = f"; {size(form.bytes_before)} are now {size(form.bytes_after)}"
    return (
        f"{form.store}: {verb} {form.runs} numbers, {form.parts} unfinished chunks and "
        f"{form.results} results{after}"
    )
