"""The language server: an editor's requests in, answers and diagnostics out.

Each document has one `Analysis` per version. It is worked out on a thread of its own, some time
after the last change, or as soon as a request needs it. What goes wrong in here is logged; the
server goes on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.format import format_text
from circuitlang.lsp.analysis import Analysis
from circuitlang.lsp.answers import completion_list, document_symbols, published
from circuitlang.lsp.completion import complete
from circuitlang.lsp.definition import definition
from circuitlang.lsp.hover import hover
from circuitlang.lsp.text import Text

DEBOUNCE = 0.2
log = logging.getLogger("circuitlang.lsp")


@dataclass
class Document:
    """An open document: its newest text, the newest analysis, and the work under way."""

    uri: str
    version: int
    text: Text
    analysis: Analysis | None = None
    is_open: bool = True
    work: asyncio.Task[Analysis | None] | None = None
    waiting: asyncio.Task[None] | None = None


class CircServer(LanguageServer):
    def __init__(self) -> None:
        super().__init__(
            "circ",
            installed("circuitlang"),
            text_document_sync_kind=types.TextDocumentSyncKind.Full,
        )
        self.documents: dict[str, Document] = {}
        self.is_dismissed = False
        self.worker = ThreadPoolExecutor(1, "circ-analysis")

    def report_server_error(self, error: Exception, source: Any) -> None:
        log.error("%s", error, exc_info=error)

    # ------------------------------------------------------------ documents

    def changed(self, uri: str, version: int | None, text: str, delay: float) -> None:
        """Keeps a document's newest text and sees to its diagnostics."""
        document = self.documents.get(uri)
        newest = self._text(uri, text)
        if document is None:
            document = self.documents[uri] = Document(uri, version or 0, newest)
        else:
            document.version = document.version + 1 if version is None else version
            document.text = newest
        if document.waiting is not None:
            document.waiting.cancel()
        document.work = None
        document.waiting = asyncio.ensure_future(self._publish(document, delay))

    def closed(self, uri: str) -> None:
        document = self.documents.pop(uri, None)
        if document is not None:
            document.is_open = False
            if document.waiting is not None:
                document.waiting.cancel()
            self._show(uri, None, [])

    def _text(self, uri: str, text: str) -> Text:
        path = file_of(uri)
        if path is not None:
            name, folder = path.name, path.parent
        else:
            root = self.workspace.root_path
            folder = Path(root) if root else Path.cwd()
            name = Path(unquote(urlsplit(uri).path)).name or "untitled"
        return Text(text, name, folder, self.workspace.position_encoding or "utf-16")

    async def _publish(self, document: Document, delay: float) -> None:
        await asyncio.sleep(delay)
        analysis = await self.analysis(document.uri)
        if analysis is not None and analysis.text is document.text:
            self._show(document.uri, document.version, published(analysis, document.uri))

    def _show(self, uri: str, version: int | None, found: list[types.Diagnostic]) -> None:
        self.text_document_publish_diagnostics(
            types.PublishDiagnosticsParams(uri, found, version=version)
        )

    # ------------------------------------------------------------ analysis

    async def analysis(self, uri: str) -> Analysis | None:
        """The analysis of a document's newest text; None for one that is not open or was changed."""
        document = self.documents.get(uri)
        if document is None:
            return None
        if document.analysis is not None and document.analysis.text is document.text:
            return document.analysis
        if document.work is None:
            document.work = asyncio.ensure_future(self._analyse(document, document.text))
        return await asyncio.shield(document.work)

    async def _analyse(self, document: Document, text: Text) -> Analysis | None:
        """None when the text is out of date before its turn comes."""
        loop = asyncio.get_running_loop()
        analysis = await loop.run_in_executor(self.worker, lambda: _analysed(document, text))
        document.analysis = analysis or document.analysis
        return analysis


