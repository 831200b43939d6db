"""`circ lsp`: diagnostics, hover, completion, definitions, symbols and formatting in an editor."""

from circuitlang.lsp.server import start

__all__ = ["start"]
