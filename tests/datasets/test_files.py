"""Image and mask files: every damaged or unsuitable one is named with what to do."""

import hashlib
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_files import save_mask, truncate
from PIL import Image, ImageFile

from plopkit.datasets.contents import END
from plopkit.datasets.counts import presence
from plopkit.datasets.folder import folder, folder_classes
from plopkit.scenario import IGNORE

Root = Callable[..., Path]


def smaller_mask(root: Path) -> str:
    save_mask(root / "masks" / "train-01.png", np.zeros((40, 47), np.uint8))
    return r"train-01.jpg has 48 x 40 pixels, but its mask .*train-01.png has 47 x 40; make them equal"


def rotated_image(root: Path) -> str:
    path = root / "images" / "train-01.jpg"
    Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path)
    return r"train-01.jpg has 40 x 48 pixels, but its mask .*train-01.png has 48 x 40; .* rotated by its EXIF flag\?"


def mask_of_16_bits(root: Path) -> str:
    save_mask(root / "masks" / "train-01.png", np.full((40, 48), 300, np.uint16))
    return r"train-01.png: label 300 is outside the classes, which are 0 to 3; correct the mask"


def mask_of_colours(root: Path) -> str:
    save_mask(root / "masks" / "train-01.png", np.full((40, 48, 3), (0, 0, 1), np.uint8))
    return (
        r"train-01.png: a mask must be a PNG with one 8-bit channel \(grey or palette\), but this is 'PNG RGB'; save "
        r"the labels in that format \(255 marks ignored pixels\), or make labels of its colours with `plopkit data "
    )


def mask_with_transparency(root: Path) -> str:
    save_mask(root / "masks" / "train-01.png", np.zeros((40, 48, 2), np.uint8))
    return r"train-01.png: .* but this is 'PNG LA'"


def mask_of_1_bit(root: Path) -> str:
    """It cannot represent three labels, and readers disagree on whether white is 1 or 255."""
    save_mask(root / "masks" / "train-01.png", np.zeros((40, 48), bool))
    return r"train-01.png: .* but this is 'PNG 1'"


def mask_of_4_bits(root: Path) -> str:
    """Pillow reads its 1 as 17."""
    (root / "masks" / "train-01.png").write_bytes(grey_of_4_bits(np.ones((40, 48), np.uint8)))
    return r"train-01.png: .* but this is 'PNG L;4'"


def mask_that_is_a_jpeg(root: Path) -> str:
    save_mask(root / "masks" / "train-01.png", np.zeros((40, 48), np.uint8), format="JPEG")
    return r"train-01.png: .* but this is 'JPEG L'"


def image_of_16_bits(root: Path) -> str:
    """Pillow would convert it to white."""
    (root / "images" / "train-01.jpg").unlink()
    Image.fromarray(np.full((40, 48), 3000, np.uint16)).save(root / "images" / "train-01.png")
    return (
        r"train-01.png: an image must have 8 bits per channel \(grey .*\), but this is 'PNG I;16'; save it with 8 bits"
    )


def truncated_mask(root: Path) -> str:
    truncate(root / "masks" / "train-01.png", 0.7)
    return r"train-01.png: damaged or truncated .*; replace the file"


def truncated_image(root: Path) -> str:
    truncate(root / "images" / "train-01.jpg", 0.6)
    return r"train-01.jpg: damaged or truncated .*; replace the file"


def empty_image(root: Path) -> str:
    (root / "images" / "train-01.jpg").write_bytes(b"")
    return r"train-01.jpg: not a readable image .*; replace the file"


def text_instead_of_a_mask(root: Path) -> str:
    (root / "masks" / "train-01.png").write_text("version https://git-lfs.github.com/spec/v1", encoding="utf-8")
    return r"train-01.png: not a readable image .*; replace the file"


