"""Damaged runs: the same command makes them whole again, and says what it does and why."""

import errno
import json
import random
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from small_runs import TWO_EPOCHS, contents, small, ticks_until
from torture.damages import BAD, KINDS, Damage, Torture, differences, read_all, settings_of

from plopkit.runs.checkpoints import StepStore
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.folder import RunFolder
from plopkit.runs.mending import is_untouched, missing_examples
from plopkit.runs.opening import open_folder
from plopkit.runs.results import load_results
from plopkit.support import seals
from plopkit.support.files import write_text

pytestmark = pytest.mark.usefixtures("no_pictures", "no_rehearsal")

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def torture(tmp_path_factory: pytest.TempPathFactory) -> Torture:
    return Torture(tmp_path_factory.mktemp("torture"))


@pytest.fixture
def copy(finished: Experiment, tmp_path: Path) -> Experiment:
    """The finished run of PLOP, to be damaged."""
    for path in finished.settings.out.iterdir():
        shutil.copytree(path, tmp_path / path.name)
    return Experiment(small(tmp_path, **TWO_EPOCHS))


def flip(path: Path) -> None:
    KINDS["flip"](path, random.Random(0))


# Every kind of file


FILES = (
    "settings.yaml data.txt results.csv summary.csv ticks.csv examples.npz examples/step-0.npz examples/step-1.npz "
    "checkpoints/step-0.safetensors checkpoints/step-0.state.safetensors checkpoints/step-0.ticks.json "
    "checkpoints/step-1.safetensors checkpoints/step-1.state.safetensors checkpoints/step-1.ticks.json "
    ".results.csv.sha256 .settings.yaml.sha256 checkpoints/.step-0.safetensors.sha256"
).split()


def outcome(torture: Torture, stage: str, file: str, kind: str, method: str = "ewc") -> tuple[str, str] | None:
    folder = settings_of(method, Path()).folder()
    return torture.try_damage(Damage(method, stage, str(Path("runs") / folder / file), kind), random.Random(file))


@pytest.mark.parametrize(("number", "file"), list(enumerate(FILES)))
def test_one_damaged_file_of_a_finished_run(torture: Torture, number: int, file: str) -> None:
    """Each in another way; `tests/torture/damages.py` has the rest."""
    kinds = [kind for kind in KINDS if kind not in ("digit", "lose_rows") or file.endswith(".csv")]
    result = outcome(torture, "finished", file, kinds[number % len(kinds)])
    assert result is not None and result[0] not in BAD, result


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("results.csv", "lose_rows"),
        ("checkpoints/step-0.state.safetensors", "delete"),
        ("checkpoints/step-0.safetensors", "flip"),
        ("checkpoints/step-1.training.2.0.pt", "truncate"),
        ("checkpoints/step-1.training.0.json", "delete"),
    ],
)
def test_one_damaged_file_of_a_half_done_run(torture: Torture, file: str, kind: str) -> None:
    result = outcome(torture, "step 1", file, kind)
    assert result is not None and result[0] == "mended", result
    assert Path(file).name in result[1]


# What is trained again


def test_a_step_that_comes_out_the_same_costs_no_later_one(
    copy: Experiment, finished: Experiment, capsys: Captured
) -> None:
    shutil.rmtree(copy.settings.out / ".step0")
    flip(StepStore(copy.folder.checkpoints, 0).checkpoint)
    assert {step for step, *_ in ticks_until(copy)} == {0}
    expected = read_all(finished.folder.path)
    expected = {name: value for name, value in expected.items() if not name.startswith("pictures")}
    assert not differences(read_all(copy.folder.path), expected)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "step-0.safetensors: damaged (its SHA-256 is not the one noted when it was written); step 0 is" in said


def test_a_step_that_comes_out_otherwise_costs_those_after_it(copy: Experiment, capsys: Captured) -> None:
    """On another machine, say; the results of later steps belong to the step 0 that they were trained from."""
    shared = next((copy.settings.out / ".step0").iterdir())
    store = StepStore(shared, 0)
    net, ticks = store.net(copy.settings.model), store.ticks()
    with torch.no_grad():
        next(net.parameters()).mul_(1.01)
    store.discard()
    store.finish(net, ticks, {})
    before = copy.folder.results
    StepStore(copy.folder.checkpoints, 0).checkpoint.unlink()
    assert {step for step, *_ in ticks_until(copy)} == {1}
    assert "step-1.safetensors: trained from another step 0 than the one that is there" in capsys.readouterr().err
    other = copy.folder.results
    for step in (0, 1):
        assert other.query(f"step == {step}")["iou"].tolist() != before.query(f"step == {step}")["iou"].tolist()
    assert is_untouched(copy.folder, 2)


