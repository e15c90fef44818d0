"""What does not fit is reported before anything is trained or written."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_runs import small

from plopkit.runs.experiment import Experiment


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hyper": {"scales": (9,)}}, "of 64 pixels does not go through PLOP: scale 9 does not fit"),
        ({"optim__batch": 1}, "a batch of 1 images of 64 pixels does not go through PLOP"),
        ({"model__encoder": "resnt18"}, "no encoder 'resnt18'"),
        (
            {"data__scenes": 12},
            "emoji 15-5 overlap, step 1: this step has 4 training images, fewer than one batch of 8",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Experiment.open(small(tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()


def test_a_step_without_validation_images_is_refused(folder_root: Callable[..., Path], tmp_path: Path) -> None:
    root = folder_root(train=20, val=1, classes=6, size=(64, 64))  # its labels are 1 and 2
    settings = small(tmp_path / "out", "folder 1-1 overlap order=3,1,2,4,5", data__root=root, optim__batch=2)
    with pytest.raises(ValueError, match=r"step 0: no validation image contains any of the labels seen so far, \(3,\)"):
        Experiment.open(settings)
    assert not (tmp_path / "out").exists()
