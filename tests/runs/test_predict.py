"""A trained net on any pictures: from Python and from the command line."""

import csv
import dataclasses
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_encoders  # noqa: F401  (makes them known)
import torch
from picture_files import truncate
from PIL import Image
from torch import Tensor

import plopkit
from plopkit.cli import main
from plopkit.model.checkpoints import save_published
from plopkit.model.encoders import Encoder
from plopkit.model.segmenter import Segmenter
from plopkit.runs.experiment import Experiment
from plopkit.runs.exporting import export_net
from plopkit.runs.inputs import find_inputs
from plopkit.runs.loading import load
from plopkit.runs.predict import mask_png, predict_pictures
from plopkit.runs.predictor import Predictor, Tile, bytes_per_pixel
from plopkit.tiling import UPSAMPLING
from plopkit.viz.colours import palette

NAMES = ("background", "disc", "star", "ring")


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def predictor(tiny_net: Callable[..., Segmenter]) -> Predictor:
    """A net of three channels, which have the labels 0, 3 and 1 of four."""
    return Predictor(tiny_net(2, 1).eval().requires_grad_(False), NAMES, (0, 3, 1))


def logits_of(predictor: Predictor, colours: np.ndarray) -> Tensor:
    with torch.no_grad():
        return predictor.net(torch.from_numpy(colours.transpose(2, 0, 1).copy())[None]).logits


# Python


def test_labels_are_those_of_the_largest_logits(predictor: Predictor) -> None:
    colours = noise(70, 90)
    labels = predictor.predict(colours)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, np.array([0, 3, 1])[logits_of(predictor, colours)[0].argmax(0).numpy()])
    assert set(np.unique(labels)) == {0, 1, 3}


def test_probabilities_are_by_label(predictor: Predictor) -> None:
    colours = noise(70, 90)
    found = predictor.probabilities(colours)
    expected = logits_of(predictor, colours).softmax(1)[0].numpy()
    assert found.shape == (4, 70, 90)
    assert not found[2].any()
    for channel, label in enumerate((0, 3, 1)):
        np.testing.assert_allclose(found[label], expected[channel], atol=1e-6)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


def test_pixels_under_the_threshold_are_ignored(predictor: Predictor) -> None:
    colours = noise(70, 90)
    confident = dataclasses.replace(predictor, confidence=0.9).predict(colours)
    sure = predictor.probabilities(colours).max(0) >= 0.9
    assert 0.05 < sure.mean() < 0.95
    np.testing.assert_array_equal(confident, np.where(sure, predictor.predict(colours), 255))


def test_the_method_decodes(predictor: Predictor) -> None:
    """As a head of sigmoids does: background where no logit is above 0."""

    def decode(logits: Tensor) -> Tensor:
        best = logits[:, 1:].max(1)
        return torch.where(best.values > 0, best.indices + 1, 0)

    colours = noise(64, 64)
    logits = logits_of(predictor, colours)[0].numpy()
    expected = np.where(logits[1:].max(0) > 0, np.array([3, 1])[logits[1:].argmax(0)], 0)
    np.testing.assert_array_equal(dataclasses.replace(predictor, decode=decode).predict(colours), expected)


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (65, 64), (33, 200)])
def test_results_have_the_size_of_the_picture(predictor: Predictor, size: tuple[int, int]) -> None:
    assert predictor.predict(noise(*size)).shape == size
    for short_side in (32, 100):
        resized = dataclasses.replace(predictor, size=short_side)
        assert resized.predict(noise(*size)).shape == size
        assert resized.probabilities(noise(*size)).shape == (4, *size)


def test_the_net_sees_what_evaluation_shows_it(predictor: Predictor) -> None:
    """The short side is resized as by `eval_transform`; the logits are interpolated to the picture's size."""
    from plopkit.datasets.source import Pair
    from plopkit.datasets.transforms import Resize, Transform

    colours = noise(60, 95)
    pair = Pair(torch.from_numpy(colours).permute(2, 0, 1), torch.zeros(60, 95, dtype=torch.uint8))
    image = Transform(Resize(40, antialias=True))(pair).image
    assert image.shape[1:] == predictor_size(predictor, 60, 95, 40)
    logits = logits_of(predictor, image.permute(1, 2, 0).numpy())
    expected = torch.nn.functional.interpolate(logits, (60, 95), mode="bilinear", align_corners=False)
    found = dataclasses.replace(predictor, size=40).probabilities(colours)
    np.testing.assert_allclose(found[[0, 3, 1]], expected.softmax(1)[0].numpy(), atol=1e-5)


