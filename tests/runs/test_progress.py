"""What a run prints while it trains."""

from pathlib import Path

import pytest
from small_runs import small

from plopkit.runs.experiment import run


@pytest.mark.usefixtures("no_pictures")
def test_progress_shows_step_epoch_and_losses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(small(tmp_path, optim__epochs_later=2))
    printed = capsys.readouterr()
    assert printed.out == ""
    parts = (
        "step 0/1 epoch 1/1",
        "step 1/1 epoch 2/2",
        "ce ",
        "pod ",
        "step 1: evaluation",
        "step 1: a pass over the images",
    )
    for part in parts:
        assert part in printed.err
    run(small(tmp_path, method="ft"), progress=False)
    assert capsys.readouterr().err == ""
