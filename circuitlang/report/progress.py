"""Progress on the terminal: what is being done, and a bar over runs and prompts."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Bars:
    """A context manager that implements the pipeline's `Progress`; silent when not enabled."""

    def __init__(self, console: Console, enabled: bool) -> None:
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not enabled,
        )
        self.task = self.bars.add_task("starting", total=None)

    def __enter__(self) -> Bars:
        self.bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bars.stop()

    def stage(self, text: str) -> None:
        self.bars.update(self.task, description=text, completed=0, total=None)

    def runs(self, done: int, total: int) -> None:
        self.bars.update(self.task, completed=done, total=total)
