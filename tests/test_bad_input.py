"""Wrong use and broken data in whole runs: exit code 2, one clear message, and nothing half-written."""

import contextlib
import errno
import io
import os
import shutil
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image
from small_runs import contents, small_flags

from plopkit.cli import main
from plopkit.scenario import check
from plopkit.support import files as writing

SCENARIO = "folder 2-1 overlap"

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """``refused(*words)`` runs ``plopkit run`` into tmp_path/out, checks how it refuses, and gives its message."""

    def attempt(*words: str, out: Path = tmp_path / "out", left: dict[str, bytes] | None = None) -> str:
        code = main(["run", *small_flags(out), "--method", "ft", "--optim.batch", "2", *words])
        output = capsys.readouterr()
        assert code == 2
        assert output.out == ""
        message = output.err.split("\r")[-1]  # behind the progress bars
        assert message.startswith("plopkit: ")
        assert "Traceback" not in output.err
        assert "pydantic" not in message
        assert message.count("\n") <= 2
        assert contents(out) == (left or {})
        return message

    return attempt


@pytest.fixture
def root(folder_root: Callable[..., Path]) -> Path:
    return folder_root(train=8, val=4, classes=4, size=(64, 64))


def test_the_data_that_is_broken_below_is_good(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [*small_flags(tmp_path / "out"), "--method", "ft", "--optim.batch", "2", "--data.root", str(root)]
    assert main(["run", SCENARIO, *flags]) == 0
    assert "results, pictures and checkpoints: " in capsys.readouterr().out


# Broken data: what is done to it, then the file and the words that the message must hold


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


def save_mask(path: Path, values: np.ndarray) -> None:
    Image.fromarray(values).save(path)


def save_image(root: Path, stem: str, values: np.ndarray) -> None:
    """As a PNG, in place of the JPEG that is there."""
    remove(root / f"images/{stem}.jpg")
    Image.fromarray(values).save(root / f"images/{stem}.png")


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


BROKEN: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "no folder": (remove, "", "no such folder; data.root must contain images/, masks/ and classes.txt"),
    "no images": (lambda root: remove(root / "images"), "", "it contains no images/"),
    "no masks": (
        lambda root: remove(root / "masks"),
        "",
        "it contains no masks/; images/*.jpg and masks/*.png are needed",
    ),
    "a mask is missing": (
        lambda root: remove(root / "masks/train-03.png"),
        "masks/train-03.png",
        "is missing; complete the data set, or remove the image from the split file",
    ),
    "an image is missing": (
        lambda root: remove(root / "images/val-01.jpg"),
        "images/val-01.jpg",
        "is missing; complete the data set, or remove the image from the split file",
    ),
    "no split": (lambda root: remove(root / "val.txt"), "val.txt", "no val list; write the file stems"),
    "an empty split": (lambda root: (root / "train.txt").write_text("\n \n"), "train.txt", "the split is empty"),
    "no classes": (
        lambda root: remove(root / "classes.txt"),
        "classes.txt",
        "is missing; write one class name per line",
    ),
    "too few classes": (
        lambda root: (root / "classes.txt").write_text("background\n"),
        "classes.txt",
        "1 names; the background and 1 to 254 classes are needed",
    ),
    "a class twice": (
        lambda root: (root / "classes.txt").write_text("background\na\nb\na\n"),
        "classes.txt",
        "the class name 'a' is repeated; every name must be unique",
    ),
    "sizes differ": (
        lambda root: save_mask(root / "masks/train-02.png", np.ones((64, 60), np.uint8)),
        "masks/train-02.png",
        "make them equal",
    ),
    "a label outside the classes": (
        lambda root: save_mask(root / "masks/val-00.png", np.full((64, 64), 9, np.uint8)),
        "masks/val-00.png",
        "label 9 is outside the classes, which are 0 to 3; correct the mask (255 marks ignored pixels)",
    ),
    "fewer names than labels": (
        lambda root: (root / "classes.txt").write_text("background\na\nb\n"),
        "'folder 2-1 overlap'",
        "the task '2-1' does not fit; possible: base-increment with base + increment + … + increment = 2 classes",
    ),
    "a mask in colour": (
        lambda root: save_mask(root / "masks/train-00.png", np.full((64, 64, 3), (0, 0, 1), np.uint8)),
        "masks/train-00.png",
        "RGB'; save the labels in that format (255 marks ignored pixels)",
    ),
    "a mask of 16 bits": (
        lambda root: save_mask(root / "masks/train-00.png", np.full((64, 64), 300, np.uint16)),
        "masks/train-00.png",
        "label 300 is outside the classes, which are 0 to 3",
    ),
    "an image of 16 bits": (
        lambda root: save_image(root, "train-00", np.full((64, 64), 3000, np.uint16)),
        "images/train-00.png",
        "I;16'; save it with 8 bits",
    ),
    "a truncated JPEG": (lambda root: cut(root / "images/train-05.jpg"), "images/train-05.jpg", "damaged or truncated"),
    "a truncated PNG": (lambda root: cut(root / "masks/val-02.png"), "masks/val-02.png", "damaged or truncated"),
    "no image at all": (
        lambda root: (root / "images/train-05.jpg").write_text("hello"),
        "images/train-05.jpg",
        "not a readable image",
    ),
    "an empty file": (
        lambda root: (root / "masks/train-05.png").write_bytes(b""),
        "masks/train-05.png",
        "not a readable image",
    ),
    "too few images for a batch": (
        lambda root: (root / "train.txt").write_text("train-00\n"),  # labels 1 and 2
        "folder 2-1 overlap, step 0: ",
        "1 training images, fewer than one batch of 2; lower optim.batch",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_data_is_told_by_its_file(root: Path, refused: Callable[..., str], name: str) -> None:
    spoil, file, words = BROKEN[name]
    spoil(root)
    output = refused(SCENARIO, "--data.root", str(root))
    assert words in output
    assert (file if "folder 2-1" in file else str(root / file)) in output


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda base: remove(base / "JPEGImages"), "no VOC 2012 here; looked for JPEGImages in"),
        (lambda base: [remove(path) for path in base.glob("SegmentationClass*")], "no masks; one of the folders"),
        (lambda base: remove(base / "ImageSets"), "no train list; one of train_aug.txt, trainaug.txt, train.txt"),
    ],
    ids=["no images", "no masks", "no lists"],
)
def test_broken_voc_is_told(
    voc_root: Callable[..., Path], refused: Callable[..., str], spoil: Callable[[Path], Any], words: str
) -> None:
    root = voc_root()
    spoil(root / "VOCdevkit" / "VOC2012")
    output = refused("voc 15-5 overlap", "--data.root", str(root))
    assert words in output
    assert str(root) in output


