"""Image files from anywhere: five formats, within a number of pixels, and few large ones at a time.

Pillow knows forty formats, and starts a program for some of them (an EPS named .png would start Ghostscript).
"""

import contextlib
import io
import re
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from plopkit.support.places import read_limited

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
FORMATS_IN_WORDS = "JPEG, PNG, TIFF, BMP and WebP"
MOST_PIXELS = 2**26
"""Pixels of an image: 8192 x 8192, which take 450 MB while they are decoded."""
LARGE = 2**22
"""Pixels from which an image is decoded only while all large ones together have at most `MOST_PIXELS`."""
LARGEST_FILE = 2**28
"""Bytes of an image that is read as a whole before it is decoded."""
MOST_SCANS = 100
"""Scans of a JPEG, each of which takes as long as the whole image; progressive ones have about ten."""

_SIGNATURES = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"%!PS", "an EPS"),
    (b"\xc5\xd0\xd3\xc6", "an EPS"),
    (b"%PDF", "a PDF"),
    (b"<", "a web page, or an SVG"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"\xff\x0a", "a JPEG XL"),
)
_POINTER = b"version https://git-lfs"
_READ = ("a BMP", "a TIFF", "a WebP")
_BRANDS = {b"avif": "an AVIF", b"avis": "an AVIF", b"heic": "a HEIC", b"heix": "a HEIC", b"mif1": "a HEIC"}
_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[Image.Image]:
    """An image whose header has been read and checked, for use in a `with` statement.

    Raises:
        ValueError: It is not an image of `FORMATS`, or too large. The message names the file.
    """
    with _opened(path) as picture:
        if (n_pixels := picture.width * picture.height) > MOST_PIXELS:
            raise ValueError(
                f"{path}: {picture.width} x {picture.height} pixels; an image has at most {MOST_PIXELS:,}: make it "
                "smaller, or cut it into several, and its mask alike"
            )
        if _has_pages(picture, path):
            raise ValueError(f"{path}: it holds several pictures; save each as a file")
        if n_pixels > 2**16 and picture.format in ("JPEG", "MPO") and _n_scans(picture, path) > MOST_SCANS:
            raise ValueError(f"{path}: a JPEG of more than {MOST_SCANS} scans; save it again")
        with _share(n_pixels):
            yield picture


def load(picture: Image.Image, path: str | Path) -> Image.Image:
    """Decode an image; returns it, or a copy of it that has the same pixels and less metadata.

    Raises:
        ValueError: It is damaged. The message names the file.
    """
    try:
        picture.load()
    except Exception as error:  # a decoder of a damaged file raises almost anything
        if not _is_metadata(error):
            raise ValueError(f"{path}: damaged or truncated ({_words(error)}); replace the file") from error
        picture = Image.open(_without_metadata(path), formats=["PNG"])
        try:
            picture.load()
        except Exception as damage:
            raise ValueError(f"{path}: damaged or truncated ({_words(damage)}); replace the file") from damage
    return picture


def pixels(picture: Image.Image, path: str | Path, mode: str | None = None) -> np.ndarray:
    """The decoded pixels, as a writable array: of the file's own mode, or of another one, such as "RGB"."""
    picture = load(picture, path)
    picture.info.pop("transparency", None)  # Pillow would advise, for each image, to keep that of a palette
    try:
        picture = picture if mode in (None, picture.mode) else picture.convert(mode)
    except ValueError as error:  # from LAB, for example
        raise ValueError(f"{path}: colours of the kind {picture.mode!r}; save it with {mode} colours") from error
    return np.array(picture)  # a copy: torch writes to it


