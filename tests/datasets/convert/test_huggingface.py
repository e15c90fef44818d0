"""Data sets of Hugging Face: the package itself where it is installed, and a stand-in with its methods."""

import io
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conversions import array, convert, lines, masks_in
from PIL import Image

IDS = ("0112 x022", "0000 1111")


def encoded(values: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind)
    return buffer.getvalue()


def image() -> bytes:
    return encoded(np.full((2, 4, 3), 77, np.uint8), "JPEG")


class Rows:
    """A stand-in for `datasets.Dataset` with undecoded images."""

    def __init__(self, rows: list[dict[str, Any]]):
        self.rows, self.undecoded = rows, set[str]()

    @property
    def column_names(self) -> list[str]:
        return list(self.rows[0])

    def cast_column(self, name: str, feature: Any) -> "Rows":
        assert feature.decode is False
        self.undecoded.add(name)
        return self

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        assert self.undecoded == set(self.column_names)
        return self.rows[index]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `load_dataset` gives by name, with a stand-in for the package."""
    loaded: dict[str, Any] = {}

    class Image:
        def __init__(self, decode: bool = True):
            self.decode = decode

    package = types.ModuleType("datasets")
    package.__dict__.update(Image=Image, load_dataset=loaded.__getitem__, load_from_disk=loaded.__getitem__)
    monkeypatch.setitem(sys.modules, "datasets", package)
    return loaded


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("sky\nroad\ntree\n", encoding="utf-8")
    return path


def rows(*masks: bytes) -> Rows:
    return Rows(
        [{"image": {"bytes": image(), "path": "x.jpg"}, "annotation": {"bytes": m, "path": None}} for m in masks]
    )


def test_splits_and_ids(tmp_path: Path, hub: dict[str, Any], names: Path) -> None:
    first, second = (encoded(array(text)) for text in IDS)
    hub["me/mine"] = {"train": rows(first, second), "validation": rows(second), "test": rows(first)}
    done = convert(Path("me/mine"), root=tmp_path / "root", format="huggingface", classes=names)
    assert (done.classes, done.train, done.val) == (("background", "sky", "road", "tree"), 2, 1)
    masks = masks_in(tmp_path / "root")
    assert np.array_equal(masks["train-000000"], array("1223 x133"))
    assert np.array_equal(masks["validation-000000"], array("1111 2222"))
    assert lines(tmp_path / "root" / "val.txt") == ["validation-000000"]
    assert (tmp_path / "root" / "images" / "train-000000.jpg").read_bytes() == image()


def test_one_split_is_divided_and_colours_have_a_table(tmp_path: Path, hub: dict[str, Any]) -> None:
    colours = np.array([[0, 0, 0], [9, 0, 0], [0, 9, 9]], np.uint8)[array("0112 2022")]
    hub["me/mine"] = rows(encoded(colours), encoded(colours), encoded(colours))
    table = tmp_path / "table.csv"
    table.write_text("background,0,0,0\nred,9,0,0\nblue,0,9,9\n", encoding="utf-8")
    done = convert(Path("me/mine"), root=tmp_path / "root", format="huggingface", classes=table)
    assert (done.train, done.val, done.classes) == (2, 1, ("background", "red", "blue"))
    assert np.array_equal(masks_in(tmp_path / "root")["all-000000"], array("0112 2022"))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (encoded(array("0123 0000")), r"train\[0\]: 1 pixels have the id 3, but --classes names 3 classes"),
        (encoded(np.zeros((2, 4, 3), np.uint8)), r"train\[0\]: its mask is not readable \(its mode is RGB"),
        (encoded(array("01 01")), r"train\[0\]: its mask has 2 x 2 pixels, but the image 4 x 2"),
        (b"nothing", r"train\[0\]: its mask is not readable"),
        (b"", r"train\[0\]: its annotation is empty"),
    ],
)
def test_damaged_masks_are_named(tmp_path: Path, hub: dict[str, Any], names: Path, mask: bytes, message: str) -> None:
    right = encoded(array(IDS[0]))
    hub["me/mine"] = {"train": rows(mask, right), "validation": rows(right)}
    with pytest.raises(ValueError, match=message):
        convert(Path("me/mine"), root=tmp_path / "root", format="huggingface", classes=names)


def test_what_is_needed_is_said(
    tmp_path: Path, hub: dict[str, Any], names: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub["me/mine"] = rows(encoded(array(IDS[0])))
    with pytest.raises(ValueError, match="name the classes with --classes"):
        convert(Path("me/mine"), root=tmp_path / "root", format="huggingface")
    with pytest.raises(ValueError, match=r"there is no column label; its columns are image, annotation: .*--columns"):
        convert(
            Path("me/mine"), root=tmp_path / "root", format="huggingface", classes=names, columns=("image", "label")
        )
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ModuleNotFoundError, match="pip install datasets"):
        convert(Path("me/mine"), root=tmp_path / "root", format="huggingface", classes=names)


@pytest.mark.parametrize("saved", ["save_to_disk", "to_parquet"])
def test_a_data_set_that_the_package_has_saved(tmp_path: Path, names: Path, saved: str) -> None:
    datasets: Any = pytest.importorskip("datasets")
    if not hasattr(datasets, "load_dataset"):  # the folder of these tests
        pytest.skip("the package datasets is not installed")
    datasets.disable_progress_bars()
    masks = [Image.fromarray(array(text)) for text in IDS] * 2
    images = [Image.fromarray(np.full((2, 4, 3), 77, np.uint8))] * 4
    features = datasets.Features({"image": datasets.Image(), "annotation": datasets.Image()})
    data = datasets.Dataset.from_dict({"image": images, "annotation": masks}, features=features)
    write: dict[str, Callable[[], Any]] = {
        "save_to_disk": lambda: data.save_to_disk(str(tmp_path / "in")),
        "to_parquet": lambda: data.to_parquet(str(tmp_path / "in" / "train.parquet")),
    }
    (tmp_path / "in").mkdir()
    write[saved]()
    done = convert(tmp_path / "in", root=tmp_path / "root", classes=names)
    assert (done.format, done.train, done.val) == ("huggingface", 3, 1)
    first = "all-000000" if saved == "save_to_disk" else "train-000000"
    assert np.array_equal(masks_in(tmp_path / "root")[first], array("1223 x133"))