def predictor_size(predictor: Predictor, height: int, width: int, size: int) -> tuple[int, int]:
    return dataclasses.replace(predictor, size=size).seen_size(height, width)


def test_pictures_that_would_become_too_large_are_refused(predictor: Predictor) -> None:
    with pytest.raises(ValueError, match="40000 x 2 pixels with a short side of 100 would be 100 x 2000000"):
        predictor_size(predictor, 2, 40_000, 100)


def test_files_pictures_and_arrays_give_the_same(predictor: Predictor, tmp_path: Path) -> None:
    colours = noise(64, 80)
    Image.fromarray(colours).save(tmp_path / "x.png")
    expected = predictor.predict(colours)
    for image in (tmp_path / "x.png", str(tmp_path / "x.png"), Image.fromarray(colours), np.asfortranarray(colours)):
        np.testing.assert_array_equal(predictor.predict(image), expected)
    np.testing.assert_array_equal(predictor.predict(colours[::-1, ::-1]), predictor.predict(colours[::-1, ::-1].copy()))


def test_a_turned_photograph_is_predicted_upright(predictor: Predictor, tmp_path: Path) -> None:
    colours = noise(64, 80)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(colours).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(predictor.predict(tmp_path / "x.png"), predictor.predict(np.rot90(colours, -1)))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 3)), r"not an array of shape \(4, 4, 3\) and type float64"),
        (np.zeros((3, 4, 4), np.uint8), r"shape \(3, 4, 4\) and type uint8"),
        (np.zeros((0, 4, 3), np.uint8), "has no pixels"),
    ],
)
def test_other_arrays_are_refused(predictor: Predictor, image: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predictor.predict(image)


def test_tiles_of_a_picture(predictor: Predictor) -> None:
    """Those parts of the picture that one tile alone holds have exactly its labels."""
    colours = noise(160, 224)
    tiled = dataclasses.replace(predictor, tile=128)
    labels = tiled.predict(colours)
    assert labels.shape == (160, 224)
    np.testing.assert_array_equal(labels[:32, :96], predictor.predict(colours[:128, :128])[:32, :96])
    assert (labels == predictor.predict(colours)).mean() > 0.6
    np.testing.assert_array_equal(dataclasses.replace(predictor, tile=256).predict(colours), predictor.predict(colours))


def test_memory_decides_about_tiles(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    per_pixel = bytes_per_pixel(predictor.net)
    assert per_pixel > 4 * 3  # its logits

    def with_memory(n: float | None) -> None:
        monkeypatch.setattr("plopkit.runs.predictor.available_memory", lambda: n and int(n))

    with_memory(2 * 1000 * 1000 * (per_pixel + 2 * UPSAMPLING) + 2)
    assert predictor.tile_of(1000, 1000) is None
    assert predictor.tile_of(1100, 1000) == 512
    assert dataclasses.replace(predictor, tile="none").tile_of(9000, 9000) is None
    with_memory(1)
    assert predictor.tile_of(300, 300) == 256
    with_memory(None)
    assert predictor.tile_of(300, 300) is None


@pytest.mark.parametrize("tile", ["auto", "none", 224])
def test_an_encoder_of_one_size_only(predictor: Predictor, tile: Tile) -> None:
    """One of timm's, whose own word for it is an assertion."""
    net = Segmenter(Encoder("tiny_cait"), (3,), width=8, dilations=(1,)).eval()
    of_one_size = dataclasses.replace(predictor, net=net, tile=tile, size=None)
    message = r"'tiny_cait' takes no images of \d+ x \d+ pixels \(Input .*\); it was made for 224 x 224; cut or resize"
    with pytest.raises(ValueError, match=message):
        of_one_size.predict(noise(300, 250))
    assert of_one_size.predict(noise(224, 224)).shape == (224, 224)


def test_more_than_255_labels(tiny_net: Callable[..., Segmenter]) -> None:
    names = tuple(f"class {label}" for label in range(400))
    predictor = Predictor(tiny_net(2, 1).eval(), names, (0, 399, 300), confidence=0.7)
    labels = predictor.predict(noise(64, 64))
    assert labels.dtype == np.uint16
    assert set(np.unique(labels)) == {0, 300, 399, 65535}


# Runs and checkpoints


def test_a_run_predicts_what_it_has_predicted(finished: Experiment) -> None:
    examples = finished.folder.examples
    for step in range(2):
        predictor = plopkit.load(finished.folder.path, step=step)
        assert predictor.labels == finished.scenario.steps[step].seen
        assert predictor.classes == tuple(map(str, examples["names"]))
        assert predictor.size == 64
        for image, expected in zip(examples["images"], examples["predictions"][step], strict=True):
            assert (predictor.predict(image.transpose(1, 2, 0)) == expected).mean() > 0.999
    assert load(finished.folder.path).labels == finished.scenario.steps[1].seen


def test_a_runs_own_checkpoint_is_known(finished: Experiment, tmp_path: Path) -> None:
    checkpoint = finished.folder.checkpoints / "step-0.safetensors"
    known = load(checkpoint)
    assert known.labels == finished.scenario.steps[0].seen and known.classes[15] == "person"
    copied = Path(shutil.copy(checkpoint, tmp_path / "mine.safetensors"))
    alone = load(copied)
    names = tuple(known.classes[label] for label in known.labels)
    assert (alone.classes, alone.labels, alone.size) == (names, tuple(range(16)), None)
    np.testing.assert_array_equal(alone.predict(noise(64, 64)), known.predict(noise(64, 64)))


def test_a_released_checkpoint_with_names(tmp_path: Path) -> None:
    from plopkit.model.encoders import Encoder

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Segmenter(Encoder("resnet18"), (3, 1), width=16)
    save_published(net, tmp_path / "step.pth")
    (tmp_path / "classes.txt").write_text("\ufeffbackground\r\ndisc\r\nstar\r\nring\r\n", encoding="utf-8")
    predictor = load(tmp_path / "step.pth", classes=tmp_path / "classes.txt")
    assert (predictor.classes, predictor.labels) == (NAMES, (0, 1, 2, 3))
    with torch.no_grad():
        expected = net.eval()(torch.from_numpy(noise(64, 64).transpose(2, 0, 1).copy())[None]).logits
    np.testing.assert_allclose(predictor.probabilities(noise(64, 64)), expected.softmax(1)[0].numpy(), atol=1e-5)
    (tmp_path / "few.txt").write_text("background\ndisc\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"few\.txt: 2 names, but .*step\.pth has 4 channels; name each"):
        load(tmp_path / "step.pth", classes=tmp_path / "few.txt")


def test_an_exported_net_keeps_what_is_known_of_it(finished: Experiment, tmp_path: Path) -> None:
    before = load(finished.folder.path)
    after = load(export_net(finished.folder.path, "safetensors", tmp_path).file)
    assert (after.classes, after.labels, after.size) == (before.classes, before.labels, before.size)
    np.testing.assert_array_equal(after.predict(noise(64, 70)), before.predict(noise(64, 70)))


@pytest.fixture
def nameless(tmp_path: Path, tiny_net: Callable[..., Segmenter]) -> Path:
    """A checkpoint of four channels that names no classes."""
    save_published(tiny_net(4).eval(), tmp_path / "net.safetensors", "plopkit")
    return tmp_path / "net.safetensors"


@pytest.mark.parametrize(
    "text",
    [
        "0\tbackground\n1\tdisc\n2\tstar\n3\tring\n",
        "# what the net knows\nbackground\ndisc\nstar\nring\n",
        "id,name\n3,ring\n1,disc\n2,star\n0,background\n",
    ],
)
def test_names_are_written_as_in_classes_txt(nameless: Path, text: str) -> None:
    assert not load(nameless).names_known
    (nameless.parent / "classes.txt").write_text(text, encoding="utf-8")
    predictor = load(nameless, classes=nameless.parent / "classes.txt")
    assert (predictor.classes, predictor.labels) == (NAMES, (0, 1, 2, 3))


def test_lists_of_names_that_cannot_be_read(nameless: Path) -> None:
    path = nameless.parent / "classes.txt"
    with pytest.raises(FileNotFoundError, match=r"classes\.txt: no such list; .*--classes"):
        load(nameless, classes=path)
    path.write_text("background\n\ndisc\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 2 is empty"):
        load(nameless, classes=path)
    path.write_bytes(b"background\nr\xfcckseite\n")
    with pytest.raises(ValueError, match=r"classes\.txt: not UTF-8 text"):
        load(nameless, classes=path)


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("", {"step": 7}, FileNotFoundError, "step 7 has not been trained; there are 0, 1"),
        ("checkpoints/step-0.safetensors", {"step": 1}, ValueError, "a checkpoint is of one step"),
        ("checkpoints", {}, FileNotFoundError, "no settings.yaml in it; name a run's folder, or a checkpoint"),
        ("none", {}, FileNotFoundError, "there is no such run or checkpoint"),
        ("", {"classes": "classes.txt"}, ValueError, "a run knows the names of its classes"),
        ("", {"size": 3}, ValueError, "size is auto, native, or the short side in pixels from 16, not 3"),
        ("", {"size": "large"}, ValueError, "not 'large'"),
        ("", {"tile": 100}, ValueError, "a multiple of 32 from 64, not 100"),
        ("", {"confidence": 70.0}, ValueError, "a probability from 0 to 1, not 70"),
    ],
)
def test_impossible_arguments(
    finished: Experiment, name: str, arguments: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load(finished.folder.path / name, **arguments)


def test_the_size_of_a_run_may_be_changed(finished: Experiment) -> None:
    assert load(finished.folder.path, size="native").size is None
    assert load(finished.folder.path, size=100).size == 100


def test_a_run_on_a_folder_knows_its_names_without_it(
    folder_root: Callable[..., Path], tmp_path: Path, no_pictures: None
) -> None:
    from small_runs import small

    root = folder_root()
    folder = plopkit.run(
        small(tmp_path / "runs", "folder 2-1 overlap", "ft", data__root=root, optim__batch=2), progress=False
    )
    shutil.rmtree(root)
    assert load(folder.path).classes == ("background", "class 1", "class 2", "class 3")


# The command line


def predict(*words: object) -> int:
    return main(["predict", *map(str, words), "--cpu"])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for index, name in enumerate(("a/x.png", "b/x.png", "b/x.jpg", "b/.hidden.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(64, 70 + index, index)).save(folder / name)
    return folder


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_files_of_a_prediction(
    finished: Experiment, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert predict(finished.folder.path, pictures, "-o", out) == 0
    names = ["a/x", "b/x.jpg", "b/x.png"]
    expected = [f"{kind}/{name}.png" for kind in ("masks", "overlays") for name in names]
    assert files_of(out) == sorted([*expected, "classes.txt", "pixels.csv"])
    said = capsys.readouterr()
    assert f"3 of 3 pictures: {out}" in said.out
    assert "21 classes; the net sees pictures with a short side of 64 pixels (--size), on cpu" in said.err
    predictor = load(finished.folder.path, device="cpu")
    with (out / "pixels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["picture"] for row in rows] == ["a/x.png", "b/x.jpg", "b/x.png"]
    for name, row in zip(names, rows, strict=True):
        labels = predictor.predict(pictures / row["picture"])
        with Image.open(out / "masks" / f"{name}.png") as mask, Image.open(out / "overlays" / f"{name}.png") as drawn:
            assert mask.mode == "P" and drawn.size == mask.size == labels.shape[::-1]
            np.testing.assert_array_equal(np.asarray(mask), labels)
            np.testing.assert_array_equal(np.asarray(mask.convert("RGB")), palette()[labels])
        for label, class_name in enumerate(predictor.classes):
            assert int(row[class_name]) == (labels == label).sum()
        assert row["ignored"] == "0"
    lines = (out / "classes.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 21 and lines[15] == "15\tperson"


def test_an_overlay_shows_the_picture_in_its_classes_colours(predictor: Predictor, tmp_path: Path) -> None:
    from plopkit.viz.masks import overlay

    Image.fromarray(noise(600, 40)).save(tmp_path / "x.png")  # more rows than are drawn at a time
    predict_pictures(predictor, find_inputs([tmp_path / "x.png"]), tmp_path / "out")
    expected = overlay(noise(600, 40).transpose(2, 0, 1), predictor.predict(noise(600, 40)))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "overlays" / "x.png")), expected)


def test_a_second_call_goes_on(
    finished: Experiment, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert predict(finished.folder.path, pictures, "-o", out, "--quiet") == 0
    before = {name: (out / name).read_bytes() for name in files_of(out)}
    (out / "masks" / "a" / "x.png").unlink()
    (out / "overlays" / "b" / "x.png.png").unlink()
    (out / "pixels.csv").unlink()
    truncate(out / "masks" / "b" / "x.jpg.png", 0.6)
    capsys.readouterr()
    assert predict(finished.folder.path, pictures, "-o", out, "--quiet") == 0
    assert "3 of 3 pictures, 1 of them already there" in capsys.readouterr().out
    assert {name: (out / name).read_bytes() for name in files_of(out)} == before


@pytest.mark.parametrize("change", [["--step", 0], ["--size", "native"], ["--confidence", 0.9], ["--tile", 64]])
def test_other_predictions_are_not_kept(
    finished: Experiment, pictures: Path, tmp_path: Path, change: list, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(finished.folder.path, pictures, "-o", tmp_path / "out", "--no-overlays", "--quiet") == 0
    assert files_of(tmp_path / "out")[-1] == "pixels.csv"
    assert predict(finished.folder.path, pictures, "-o", tmp_path / "out", "--no-overlays", "--quiet", *change) == 0
    assert "3 of 3 pictures: " in capsys.readouterr().out


def test_a_changed_picture_is_predicted_again(
    finished: Experiment, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(finished.folder.path, pictures, "-o", tmp_path / "out", "--quiet") == 0
    Image.fromarray(noise(64, 70, 9)).save(pictures / "a" / "x.png")
    os.utime(pictures / "a" / "x.png", (1, 1))
    capsys.readouterr()
    assert predict(finished.folder.path, pictures, "-o", tmp_path / "out", "--quiet") == 0
    assert "2 of them already there" in capsys.readouterr().out


def test_damaged_pictures_are_named_and_skipped(
    finished: Experiment, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truncate(pictures / "b" / "x.jpg", 0.5)
    (pictures / "empty.png").touch()
    assert predict(finished.folder.path, pictures, "-o", tmp_path / "out", "--quiet") == 1
    said = capsys.readouterr()
    assert f"{pictures / 'b' / 'x.jpg'}: damaged or truncated" in said.err
    assert "empty.png: not a readable image (it is empty)" in said.err
    assert "2 of 4 pictures" in said.out and "2 could not be read" in said.err
    assert files_of(tmp_path / "out" / "masks") == ["a/x.png", "b/x.png.png"]
    assert len((tmp_path / "out" / "pixels.csv").read_text(encoding="utf-8").splitlines()) == 3


def test_confidence_counts_ignored_pixels(finished: Experiment, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert predict(finished.folder.path, pictures / "a", "-o", out, "--confidence", "0.999", "--quiet") == 0
    with (out / "pixels.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert int(row["ignored"]) == (np.asarray(Image.open(out / "masks" / "x.png")) == 255).sum() > 0


def test_wide_masks_have_sixteen_bits(tmp_path: Path) -> None:
    labels = np.array([[0, 300, 65535]], np.uint16)
    (tmp_path / "x.png").write_bytes(mask_png(labels))
    with Image.open(tmp_path / "x.png") as mask:
        assert mask.mode == "I;16"
        np.testing.assert_array_equal(np.asarray(mask), labels)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.pth", "pictures"], "none.pth: there is no such run or checkpoint"),
        (["none.pth", "nothing"], "nothing: there is no such file or folder"),
        (["none.pth", "pictures", "--size", "big"], "not 'big'"),
    ],
)
def test_wrong_words(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(pictures.parent)
    assert predict(*words, "-o", "out") == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_second_run_is_not_taken_for_pictures(finished: Experiment, tmp_path: Path, capsys) -> None:
    """A pattern such as `runs/voc_*` may name several runs; their folders hold pictures."""
    assert predict(finished.folder.path, finished.folder.path, "-o", tmp_path) == 2
    assert "a run's folder, not pictures; name one run first" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="names are text there")
def test_a_name_that_is_no_text_and_a_link_that_leads_nowhere(
    predictor: Predictor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(noise(64, 64)).save(folder / "x.png")
    os.rename(folder / "x.png", os.fsencode(folder) + b"/\xe9.png")
    (folder / "gone.png").symlink_to("nowhere.png")
    result = predict_pictures(predictor, find_inputs([folder]), tmp_path / "out")
    assert (result.done, result.skipped) == (1, (f"{folder / 'gone.png'}: No such file or directory",))
    assert "gone.png: No such file or directory; skipped" in capsys.readouterr().err
    rows = list(csv.reader((tmp_path / "out" / "pixels.csv").read_text(encoding="utf-8").splitlines()))
    assert [row[0] for row in rows] == ["picture", "\\udce9.png"]
