"""What a spec means, for locks and diffs: JSON that formatting and order do not change."""

from circuitlang.meaning.canonical import canonical, digest
from circuitlang.meaning.meaning import Entry, Meaning, meaning

__all__ = ["Entry", "Meaning", "canonical", "digest", "meaning"]
