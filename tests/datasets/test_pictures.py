"""Images from strangers: five formats, a number of pixels, and any metadata."""

import io
import struct
import subprocess
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_files import write_pair
from PIL import Image

from plopkit.datasets import pictures
from plopkit.datasets.files import FileSource
from plopkit.datasets.pictures import MOST_PIXELS, opened


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of(width: int, height: int, *chunks: bytes, behind: bytes = b"") -> bytes:
    """A grey PNG of zeros with further chunks before and behind its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = zlib.compress(bytes((width + 1) * height))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", pixels) + behind + chunk(b"IEND", b"")


def source_of(folder: Path, image: bytes | None = None, mask: bytes | None = None) -> FileSource:
    write_pair(folder / "a.jpg", folder / "a.png", [1, 2], (40, 48), 0, palette=False)
    for path, content in ((folder / "a.jpg", image), (folder / "a.png", mask)):
        if content is not None:
            path.write_bytes(content)
    return FileSource(("background", "one", "two"), ["a"], [folder / "a.jpg"], [folder / "a.png"])


@pytest.mark.parametrize("kind", ["GIF", "EPS", "PDF", "AVIF", "JPEG2000"])
@pytest.mark.parametrize("name", ["image", "mask"])
def test_other_formats_are_named_and_start_no_program(
    tmp_path: Path, kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    try:
        Image.new("RGB", (48, 40)).save(buffer, kind)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow writes no {kind}")
    started: list[Any] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **named: started.append(args))
    content = {name: buffer.getvalue()}
    source = source_of(tmp_path, **content)
    known = {"JPEG2000": "JPEG 2000"}.get(kind, kind)
    for verb in (source.read, source.labels):
        with pytest.raises(
            ValueError,
            match=rf"a\.(jpg|png): not a readable image \(it is an? {known}, and JPEG, PNG, TIFF, BMP and WebP",
        ):
            verb(0)
    assert not started


@pytest.mark.parametrize(("width", "height"), [(13000, 13000), (8193, 8192), (2**31 - 1, 1), (2**20, 2**12)])
def test_too_many_pixels_are_refused_by_the_header(
    tmp_path: Path, width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    monkeypatch.setattr(pictures, "load", lambda *args: pytest.fail("it was decoded"))
    for parts, verb in (({"image": content}, FileSource.read), ({"mask": content}, FileSource.labels)):
        with pytest.raises(ValueError, match=rf"a\.(jpg|png): .*an image has at most {MOST_PIXELS:,}"):
            verb(source_of(tmp_path, **parts), 0)


BOMB = zlib.compress(bytes(3_000_000))


@pytest.mark.parametrize(
    "text",
    [
        chunk(b"zTXt", b"k\0\0" + BOMB),
        chunk(b"iTXt", b"k\0\1\0\0\0" + BOMB),
        chunk(b"iCCP", b"k\0\0" + BOMB),
        chunk(b"tEXt", b"k\0" + bytes(100) * 20_000) * 40,
    ],
    ids=["zTXt", "iTXt", "iCCP", "tEXt"],
)
@pytest.mark.parametrize("place", ["before", "behind"])
def test_a_png_with_large_metadata_is_read(tmp_path: Path, text: bytes, place: str) -> None:
    content = png_of(48, 40, text) if place == "before" else png_of(48, 40, behind=text)
    for parts in ({"image": content}, {"mask": content}):
        pair = source_of(tmp_path, **parts).read(0)
        assert pair.image.shape == (3, 40, 48)
        assert not (pair.image if "image" in parts else pair.mask).any()
    with pytest.raises(ValueError, match=r"a\.png: (damaged or truncated|not a readable image)"):
        source_of(tmp_path, mask=content.replace(b"IDAT", b"IDAX")).read(0)


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path: Path) -> None:
    picture = Image.fromarray(np.zeros((40, 48), np.uint8)).convert("P")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=bytes([0, 128, 255]))
    assert source_of(tmp_path, image=buffer.getvalue()).read(0).image.shape == (3, 40, 48)


def test_a_jpeg_of_many_scans_is_refused(tmp_path: Path) -> None:
    """Each takes as long as the image."""
    buffer = io.BytesIO()
    Image.new("RGB", (512, 512)).save(buffer, "JPEG", progressive=True)
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    with opened(tmp_path / "a.jpg") as picture:
        assert picture.size == (512, 512)
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue() + b"\xff\xda" * 200)
    with pytest.raises(ValueError, match=r"a\.jpg: a JPEG of more than 100 scans"), opened(tmp_path / "a.jpg"):
        pass


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_the_one_scan_of_an_ordinary_jpeg_is_not_counted(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libjpeg decodes no scan after one that has all colours."""
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(buffer, "JPEG", quality=90)
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue() + b"\xff\xda" * 200)
    monkeypatch.setattr("plopkit.datasets.pictures.read_limited", lambda *_: pytest.fail("the file was read"))
    with opened(tmp_path / "a.jpg") as picture:
        found = pictures.pixels(picture, tmp_path / "a.jpg")
    assert np.array_equal(found, np.array(Image.open(buffer)))


def test_scans_of_some_colours_are_counted(tmp_path: Path) -> None:
    """A scan of one colour of three may be followed by any number of them."""
    buffer = io.BytesIO()
    Image.new("RGB", (512, 512)).save(buffer, "JPEG")
    whole = buffer.getvalue()
    place = whole.index(b"\xff\xda")
    one_colour = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    (tmp_path / "a.jpg").write_bytes(whole[:place] + one_colour * 200 + whole[place:])
    with pytest.raises(ValueError, match=r"a\.jpg: a JPEG of more than 100 scans"), opened(tmp_path / "a.jpg"):
        pass


def test_large_images_are_decoded_a_few_at_a_time(tmp_path: Path) -> None:
    """Five threads, three images' room."""
    (tmp_path / "a.png").write_bytes(png_of(5000, 4400))
    at_once, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal at_once, most
        with opened(tmp_path / "a.png"):
            with lock:
                at_once += 1
                most = max(most, at_once)
            time.sleep(0.05)
            with lock:
                at_once -= 1

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most <= 3
    assert pictures._share.taken == 0
