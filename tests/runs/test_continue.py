"""Runs that begin with what there is: a step's checkpoint of any origin, without the pictures of step 0."""

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import torch
from picture_files import write_pair
from safetensors.torch import load_file, save_file
from small_folders import NEW, OLD, add_to_list, write_folder
from small_runs import contents, small, ticks_until

from plopkit.cli import main
from plopkit.flags import parse_run
from plopkit.model.checkpoints import save_published
from plopkit.model.segmenter import Segmenter
from plopkit.presets import method_of, open_scenario
from plopkit.runs.class_names import labels_of
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.folder import RunFolder
from plopkit.runs.given import open_given
from plopkit.runs.start import find_start, with_start
from plopkit.runs.step_file import reorder
from plopkit.runs.written import folder_of
from plopkit.scenario import Scenario
from plopkit.settings import Settings, Start, to_yaml
from plopkit.widgets import LiveRun

pytestmark = pytest.mark.usefixtures("no_pictures")

TASK = "folder 2+1+1 overlap"


def settings_of(root: Path, out: Path, scenario: str = TASK, method: str = "plop", **overrides: Any) -> Settings:
    start = {f"start__{name}": overrides.pop(name) for name in ("checkpoint", "classes", "step") if name in overrides}
    return small(out, scenario, method, data__root=root, **{"optim__batch": 2} | start | overrides)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("everything"), OLD, NEW)


@pytest.fixture(scope="module")
def new_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures of the later steps alone."""
    return write_folder(tmp_path_factory.mktemp("new"), NEW)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, everything: Path) -> RunFolder:
    """All three steps, each trained from the pictures of its classes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plopkit.runs.experiment.draw_pictures", lambda folder, title: None)
        return run(settings_of(everything, tmp_path_factory.mktemp("trained")), progress=False)


def step_files(folder: RunFolder) -> list[bytes]:
    return [(folder.checkpoints / f"step-{index}.safetensors").read_bytes() for index in range(3)]


# From a run's checkpoint


@pytest.mark.parametrize("step", [None, 0, 1])
def test_the_later_steps_come_out_the_same_without_the_pictures_of_step_0(
    trained: RunFolder, new_only: Path, tmp_path: Path, step: int | None
) -> None:
    folder = run(settings_of(new_only, tmp_path, checkpoint=trained.path, step=step), progress=False)
    assert step_files(folder) == step_files(trained)
    assert folder.ticks["step"].unique().tolist() == ([1, 2] if step == 0 else [2])
    assert folder.results["step"].unique().tolist() == [0, 1, 2]
    assert folder.results.query("step == 0")["pixels"].sum() == 0  # there is no validation picture of its classes
    before = contents(folder.path, seals=True)
    assert run(settings_of(new_only, tmp_path, checkpoint=trained.path, step=step), progress=False) == folder
    assert contents(folder.path, seals=True) == before


def test_a_single_file_names_its_classes_and_may_be_gone_when_the_run_is_resumed(
    trained: RunFolder, everything: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mine.safetensors"
    file.write_bytes(step_files(trained)[0])
    settings = settings_of(everything, tmp_path, checkpoint=file)
    experiment = Experiment.open(settings)
    ticks_until(experiment, lambda tick: (tick.step, tick.iteration) == (1, 0))
    folder = experiment.folder
    assert folder.evaluated() == 1
    file.unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r"mine\.safetensors: no such checkpoint; start\.checkpoint \(--from\) names a run's folder",
    ):
        run(settings, progress=False)
    assert run(folder.settings, progress=False) == folder
    assert step_files(folder) == step_files(trained)
    assert folder.results.query("step == 0")["pixels"].sum() > 0


