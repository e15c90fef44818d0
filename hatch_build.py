"""README and addresses in the package's metadata, which Hatchling asks for.

The repository's address comes from the environment, so that no file has to name it: `PLOPKIT_REPOSITORY`, such as
`https://github.com/owner/plopkit`, or the variables of GitHub Actions. With it, the page of a package index shows
README's pictures and links; without it, README stays as it is and there are no addresses.
"""

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!\w+:|#)([^)\s]+)\)")
"""A picture or a link whose target is a path: (picture, text, target)."""


class Metadata(MetadataHookInterface):
    """Adds `readme` and `urls`, which pyproject.toml declares as dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        address = repository(os.environ)
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": absolute(text, address) if address else text}
        metadata["urls"] = urls(address) if address else {}


def repository(variables: Any) -> str | None:
    """The address of the repository that the environment names, if it names one."""
    if own := variables.get("PLOPKIT_REPOSITORY", "").strip().rstrip("/").removesuffix(".git"):
        if not own.startswith("https://"):
            raise ValueError(
                f"PLOPKIT_REPOSITORY is {own!r}; it is an address such as https://github.com/owner/plopkit"
            )
        return own
    if "GITHUB_REPOSITORY" in variables:
        return f"{variables.get('GITHUB_SERVER_URL', 'https://github.com')}/{variables['GITHUB_REPOSITORY']}"
    return None


def urls(address: str) -> dict[str, str]:
    """The links that a package index shows."""
    return {
        "Source": address,
        "Issues": f"{address}/issues",
        "Changelog": f"{address}/blob/HEAD/CHANGELOG.md",
    }


def absolute(text: str, address: str) -> str:
    """README with addresses in place of paths: of the file for a picture, of its page for a link."""
    return LINK.sub(lambda m: f"{m[1]}[{m[2]}]({address}/{'raw' if m[1] else 'blob'}/HEAD/{m[3]})", text)