def grey_of_4_bits(values: np.ndarray) -> bytes:
    """A PNG that Pillow cannot write: packed by hand, two pixels a byte."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width = values.shape
    rows = b"".join(b"\0" + (row[::2] << 4 | row[1::2]).tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 4, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


DAMAGES = (
    smaller_mask,
    rotated_image,
    mask_of_16_bits,
    mask_of_colours,
    mask_with_transparency,
    mask_of_1_bit,
    mask_of_4_bits,
    mask_that_is_a_jpeg,
    image_of_16_bits,
    truncated_mask,
    truncated_image,
    empty_image,
    text_instead_of_a_mask,
)


@pytest.mark.parametrize("verb", ["labels", "read"])
@pytest.mark.parametrize("spoil", DAMAGES)
def test_a_broken_pair_is_reported(spoil: Callable[[Path], str], verb: str, folder_root: Root) -> None:
    root = folder_root()
    message = spoil(root)
    source = folder(root, "train")
    getattr(source, verb)(0)
    with pytest.raises(ValueError, match=message):
        getattr(source, verb)(1)


@pytest.mark.parametrize("share", np.linspace(0, 0.99, 12))
@pytest.mark.parametrize("name", ["images/train-00.jpg", "masks/train-00.png", "images/train-00.png"])
def test_a_truncated_file_is_named_or_reads_the_same(name: str, share: float, folder_root: Root) -> None:
    root = folder_root(train=1, val=1)
    if name == "images/train-00.png":
        Image.open(root / "images" / "train-00.jpg").save(root / name)
        (root / "images" / "train-00.jpg").unlink()
    source = folder(root, "train")
    whole = source.read(0)
    truncate(root / name, share)
    for verb in ("read", "labels"):
        try:
            result = getattr(source, verb)(0)
        except ValueError as error:
            assert str(root / name) in str(error)  # noqa: PT017  (truncation after the pixels raises nothing)
        else:
            assert share > 0.8
            assert verb == "labels" or all(map(torch.equal, result, whole))


def test_a_jpeg_with_bytes_after_its_end_is_complete(folder_root: Root) -> None:
    root = folder_root()
    path = root / "images" / "train-01.jpg"
    source = folder(root, "train")
    whole, labels = source.read(1), source.labels(1)
    path.write_bytes(path.read_bytes() + b"\0\0")
    assert source.labels(1) == labels
    assert torch.equal(source.read(1).image, whole.image)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] + b"\0\0")
    with pytest.raises(ValueError, match=r"train-01.jpg: damaged or truncated"):
        source.labels(1)


def test_the_labels_of_a_pair_need_no_pixel_of_its_image(folder_root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder(folder_root(), "train")
    expected = [set(source.read(index).mask.unique().tolist()) for index in range(len(source))]
    loaded = []
    load = ImageFile.ImageFile.load
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: (loaded.append(self.format), load(self))[1])
    assert [source.labels(index) for index in range(len(source))] == expected
    assert set(loaded) == {"PNG"}


def test_the_files_of_a_source_and_its_fingerprint(folder_root: Root) -> None:
    root = folder_root(train=3)
    source = folder(root, "train")
    assert source.images == tuple(root / "images" / f"train-0{index}.jpg" for index in range(3))
    assert source.masks == tuple(root / "masks" / f"train-0{index}.png" for index in range(3))
    digest, earlier = hashlib.sha256(b"4\n"), hashlib.sha256(b"4\n")
    for pair in zip(source.images, source.masks, strict=True):
        of_pair = hashlib.sha256()
        for path in pair:
            content = path.read_bytes()  # so small that the ends are all of it
            assert len(content) < 2 * END
            of_pair.update(f"{path.name}\0{len(content)}\0".encode() + hashlib.sha256(content).digest())
        digest.update(of_pair.hexdigest()[:16].encode())
    for path in (*source.images, *source.masks):
        earlier.update(f"{path.resolve()}\0{path.stat().st_size}\0{path.stat().st_mtime_ns}\n".encode())
    assert source.fingerprint == digest.hexdigest()[:20]
    assert source.earlier_fingerprint == earlier.hexdigest()[:20]


def test_a_label_outside_the_classes_is_reported(folder_root: Root) -> None:
    root = folder_root(classes=4)
    (root / "classes.txt").write_text("background\ncat\ndog\n", encoding="utf-8")
    message = (
        r"masks/train-01.png: label 3 is outside the classes, which are 0 to 2; correct the mask \(255 .*\), or add the"
    )
    with pytest.raises(ValueError, match=message):
        folder(root, "train").labels(1)
    with pytest.raises(ValueError, match=message):
        presence(folder(root, "train"))


def test_there_may_be_more_classes_than_the_masks_contain(folder_root: Root) -> None:
    root = folder_root(classes=4)
    (root / "classes.txt").write_text("".join(f"{i}\n" for i in range(255)), encoding="utf-8")
    assert len(folder_classes(root)) == IGNORE
    assert folder(root, "train").labels(0) == {0, 1, 2, IGNORE}