def test_a_damaged_copy_is_taken_from_the_checkpoint_again(
    trained: RunFolder, new_only: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(new_only, tmp_path, checkpoint=trained.path, step=0)
    folder = run(settings, progress=False)
    (folder.checkpoints / "step-0.safetensors").write_bytes(b"damaged")
    assert run(settings, progress=False) == folder
    assert step_files(folder) == step_files(trained)
    assert "step-0.safetensors: damaged" in capsys.readouterr().err


def test_the_checkpoint_is_part_of_the_identity_and_its_place_is_not(
    trained: RunFolder, new_only: Path, tmp_path: Path
) -> None:
    files = [trained.checkpoints / "step-0.safetensors", tmp_path / "copy.safetensors"]
    files[1].write_bytes(files[0].read_bytes())
    same, moved = (with_start(settings_of(new_only, tmp_path, checkpoint=file)) for file in files)
    assert same.folder() == moved.folder() != settings_of(new_only, tmp_path).folder()
    other = with_start(settings_of(new_only, tmp_path, checkpoint=trained.path, step=1))
    assert other.folder() != same.folder()
    wrong = same.model_copy(update={"start": same.start.model_copy(update={"digest": "0" * 16})})
    with pytest.raises(ValueError, match=r"its digest is [0-9a-f]{16}, not 0{16}: it has changed"):
        with_start(wrong)


def test_a_shorter_tasks_run_is_continued_by_the_longer_task(everything: Path, tmp_path: Path) -> None:
    names = ("background", "cat", "dog", "Äpfel")
    shorter = {split: {stem: labels for stem, labels in NEW[split].items() if 4 not in labels} for split in NEW}
    root = write_folder(tmp_path / "shorter", OLD, shorter, names=names)
    first = run(settings_of(root, tmp_path, "folder 2-1 overlap"), progress=False)
    folder = run(settings_of(everything, tmp_path, checkpoint=first.path), progress=False)
    assert step_files(folder)[:2] == [(first.checkpoints / f"step-{i}.safetensors").read_bytes() for i in (0, 1)]
    assert folder.ticks["step"].unique().tolist() == [2]


@pytest.mark.pictures
def test_a_later_step_of_a_run_may_stand_for_step_0(trained: RunFolder, new_only: Path, tmp_path: Path) -> None:
    folder = run(settings_of(new_only, tmp_path, "folder 3-1 overlap", checkpoint=trained.path, step=1), progress=False)
    assert folder.net(0).classes == (4,)
    expected = load_file(trained.checkpoints / "step-1.safetensors")
    found = load_file(folder.checkpoints / "step-0.safetensors")
    together = torch.cat([expected["classifier.0.weight"], expected["classifier.1.weight"]])
    assert torch.equal(found["classifier.0.weight"], together)
    assert folder.net(1).classes == (4, 1)
    assert sorted(path.name for path in folder.pictures.iterdir() if path.suffix == ".png")  # without ticks of step 0


# From released checkpoints, and classes by name


def released(path: Path, n_channels: int, layout: str = "official") -> Segmenter:
    from plopkit.model.encoders import Encoder

    torch.manual_seed(0)
    net = Segmenter(Encoder("resnet18", weights="none"), (n_channels,), width=16)
    save_published(net, path, layout)
    return net


def test_a_checkpoint_with_its_classes_in_another_order(new_only: Path, tmp_path: Path, tiny_net) -> None:
    net, file = tiny_net(3), tmp_path / "step0.safetensors"
    save_published(net, file, "plopkit")
    classes = tmp_path / "classes.txt"
    classes.write_text("void\ndog\ncat\n", encoding="utf-8")
    settings = settings_of(new_only, tmp_path, "folder 2-2 overlap", checkpoint=file, classes=classes)
    experiment = Experiment.open(settings)
    ticks_until(experiment, lambda tick: True)
    folder = experiment.folder
    weight = folder.net(0).classifier[0].weight
    assert torch.equal(weight, net.classifier[0].weight[[0, 2, 1]])
    assert torch.equal(folder.net(0).classifier[0].bias, net.classifier[0].bias[[0, 2, 1]])
    recorded = folder.settings.model
    assert (recorded.encoder, recorded.width, recorded.dilations) == ("test_efficientnet", 16, (1, 2))
    classes.write_text("void\ncat\ndog\n", encoding="utf-8")
    assert with_start(settings).folder() != folder.path


@pytest.mark.parametrize("layout", ["official", "cssegmentation", "plopkit"])
def test_every_layout_of_a_checkpoint_is_read(new_only: Path, tmp_path: Path, layout: str) -> None:
    file = tmp_path / ("step0.safetensors" if layout == "plopkit" else "step0.pth")
    net = released(file, 3, layout)
    (tmp_path / "c.txt").write_text("background\ncat\ndog\n", encoding="utf-8")
    settings = with_start(settings_of(new_only, tmp_path, checkpoint=file, classes=tmp_path / "c.txt"))
    given = open_given(settings, open_scenario(settings), method_of(settings), RunFolder(settings.folder()))
    assert given is not None and len(given) == 1
    image = torch.randn(1, 3, 64, 64)
    assert torch.allclose(given.net(0).eval()(image).logits, net.eval()(image).logits, atol=1e-5)
    assert given.model().encoder == "resnet18"


def test_an_exported_file_names_its_classes(new_only: Path, tmp_path: Path, tiny_net) -> None:
    file, net = tmp_path / "exported.safetensors", tiny_net(3)
    classes = [{"channel": i, "label": i, "name": name} for i, name in enumerate(("background", "dog", "cat"))]
    texts = {"net": json.dumps(net.recipe()), "model.json": json.dumps({"classes": classes, "n_labels": 3})}
    save_file({name: tensor.contiguous() for name, tensor in net.state_dict().items()}, file, texts)
    (given,) = find_start(settings_of(new_only, tmp_path, checkpoint=file)).files
    assert given.labels == (0, 2, 1)


def test_weights_of_an_encoder_alone_are_refused(new_only: Path, tmp_path: Path) -> None:
    from plopkit.model.encoders import Encoder

    torch.save(Encoder("resnet18", weights="none").net.state_dict(), tmp_path / "resnet.pth")
    (tmp_path / "c.txt").write_text("background\ncat\ndog\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"resnet\.pth: holds an encoder's ImageNet weights, and no classifier"):
        run(settings_of(new_only, tmp_path, checkpoint=tmp_path / "resnet.pth", classes=tmp_path / "c.txt"))


def test_a_released_checkpoint_needs_its_classes_named(new_only: Path, tmp_path: Path) -> None:
    released(tmp_path / "step0.pth", 3)
    with pytest.raises(
        ValueError, match=r"step0\.pth: does not name the 3 classes .* start\.classes \(--from-classes classes\.txt\)"
    ):
        run(settings_of(new_only, tmp_path, checkpoint=tmp_path / "step0.pth"))
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt: no such list"):
        run(settings_of(new_only, tmp_path, checkpoint=tmp_path / "step0.pth", classes=tmp_path / "nowhere.txt"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("background cat dgo", r"'dgo' is no class of the data \(did you mean dog\?\); known: background, cat, dog"),
        ("background cat", r"2 classes, but step 0 of .* has 3, .*; these are without dog$"),
        ("background cat car", r"these are without dog and with car; the scenario \"folder 2-1 overlap order=1,4,2,3"),
        ("background cat cat", r"the class name 'cat' is repeated"),
        ("cat background dog", r"begins with 'cat', but channel 0 is the background"),
    ],
)
def test_classes_that_do_not_fit_are_explained(new_only: Path, tmp_path: Path, lines: str, message: str) -> None:
    released(tmp_path / "step0.pth", 3)
    (tmp_path / "c.txt").write_text(lines.replace(" ", "\n"), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        run(settings_of(new_only, tmp_path, checkpoint=tmp_path / "step0.pth", classes=tmp_path / "c.txt"))
    assert not list(tmp_path.glob("folder*"))


def test_a_checkpoint_with_other_channels_is_refused(new_only: Path, tmp_path: Path) -> None:
    released(tmp_path / "step0.pth", 5)
    (tmp_path / "c.txt").write_text("background\ncat\ndog\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"step0\.pth: has 5 channels, but step 0 of .* has 3, and so has .*c\.txt"):
        run(settings_of(new_only, tmp_path, checkpoint=tmp_path / "step0.pth", classes=tmp_path / "c.txt"))


def test_names_are_compared_in_one_form_of_unicode() -> None:
    step = Scenario.parse("folder 2-1 overlap", 4).steps[0]
    names = ("background", "Äpfel", "café", "car")
    own = [unicodedata.normalize("NFD", name) for name in ("nothing", "café", "Äpfel")]
    assert labels_of(own, names, "list", step) == (0, 2, 1)


def test_channels_of_several_classifiers_are_put_in_order(tiny_net) -> None:
    net = tiny_net(3, 2)
    before = net.eval()(image := torch.randn(1, 3, 64, 64)).logits
    reorder(net, [0, 4, 1, 2, 3], (3, 2), Path("net"))
    assert net.classes == (3, 2)
    assert torch.allclose(net(image).logits, before[:, [0, 4, 1, 2, 3]], atol=1e-6)


# Methods that need a state of step 0


def test_methods_are_asked_what_they_need_of_step_0(trained: RunFolder, new_only: Path, tmp_path: Path) -> None:
    cases = {
        "ewc": r"EWC \(ewc\) cannot go on from .*step-0\.safetensors: it needs the fisher of each parameter, gathered",
        "rw": r"it needs the fisher and score of each parameter",
        "reminder": r"it needs prototypes of step 0, which it makes from the step's training images, and there are 0",
        "rcil": r"RCIL \(rcil\) cannot go on from .*: RCIL continues a net with two branches",
    }
    for method, message in cases.items():
        file = trained.checkpoints / "step-0.safetensors"
        with pytest.raises(ValueError, match=message + ".*name a run of"):
            run(settings_of(new_only, tmp_path, method=method, checkpoint=file))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["dkd", "ssul"])
def test_a_net_that_a_method_cannot_continue_is_refused(kind: str, everything: Path, tmp_path: Path) -> None:
    folder = run(settings_of(everything, tmp_path / "own", method=kind), progress=False)
    message = (
        r"nearest prototype \(prototypes\) cannot go on from .*step-0.* without a decoder.*name a run of prototypes"
    )
    with pytest.raises(ValueError, match=message):
        run(settings_of(everything, tmp_path / "next", method="prototypes", checkpoint=folder.path, step=0))
    with pytest.raises(
        ValueError, match=r"MiB \(mib\) cannot go on from .*a softmax over all classes.*name a run of mib"
    ):
        run(settings_of(everything, tmp_path / "next", method="mib", checkpoint=folder.path, step=0))
    assert not (tmp_path / "next").exists()
    with pytest.raises(ValueError, match=r"in another order than the scenario's, .* give the scenario its order"):
        reorder(folder.net(1), [0, 2, 1, 3], (4,), Path("net"))


@pytest.mark.parametrize("kind", ["dkd", "ssul", "star"])
def test_a_binary_net_of_several_steps_may_stand_for_step_0(kind: str, everything: Path, tmp_path: Path) -> None:
    first = run(settings_of(everything, tmp_path, method=kind), progress=False)
    task = {"scenario": "folder 3-1 overlap", "method": kind, "checkpoint": first.path, "step": 1}
    folder = run(settings_of(everything, tmp_path, **task), progress=False)
    assert [folder.net(index).classes for index in (0, 1)] == [(3, 1), (3, 1, 1)]
    own, expected = folder.net(0).state_dict(), first.net(1).state_dict()
    assert own.keys() == expected.keys() and all(torch.equal(own[name], expected[name]) for name in own)
    assert folder.results.query("step == 1")["label"].tolist() == [0, 1, 2, 3, 4]


def test_a_state_is_made_from_the_pictures_that_there_are(trained: RunFolder, everything: Path, tmp_path: Path) -> None:
    file = trained.checkpoints / "step-0.safetensors"
    straight = Experiment.open(settings_of(everything, trained.path.parent, method="reminder"))
    ticks_until(straight, lambda tick: tick.step == 1)
    folder = run(settings_of(everything, tmp_path, method="reminder", checkpoint=file), progress=False)
    name = "step-0.state.safetensors"
    own, expected = (load_file(each.checkpoints / name) for each in (folder, straight.folder))
    assert own.keys() == expected.keys() == {"prototypes"}
    assert torch.equal(own["prototypes"], expected["prototypes"])


def test_a_state_comes_with_a_run_of_the_method(everything: Path, new_only: Path, tmp_path: Path) -> None:
    straight = run(settings_of(everything, tmp_path / "all", method="ewc"), progress=False)
    folder = run(settings_of(new_only, tmp_path, method="ewc", checkpoint=straight.path, step=0), progress=False)
    assert step_files(folder) == step_files(straight)
    name = "step-0.state.safetensors"
    assert (folder.checkpoints / name).read_bytes() == (straight.checkpoints / name).read_bytes()


# Lists


def test_a_step_without_images_names_its_classes_the_list_and_the_remedy(new_only: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="step 0") as raised:
        run(settings_of(new_only, tmp_path))
    message = str(raised.value)
    assert f"none of the 8 training images listed in {new_only / 'train.txt'} is of its classes" in message
    assert "no image shows cat, dog" in message and "--from CHECKPOINT" in message and "optim.batch" not in message


def test_a_grown_list_goes_on_from_the_finished_step_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_folder(tmp_path / "data", OLD, NEW)
    settings = settings_of(root, tmp_path / "runs")
    first = run(settings, progress=False)
    before = contents(first.path, seals=True)
    write_folder(root, {"train": {"car8": (4,), "car9": (4,)}})
    second = run(settings, progress=False)
    assert "train: 2 images more (car8, car9) since this run was made" in capsys.readouterr().err
    assert second.path.parent == first.path.parent and second.path.name.startswith(f"{first.path.name}_grown_")
    assert contents(first.path, seals=True) == before
    assert step_files(second)[:2] == step_files(first)[:2]  # step 1 trains on none of the new pictures either
    assert second.ticks["step"].value_counts().to_dict() == {2: 3}  # six pictures in batches of two
    assert run(settings, progress=False) == second == folder_of(settings)
    assert Experiment(settings).folder == LiveRun(settings).folder == second
    write_folder(root, {"train": {"apple8": (3,)}})
    third = run(settings, progress=False)
    assert folder_of(settings) == third
    assert third != second and third.ticks["step"].unique().tolist() == [1, 2]
    assert step_files(third)[0] == step_files(first)[0]
    for name in ("car8", "car9", "apple8"):
        (root / "train.txt").write_text((root / "train.txt").read_text().replace(f"{name}\n", ""))
    assert run(settings, progress=False) == first == folder_of(settings)


def test_a_list_that_lost_an_image_is_refused_with_what_can_be_done(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", OLD, NEW)
    first = run(settings_of(root, tmp_path / "runs"), progress=False)
    kept = [stem for stem in (root / "train.txt").read_text().split() if stem != "old3"]
    (root / "train.txt").write_text("")
    add_to_list(root / "train.txt", kept)
    words = r"\(train: 1 image removed \(old3\)\); choose .* go on from its finished step 0 .*: start\.checkpoint "
    with pytest.raises(ValueError, match=words + re.escape(str(first.path))):
        run(settings_of(root, tmp_path / "runs"))


def test_a_flag_replaces_the_checkpoint_of_a_settings_file(trained: RunFolder, new_only: Path, tmp_path: Path) -> None:
    """With the file's own digest, another checkpoint would be refused."""
    step_0 = trained.checkpoints / "step-0.safetensors"
    settings = with_start(settings_of(new_only, tmp_path, checkpoint=trained.path, step=0))
    assert settings.start.digest
    file = tmp_path / "settings.yaml"
    file.write_text(to_yaml(settings), encoding="utf-8")
    same = parse_run(["--config", str(file)])
    assert same.start == settings.start
    other = parse_run(["--config", str(file), "--from", str(step_0)])
    assert other.start == Start(checkpoint=step_0)
    assert parse_run(["--config", str(file), "--from-step", "0"]).start.digest == ""


def test_the_check_knows_what_a_run_begins_with(
    trained: RunFolder, new_only: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "check", TASK, "--data.root", str(new_only), "--preset", "smoke", "--optim.batch", "2"]
    assert main(words) == 1
    assert "step 0: none of the" in capsys.readouterr().out
    assert main([*words, "--from", str(trained.path), "--from-step", "0"]) == 0
    assert "nothing stops a run" in capsys.readouterr().out


def test_other_data_of_the_same_scenario_are_named(trained: RunFolder, tmp_path: Path) -> None:
    other = write_folder(tmp_path / "other", OLD, NEW)
    write_pair(other / "images" / "old0.jpg", other / "masks" / "old0.png", (2, 1), (72, 80), 99, palette=False)
    root, out = trained.settings.data.root, trained.settings.out
    with pytest.raises(ValueError, match=rf"this folder is the run on {root}, and {other} holds other images or masks"):
        Experiment.open(settings_of(other, out))