def _opened(path: str | Path) -> Image.Image:
    try:
        try:
            return Image.open(path, formats=FORMATS)
        except ValueError as error:
            if not _is_metadata(error):
                raise
            return Image.open(_without_metadata(path), formats=["PNG"])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        number = re.search(r"\d+", _words(error))
        raise ValueError(
            f"{path}: {f'{int(number[0]):,}' if number else 'too many'} pixels; an image has at most {MOST_PIXELS:,}: "
            "make it smaller, or cut it into several, and its mask alike"
        ) from error
    except PermissionError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error}); fix its permissions") from error
    except Exception as error:
        raise ValueError(f"{path}: not a readable image ({_kind(path) or _words(error)}); replace the file") from error


def _is_metadata(error: Exception) -> bool:
    """Whether Pillow refuses a PNG's texts or colour profile, which nothing here needs."""
    return (isinstance(error, ValueError) and "Decompressed data too large" in str(error)) or "MAX_TEXT" in str(error)


def _without_metadata(path: str | Path) -> io.BytesIO:
    """A PNG file with the parts alone that make its pixels."""
    content = read_limited(path, LARGEST_FILE, "an image")
    parts, place = [content[:8]], 8
    while place + 12 <= len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        if content[place + 4 : place + 8] in _PIXEL_CHUNKS:
            parts.append(content[place : place + 12 + length])
        place += 12 + length
    return io.BytesIO(b"".join(parts))


def _kind(path: str | Path) -> str:
    """What a file is that could not be read as a picture, as far as its first bytes tell."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        begin = file.read(64)
        if not begin:
            return "it is empty"
        if begin.startswith(_POINTER):
            return "it is the pointer of Git LFS to a file that was not fetched: git lfs pull"
        kind = next((kind for signature, kind in _SIGNATURES if begin.startswith(signature)), "")
        if begin[4:8] == b"ftyp":
            kind = _BRANDS.get(begin[8:12], "an image or film in an ISO container")
        if begin[:4] == b"RIFF" and begin[8:12] == b"WEBP":
            kind = "a WebP"
        if kind in _READ:
            return f"it is {kind} of a kind that is not read, or damaged: save it as PNG with 8 bits"
        return kind and f"it is {kind}, and {FORMATS_IN_WORDS} are read"
    return ""


def _has_pages(picture: Image.Image, path: str | Path) -> bool:
    """Whether a TIFF or WebP holds several pictures; a JPEG's further ones are previews."""
    if picture.format not in ("TIFF", "WEBP"):
        return False
    try:
        with contextlib.suppress(EOFError):
            picture.seek(1)
            return True
        picture.seek(0)
    except Exception as error:  # a decoder of a damaged file raises almost anything
        raise ValueError(f"{path}: damaged or truncated ({_words(error)}); replace the file") from error
    return False


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _n_scans(picture: Any, path: str | Path) -> int:
    """The scans of a JPEG whose header has been read, at most.

    If the first one has all colours and is not progressive, it is the only one that is decoded (libjpeg's
    `has_multiple_scans`). Looking through the file takes a quarter of the time that decoding it takes.
    """
    n_colours, file = getattr(picture, "layers", 0), picture.fp
    length = 6 + 2 * n_colours
    if n_colours and not picture.info.get("progressive"):
        place = file.tell()  # behind the header of the first scan
        file.seek(max(place - length - 2, 0))
        begin = file.read(5)
        file.seek(place)
        if begin == b"\xff\xda" + length.to_bytes(2, "big") + bytes([n_colours]):
            return 1
    return read_limited(path, LARGEST_FILE, "an image").count(b"\xff\xda")


class _Share:
    """Pixels that are being decoded in all threads."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.taken = 0

    @contextlib.contextmanager
    def __call__(self, n_pixels: int) -> Iterator[None]:
        """Wait until there is room for so many pixels, and take it."""
        if n_pixels <= LARGE:
            yield
            return
        with self.changed:
            self.changed.wait_for(lambda: not self.taken or self.taken + n_pixels <= MOST_PIXELS)
            self.taken += n_pixels
        try:
            yield
        finally:
            with self.changed:
                self.taken -= n_pixels
                self.changed.notify_all()


_share = _Share()
