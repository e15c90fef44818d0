"""Runs with a transformer as encoder, with a frozen encoder, and without training."""

from pathlib import Path

import pytest
import torch
from small_runs import contents, small, ticks_until

from plopkit.presets import method_of, open_scenario
from plopkit.runs.experiment import Experiment
from plopkit.runs.folder import RunFolder
from plopkit.runs.steps import first_net
from plopkit.settings import Settings

pytestmark = pytest.mark.usefixtures("no_pictures")

VIT = {"model__encoder": "test_vit", "model__decoder": "pyramid"}


def encoder_after(folder: RunFolder, index: int) -> dict[str, torch.Tensor]:
    return folder.net(index).encoder.state_dict()


def numbers(settings: Settings) -> dict[str, bytes]:
    """The nets and the states that a run has left."""
    return {name: data for name, data in contents(settings.folder()).items() if name.endswith(".safetensors")}


def test_a_run_of_a_transformer_resumes_with_the_same_numbers(tmp_path: Path) -> None:
    straight, stopped = (small(tmp_path, name=name, **VIT) for name in ("straight", "stopped"))  # sharing step 0
    Experiment.open(straight).run(progress=False)
    ticks_until(Experiment.open(stopped), lambda tick: tick.step == 1)
    Experiment.open(stopped).run(progress=False)
    assert len(numbers(straight)) >= 2 and numbers(straight) == numbers(stopped)


def test_a_frozen_encoder_never_changes(tmp_path: Path) -> None:
    settings = small(tmp_path, method="mib", model__frozen=True, model__decoder="linear")
    begun = first_net(settings, open_scenario(settings), method_of(settings).first_step())
    folder = Experiment.open(settings).run(progress=False)
    expected = begun.encoder.state_dict()  # the statistics of its norms as well
    for index in (0, 1):
        found = encoder_after(folder, index)
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    decoders = [folder.net(index).decoder.state_dict()["project.weight"] for index in (0, 1)]
    assert not torch.equal(*decoders)

    going_on = small(tmp_path, method="ft", start__checkpoint=folder.path, start__step=0)
    model = Experiment.open(going_on).settings.model  # the checkpoint says of which form the net is
    assert (model.decoder, model.width, model.frozen) == ("linear", settings.model.width, False)


def test_a_run_that_trains_nothing_has_results_of_every_step(tmp_path: Path) -> None:
    settings = small(tmp_path, method="prototypes", **VIT)
    experiment = Experiment.open(settings)
    assert ticks_until(experiment) == []
    folder = RunFolder(settings.folder())
    assert sorted(set(folder.results["step"])) == [0, 1]
    assert folder.net(1).decoder.recipe() == {"kind": "features", "unit": True}
    assert folder.net(1).classes == (16, 5)
    before = numbers(settings)
    Experiment.open(settings).run(progress=False)
    assert numbers(settings) == before