def test_a_shared_step_0_that_is_damaged_is_trained_again(
    copy: Experiment, finished: Experiment, capsys: Captured
) -> None:
    """By the next run that needs it."""
    shared = next((copy.settings.out / ".step0").iterdir())
    flip(StepStore(shared, 0).checkpoint)
    other = Experiment.open(small(copy.settings.out, method="mib", **TWO_EPOCHS))
    assert {step for step, *_ in ticks_until(other)} == {0, 1}
    assert f"{StepStore(shared, 0).checkpoint}: damaged" in capsys.readouterr().err
    for name in ("step-0.safetensors", ".step-0.safetensors.sha256"):
        assert (other.folder.checkpoints / name).read_bytes() == (finished.folder.checkpoints / name).read_bytes()


def test_a_table_of_several_runs_is_made_again(copy: Experiment, finished: Experiment, capsys: Captured) -> None:
    """Such as two that somebody has joined; without a seal only its rows tell."""
    results = copy.folder.results_file
    seals.seal_file(results).unlink()
    table = results.read_text(encoding="utf-8")
    assert table.count(",plop,0,") > 2
    results.write_text(table.replace(",plop,0,", ",plop,1,", 1), encoding="utf-8")
    with pytest.raises(seals.DamagedError, match=r"results\.csv: damaged \(no seed, or several\); run the command"):
        load_results(copy.settings.out)
    assert ticks_until(copy) == []
    assert "results.csv: damaged (no seed, or several); made again from the checkpoints" in capsys.readouterr().err
    assert results.read_bytes() == finished.folder.results_file.read_bytes()


def test_ticks_are_taken_from_their_table(copy: Experiment, finished: Experiment) -> None:
    """And the table from them: neither costs a training."""
    store = StepStore(copy.folder.checkpoints, 1)
    store.ticks_file.unlink()
    assert ticks_until(copy) == []
    copy.folder.ticks_file.unlink()
    assert ticks_until(copy) == []
    assert copy.folder.ticks_file.read_bytes() == finished.folder.ticks_file.read_bytes()
    store.ticks_file.unlink()
    copy.folder.ticks_file.unlink()
    assert {step for step, *_ in ticks_until(copy)} == {1}
    assert copy.folder.ticks["iteration"].tolist() == finished.folder.ticks["iteration"].tolist()


