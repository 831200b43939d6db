"""The two errors the runtime raises for what a user can change. Imports no torch."""

from __future__ import annotations


class ModelUnavailable(Exception):
    """The model behind `reference` cannot be loaded; `help` says what to do about it."""

    def __init__(self, reference: str, reason: str, help: str = "") -> None:
        super().__init__(f'"{reference}": {reason}')
        self.reference = reference
        self.reason = reason
        self.help = help


class NotMeasurable(Exception):
    """A number that was asked for does not exist; `help` says what to change."""

    def __init__(self, reason: str, help: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.help = help
