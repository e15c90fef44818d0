"""The scores beside mIoU, and what lesson 07 says about classes, step by step."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lesson_tables import results

from plopkit.lessons.forgetting import background_share, first_losses, one_step_later, score_curves, shortened
from plopkit.presets import configure
from plopkit.runs.results import summarise

ROWS = [  # step, label, learned_at, iou, pixels
    (0, 0, 0, 90.0, 80),
    (0, 1, 0, 50.0, 20),
    (0, 2, 0, 60.0, 20),
    (1, 0, 0, 80.0, 70),
    (1, 1, 0, 10.0, 20),
    (1, 2, 0, 55.0, 20),
    (1, 5, 1, 40.0, 10),
    (2, 0, 0, 0.0, 60),
    (2, 1, 0, 0.0, 20),
    (2, 2, 0, 50.0, 20),
    (2, 5, 1, 12.0, 10),
    (2, 9, 2, 30.0, 10),
]


@pytest.fixture
def table() -> pd.DataFrame:
    rows = pd.DataFrame(ROWS, columns=["step", "label", "learned_at", "iou", "pixels"])
    names = {0: "background", 1: "aeroplane", 2: "bicycle", 5: "bottle", 9: "chair"}
    return rows.assign(scenario="s", method="m", seed=0, name=rows["label"].map(names), accuracy=1.0)


def test_the_panels_are_miou_background_and_pixels() -> None:
    summary = summarise(results())
    figure = score_curves(summary, "scores")
    assert [axis.get_title() for axis in figure.axes] == [
        "mIoU: all classes and background",
        "IoU of the background alone",
        "pixels that are right",
    ]
    assert figure.axes[0].get_ylabel() == "scores (%)"
    for axis, column in zip(figure.axes, ("all", "background", "pixel_accuracy"), strict=True):
        expected = summary[summary["method"] == "ft"].groupby("step")[column].mean()
        np.testing.assert_allclose(axis.get_lines()[0].get_ydata(), expected)


def test_the_share_of_the_background_is_that_of_the_last_step(table: pd.DataFrame) -> None:
    assert background_share(table) == pytest.approx(100 * 60 / 120)
    assert background_share(pd.concat([table, table.assign(method="n")])) == pytest.approx(50)


def test_one_step_later(table: pd.DataFrame) -> None:
    assert one_step_later(table, "m").to_dict() == {"learnt": 40.0, "one step later": 12.0}
    assert one_step_later(table[table["step"] < 2], "m").isna().all()  # a single later step has none after it


def test_the_first_losses_are_sorted(table: pd.DataFrame) -> None:
    assert first_losses(table, "m").to_dict() == {"aeroplane": 40.0, "background": 10.0, "bicycle": 5.0}
    assert list(first_losses(table, "m").index) == ["aeroplane", "background", "bicycle"]


def test_the_iterations_that_lesson_07_names() -> None:
    settings = {lesson: configure("emoji 15-1 overlap", "mib", "laptop", lesson=lesson) for lesson in (True, False)}
    least = settings[True].optim.min_iterations
    (path,) = (Path(__file__).resolve().parents[3] / "notebooks").glob("07_*.ipynb")
    text = path.read_text(encoding="utf-8")
    assert f"({shortened(settings[True], 9).optim.min_iterations} instead of {least} with the preset" in text
    assert f"full {settings[False].optim.min_iterations} iterations a step" in text


def test_a_shortened_run_has_fewer_iterations_and_is_another_run() -> None:
    settings = configure("emoji 15-1 overlap", "mib", "laptop", lesson=True)
    short = shortened(settings, 9)
    assert short.optim.min_iterations == settings.optim.min_iterations // 9 > 0
    assert short.folder() != settings.folder()
    smoke = configure("emoji 15-1 overlap", "mib", "smoke", lesson=True)
    assert shortened(smoke, 9) == smoke  # nothing to shorten: the run is read back
