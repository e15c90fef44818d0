"""The table of a grid: mean and standard deviation over seeds."""

import pandas as pd
import pytest

from plopkit.grids.summary import over_orders, over_seeds, summary, table_of

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


@pytest.fixture
def orders() -> pd.DataFrame:
    """Three random orders of one method, the first with two seeds; one order of another; the natural order."""
    runs = [
        rows("plop", seed, iou, iou).assign(scenario=f"{SCENARIO} order=random:{order}")
        for order, seed, iou in (
            (0, 0, 10),
            (0, 1, 30),
            (1, 0, 40),
            (12, 0, 60),
        )
    ]
    runs.append(rows("ft", 0, 7, 7).assign(scenario=f"{SCENARIO} order=random:1"))
    return pd.concat([*runs, rows("plop", 0, 90, 90)], ignore_index=True)


def test_mean_and_deviation_over_random_orders(orders: pd.DataFrame) -> None:
    table = over_orders(orders).set_index(["scenario", "method", "step"])
    assert table.index.get_level_values("scenario").unique().tolist() == [f"{SCENARIO} order=random"]
    plop, ft = table.loc[(f"{SCENARIO} order=random", "plop", 1)], table.loc[(f"{SCENARIO} order=random", "ft", 1)]
    assert (plop["orders"], ft["orders"]) == (3, 1)
    assert plop[["all", "all_std"]].tolist() == pytest.approx([40, 20])  # of 20, 40, 60
    assert ft["all"] == pytest.approx(7) and pd.isna(ft["all_std"])
    assert over_orders(orders[orders["scenario"].isin([SCENARIO, f"{SCENARIO} order=random:12"])]).empty


def test_the_table_has_every_order_and_then_their_mean(orders: pd.DataFrame) -> None:
    table = table_of(orders)
    assert len(table) == len(over_seeds(orders)) + 4
    assert table["seeds"].notna().sum() == len(over_seeds(orders)) and table["orders"].notna().sum() == 4
    without = orders[orders["scenario"] == SCENARIO]
    pd.testing.assert_frame_equal(table_of(without), over_seeds(without))


def test_random_orders_in_words(orders: pd.DataFrame) -> None:
    text = summary(orders)
    assert f"{SCENARIO} order=random: mIoU" in text and "over class orders drawn at random" in text
    assert "40.0 ± 20.0" in text and "order=random:" not in text.replace("order=random: mIoU", "")
    assert f"{SCENARIO}: mIoU" in text