def test_a_finished_run_is_not_touched(copy: Experiment, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs no lock, either: it may be on a disk that cannot be written."""
    monkeypatch.setattr(RunFolder, "locked", lambda folder: pytest.fail("locked"))
    before = {path: path.stat().st_mtime_ns for path in copy.settings.out.rglob("*")}
    assert ticks_until(copy) == []
    assert capsys.readouterr().err == ""
    assert {path: path.stat().st_mtime_ns for path in copy.settings.out.rglob("*")} == before


def test_a_folder_without_seals_is_as_good(copy: Experiment, finished: Experiment, capsys: Captured) -> None:
    """Of an earlier version; what its files say of themselves is still checked."""
    for seal in copy.settings.out.rglob(".*.sha256"):
        seal.unlink()
    assert ticks_until(copy) == [] and capsys.readouterr().err == ""
    load_results(copy.folder.path)
    path = copy.folder.results_file
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-5]))
    with pytest.raises(ValueError, match=r"results\.csv: damaged \(rows are missing\)"):
        load_results(copy.folder.path)
    assert ticks_until(copy) == []
    assert "results.csv: damaged (rows are missing); made again from the checkpoints" in capsys.readouterr().err
    assert path.read_bytes() == finished.folder.results_file.read_bytes()
    checkpoint = StepStore(copy.folder.checkpoints, 1).checkpoint
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1])
    assert {step for step, *_ in ticks_until(copy)} == {1}


def test_what_cannot_be_mended_is_named_with_the_remedy(copy: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = copy.folder.pictures / "curves.png"
    write_text(picture, "damaged")
    write_text(seals.seal_file(picture), f"{'0' * 64}  {picture.name}\n")

    def refused(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(seals, "remove", refused)
    words = rf"{copy.folder.path}: cannot be mended \(Permission denied\); free disk space or fix the permissions"
    with pytest.raises(PermissionError, match=words):
        list(copy.ticks())


@pytest.mark.pictures
def test_pictures_are_drawn_again(copy: Experiment, finished: Experiment, capsys: Captured) -> None:
    path = copy.folder.pictures / "losses.png"
    KINDS["swap"](path, random.Random(0))
    (copy.folder.pictures / "curves.png").unlink()
    assert ticks_until(copy) == []
    for name in ("losses", "curves", "predictions"):
        expected = (finished.folder.pictures / f"{name}.png").read_bytes()
        assert (copy.folder.pictures / f"{name}.png").read_bytes() == expected
    assert capsys.readouterr().err == f"{path}: damaged; made again\n"


def test_examples_of_earlier_versions_are_not_missing(copy: Experiment) -> None:
    """They kept the predictions of all steps in one file."""
    folder = copy.folder
    arrays = folder.examples
    assert missing_examples(folder, 2) == []
    folder.predictions_file(1).unlink()
    assert missing_examples(folder, 2) == [1]
    with pytest.raises(FileNotFoundError, match=r"step-1\.npz"):
        _ = folder.examples
    with open(folder.examples_file, "wb") as file:
        np.savez(file, **arrays)
    seals.seal_file(folder.examples_file).unlink()
    assert missing_examples(folder, 2) == []
    folder.examples_file.unlink()
    assert missing_examples(folder, 2) == [0, 1]


# Settings and data


def test_settings_with_a_name_are_written_again_by_the_same_command_only(tmp_path: Path, capsys: Captured) -> None:
    """The name of the folder does not say which settings made it; the seal does."""
    settings = small(tmp_path, name="mine", optim__lr=0.5)
    folder = open_folder(settings, "data")
    folder.checkpoints.mkdir()
    text = folder.settings_file.read_text()
    for damaged in (None, "", text.replace("lr: 0.5", "lr: 0.3"), "seed: ["):
        folder.settings_file.unlink() if damaged is None else folder.settings_file.write_text(damaged)
        remedy = r"; repeat the command with exactly the settings that made this run, put back a copy"
        with pytest.raises(ValueError, match=rf"settings\.yaml: (?s:.*){remedy}"):
            open_folder(small(tmp_path, name="mine", optim__lr=0.25), "data")
        open_folder(settings, "data")
        assert folder.settings_file.read_text() == text
        assert f"{folder.settings_file}: " in capsys.readouterr().err
    seals.seal_file(folder.settings_file).write_text(64 * "0" + "  settings.yaml\n")
    open_folder(settings, "data")  # the file says what the command says
    seals.check(folder.settings_file)


def test_the_name_of_a_folder_says_which_settings_made_it(tmp_path: Path, capsys: Captured) -> None:
    settings = small(tmp_path)
    folder = open_folder(settings, "data")
    folder.checkpoints.mkdir()
    before = contents(tmp_path, seals=True)
    for seal in (True, False):
        for damaged in (None, "", folder.settings_file.read_text().replace("seed: 0", "seed: 1")):
            folder.settings_file.unlink() if damaged is None else folder.settings_file.write_text(damaged)
            if not seal:
                seals.seal_file(folder.settings_file).unlink()
            open_folder(settings, "data")
            assert contents(tmp_path, seals=True) == before
            assert "settings.yaml: " in capsys.readouterr().err


@pytest.mark.parametrize("damaged", [None, "", "other images"])
def test_what_was_noted_of_the_images_is_written_again(tmp_path: Path, damaged: str | None) -> None:
    folder = open_folder(small(tmp_path), "train val\n")

    def damage() -> None:
        folder.data_file.unlink() if damaged is None else folder.data_file.write_text(damaged)

    damage()
    open_folder(small(tmp_path), "train val\n")
    assert folder.data_file.read_text() == "train val\n"
    damage()
    with pytest.raises(ValueError, match=r"data\.txt: (damaged|missing), so that nothing says .*: train other - other"):
        open_folder(small(tmp_path), "train other\n")
    seals.seal_file(folder.data_file).unlink()
    if not damaged:  # the run of an earlier version
        with pytest.raises(ValueError, match=r"if they are, write this line to it: train val - otherwise choose"):
            open_folder(small(tmp_path), "train val\n")
        folder.data_file.write_text("train val\n")
        open_folder(small(tmp_path), "train val\n")


# Litter


@pytest.mark.parametrize("name", ["results.csv", "ticks.csv", "checkpoints/step-0.safetensors", "examples/step-0.npz"])
def test_a_folder_in_the_place_of_a_file_is_to_be_moved_away(
    name: str, copy: Experiment, finished: Experiment, tmp_path: Path
) -> None:
    path = copy.folder.path / name
    path.unlink(missing_ok=True)
    path.mkdir()
    with pytest.raises(OSError, match=rf"{re.escape(str(path))}: .*move it away"):
        run(copy.settings, progress=False)
    path.rmdir()
    run(copy.settings, progress=False)
    assert copy.folder.results.equals(finished.folder.results)


def test_nothing_half_written_survives_the_next_start(copy: Experiment) -> None:
    """In the run's folder and below, in the shared one, and in the folder of all runs."""
    shared = next((copy.settings.out / ".step0").iterdir())
    folder = copy.folder
    parts = [
        *(place / ".a.1.part" for place in (folder.path, folder.pictures, folder.predictions, folder.checkpoints)),
        *(place / ".b.2.part" for place in (shared, copy.settings.out)),
        folder.checkpoints / ".tmpAbC123",
    ]
    for part in parts:
        part.parent.mkdir(exist_ok=True)
        part.write_text("half")
    assert ticks_until(copy) == []
    assert [part for part in parts if part.exists()] == []
    assert is_untouched(folder, 2)


# Numbers that are not finite


@pytest.mark.parametrize("name", ["net", "state", "training"])
def test_numbers_that_are_not_finite_are_traced_to_their_file(tmp_path: Path, name: str) -> None:
    """They were there before the training, so a lower learning rate would not help. Doing what is said does."""
    settings = small(tmp_path, method="ewc", optim__epochs_later=2)
    ticks_until(Experiment.open(settings), lambda tick: tick.step == 1 and tick.epoch_done)
    first, second = (StepStore(RunFolder(settings.folder()).checkpoints, index) for index in range(2))
    if name == "training":
        path = second.training.state_files()[0]
        content = torch.load(path)
        next(iter(content["training"]["net"].values())).fill_(torch.nan)
        torch.save(content, path)
    else:
        second.training.discard()
        path, tensors = (first.checkpoint, first.weights()) if name == "net" else (first.state_file, first.state())
        with safe_open(path, "pt") as file:
            about = file.metadata()
        nan = {key: t * torch.nan if t.is_floating_point() else t for key, t in tensors.items()}
        save_file(nan, path, about)
    # As earlier versions left it: no seal, and nothing that names the state's digest.
    seals.seal_file(path).unlink()
    if name == "state":
        with safe_open(first.checkpoint, "pt") as file:
            about = json.loads(file.metadata()["step"]) | {"state_sha256": None}
        save_file(first.weights(), first.checkpoint, {"step": json.dumps(about)})
        seals.seal_file(first.checkpoint).unlink()
    problem = r"holds numbers that are not finite, and so the loss term '\w+' is nan in step 1, .*; delete it"
    with pytest.raises(FloatingPointError, match=rf"{path.name}: {problem}"):
        run(settings, progress=False)
    path.unlink()
    run(settings, progress=False)


def test_a_run_of_plopkit_0_1_that_lost_its_state_is_refused(tmp_path: Path) -> None:
    """Its checkpoints do not say that there was one; without it, EWC would have no penalty."""
    settings = small(tmp_path, method="ewc")
    ticks_until(Experiment.open(settings), lambda tick: tick.step == 1)
    store = StepStore(RunFolder(settings.folder()).checkpoints, 0)
    tensors, ticks = store.weights(), store.ticks()
    store.discard()
    StepStore(store.folder, 1).training.discard()
    for new, old in {"decoder.": "head.", "classifier.": "classifiers."}.items():
        tensors = {key.replace(new, old) if key.startswith(new) else key: t for key, t in tensors.items()}
    save_file(tensors, store.checkpoint, {"classes": "[16]"})
    write_text(store.ticks_file, json.dumps(ticks))
    message = r"memory\.safetensors: missing, and EWC needs it; put it back, or delete step-0"
    with pytest.raises(ValueError, match=message):
        run(settings, progress=False)
    store.checkpoint.unlink()
    run(settings, progress=False)
