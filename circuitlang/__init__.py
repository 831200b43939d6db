"""circuitlang: write what a circuit is claimed to do, and have it decided.

import circuitlang

spec = circuitlang.load("specs/toy/who_likes_what.circ")
document = circuitlang.check(spec)
with circuitlang.session(spec) as session:
    session.F("likes_circuit - a0.h0")      # one number per prompt
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circuitlang.api import (
        LoadedSpec,
        Session,
        SpecError,
        check,
        effects,
        load,
        lock,
        session,
        verify,
    )

__all__ = [
    "LoadedSpec",
    "Session",
    "SpecError",
    "check",
    "effects",
    "load",
    "lock",
    "session",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from circuitlang import api

        return getattr(api, name)
    raise AttributeError(f"module 'circuitlang' has no attribute {name!r}")
