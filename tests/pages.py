"""What every page that the program writes must keep to: one file, closed tags, pictures with words."""

from __future__ import annotations

from html.parser import HTMLParser


class _Sound(HTMLParser):
    """Notes what a page loads, and tags that are left open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.sources += [str(values[key]) for key in ("src", "href") if key in values]
        if tag == "img":
            assert values.get("alt")
        if tag not in {"meta", "img", "link", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_page(page: str) -> list[str]:
    """Check that a page is whole and loads nothing; return what its pictures and links point to."""
    parser = _Sound()
    parser.feed(page)
    assert parser.open == []
    assert all(source.startswith("data:image/") for source in parser.sources)
    assert "<script" not in page
    return parser.sources
