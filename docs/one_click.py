"""Links that open the lessons in Binder and in Colab without an installation, where the repository has an address."""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

BINDER_NAMES = {"github.com": "gh", "gitlab.com": "gl"}
FIRST = "lab/tree/notebooks/00_start_here.ipynb"
PICTURES = {
    "Binder": "https://mybinder.org/badge_logo.svg",
    "Colab": "https://colab.research.google.com/assets/colab-badge.svg",
}


def repository(variables: Mapping[str, str] = os.environ) -> str | None:
    """The address of the repository that the environment names, if it names one.

    Raises:
        ValueError: PLOPKIT_REPOSITORY is no address.
    """
    if own := variables.get("PLOPKIT_REPOSITORY", "").strip().rstrip("/").removesuffix(".git"):
        if not own.startswith("https://"):
            raise ValueError(
                f"PLOPKIT_REPOSITORY is {own!r}; it is an address such as https://github.com/owner/plopkit"
            )
        return own
    if "GITHUB_REPOSITORY" in variables:
        return f"{variables.get('GITHUB_SERVER_URL', 'https://github.com')}/{variables['GITHUB_REPOSITORY']}"
    return None


def one_click(address: str) -> dict[str, str]:
    """The links by the name of the service: Binder knows GitHub and GitLab, Colab knows GitHub alone."""
    host, path = urlsplit(address).netloc, urlsplit(address).path.strip("/")
    links = {}
    if host in BINDER_NAMES:
        project = path if host == "github.com" else path.replace("/", "%2F")
        links["Binder"] = f"https://mybinder.org/v2/{BINDER_NAMES[host]}/{project}/HEAD?urlpath={FIRST}"
    if host == "github.com":
        links["Colab"] = f"https://colab.research.google.com/github/{path}/blob/HEAD/docs/colab.ipynb"
    return links


def with_badges(text: str, address: str) -> str:
    """A Markdown text with a badge for each link below its title."""
    badges = " ".join(f"[![{name}]({PICTURES[name]})]({link})" for name, link in one_click(address).items())
    return _below_the_title(text, badges)


def with_links(text: str, address: str) -> str:
    """A Markdown text with the links in words below its title: the site's pages load nothing from elsewhere."""
    links = " · ".join(f"[open the lessons in {name}]({link})" for name, link in one_click(address).items())
    return _below_the_title(text, links)


def _below_the_title(text: str, line: str) -> str:
    title, _, rest = text.partition("\n")
    return f"{title}\n\n{line}\n{rest}" if line else text
