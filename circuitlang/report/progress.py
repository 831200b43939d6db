"""Progress on the terminal: what is being done, and a bar over a stage's runs and prompts."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


class Bars:
    """A context manager that implements the pipeline's `Progress`; silent when not enabled.

    The first Ctrl-C ends the check before its next step, so that no library is left half way;
    the second ends it at once. Where Ctrl-C is ignored, as it is for jobs in the background, it
    stays so.
    """

    def __init__(self, console: Console, enabled: bool) -> None:
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not enabled,
        )
        self.task = self.bars.add_task("starting", total=None)
        self.interrupted = False
        self.previous: Any = None

    def __enter__(self) -> Bars:
        here = threading.current_thread() is threading.main_thread()
        if here and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            self.previous = signal.signal(signal.SIGINT, self._interrupt)
        self.bars.start()
        return self

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
        self.bars.console.print("stopping before the next step; Ctrl-C again stops at once")

    def _go_on(self) -> None:
        if self.interrupted:
            raise KeyboardInterrupt

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bars.stop()
        if self.previous is not None:
            signal.signal(signal.SIGINT, self.previous)
        if kind is None:
            self._go_on()

    def stage(self, text: str) -> None:
        self._go_on()
        self.bars.update(self.task, description=text, completed=0, total=None)

    def pairs(self, done: int, total: int) -> None:
        self._go_on()
        self.bars.update(self.task, completed=done, total=total)
