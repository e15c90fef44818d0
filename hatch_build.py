"""README and addresses in the package's metadata, which Hatchling asks for.

The repository's address comes from the environment, so that no file has to name it: `PLOPKIT_REPOSITORY`, such as
`https://github.com/owner/plopkit`, or the variables of GitHub Actions. With it, the page of a package index shows
README's pictures and links; without it, README stays as it is and there are no addresses.
"""

import re
import runpy
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

ONE_CLICK = runpy.run_path(str(Path(__file__).parent / "docs" / "one_click.py"))
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!\w+:|#)([^)\s]+)\)")
"""A picture or a link whose target is a path: (picture, text, target)."""


class Metadata(MetadataHookInterface):
    """Adds `readme` and `urls`, which pyproject.toml declares as dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        address = ONE_CLICK["repository"]()
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": published(text, address) if address else text}
        metadata["urls"] = urls(address) if address else {}


def urls(address: str) -> dict[str, str]:
    """The links that a package index shows."""
    return {
        "Source": address,
        "Issues": f"{address}/issues",
        "Changelog": f"{address}/blob/HEAD/CHANGELOG.md",
    }


def published(text: str, address: str) -> str:
    """README for a package index: with badges that open the lessons, and with addresses in place of paths."""
    return ONE_CLICK["with_badges"](absolute(text, address), address)


def absolute(text: str, address: str) -> str:
    """README with addresses in place of paths: of the file for a picture, of its page for a link."""
    return LINK.sub(lambda m: f"{m[1]}[{m[2]}]({address}/{'raw' if m[1] else 'blob'}/HEAD/{m[3]})", text)
