"""Labels and pixels per image, against plain loops, and their cache."""

import os
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from picture_files import read_values, save_mask, truncate
from PIL import Image

from plopkit.datasets import counts, scan
from plopkit.datasets.counts import pixels, presence
from plopkit.datasets.files import FileSource
from plopkit.datasets.folder import folder
from plopkit.datasets.scan import cache_folder
from plopkit.scenario import N_IDS

Root = Callable[..., Path]


class Counting(FileSource):
    """Counts how many masks are read, and pauses before each."""

    n_read = 0
    pause = 0.0

    def labels(self, index: int) -> frozenset[int]:
        self.n_read += 1
        time.sleep(self.pause)
        return super().labels(index)


def counting(root: Path) -> Counting:
    source = folder(root, "train")
    return Counting(source.classes, source.stems, source.images, source.masks)


def plain_table(root: Path) -> np.ndarray:
    stems = (root / "train.txt").read_text(encoding="utf-8").split()
    table = np.zeros((len(stems), N_IDS), bool)
    for index, stem in enumerate(stems):
        for value in read_values(root / "masks" / f"{stem}.png").flatten():
            table[index, value] = True
    return table


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_presence_equals_a_loop(threads: int | None, folder_root: Root, tmp_path: Path) -> None:
    root = folder_root(classes=6)
    table = presence(folder(root, "train"), tmp_path / "cache", threads)
    assert table.dtype == bool
    assert np.array_equal(table, plain_table(root))


def test_the_second_call_reads_no_mask(folder_root: Root, tmp_path: Path) -> None:
    source = counting(folder_root())
    first = presence(source, tmp_path / "cache")
    assert source.n_read == 8
    again = counting(folder_root())  # written again with the same bytes, at another time
    assert np.array_equal(presence(source, tmp_path / "cache"), first)
    assert source.n_read == 8
    assert np.array_equal(presence(again, tmp_path / "cache"), first)
    assert again.n_read == 8
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".npz", ".npz"]


def change_mask(root: Path) -> None:
    path = root / "masks" / "train-05.png"
    before = path.stat()
    save_mask(path, np.full((40, 48), 3, np.uint8))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10))


def change_order(root: Path) -> None:
    stems = (root / "train.txt").read_text(encoding="utf-8").split()
    (root / "train.txt").write_text("\n".join(reversed(stems)), encoding="utf-8")


def add_a_class(root: Path) -> None:
    with open(root / "classes.txt", "a", encoding="utf-8") as file:
        file.write("one more\n")


@pytest.mark.parametrize("change", [change_mask, change_order, add_a_class])
def test_after_a_change_the_table_is_made_again(
    change: Callable[[Path], None], folder_root: Root, tmp_path: Path
) -> None:
    root = folder_root()
    presence(folder(root, "train"), tmp_path / "cache")
    change(root)
    source = counting(root)
    assert np.array_equal(presence(source, tmp_path / "cache"), plain_table(root))
    assert source.n_read == 8


def test_a_cached_table_of_more_classes_is_not_used(folder_root: Root, tmp_path: Path) -> None:
    root = folder_root(classes=5)
    presence(folder(root, "train"), tmp_path / "cache")
    (root / "classes.txt").write_text("background\na\nb\n", encoding="utf-8")
    with pytest.raises(ValueError, match="label 3 is outside the classes"):
        presence(folder(root, "train"), tmp_path / "cache")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 384,
        b"not numpy",
        b"\x93NUMPY\x01\x00\x76\x00{'descr': '|u1', ",
        b"\x93NUMPY\x01\x00\x04\x00((((",
        b"PK\x03\x04 a broken archive",
    ],
)
def test_a_damaged_table_is_made_again(content: bytes, folder_root: Root, tmp_path: Path) -> None:
    source = counting(folder_root())
    expected = presence(source, tmp_path)
    (path,) = tmp_path.glob("presence-*.npz")
    path.write_bytes(content)
    assert np.array_equal(presence(source, tmp_path), expected)
    assert source.n_read == 16
    presence(source, tmp_path)
    assert source.n_read == 16


@pytest.mark.parametrize("wrong", [np.zeros((7, 32), np.uint8), np.zeros((8, 32), np.int64), np.zeros(8, np.uint8)])
def test_a_table_of_another_shape_is_made_again(wrong: np.ndarray, folder_root: Root, tmp_path: Path) -> None:
    source = counting(folder_root())
    expected = presence(source, tmp_path)
    (path,) = tmp_path.glob("presence-*.npz")
    np.savez_compressed(path, table=wrong)
    assert np.array_equal(presence(source, tmp_path), expected)


