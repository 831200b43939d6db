"""How the server runs: what it loads, how long an editor waits, over TCP."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lsprotocol import types as t
from pygls.exceptions import JsonRpcRequestCancelled

from circuitlang.language.diagnostics import Diagnostics
from circuitlang.lsp.analysis import Analysis
from circuitlang.lsp.answers import published
from circuitlang.lsp.text import Text
from tests.lsp.editor import COMMAND, FINE, LIMIT, ROOT, SPEC, Editor, at


def test_starting_loads_no_heavy_library():
    heavy = "{'torch', 'numpy', 'rich', 'transformers', 'transformer_lens', 'scipy', 'tokenizers'}"
    code = f"import sys, circuitlang.lsp; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


LOOKED_AT = """
import sys
from pathlib import Path
from circuitlang.lsp.analysis import Analysis
from circuitlang.lsp.completion import complete
from circuitlang.lsp.hover import hover
from circuitlang.lsp.text import Text

good = sorted(Path("tests/language/good").glob("*.circ"))
for path in [*Path("specs/toy").glob("[!.]*.circ"), *good[::2]]:
    analysis = Analysis(Text(path.read_text(), path.name, path.parent, "utf-16"))
    analysis.check()
    assert analysis.resolved is not None
    for token in analysis.text.tokens[::3]:
        hover(analysis, token.start_pos)
    complete(analysis.text, len(analysis.text.text), analysis)
heavy = {"torch", "numpy", "rich", "transformers", "transformer_lens", "scipy", "networkx"}
print(sorted(heavy & set(sys.modules)))
"""


def test_looking_at_specs_loads_no_heavy_library():
    """Their prompts are drawn, and every kind of hover is asked for."""
    done = subprocess.run(
        [sys.executable, "-c", LOOKED_AT], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_over_tcp(unused_port):
    process = subprocess.Popen([*COMMAND, "--tcp", str(unused_port)])
    try:
        editor = Editor(command=())
        for _ in range(100):
            try:
                editor.run(editor.client.start_tcp("127.0.0.1", unused_port))
                break
            except OSError:
                time.sleep(0.1)
        editor.initialize(ROOT)
        editor.open("untitled:a", SPEC)
        assert editor.codes("untitled:a") == ["CL106"]
        editor.stop()
    finally:
        process.terminate()
        process.wait(LIMIT)


def test_over_tcp_it_goes_when_the_editor_is_gone():
    """On a port of its own choice, and in the middle of an answer."""
    process = subprocess.Popen([*COMMAND, "--tcp", "0"], stderr=subprocess.PIPE, text=True)
    try:
        said = process.stderr.readline()
        port = int(said.removeprefix("circ lsp: listening on 127.0.0.1:"))
        with socket.create_connection(("127.0.0.1", port)) as editor:
            editor.sendall(HELLO)
            assert editor.recv(20).startswith(b"Content-Length")
        assert process.wait(LIMIT) == 1
    finally:
        process.kill()
        process.communicate()


def test_it_goes_when_the_editor_is_killed():
    code = (
        "import subprocess, sys, time;"
        f"p = subprocess.Popen({COMMAND!r}, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL);"
        "print(p.pid, flush=True); time.sleep(600)"
    )
    editor = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    server = int(editor.stdout.readline())
    editor.kill()
    editor.communicate()
    deadline = time.monotonic() + LIMIT
    while runs(server) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not runs(server)


def runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_request_can_be_taken_back(editor):
    uri = (ROOT / "specs" / "gpt2" / "ioi.circ").as_uri()
    editor.open(uri, (ROOT / "specs" / "gpt2" / "ioi.circ").read_text())
    params = t.HoverParams(t.TextDocumentIdentifier(uri), t.Position(0, 0))

    async def taken_back():
        asked = asyncio.ensure_future(editor.client.text_document_hover_async(params))
        await asyncio.sleep(0)
        (number,) = editor.client.protocol._request_futures
        editor.client.cancel_request(t.CancelParams(number))
        return await asked

    with pytest.raises(JsonRpcRequestCancelled):
        editor.run(taken_back())
    editor.diagnostics(uri)
    editor.close(uri)


def test_an_editor_that_can_watch_files_is_asked_to():
    capabilities = {"workspace": {"didChangeWatchedFiles": {"dynamicRegistration": True}}}
    hello = message(id=1, method="initialize", params={"capabilities": capabilities})
    told = message(method="initialized", params={})
    answer = message(id=2, method="shutdown")
    sent = hello + told + answer + message(method="exit")
    done = subprocess.run(COMMAND, input=sent, capture_output=True, timeout=LIMIT, check=False)
    assert b"client/registerCapability" in done.stdout
    assert b"**/*.{circ,txt" in done.stdout


@pytest.fixture
def unused_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_two_thousand_lines(editor, uri, capsys):
    """Prints how long an editor waits; how fast it has to be is not this test's to say."""
    lines = FINE.split("\n")
    number = 0
    while len(lines) < 2000:
        number += 1
        lines.append(f"group g{number} = [a0.h{number % 4}, m{number % 3}]")
        lines.append(f"claim c{number}: drop(M, g{number}) >= {number % 9}% * effect")
    text = "\n".join([*lines, "claim last: dro"])
    started = time.perf_counter()
    editor.open(uri, text)
    found = editor.diagnostics(uri)
    checked = time.perf_counter()
    editor.change(uri, 2, text + "p")
    items = editor.ask("completion", uri, at(text + "p", "claim last: drop")).items
    completed = time.perf_counter()
    with capsys.disabled():
        print(
            f"\n2,000 lines: diagnostics {checked - started:.2f} s, "
            f"completion while typing {completed - checked:.2f} s"
        )
    assert {d.code for d in found} >= {"CL101"}
    assert {"drop", "g900", "small"} <= {item.label for item in items}
    editor.close(uri)


