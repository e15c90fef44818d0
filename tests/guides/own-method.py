"""What the guide's method has done."""

from pathlib import Path

import plopkit


def check(folder: Path, printed: str) -> None:
    table = plopkit.compare(plopkit.load_results(folder / "runs"))
    assert set(table.index.get_level_values("method")) == {"features", "ft"}
    assert "features" in printed
    step0 = table.xs(0, level="step")["all"]
    assert step0.nunique() == 1  # both methods share one training of step 0 …
    last = table.xs(1, level="step")["all"]
    assert last.nunique() == 2  # … and differ after step 1