def _analysed(document: Document, text: Text) -> Analysis | None:
    if document.text is not text or not document.is_open:
        return None
    analysis = Analysis(text)
    try:
        analysis.check()
    except Exception as problem:
        log.exception("a defect: `%s` could not be analysed", document.uri)
        analysis.give_up(problem)
    return analysis


def file_of(uri: str) -> Path | None:
    """The file that a URI names; None for one that is in no file."""
    if urlsplit(uri).scheme != "file":
        return None
    path = to_fs_path(uri)
    return Path(path) if path else None


def make_server() -> CircServer:
    server = CircServer()

    @server.feature(types.SHUTDOWN)
    def dismissed(params: None) -> None:
        server.is_dismissed = True

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    async def opened(params: types.DidOpenTextDocumentParams) -> None:
        item = params.text_document
        server.changed(item.uri, item.version, item.text, 0)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    async def changed(params: types.DidChangeTextDocumentParams) -> None:
        item = params.text_document
        text = server.workspace.get_text_document(item.uri).source
        server.changed(item.uri, item.version, text, DEBOUNCE)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    async def saved(params: types.DidSaveTextDocumentParams) -> None:
        """A file that other documents read may have changed with it."""
        for document in server.documents.values():
            server.changed(document.uri, document.version, document.text.text, 0)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    async def closed(params: types.DidCloseTextDocumentParams) -> None:
        server.closed(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    async def hovered(params: types.HoverParams) -> types.Hover | None:
        analysis = await server.analysis(params.text_document.uri)
        if analysis is None:
            return None
        found = hover(analysis, analysis.text.offset(params.position))
        if found is None:
            return None
        content = types.MarkupContent(types.MarkupKind.Markdown, found[0])
        return types.Hover(content, analysis.text.range(found[1].start, found[1].end))

    @server.feature(
        types.TEXT_DOCUMENT_COMPLETION,
        types.CompletionOptions(trigger_characters=[".", "@", "{", "[", "(", '"']),
    )
    async def completed(params: types.CompletionParams) -> types.CompletionList | None:
        document = server.documents.get(params.text_document.uri)
        if document is None:
            return None
        known = document.analysis or await server.analysis(document.uri)
        if known is None:
            return None
        text = document.text
        offset = text.offset(params.position)
        return completion_list(complete(text, offset, known), text, offset)

    @server.feature(types.TEXT_DOCUMENT_DEFINITION)
    async def defined(params: types.DefinitionParams) -> types.Location | None:
        analysis = await server.analysis(params.text_document.uri)
        if analysis is None:
            return None
        offset = analysis.text.offset(params.position)
        return definition(analysis, offset, params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    def symbols(params: types.DocumentSymbolParams) -> list[types.DocumentSymbol] | None:
        document = server.documents.get(params.text_document.uri)
        return document_symbols(Analysis(document.text)) if document is not None else None

    @server.feature(types.TEXT_DOCUMENT_FORMATTING)
    def formatted(params: types.DocumentFormattingParams) -> list[types.TextEdit] | None:
        document = server.documents.get(params.text_document.uri)
        if document is None:
            return None
        text = document.text
        new = format_text(text.source, Diagnostics())
        if new is None or new == text.text:
            return []
        return [types.TextEdit(text.range(0, len(text.text)), new)]

    return server


def start(tcp: int | None = None) -> None:
    """Serves one editor on standard input and output, or on a port of this machine, until it ends.

    Raises `SystemExit`: 1 when the editor goes without having said so, as the protocol asks; 2 when
    the port cannot be used.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="circ lsp: %(message)s")
    server = make_server()
    if tcp is None:
        # The protocol has the output for itself: nothing else that prints can spoil it.
        with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as out, redirect_stdout(sys.stderr):
            server.start_io(stdout=out)
    else:
        try:
            server.start_tcp("127.0.0.1", tcp)
        except (OSError, OverflowError) as problem:
            log.error("port %s cannot be used: %s", tcp, problem)
            raise SystemExit(2) from None
    if not server.is_dismissed:
        raise SystemExit(1)