# Wrong words


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["--method", "plob"], "there is no method 'plob' (did you mean plop?); known: ft"),
        (["--preset", "large"], "there is no preset 'large'; known: smoke, laptop, gpu, paper"),
        (["--optim.lr", "-3"], "optim.lr = -3.0: Input should be greater than 0"),
        (["--optim.batch", "0"], "optim.batch = 0: Input should be greater than or equal to 1"),
        (["--data.size", "5"], "data.size = 5: "),
        (["--data.scale", "2", "1"], "data.scale = (2.0, 1.0): "),
        (["--model.dilations", "0"], "model.dilations.0 = 0: "),
        (["--seed", "-1"], "seed = -1: "),
        (["--name", "../up"], "name must be a single folder name that does not begin with a dot, not '../up'"),
        (["--method", "mib", "--hyper.kd", "-1"], "hyper.kd = -1.0: "),
        (["--method", "plop", "--hyper.floor", "2"], "hyper.floor = 2.0: Input should be less than or equal to 1"),
        (["--method", "plop", "--hyper.pod", "inf"], "hyper.pod = inf: Input should be a finite number"),
        (["--method", "plop", "--hyper.scales", "0"], "hyper.scales.0 = 0: "),
        (["--method", "plop", "--hyper.scales", "9"], "does not go through PLOP: scale 9 does not fit a map of side 8"),
        (["--model.encoder", "resnet1001"], "no encoder 'resnet1001'"),
        (["--data.root", "x", "--optim.lr", "20", "voc 15-5 overlap"], "optim.lr = 20.0: "),
        (["voc 15-5 overlap"], "voc needs data.root, the folder that the data set is in"),
        (["folder 2-1 overlap"], "folder needs data.root, the folder that the data set is in"),
        (["--data.root", "/no/such", "voc 15-5 overlap"], "/no/such: no such folder; data.root must be a VOC"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_words_are_told_in_one_line(refused: Callable[..., str], words: list[str], output: str) -> None:
    assert output in refused(*words)


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["--optim.rl", "1"], "--optim.lr"),
        (["--hyper.pods", "1"], "--hyper.pod"),
        (["--optim.lr", "fast"], "could not convert string to float: 'fast'"),
        (["--optim.name", "adam"], "'sgd'"),
        (["--optim.lr"], "--optim.lr"),
        (["emoji 15-5 overlap", "and more"], "and more"),
        (["--preset"], "--preset"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_flags_that_do_not_exist_or_parse_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], output: str
) -> None:
    assert main(["run", *words, "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr()
    assert output in message.err
    assert "Traceback" not in message.err
    assert "--help" in message.err or "usage" in message.err
    assert message.out == ""
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("scenario", "output"),
    [
        ("emoji 15-4 overlap", "'emoji 15-5 overlap'"),
        ("emoji 15-5 overlpa", "'emoji 15-5 overlap'"),
        ("emoij 15-5 overlap", "'emoji 15-5 overlap'"),
        ("emoji 15-5", "overlap, disjoint, sequential"),
        ("emoji 15-5 overlap order=zz", "possible: a, b, c"),
        ("emoji", "<data set> <task> <protocol>"),
        ("", "<data set> <task> <protocol>"),
        ("ade 100-50 overlap", "data.root must be an ADEChallengeData2016 folder"),
        ("voc 15-5 overlap\x00", "unknown protocol"),
    ],
)
def test_a_wrong_scenario_is_told_with_the_nearest(refused: Callable[..., str], scenario: str, output: str) -> None:
    message = refused(scenario, "--data.root", "/no/such")
    assert output in message


def test_a_task_that_does_not_fit_ones_own_classes_is_told(root: Path, refused: Callable[..., str]) -> None:
    message = refused("folder 3-2 overlap", "--data.root", str(root))
    assert "the task '3-2' does not fit" in message
    assert "= 3 classes" in message
    assert "'folder 2-1 overlap'" in message


def is_no_scenario(text: str) -> bool:
    try:
        check(text)
    except ValueError:
        return not text.startswith("-")
    return False


@hypothesis_settings(deadline=None, max_examples=40)
@given(st.text(max_size=40))
@example("voc 15-5 overlap order=")
@example("voc 9999999999-1 overlap")
@example("voc 0-0 overlap")
@example("voc -1 overlap")
@example("{[(%s%n)]}")
@example("voc\n15-5\noverlapp")
def test_garbage_for_a_scenario_is_refused(text: str) -> None:
    assume(is_no_scenario(text))
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main(["run", text]) == 2
    assert err.getvalue().startswith("plopkit: ")
    assert "nearest: " in err.getvalue()
    assert out.getvalue() == ""


# Places to write to


def test_an_out_folder_below_a_file_is_told(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "file").write_text("x")
    output = refused(out=tmp_path / "file" / "out")
    assert f"{tmp_path / 'file' / 'out'}: cannot be written (" in output
    assert "choose another folder with out" in output


def test_a_read_only_out_folder_is_told(
    tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tempfile.TemporaryFile

    def read_only(*given: Any, **named: Any) -> Any:
        if named.get("dir") == tmp_path / "out":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(named["dir"]))
        return real(*given, **named)

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)  # root may write everywhere, so the rights are played
    output = refused()
    assert f"{tmp_path / 'out'}: cannot be written (Permission denied); choose another folder with out" in output


