"""The table of a grid: mean and standard deviation over seeds."""

import pandas as pd
import pytest

from plopkit.grids.summary import over_seeds, summary

SCENARIO = "emoji 15-5 overlap"


def rows(method: str, seed: int, first: float, second: float) -> pd.DataFrame:
    """Results in which every class has the same IoU after step 0, and another after step 1."""
    table = [
        {"step": step, "label": label, "name": str(label), "learned_at": 0 if label < 16 else 1, "iou": iou}
        for step, iou, n_seen in ((0, first, 16), (1, second, 21))
        for label in range(n_seen)
    ]
    about = {"scenario": SCENARIO, "method": method, "seed": seed, "accuracy": 0.0, "pixels": 1}
    return pd.DataFrame(table).assign(**about)


@pytest.fixture
def results() -> pd.DataFrame:
    runs = [rows("plop", 0, 60, 50), rows("plop", 1, 62, 56), rows("plop", 2, 64, 62), rows("ft", 0, 60, 10)]
    return pd.concat(runs, ignore_index=True)


def test_mean_and_deviation_of_the_sample(results: pd.DataFrame) -> None:
    table = over_seeds(results).set_index(["method", "step"])
    assert table["seeds"].to_dict() == {("plop", 0): 3, ("plop", 1): 3, ("ft", 0): 1, ("ft", 1): 1}
    assert table.loc[("plop", 0), ["old", "old_std"]].tolist() == pytest.approx([62, 2])
    assert table.loc[("plop", 1), ["new", "new_std"]].tolist() == pytest.approx([56, 6])
    assert table.loc[("plop", 1), ["avg", "avg_std"]].tolist() == pytest.approx([59, 4])
    assert table.loc[("ft", 1), "all"] == pytest.approx(10)
    assert pd.isna(table.loc[("ft", 1), "all_std"]) and pd.isna(table.loc[("plop", 0), "new"])


def test_in_words(results: pd.DataFrame) -> None:
    first, header, *lines = summary(results).splitlines()
    assert first == f"{SCENARIO}: mIoU in percent on the validation set, mean ± standard deviation over seeds"
    assert (
        header.split() == "method step seeds old new all old_nobg all_nobg avg hiou pixel_accuracy background".split()
    )
    assert " ".join(lines[0].split()).startswith("plop 0 3 62.0 ± 2.0 - 62.0 ± 2.0")
    assert " ".join(lines[3].split()).startswith("ft 1 1 10.0 10.0 10.0")
