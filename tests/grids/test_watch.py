"""How far a run is, read from its folder while it trains."""

from pathlib import Path

import pytest
from small_runs import SMALL, TWO_EPOCHS, small, ticks_until

from plopkit.grids.plan import PlannedRun, plan
from plopkit.grids.watch import Place, Scores, is_finished, place_of, scores_of, words_of
from plopkit.runs.experiment import Experiment
from plopkit.runs.folder import RunFolder


def planned(out: Path) -> PlannedRun:
    choices = {**SMALL, **{name.replace("__", "."): value for name, value in TWO_EPOCHS.items()}}
    (run,) = plan(
        ["emoji 15-5 overlap"], ["plop"], [0], "smoke", {name: [value] for name, value in choices.items()}, out
    )
    return run


def test_how_many_epochs_the_least_iterations_take_is_left_out(tmp_path: Path) -> None:
    (run,) = plan(["emoji 15-5 overlap"], ["plop"], [0], "smoke", {"optim.min_iterations": ["70"]}, tmp_path)
    assert words_of(run, Place(0, 0, 0, 3)) == "step 0/1, epoch 1/1"
    assert words_of(run, Place(1, 1, 2, 3)) == "step 1/1, epoch 3"


@pytest.mark.usefixtures("no_pictures")
def test_every_place_of_a_run_is_seen(tmp_path: Path) -> None:
    run = planned(tmp_path)
    settings = small(tmp_path, **TWO_EPOCHS)
    assert run.settings == settings
    seen = [(place_of(run), words_of(run, place_of(run)), scores_of(run))]
    for step, epoch in ((0, 0), (0, 1), (1, 0)):
        ticks_until(Experiment.open(settings), lambda tick: (tick.step, tick.epoch) == (step, epoch))  # noqa: B023
        seen.append((place_of(run), words_of(run, place_of(run)), scores_of(run)))
    assert not is_finished(run)
    Experiment.open(settings).run(progress=False)
    seen.append((place_of(run), words_of(run, place_of(run)), scores_of(run)))
    assert [place for place, _, _ in seen] == [
        Place(),
        Place(0, 0, 0, 1),
        Place(0, 0, 1, 1),
        Place(1, 1, 0, 1),
        Place(2, 2),
    ]
    assert [words for _, words, _ in seen] == [
        "step 0/1, epoch 1/2",
        "step 0/1, epoch 1/2",
        "step 0/1, epoch 2/2",
        "step 1/1, epoch 1/2",
        "pictures",
    ]
    summary = RunFolder(settings.folder()).summary
    assert [scores for _, _, scores in seen[:3]] == [Scores()] * 3
    assert seen[3][2] == Scores(summary["old"][0], None, summary["all"][0])
    assert seen[4][2] == Scores(summary["old"][1], summary["new"][1], summary["all"][1])
    assert not is_finished(run)  # its pictures were left out
    (settings.folder() / "pictures").mkdir()
    (settings.folder() / "pictures" / "predictions.png").touch()
    assert is_finished(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plopkit.grids.watch.sources_of", lambda *kinds: {"plopkit.pod": "changed"})
        assert not is_finished(run)  # `plopkit run` refuses it
    content = (settings.folder() / "results.csv").read_bytes()
    (settings.folder() / "results.csv").write_bytes(content.replace(b"emoji", b"emoij", 1))
    assert not is_finished(run)  # `plopkit run` makes it again


def test_between_a_checkpoint_and_its_results_a_step_is_evaluated(tmp_path: Path) -> None:
    run = planned(tmp_path)
    checkpoints = run.folder.checkpoints
    checkpoints.mkdir(parents=True)
    (checkpoints / "step-0.safetensors").touch()
    assert words_of(run, place_of(run)) == "step 0/1, evaluation"
