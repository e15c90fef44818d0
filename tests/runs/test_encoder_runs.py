"""Runs with a transformer as encoder, what is done with their nets, with a frozen encoder, and without training.

Every method resumes with a transformer: `test_encoders_resumed.py`.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tiny_encoders  # noqa: F401  (timm knows them then)
import torch
from interrupted import FEW
from PIL import Image
from small_runs import contents, leave_out_pictures, small, small_flags, ticks_until

from plopkit.cli import main
from plopkit.presets import method_of, open_scenario
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.folder import RunFolder
from plopkit.runs.loading import load
from plopkit.runs.steps import first_net
from plopkit.settings import Settings

pytestmark = pytest.mark.usefixtures("no_pictures")

VIT = {"model__encoder": "test_vit", "model__decoder": "pyramid"}


def assert_same(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def encoder_after(folder: RunFolder, index: int) -> dict[str, torch.Tensor]:
    return folder.net(index).encoder.state_dict()


def numbers(settings: Settings) -> dict[str, bytes]:
    """The nets and the states that a run has left."""
    return {name: data for name, data in contents(settings.folder()).items() if name.endswith(".safetensors")}


@pytest.fixture(scope="module", params=["tiny_swin", "tiny_dinov2"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """MiB with windows and maps of four sizes, and with patches of 14 pixels."""
    with pytest.MonkeyPatch.context() as patch:
        leave_out_pictures(patch)
        model = {"model__encoder": request.param, "model__decoder": "pyramid"}
        return run(small(tmp_path_factory.mktemp("trained"), method="mib", **FEW | model), progress=False)


def test_pictures_of_any_size_are_predicted(trained: RunFolder, tmp_path: Path) -> None:
    (pictures := tmp_path / "pictures").mkdir()
    colours = np.random.default_rng(0).integers(0, 256, (75, 130, 3), np.uint8)
    Image.fromarray(colours).save(pictures / "noise.png")
    words = ["predict", str(trained.path), str(pictures), "-o", str(tmp_path / "out"), "--size", "native"]
    assert main([*words, "--quiet"]) == 0
    found = np.asarray(Image.open(tmp_path / "out" / "masks" / "noise.png"))
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    image = torch.from_numpy(((colours / np.float32(255) - mean) / std).transpose(2, 0, 1))[None]
    with torch.no_grad():
        expected = trained.net(1).eval()(image).logits[0].argmax(0).numpy()
    assert found.shape == (75, 130)
    assert (found == expected).mean() > 0.999  # labels are channels in this order


@pytest.mark.parametrize(("kind", "name"), [("safetensors", "model"), ("plopkit", "step-1")])
def test_an_exported_net_has_the_same_weights(trained: RunFolder, tmp_path: Path, kind: str, name: str) -> None:
    assert main(["export", str(trained.path), "--as", kind, "-o", str(tmp_path)]) == 0
    found, expected = load(tmp_path / f"{name}.safetensors").net, trained.net(1)
    assert found.recipe() == expected.recipe()
    assert_same(found.state_dict(), expected.state_dict())


def test_a_run_continues_from_a_transformer(trained: RunFolder, tmp_path: Path) -> None:
    words = ["run", "emoji 15-5 overlap", "--method", "mib", *small_flags(tmp_path), "--name", "continued"]
    for name, value in FEW.items():  # neither encoder nor decoder is named: the checkpoint says them
        words += [f"--{name.replace('__', '.').replace('_', '-')}", str(value)]
    assert main([*words, "--from", str(trained.path), "--from-step", "0", "--quiet"]) == 0
    assert_same(RunFolder(tmp_path / "continued").net(1).state_dict(), trained.net(1).state_dict())


def test_a_frozen_encoder_never_changes(tmp_path: Path) -> None:
    settings = small(tmp_path, method="mib", model__frozen=True, model__decoder="linear")
    begun = first_net(settings, open_scenario(settings), method_of(settings).first_step())
    folder = Experiment.open(settings).run(progress=False)
    expected = begun.encoder.state_dict()  # the statistics of its norms as well
    for index in (0, 1):
        assert_same(encoder_after(folder, index), expected)
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
