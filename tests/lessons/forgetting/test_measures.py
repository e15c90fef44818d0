"""Kinds of mistakes against a plain loop; a run's examples with their uncertainty."""

import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lesson_tables import LEARNED_AT, forgetting_examples
from small_runs import small

from plopkit.datasets.transforms import normalised
from plopkit.lessons.forgetting import load_examples
from plopkit.lessons.forgetting.measures import classify_mistakes, mistake_shares, truth_after
from plopkit.pseudo import uncertainty
from plopkit.runs.experiment import run
from plopkit.runs.folder import RunFolder
from plopkit.scenario import IGNORE
from plopkit.support.appending import replace_text


@pytest.mark.parametrize("step", range(3))
def test_mistakes_against_a_loop(step: int) -> None:
    examples = forgetting_examples()
    kinds, truth = examples.mistakes(step), examples.truth(step)
    for place in np.ndindex(kinds.shape):
        label, predicted = int(examples.masks[place]), int(examples.predictions[step][place])
        if label not in (0, IGNORE) and LEARNED_AT[label] > step:
            label = 0
        assert truth[place] == label
        if label == IGNORE:
            expected = IGNORE
        elif predicted == label:
            expected = 0
        elif label == 0 or LEARNED_AT[label] == step:
            expected = 3
        elif predicted == 0:
            expected = 1
        else:
            expected = 2 if LEARNED_AT[predicted] > LEARNED_AT[label] else 3
        assert kinds[place] == expected
    assert set(np.unique(kinds)) == ({0, 3, IGNORE} if step == 0 else {0, 1, 2, 3, IGNORE})


def test_nothing_is_old_at_step_0_and_a_class_never_learnt_is_background() -> None:
    mask, predicted = np.array([[1, 7, IGNORE]], np.uint8), np.array([[0, 0, 1]], np.uint8)
    assert classify_mistakes(predicted, mask, LEARNED_AT, 0).tolist() == [[3, 0, IGNORE]]
    assert classify_mistakes(predicted, mask, LEARNED_AT, 1).tolist() == [[1, 0, IGNORE]]
    assert truth_after(mask, LEARNED_AT, 2).tolist() == [[1, 0, IGNORE]]


def test_shares_of_mistakes_by_a_plain_loop() -> None:
    kinds = np.random.default_rng(0).choice([0, 1, 2, 3, IGNORE], (2, 8, 8)).astype(np.uint8)
    counts = [sum(int(kind) == k for kind in kinds.flat) for k in range(4)]
    np.testing.assert_allclose(mistake_shares(kinds), [count / sum(counts) for count in counts])
    assert mistake_shares(np.full((2, 2), IGNORE, np.uint8)).tolist() == [0, 0, 0, 0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run(small(tmp_path_factory.mktemp("runs"), method="ft"), progress=False)


def test_examples_hold_the_uncertainty_of_every_steps_net(folder: RunFolder) -> None:
    examples, arrays = load_examples(folder), folder.examples
    assert (examples.predictions == arrays["predictions"]).all() and (examples.masks == arrays["masks"]).all()
    assert examples.n_steps == 2 and examples.uncertainty.shape == examples.predictions.shape
    assert examples.learned_at == {label: int(label > 15) for label in range(21)}
    for step in range(2):
        images = torch.stack([normalised(torch.from_numpy(image) / 255) for image in arrays["images"]])
        with torch.no_grad():
            logits = folder.net(step).eval()(images).logits
        np.testing.assert_allclose(examples.uncertainty[step], uncertainty(logits).numpy(), atol=1e-4)
        assert (
            logits.argmax(1).numpy() == examples.predictions[step]
        ).mean() > 0.999  # labels are channels in this order


def test_examples_of_a_step_without_results_are_left_out(folder: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(folder.path, broken := tmp_path / "broken")
    results = pd.read_csv(broken / "results.csv")
    replace_text(broken / "results.csv", results[results["step"] == 0].to_csv(index=False))
    examples = load_examples(RunFolder(broken))
    assert examples.n_steps == len(examples.uncertainty) == 1
    np.testing.assert_array_equal(examples.predictions, folder.examples["predictions"][:1])
    assert set(examples.learned_at) == set(range(16))


def test_a_folder_without_results_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no step is finished here"):
        load_examples(RunFolder(tmp_path))


def test_what_a_label_is_predicted_as_against_a_loop() -> None:
    examples = forgetting_examples()
    table = examples.predicted_as(5)
    assert table.shape == (len(LEARNED_AT), 3) and table.sum(axis=1).is_monotonic_decreasing
    for step in range(3):
        predicted = [
            int(p) for p, label in zip(examples.predictions[step].flat, examples.masks.flat, strict=True) if label == 5
        ]
        for label in LEARNED_AT:
            assert table.loc[examples.names[label], step] == pytest.approx(
                100 * predicted.count(label) / len(predicted)
            )
    assert (examples.predicted_as(20) == 0).all().all()


def test_the_mean_uncertainty_of_a_kind_of_mistake() -> None:
    run = forgetting_examples()
    kinds = run.mistakes(2)
    assert run.mean_uncertainty(1, step=2) == pytest.approx(run.uncertainty[2][kinds == 1].mean())
    assert math.isnan(run.mean_uncertainty(1, step=0))  # nothing is old in step 0
