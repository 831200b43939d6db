"""A page as a browser reads it, as far as html.parser knows."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

VOID = {"meta", "link", "br", "input", "img", "hr"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: Element | None
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, tag: str = "", **attributes: str) -> list[Element]:
        """Those below with this tag and these attributes, in order."""
        found = []
        for child in self.children:
            same = all(child.attributes.get(k) == v for k, v in attributes.items())
            if (not tag or child.tag == tag) and same:
                found.append(child)
            found += child.all(tag, **attributes)
        return found

    def one(self, tag: str = "", **attributes: str) -> Element:
        (found,) = self.all(tag, **attributes)
        return found

    @property
    def words(self) -> str:
        """All of its text, white space as one blank."""
        return " ".join(self.text.split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self.at = Element("", {}, None)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, {name: value or "" for name, value in attrs}, self.at)
        self.at.children.append(made)
        if tag not in VOID:
            self.at = made

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, {name: value or "" for name, value in attrs}, self.at)
        self.at.children.append(made)

    def handle_endtag(self, tag: str) -> None:
        assert self.at.tag == tag, f"</{tag}> closes <{self.at.tag}>"
        assert self.at.parent is not None
        self.at = self.at.parent

    def handle_data(self, data: str) -> None:
        at: Element | None = self.at
        while at is not None:
            at.text += data
            at = at.parent


def read(page: str) -> Element:
    """The page's root; every element has to be closed where it was opened."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert reader.at is reader.root, f"<{reader.at.tag}> is not closed"
    return reader.root


def policy_of(root: Element) -> dict[str, list[str]]:
    """The page's Content-Security-Policy: directive -> sources."""
    meta = root.one("meta", **{"http-equiv": "Content-Security-Policy"})
    parts = (part.split() for part in meta.attributes["content"].split(";"))
    return {name: sources for name, *sources in parts}


def hash_of(element: Element) -> str:
    digest = hashlib.sha256(element.text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def data_of(root: Element) -> Any:
    return json.loads(root.one("script", id="data").text)


def variables(style: str) -> tuple[dict[str, str], dict[str, str]]:
    """The colours of a style's `:root`, light and dark."""
    light, dark = dict[str, str](), dict[str, str]()
    for match in re.finditer(
        r"(@media screen and \(prefers-color-scheme: ?dark\) ?\{\s*)?:root ?\{([^}]*)\}", style
    ):
        found = dict(re.findall(r"--([\w-]+): ?(#\w{6})", match[2]))
        (dark if match[1] else light).update(found)
    return light, light | dark
