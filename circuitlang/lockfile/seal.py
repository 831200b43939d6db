"""The seal of a lock: a digest of all that it says, whatever the layout of its text."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import rfc8785

LARGEST_WHOLE = 2**53 - 1


def seal_of(content: Mapping[str, Any]) -> str:
    """Of what a TOML file holds, its table `seal` left out."""
    plain = {name: _plain(value) for name, value in content.items() if name != "seal"}
    return f"sha256:{hashlib.sha256(rfc8785.dumps(plain)).hexdigest()}"


def _plain(value: Any) -> Any:
    """As JSON that RFC 8785 can write: what it has no number for is text."""
    match value:
        case dict():
            return {name: _plain(part) for name, part in value.items()}
        case list():
            return [_plain(part) for part in value]
        case bool() | str():
            return value
        case int():
            return value if abs(value) <= LARGEST_WHOLE else str(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case datetime(tzinfo=zone):
            return (value if zone is None else value.astimezone(UTC)).isoformat()
    return str(value)
