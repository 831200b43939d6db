"""One server for all tests, each with documents of its own, as an editor that stays open."""

from __future__ import annotations

import pytest

from tests.lsp.editor import FINE, Editor


@pytest.fixture(scope="session")
def editor():
    found = Editor()
    yield found
    found.stop()


@pytest.fixture
def uri(tmp_path):
    return (tmp_path / "likes.circ").as_uri()


@pytest.fixture(scope="session")
def likes(editor, tmp_path_factory):
    """FINE, opened once for all that only read it."""
    uri = (tmp_path_factory.mktemp("likes") / "likes.circ").as_uri()
    editor.open(uri, FINE)
    return uri
