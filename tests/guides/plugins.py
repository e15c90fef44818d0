"""The files that the commands of docs/guides/plugins.md need: its own Python blocks."""

import re
from pathlib import Path

import plopkit

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "plugins.md"


def blocks(language: str) -> list[str]:
    """The guide's fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def prepare(folder: Path) -> None:
    """Write each Python block that begins with its file's name."""
    for block in blocks("python"):
        if name := re.match(r"# (\w+\.py)\n", block):
            (folder / name[1]).write_text(block, encoding="utf-8")


def check(folder: Path, printed: str) -> None:
    """The method of the guide shares step 0 with fine-tuning, and differs from it after step 1."""
    table = plopkit.compare(plopkit.load_results(folder / "runs")).loc["emoji 15-5 overlap"]
    table = table[table.index.get_level_values("method").isin(["features", "ft"])]
    assert table.xs(0, level="step")["all"].nunique() == 1
    assert table.xs(1, level="step")["all"].nunique() == 2
    assert "features" in printed
