"""What the guide's checkpoints have given."""

from pathlib import Path

import pandas as pd

import plopkit


def check(folder: Path, printed: str) -> None:
    (evaluated,) = (folder / "evaluated").glob("*/results.csv")
    assert set(plopkit.load_results(evaluated.parent)["step"]) == {0, 1}
    assert pd.read_csv(evaluated)["method"].unique().tolist() == ["ft"]
    assert "(16, 5) torch.Size([1, 64, 64])" in printed
    assert {path.name for path in (folder / "exported").iterdir()} >= {"step-0.pth", "step-1.pth"}
