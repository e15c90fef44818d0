"""What a summary knows of earlier steps, against the functions that see all of them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plopkit.metrics import PER_STEP, backward_transfer, forgetting, iou
from plopkit.runs.folder import RunFolder
from plopkit.runs.history import History
from plopkit.runs.results import step_rows, summarise
from plopkit.scenario import Scenario
from plopkit.support.files import write_table

SCENARIO = Scenario.parse("voc 10-5 overlap")
NAMES = [str(label) for label in range(21)]


@pytest.fixture
def counts() -> list[np.ndarray]:
    """Confusion matrices of every step; a class without pixels, and one that has pixels late."""
    rng = np.random.default_rng(0)
    matrices = [rng.integers(0, 1000, (step.n_seen, step.n_seen)) for step in SCENARIO.steps]
    for matrix in matrices:
        matrix[3] = 0
    matrices[0][5] = 0
    return matrices


@pytest.fixture
def results(counts: list[np.ndarray]) -> pd.DataFrame:
    steps = zip(SCENARIO.steps, counts, strict=True)
    return pd.concat([step_rows(SCENARIO, "plop", 0, step, c, NAMES) for step, c in steps], ignore_index=True)


def test_changes_are_the_means_over_classes_of_earlier_steps(results: pd.DataFrame, counts: list[np.ndarray]) -> None:
    table = summarise(results)
    for last, step in enumerate(SCENARIO.steps):
        history = np.full((last + 1, step.n_seen), np.nan)
        for index in range(last + 1):
            history[index, : len(counts[index])] = iou(counts[index])
        earlier = slice(1, step.n_old)
        for name, function in (("forgetting", forgetting), ("backward_transfer", backward_transfer)):
            values = function(history)[earlier]
            expected = np.nanmean(values) if len(values) else np.nan
            np.testing.assert_allclose(table[name][last], expected, err_msg=f"{name} {last}")
        np.testing.assert_allclose(table["background"][last], history[-1, 0])
        np.testing.assert_allclose(
            table["pixel_accuracy"][last], 100 * counts[last].trace() / counts[last].sum(), rtol=1e-12
        )


def test_a_further_measure_is_a_column(results: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PER_STEP, "worst", lambda step: float(np.nanmin(step.iou)))
    table = summarise(results)
    assert list(table)[-1] == "worst"
    assert table["worst"].tolist() == [rows["iou"].min() for _, rows in results.groupby("step")]


def test_no_measure_is_negative_zero() -> None:
    rows = pd.DataFrame({"label": [0, 1], "iou": [50.0, 50.0], "accuracy": 50.0, "pixels": 1, "learned_at": 0})
    measures = History().with_step(rows).measures(rows)
    assert [str(measures[name]) for name in ("forgetting", "backward_transfer")] == ["0.0", "0.0"]


def test_measures_that_an_earlier_summary_lacks_are_computed(tmp_path: Path, results: pd.DataFrame) -> None:
    folder = RunFolder(tmp_path)
    write_table(folder.results_file, results)
    whole = summarise(folder.results)
    earlier = [name for name in whole if name not in PER_STEP]
    write_table(folder.summary_file, whole[earlier])
    pd.testing.assert_frame_equal(folder.summary, whole, rtol=1e-5)
    pd.testing.assert_frame_equal(folder.first_steps(2).summary, whole[:2], rtol=1e-5)
    folder.results_file.unlink()
    blank = folder.summary
    assert list(blank) == list(whole) and blank[list(PER_STEP)].isna().all(axis=None)
    pd.testing.assert_frame_equal(blank[earlier], whole[earlier], rtol=1e-5)