@pytest.mark.parametrize("table", [presence, pixels])
def test_the_table_of_other_images_is_made_again(table: Callable, folder_root: Root, tmp_path: Path) -> None:
    """Of the same number of images, so that only the file's name tells them apart."""
    sources = [folder(folder_root(name=name, size=size), "train") for name, size in (("a", (40, 48)), ("b", (24, 32)))]
    tables = [table(source, tmp_path / name) for source, name in zip(sources, "ab", strict=True)]
    paths = [next((tmp_path / name).glob("*-*.npz")) for name in "ab"]
    assert paths[0].name != paths[1].name
    paths[1].write_bytes(paths[0].read_bytes())
    assert np.array_equal(table(sources[1], tmp_path / "b"), tables[1])
    assert paths[1].read_bytes() != paths[0].read_bytes()


@pytest.mark.parametrize("table", [presence, pixels])
def test_a_table_with_one_changed_bit_is_made_again(table: Callable, folder_root: Root, tmp_path: Path) -> None:
    source = folder(folder_root(), "train")
    expected = table(source, tmp_path / "cache")
    (path,) = (tmp_path / "cache").iterdir()
    content = path.read_bytes()
    size = zipfile.ZipFile(path).infolist()[0].compress_size
    for offset in range(40, 40 + size, 7):  # behind the header: in the compressed table
        path.write_bytes(content[:offset] + bytes([content[offset] ^ 4]) + content[offset + 1 :])
        assert np.array_equal(table(source, tmp_path / "cache"), expected)


def test_a_cache_that_is_not_writable_only_causes_a_warning(
    folder_root: Root, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    source = counting(folder_root())
    (tmp_path / "a file").write_text("in the way", encoding="utf-8")
    for n_read in (8, 16):
        assert presence(source, tmp_path / "a file").any()
        assert source.n_read == n_read
        assert "the table of labels per image is not cached" in capsys.readouterr().err


@pytest.mark.parametrize("threads", [1, 2])
def test_a_bad_file_in_the_middle_is_named_immediately(threads: int, folder_root: Root, tmp_path: Path) -> None:
    root = folder_root(train=60)
    truncate(root / "masks" / "train-10.png", 0.7)
    source = counting(root)
    source.pause = 0.01
    with pytest.raises(ValueError, match=r"train-10.png: damaged or truncated"):
        presence(source, tmp_path / "cache", threads)
    assert source.n_read < 60
    assert not (tmp_path / "cache").exists()


def test_an_interrupted_scan_stops_immediately(
    folder_root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = counting(folder_root(train=60))
    source.pause = 0.01

    def interrupted(results: Iterator, *args: object, **options: object) -> Iterator:
        yield next(results)
        raise KeyboardInterrupt

    monkeypatch.setattr(scan, "progress_bar", interrupted)
    with pytest.raises(KeyboardInterrupt):
        presence(source, tmp_path / "cache", 2)
    assert source.n_read < 60


def test_the_folder_of_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == cache
    monkeypatch.delenv("PLOPKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/plopkit")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/nobody")
    assert cache_folder() == Path("/home/nobody/.cache/plopkit")


def test_pixels_are_counted_and_cached(folder_root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder_root(train=5, val=1)
    source = folder(root, "train")
    table = pixels(source, tmp_path / "cache")
    assert (table.shape, table.dtype) == ((5, N_IDS), np.int32)
    for index in range(5):
        values = np.array(Image.open(root / "masks" / f"train-0{index}.png"))
        assert table[index].tolist() == [int((values == label).sum()) for label in range(N_IDS)]
    monkeypatch.setattr(counts, "_count", None)  # from here on, nothing is counted
    assert np.array_equal(pixels(source, tmp_path / "cache"), table)


@pytest.mark.parametrize("content", [b"", b"not numpy", b"PK\x03\x04 broken"])
def test_damaged_counts_are_made_again(content: bytes, folder_root: Root, tmp_path: Path) -> None:
    source = folder(folder_root(train=2, val=1), "train")
    expected = pixels(source, tmp_path)
    (path,) = tmp_path.glob("pixels-*.npz")
    path.write_bytes(content)
    assert np.array_equal(pixels(source, tmp_path), expected)
    np.savez(path, pixels=expected[:1])
    assert np.array_equal(pixels(source, tmp_path), expected)


def test_pixels_are_counted_without_a_writable_cache(
    folder_root: Root, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a file").write_text("in the way", encoding="utf-8")
    assert pixels(folder(folder_root(train=1, val=1), "train"), tmp_path / "a file").any()
    assert "the pixel counts are not cached" in capsys.readouterr().err


@pytest.mark.parametrize("threads", [1, 2])
def test_bad_files_are_named(threads: int, folder_root: Root, tmp_path: Path) -> None:
    root = folder_root(train=6)
    Image.fromarray(np.full((40, 48), 9, np.uint8)).save(root / "masks" / "train-02.png")
    with pytest.raises(ValueError, match=r"train-02.png: label 9 is outside the classes, which are 0 to 3"):
        pixels(folder(root, "train"), tmp_path / "cache", threads)
    path = root / "images" / "train-01.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"train-01.jpg: damaged or truncated"):
        pixels(folder(root, "train"), tmp_path / "cache", threads)
