"""A page as a reader of it: its tags nest, and one may ask for its words, its attributes and its drawings."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "br", "img", "hr", "link", "input"}


class Page(HTMLParser):
    """Every element and attribute of a page; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.pieces: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    @property
    def words(self) -> str:
        """All text, with single spaces."""
        return " ".join("".join(self.pieces).split())

    def handle_startendtag(self, tag, attrs):
        self._take(tag, attrs)

    def handle_starttag(self, tag, attrs):
        self._take(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        self.pieces.append(" ")
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.pieces.append(data)

    def _take(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]


def check_harmless(page: Page) -> None:
    """Nothing of a page runs or loads but the server's own two files."""
    assert page.tags.count("script") == 1
    assert not set(page.tags) & {"iframe", "object", "embed", "base", "img", "style"}
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name, value)
        assert name != "style", (tag, name, value)
        if name in {"src", "href", "action", "formaction", "xlink:href"}:
            is_inside = value.startswith("/") and not value.startswith("//")
            assert is_inside or value.startswith("#") or (tag, value) == ("link", "data:,"), (tag, name, value)
