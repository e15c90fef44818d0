"""What the guide's data set has given."""

from pathlib import Path

import plopkit


def check(folder: Path, printed: str) -> None:
    results = plopkit.load_results(folder / "runs")
    assert set(results["scenario"]) == {"shapes 2-1 overlap", "shapes 1-1 partitioned"}
    assert set(results["name"]) == {"background", "disc", "square", "stripe"}
    assert "shapes 2-1 overlap" in printed
