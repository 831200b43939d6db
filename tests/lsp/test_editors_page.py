"""The settings in docs/editors.md are well formed, and agree with the server and the grammar."""

from __future__ import annotations

import json
import plistlib
import re
import shutil
import subprocess
import sys
import tomllib

from circuitlang.language.text.grammar import grammar_folder
from tests.lsp.editor import ROOT

PAGE = (ROOT / "docs" / "editors.md").read_text(encoding="utf-8")
GRAMMAR = "circ.tmLanguage.json"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_settings_start_the_server():
    package, configuration, client, sublime = map(json.loads, blocks("json"))
    command = [client["glspc.server.command"], *client["glspc.server.commandArguments"]]
    assert command == ["circ", "lsp"]
    (language,) = package["contributes"]["languages"]
    assert client["glspc.server.languageId"] == [language["id"]]
    assert configuration["comments"] == {"lineComment": "#"}
    (helix,) = map(tomllib.loads, blocks("toml"))
    server = helix["language-server"]["circ"]
    assert [server["command"], *server["args"]] == sublime["clients"]["circ"]["command"] == command
    assert helix["language"][0]["language-servers"] == list(helix["language-server"])


def test_settings_name_the_grammar():
    package, _, _, sublime = map(json.loads, blocks("json"))
    scope = json.loads((grammar_folder() / GRAMMAR).read_text(encoding="utf-8"))["scopeName"]
    (named,) = package["contributes"]["grammars"]
    assert named["scopeName"] == sublime["clients"]["circ"]["selector"] == scope
    assert named["path"] == f"./{GRAMMAR}"


def test_the_grammar_is_found_and_written_as_a_property_list(tmp_path):
    shutil.copy(grammar_folder() / GRAMMAR, tmp_path)
    found, written = (b for b in blocks("sh") if b.startswith("python -c"))
    for line, said in ((found, str(grammar_folder())), (written, "")):
        code = line.strip().removeprefix('python -c "').removesuffix('"')
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == said
    with (tmp_path / "circ.tmLanguage").open("rb") as file:
        assert plistlib.load(file) == json.loads((tmp_path / GRAMMAR).read_text(encoding="utf-8"))
