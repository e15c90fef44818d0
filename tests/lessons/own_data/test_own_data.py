"""The folder of shapes, the check of it, and its pictures; the exercises of lesson 12."""

from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from looking import inside
from PIL import Image

import plopkit
from plopkit.lessons import own_data as lesson
from plopkit.lessons import say
from plopkit.lessons.own_data.shapes import outline


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lesson.draw_folder(tmp_path_factory.mktemp("own") / "shapes", (1, 2, 3), n_train=12, n_val=6, size=32)


def test_the_folder_is_a_data_set(root: Path) -> None:
    assert (root / "classes.txt").read_text().split() == ["background", "disc", "square", "triangle"]
    masks = [np.asarray(Image.open(path)) for path in sorted((root / "masks").iterdir())]
    assert len(masks) == 18 and {mask.shape for mask in masks} == {(32, 32)}
    assert set(np.unique(masks)) == {0, 1, 2, 3}
    settings = plopkit.configure("folder 2-1 overlap", "mib", "smoke", {"data.root": root})
    assert lesson.examine(settings).errors == ()


def test_a_wrong_label_is_found_and_mended_by_drawing_again(root: Path) -> None:
    settings = plopkit.configure("folder 2-1 overlap", "mib", "smoke", {"data.root": root})
    wrong = root / "masks" / "train-000.png"
    right, other = wrong.read_bytes(), (root / "masks" / "train-001.png").stat().st_mtime_ns
    lesson.repaint(wrong, 7)
    (error,) = lesson.examine(settings).errors
    assert "train-000.png: label 7" in error.text
    wrong.unlink()
    lesson.draw_folder(root, (1, 2, 3), n_train=12, n_val=6, size=32)
    assert wrong.read_bytes() == right and (root / "masks" / "train-001.png").stat().st_mtime_ns == other


def test_a_folder_with_other_classes_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("background\ncat\n")
    with pytest.raises(ValueError, match=r"classes\.txt: another data set is in this folder"):
        lesson.draw_folder(tmp_path, (1, 2, 3))
    assert [path.name for path in tmp_path.iterdir()] == ["classes.txt"]


def test_the_preset_that_the_lesson_changes_can_be_configured(root: Path) -> None:
    for preset, changes in lesson.SMALL_PICTURES.items():
        settings = plopkit.configure("folder 2-1 overlap", "mib", preset, {"data.root": root} | changes)
        assert settings.data.size == 96


def test_a_picture_shows_as_many_shapes_as_it_should() -> None:
    picture = lesson.a_picture((1, 2, 3, 4), (160, 240), (3, 10), n_shapes=4)  # the lesson's
    assert picture.image.shape == (160, 240, 3) and set(np.unique(picture.mask)) == {0, 1, 2, 3, 4}
    assert [len(outline(label, (0, 0), 1, 0)) for label in (1, 2, 3, 4)] == [40, 4, 3, 10]


def test_what_is_still_right_after_the_stars_was_right_before() -> None:
    """In lesson 12, a pixel that is right only afterwards does not count."""
    (path,) = (Path(__file__).resolve().parents[3] / "notebooks").glob("12_*.ipynb")
    (code,) = (cell.source for cell in nbformat.read(path, as_version=4).cells if cell.id == "cell-17")
    said: list[str] = []
    known = {
        "picture": SimpleNamespace(mask=np.array([[1, 1, 2, 3, 4, 0, 255]])),
        "predicted": np.array([[1, 1, 0, 3, 0, 0, 1]]),
        "after": np.array([[1, 0, 2, 4, 4, 0, 1]]),
        "question": SimpleNamespace(then=lambda make: said.append(make())),
        "say": say,
    }
    exec(code, known)
    assert said == ["Of 3 pixels of old shapes that were right before, 1 are still right after the stars."]


def test_masks_with_one_label_only(tmp_path: Path) -> None:
    root = lesson.draw_folder(tmp_path, (1, 2, 3, 4), only=4, n_train=8, n_val=2, size=32)
    masks = [np.asarray(Image.open(path)) for path in (root / "masks").iterdir()]
    assert all({0, 4} >= set(np.unique(mask)) for mask in masks) and any((mask == 4).any() for mask in masks)
    shown = [lesson.a_picture((1, 2, 3, 4), (32, 32), (seed,), always=4) for seed in range(8)]
    assert sum(int((picture.mask == 4).any()) for picture in shown) >= 7  # another shape may cover it
    assert len({int(label) for picture in shown for label in np.unique(picture.mask)}) > 2


def test_pictures_with_masks(root: Path) -> None:
    names = lesson.NAMES
    figure = lesson.pairs(root, ["train-000", "train-001"], names, "pairs")
    assert "train-000" in figure.alt and inside(figure)
    picture = lesson.a_picture((1, 2), (20, 30), (0,), n_shapes=2)
    figure = lesson.predictions(picture.image, {"truth": picture.mask, "nothing": 0 * picture.mask}, names, "shown")
    assert "nothing no object" in figure.alt and inside(figure)


def test_the_exercises() -> None:
    names = ["background", "disc", "square", "triangle"]
    assert lesson.check("12.1", {0, 1, 2, 3, 255}, names=names).right
    assert not lesson.check("12.1", {0, 1, 2, 3}, names=names).right
    predicted, truth = np.array([[3, 3], [0, 1]]), np.array([[3, 0], [0, 3]])
    assert lesson.check("12.2", 100 / 3, predicted=predicted, truth=truth, label=3).right
    assert not lesson.check("12.2", 1 / 3, predicted=predicted, truth=truth, label=3).right


@pytest.mark.parametrize(
    ("predicted", "fate"),
    [
        ([0, 1, 1, 2, 0, 4], "yes, most of them"),
        ([4, 1, 1, 0, 0, 4], "no, they are background"),  # half is not most
        ([0, 4, 4, 2, 0, 4], "no, they are stars"),
        ([0, 2, 2, 4, 3, 4], "no, they are other old shapes"),
    ],
)
def test_the_fate_of_old_shapes_is_counted(predicted: list[int], fate: str) -> None:
    truth = np.array([[0, 1, 1, 2, 3, 4]])
    assert lesson.fate_of_old(truth, np.array([predicted])) == fate


def test_a_picture_without_old_shapes_says_nothing_of_them() -> None:
    assert lesson.fate_of_old(np.array([[0, 4]]), np.array([[0, 0]])) is None
