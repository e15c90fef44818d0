"""Checks of a built site: every link inside it has a target, and no page loads anything from the network."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src")}


class Page(HTMLParser):
    """A page's anchors and links."""

    def __init__(self, text: str):
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[tuple[str, bool]] = []
        """Each link, and whether the browser loads it to show the page."""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            if name in ("href", "src") and value is not None:
                self.links.append((value, (tag, name) in FETCHED))


def faults(site: Path) -> list[str]:
    """One line for each link to a missing file or anchor of the site, and for each resource loaded from elsewhere.

    Links to other sites are not followed.

    Raises:
        ValueError: The folder contains no page.
    """
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in _pages(site)}
    if not pages:
        raise ValueError(f"{site}: there is no page in this folder")
    return [
        f"{path.relative_to(site.resolve())}: {fault}"
        for path, page in pages.items()
        for fault in _of(path, page, pages)
    ]


def _pages(site: Path) -> list[Path]:
    """All pages except the templates of the theme."""
    return sorted(path for path in site.rglob("*.html") if "_static" not in path.relative_to(site).parts)


def _of(path: Path, page: Page, pages: dict[Path, Page]) -> Iterator[str]:
    for link, fetched in page.links:
        parts = urlsplit(link)
        if parts.scheme == "data":
            continue
        if parts.scheme or parts.netloc:
            if fetched:
                yield f"{link} is fetched from the net"
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        anchor = unquote(parts.fragment)
        if not target.is_file():
            yield f"{link} leads nowhere"
        elif anchor and target in pages and anchor not in pages[target].anchors:
            yield f"{link} leads to no place on that page"