def test_too_little_room_is_told(tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=2**20))
    output = refused()
    assert f"{tmp_path / 'out'}: 1 MiB are free, this run needs about 2 MiB" in output
    assert "free disk space, or choose another folder with out" in output


def test_a_folder_of_other_settings_is_told(
    tmp_path: Path, refused: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["--name", "mine"]
    assert main(["run", *small_flags(out), "--method", "ft", "--optim.batch", "2", *words]) == 0
    capsys.readouterr()
    before = contents(out)
    output = refused(*words, "--optim.lr", "0.5", left=before)
    assert f"{out / 'mine'}: made with other settings: optim.lr was 0.002, and is now 0.5" in output
    assert "Choose another name or out, or delete it" in output


def test_a_folder_of_somebody_else_is_told(tmp_path: Path, refused: Callable[..., str]) -> None:
    thesis = tmp_path / "out" / "mine" / "thesis.tex"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("years")
    output = refused("--name", "mine", left={"mine/thesis.tex": b"years"})
    assert "mine: not empty, and not a run's folder; choose another name or out" in output


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The results of fine-tuning with nothing in its way."""
    out = tmp_path_factory.mktemp("straight")
    assert main(["run", *small_flags(out), "--method", "ft", "--name", "mine"]) == 0
    return (out / "mine" / "results.csv").read_bytes()


@pytest.mark.parametrize(
    "file",
    [
        "settings.yaml",
        "step-0.training.1.0.pt",
        "step-0.safetensors",
        "examples.npz",
        "step-1.safetensors",
        "results.csv",
    ],
)
def test_a_disk_that_is_full_in_the_middle_leaves_no_half_file_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], straight: bytes, file: str
) -> None:
    real = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).name == file:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)

    words = ["run", *small_flags(tmp_path / "out"), "--method", "ft", "--name", "mine"]
    with monkeypatch.context() as patch:
        patch.setattr(writing.os, "replace", full)
        assert main(words) == 2
    output = capsys.readouterr().err.split("\r")[-1]
    assert f"{file}: cannot be written (No space left on device); free disk space" in output
    assert "what was finished is kept" in output
    left = contents(tmp_path / "out")
    assert not [name for name in left if name.endswith((".part", f"/{file}"))]
    assert main(words) == 0
    assert (tmp_path / "out" / "mine" / "results.csv").read_bytes() == straight


def test_a_checkpoint_that_was_damaged_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["run", *small_flags(tmp_path), "--method", "ft", "--name", "mine"]
    assert main(words) == 0
    checkpoint = tmp_path / "mine" / "checkpoints" / "step-0.safetensors"
    cut(checkpoint)
    (tmp_path / "mine" / "checkpoints" / "step-1.safetensors").unlink()
    capsys.readouterr()
    assert main(words) == 0
    output = capsys.readouterr().err
    assert f"{checkpoint}: damaged (its SHA-256 is not the one noted when it was written); step 0 is trained" in output