def test_diagnostics_are_never_lost_in_the_conversion():
    text = Text(SPEC, "likes.circ", Path(), "utf-16")
    analysis = Analysis(text)
    analysis.front.diagnostics = Diagnostics()
    analysis.front.diagnostics.note("CL509", "without a place", None)
    (shown,) = published(analysis, "file:///likes.circ")
    assert shown.severity == t.DiagnosticSeverity.Information
    assert shown.range.start == t.Position(0, 0)


def message(**content) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", **content}).encode()
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


HELLO = message(id=1, method="initialize", params={"capabilities": {}, "processId": None})
NONSENSE = (
    b"Content-Length: 5\r\n\r\n{bad}"
    + message(method="textDocument/didChange", params={"textDocument": {"uri": "file:///x"}})
    + message(id=2, method="textDocument/hover", params={"textDocument": {}})
    + message(id=3, method="no/such")
    + message(
        method="textDocument/didOpen",
        params={
            "textDocument": {
                "uri": "file:///x/lone.circ",
                "languageId": "circ",
                "version": 1,
                "text": 'claim \ud800x: "\ud800" {',
            }
        },
    )
)


@pytest.mark.parametrize(
    ("farewell", "code"),
    [(message(id=9, method="shutdown") + message(method="exit"), 0), (message(method="exit"), 1)],
)
def test_nonsense_does_not_stop_it_and_farewells_do(farewell, code):
    symbols = message(
        id=4,
        method="textDocument/documentSymbol",
        params={"textDocument": {"uri": "file:///x/lone.circ"}},
    )
    sent = HELLO + NONSENSE + symbols + farewell
    done = subprocess.run(COMMAND, input=sent, capture_output=True, timeout=LIMIT, check=False)
    assert done.returncode == code, done.stderr
    assert b'"id": 4, "jsonrpc": "2.0", "result": [{"name": "x"' in done.stdout


def test_a_port_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = (*COMMAND, "--tcp", str(taken.getsockname()[1]))
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 2
    assert "cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
