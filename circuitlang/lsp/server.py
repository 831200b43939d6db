"""The language server: an editor's requests in, answers out.

What is open, and its diagnostics, is in `documents`; each request is answered by the module of its
name. What goes wrong in here is logged; the server goes on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import redirect_stdout, suppress
from threading import Event

from lsprotocol import types
from pygls.io_ import run_async

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.language.text.format import format_text
from circuitlang.lsp.analysis import Analysis
from circuitlang.lsp.answers import completion_list, document_symbols, folding_ranges
from circuitlang.lsp.colours import LEGEND, semantic_tokens
from circuitlang.lsp.completion import complete
from circuitlang.lsp.definition import definition
from circuitlang.lsp.documents import DEBOUNCE, CircServer, log
from circuitlang.lsp.edits import line_edits, quick_fixes
from circuitlang.lsp.hover import hover

WATCHED = "**/*.{circ,txt,csv,tsv,json,jsonl,pt,safetensors}"


def make_server() -> CircServer:
    server = CircServer()
    _follow_documents(server)
    _follow_files(server)
    _answer_about_places(server)
    _answer_about_documents(server)
    return server


def _follow_documents(server: CircServer) -> None:
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
        server.saved(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    async def closed(params: types.DidCloseTextDocumentParams) -> None:
        server.closed(params.text_document.uri)


def _follow_files(server: CircServer) -> None:
    @server.feature(types.INITIALIZED)
    async def initialized(params: types.InitializedParams) -> None:
        """Asks to hear of the files that specs read, of an editor that can tell."""
        workspace = server.client_capabilities.workspace
        watching = workspace.did_change_watched_files if workspace is not None else None
        if watching is None or not watching.dynamic_registration:
            return
        watchers = [types.FileSystemWatcher(WATCHED)]
        options = types.DidChangeWatchedFilesRegistrationOptions(watchers)
        method = types.WORKSPACE_DID_CHANGE_WATCHED_FILES
        await server.client_register_capability_async(
            types.RegistrationParams([types.Registration("files", method, options)])
        )

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    async def files_changed(params: types.DidChangeWatchedFilesParams) -> None:
        server.files_changed([change.uri for change in params.changes])


def _answer_about_places(server: CircServer) -> None:
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
        types.CompletionOptions(trigger_characters=[".", "@", "{", "[", "(", '"', "/"]),
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

    @server.feature(
        types.TEXT_DOCUMENT_CODE_ACTION,
        types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix]),
    )
    async def fixes(params: types.CodeActionParams) -> list[types.CodeAction] | None:
        analysis = await server.analysis(params.text_document.uri)
        if analysis is None:
            return None
        return list(quick_fixes(analysis, params.range, params.text_document.uri))


def _answer_about_documents(server: CircServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    def symbols(params: types.DocumentSymbolParams) -> list[types.DocumentSymbol] | None:
        document = server.documents.get(params.text_document.uri)
        return document_symbols(Analysis(document.text)) if document is not None else None

    @server.feature(types.TEXT_DOCUMENT_FOLDING_RANGE)
    def folded(params: types.FoldingRangeParams) -> list[types.FoldingRange] | None:
        document = server.documents.get(params.text_document.uri)
        return folding_ranges(Analysis(document.text)) if document is not None else None

    @server.feature(types.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL, LEGEND)
    def coloured(params: types.SemanticTokensParams) -> types.SemanticTokens | None:
        document = server.documents.get(params.text_document.uri)
        return types.SemanticTokens(semantic_tokens(document.text)) if document else None

    @server.feature(types.TEXT_DOCUMENT_FORMATTING)
    def formatted(params: types.DocumentFormattingParams) -> list[types.TextEdit] | None:
        document = server.documents.get(params.text_document.uri)
        if document is None:
            return None
        new = format_text(document.text.source, Diagnostics())
        return line_edits(document.text, new) if new is not None else []


# ---------------------------------------------------------------- serving


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
            asyncio.run(_serve_one(server, tcp))
        except (OSError, OverflowError) as problem:
            log.error("port %s cannot be used: %s", tcp, problem)
            raise SystemExit(2) from None
    if not server.is_dismissed:
        raise SystemExit(1)


async def _serve_one(server: CircServer, port: int) -> None:
    """Serves the first editor that connects to the port, until it goes."""
    gone = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listening.close()
        server.protocol.set_writer(writer)
        with suppress(ConnectionError, EOFError):
            await run_async(Event(), reader, server.protocol, log, server.report_server_error)
        gone.set()

    listening = await asyncio.start_server(connected, "127.0.0.1", port)
    chosen = listening.sockets[0].getsockname()[1]
    print(f"circ lsp: listening on 127.0.0.1:{chosen}", file=sys.stderr, flush=True)
    await gone.wait()
