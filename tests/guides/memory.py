"""docs/guides/memory.md: the memory is kept, used and listed."""

from pathlib import Path

import plopkit


def check(folder: Path, printed: str) -> None:
    """Two runs with the same step 0 and other later steps, of which one keeps twenty images."""
    table = plopkit.compare(plopkit.load_results(folder / "runs")).loc["emoji 10-5 overlap"]
    assert set(table.index.get_level_values("method")) == {"mib", "mib (memory.images 20)"}
    assert table.xs(0, level="step")["all"].nunique() == 1
    assert table.xs(2, level="step")["all"].nunique() == 2
    assert "mib (memory.images 20)" in printed and "20 images, 0." in printed
