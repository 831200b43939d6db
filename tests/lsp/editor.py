"""A client that edits documents as an editor does, and the spec that the tests edit."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

from lsprotocol import types as t
from pygls.lsp.client import LanguageClient

from circuitlang.lsp.text import Text

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 60
COMMAND = (sys.executable, "-c", "from circuitlang.cli import main; main()", "lsp")
SPEC = """\
# who likes what
spec likes "1.0.0"
model "toy" { bos yes }
task likes {
  slot A = ["ann", "bob"]
  slot X = ["tea", "jam"]
  prompt first  = "{A:A1} likes {X}. {A:A2} likes"
  prompt second = "eve likes {X}. {A:A1} likes {X}. {A:A2} likes"
  tokens answer = " {X}"
  tokens foil   = " rice"
  corrupt other { A1 = ["ida", "jon"]  A2 = ["kim", "lee"] }
  corrupt food { X = ["soup", "ham"] }
}
metric diff   = logit(answer) - logit(foil)
metric chance = prob(answer)
ablation patch = resample(other)
ablation still = mean(other per template)
default by diff under patch over prompts
group early = [a0.h[0,1], a1.h0]
let limit = 0.5
circuit small {
  input -> early
  early @ END -> logits
  a1.h0 @ A2 -> a2.h1.k
  a2.h1 -> logits
  a2.h3.q -> logits
}
# what is lost without K
measure loses(C, K) = drop(C, K) / effect
claim faithful: faithfulness(small) >= limit
claim each: forall e in edges(small): loses(small, e) >= 0
"""
FINE = SPEC.replace("  a2.h3.q -> logits\n", "")
IMPORTING = """\
spec more "1.0.0"
import "likes.circ" as base
model "toy" { bos yes }
default on base.likes by base.diff under base.patch over prompts
claim again: faithfulness(base.small) >= 0
claim lost: base.loses(base.small, base.early) >= 0
"""


class Editor:
    """A client on a thread of its own; its methods wait for the answers."""

    def __init__(self, command: tuple[str, ...] = COMMAND, root: Path = ROOT) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.published: dict[str, list[t.PublishDiagnosticsParams]] = {}
        self.news = asyncio.Event()
        self.client = LanguageClient("tests", "1")

        @self.client.feature(t.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def received(params: t.PublishDiagnosticsParams) -> None:
            self.published.setdefault(params.uri, []).append(params)
            self.news.set()

        if command:
            self.run(self.client.start_io(*command))
            self.initialize(root)

    def run(self, work):
        async def bounded():
            return await asyncio.wait_for(work, LIMIT)

        return asyncio.run_coroutine_threadsafe(bounded(), self.loop).result()

    def initialize(self, root: Path) -> None:
        params = t.InitializeParams(t.ClientCapabilities(), root_uri=root.as_uri())
        self.capabilities = self.run(self.client.initialize_async(params)).capabilities
        self.tell(self.client.initialized, t.InitializedParams())

    def stop(self) -> None:
        self.run(self.client.shutdown_async(None))
        self.tell(self.client.exit, None)
        self.run(self.client.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)

    def tell(self, send, params) -> None:
        async def sent():
            send(params)

        self.run(sent())

    def open(self, uri: str, text: str) -> None:
        item = t.TextDocumentItem(uri, "circ", 1, text)
        self.tell(self.client.text_document_did_open, t.DidOpenTextDocumentParams(item))

    def change(self, uri: str, version: int, text: str) -> None:
        params = t.DidChangeTextDocumentParams(
            t.VersionedTextDocumentIdentifier(version, uri),
            [t.TextDocumentContentChangeWholeDocument(text)],
        )
        self.tell(self.client.text_document_did_change, params)

    def close(self, uri: str) -> None:
        params = t.DidCloseTextDocumentParams(t.TextDocumentIdentifier(uri))
        self.tell(self.client.text_document_did_close, params)

    def diagnostics(self, uri: str, version: int | None = 1) -> list[t.Diagnostic]:
        """Those of a version, once they have come."""

        async def awaited():
            while True:
                self.news.clear()
                for params in self.published.get(uri, []):
                    if params.version == version:
                        return list(params.diagnostics)
                await self.news.wait()

        return self.run(awaited())

    def codes(self, uri: str, version: int | None = 1) -> list[str]:
        return [str(d.code) for d in self.diagnostics(uri, version)]

    def ask(self, kind: str, uri: str, position: t.Position):
        """The answer to a request about a position: hover, definition, completion."""
        make = {
            "hover": (self.client.text_document_hover_async, t.HoverParams),
            "definition": (self.client.text_document_definition_async, t.DefinitionParams),
            "completion": (self.client.text_document_completion_async, t.CompletionParams),
        }
        send, params = make[kind]
        return self.run(send(params(t.TextDocumentIdentifier(uri), position)))

    def symbols(self, uri: str):
        params = t.DocumentSymbolParams(t.TextDocumentIdentifier(uri))
        return self.run(self.client.text_document_document_symbol_async(params))

    def fold(self, uri: str):
        params = t.FoldingRangeParams(t.TextDocumentIdentifier(uri))
        return self.run(self.client.text_document_folding_range_async(params))

    def colours(self, uri: str):
        params = t.SemanticTokensParams(t.TextDocumentIdentifier(uri))
        return self.run(self.client.text_document_semantic_tokens_full_async(params))

    def fixes(self, uri: str, place: t.Range):
        params = t.CodeActionParams(t.TextDocumentIdentifier(uri), place, t.CodeActionContext([]))
        return self.run(self.client.text_document_code_action_async(params))

    def latest(self, uri: str, codes: list[str]) -> None:
        """Waits until the newest diagnostics have these codes."""

        async def awaited():
            while [str(d.code) for d in self.published[uri][-1].diagnostics] != codes:
                self.news.clear()
                await self.news.wait()

        self.run(awaited())

    def format(self, uri: str):
        options = t.FormattingOptions(2, True)
        params = t.DocumentFormattingParams(t.TextDocumentIdentifier(uri), options)
        return self.run(self.client.text_document_formatting_async(params))


def at(text: str, before: str, after: str = "") -> t.Position:
    """The position between two pieces of text that stand side by side once."""
    assert text.count(before + after) == 1, (before + after, text.count(before + after))
    offset = text.index(before + after) + len(before)
    return Text(text, "", Path(), "utf-16").position(offset)


def cut(text: str, found: t.Range) -> str:
    whole = Text(text, "", Path(), "utf-16")
    return text[whole.offset(found.start) : whole.offset(found.end)]


def hovered(editor, uri, text, before, after="") -> str:
    found = editor.ask("hover", uri, at(text, before, after))
    return found.contents.value if found is not None else ""
