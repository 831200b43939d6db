"""The open documents: each change in, its diagnostics out when they are known.

Each document has one `Analysis` per version. It is worked out on a thread of its own, some time
after the last change, or as soon as a request needs it; of those that are overtaken nothing is
published. A document that imports another one follows its text in the editor.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from circuitlang.lsp.analysis import Analysis
from circuitlang.lsp.answers import published
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

    @property
    def current(self) -> Analysis | None:
        """The analysis of the newest text, where there is one."""
        known = self.analysis
        return known if known is not None and known.text is self.text else None


class CircServer(LanguageServer):
    def __init__(self) -> None:
        super().__init__(
            "circ",
            installed("circuitlang"),
            text_document_sync_kind=types.TextDocumentSyncKind.Full,
        )
        self.documents: dict[str, Document] = {}
        self.unsaved: dict[Path, str] = {}
        self.is_dismissed = False
        self.worker = ThreadPoolExecutor(1, "circ-analysis")

    def report_server_error(self, error: Exception, source: Any) -> None:
        log.error("%s", error, exc_info=error)

    # ------------------------------------------------------------ changes

    def changed(self, uri: str, version: int | None, text: str, delay: float) -> None:
        """Keeps a document's newest text and sees to its diagnostics, and its importers'."""
        document = self.documents.get(uri)
        if document is None:
            document = Document(uri, version or 0, self._text(uri, text))
            self.documents[uri] = document
        else:
            document.version = document.version + 1 if version is None else version
            document.text = self._text(uri, text)
        self._keep(uri, document.text.text)
        self._check(document, delay)

    def closed(self, uri: str) -> None:
        document = self.documents.pop(uri, None)
        if document is not None:
            document.is_open = False
            if document.waiting is not None:
                document.waiting.cancel()
            self._show(uri, None, [])
            self._keep(uri, None)

    def saved(self, uri: str) -> None:
        """A data file may have been written since the document was looked at."""
        document = self.documents.get(uri)
        if document is not None:
            self._check_again(document, 0)

    def files_changed(self, uris: list[str]) -> None:
        """Checks what lies around files that changed on the disk and are not open."""
        paths = [path.resolve() for uri in uris if (path := file_of(uri)) is not None]
        for document in self.documents.values():
            folder = document.text.source.folder.resolve()
            if any(p.is_relative_to(folder) for p in paths if p not in self.unsaved):
                self._check_again(document, DEBOUNCE)

    def _keep(self, uri: str, text: str | None) -> None:
        """Notes how a document's file stands in the editor; None where it is closed."""
        path = file_of(uri)
        if path is None:
            return
        path = path.resolve()
        if text is None:
            self.unsaved.pop(path, None)
        else:
            self.unsaved[path] = text
        for document in self.documents.values():
            known = document.current
            if document.uri != uri and (known is None or path in known.imported_files):
                self._check_again(document, DEBOUNCE)

    def _check_again(self, document: Document, delay: float) -> None:
        document.text = self._text(document.uri, document.text.text)
        self._check(document, delay)

    def _check(self, document: Document, delay: float) -> None:
        if document.waiting is not None:
            document.waiting.cancel()
        document.work = None
        document.waiting = asyncio.ensure_future(self._publish(document, delay))

    def _text(self, uri: str, text: str) -> Text:
        path = file_of(uri)
        if path is not None:
            name, folder = path.name, path.parent
        else:
            root = self.workspace.root_path
            folder = Path(root) if root else Path.cwd()
            name = Path(unquote(urlsplit(uri).path)).name or "untitled"
        encoding = self.workspace.position_encoding or "utf-16"
        return Text(text, name, folder, encoding, self.unsaved)

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
        if document.current is not None:
            return document.current
        if document.work is None:
            document.work = asyncio.ensure_future(self._analyse(document, document.text))
        return await asyncio.shield(document.work)

    async def _analyse(self, document: Document, text: Text) -> Analysis | None:
        """None when the text is out of date before its turn comes."""
        loop = asyncio.get_running_loop()
        analysis = await loop.run_in_executor(self.worker, lambda: analysed(document, text))
        document.analysis = analysis or document.analysis
        return analysis


def analysed(document: Document, text: Text) -> Analysis | None:
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
