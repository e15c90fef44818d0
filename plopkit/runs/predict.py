"""Predictions for many pictures, as files: masks, overlays, and a table of pixels."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8, UInt16
from PIL import Image, PngImagePlugin

from plopkit.datasets.pictures import load, opened
from plopkit.datasets.upright import read_upright
from plopkit.runs.inputs import Input
from plopkit.runs.predictor import Predictor
from plopkit.scenario import IGNORE
from plopkit.settings import digest
from plopkit.support.bars import notice
from plopkit.support.files import write_bytes, write_text
from plopkit.viz.colours import palette
from plopkit.viz.masks import overlay

Labels = UInt8[np.ndarray, "H W"] | UInt16[np.ndarray, "H W"]
MADE_FROM = "plopkit"
"""The text in a mask's file that says which net and picture it was made from."""
ROWS = 512
"""Rows of a picture that are drawn at a time."""


class Predicted(NamedTuple):
    """What `predict_pictures` has done."""

    done: int
    """pictures that have results"""
    kept: int
    """those of them whose results were there already"""
    skipped: tuple[str, ...]
    """why each of the others could not be read"""


def predict_pictures(
    predictor: Predictor,
    pictures: Sequence[Input],
    out: Path,
    overlays: bool = True,
    progress: Callable[[Iterable[Input]], Iterable[Input]] = iter,
) -> Predicted:
    """Write the predictions for pictures; those that are there already, of this net and picture, are kept.

    In ``out``: ``masks/NAME.png`` with labels, ``overlays/NAME.png``, ``pixels.csv`` with the number of pixels of each
    class for each picture, and ``classes.txt`` with labels and names.

    Args:
        predictor: the net.
        pictures: the pictures.
        out: the folder for the results.
        overlays: whether to draw overlays.
        progress: wraps the pictures, for a progress bar.

    Returns:
        How many were done, and which were skipped because they cannot be read: each is named on stderr.

    Raises:
        OSError: where a result cannot be written.
    """
    known = sorted(predictor.labels)
    names = [predictor.classes[label] for label in known]
    lines = [f"{label}\t{name}\n" for label, name in zip(known, names, strict=True)]
    write_text(out / "classes.txt", "".join(lines))
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["picture", *names, "ignored"])
    kept, skipped = 0, []
    for picture in progress(pictures):
        mask_file = out / "masks" / f"{picture.name}.png"
        overlay_file = out / "overlays" / f"{picture.name}.png"
        try:
            made_from = _made_from(predictor, picture.path)
            labels = read_made(mask_file, made_from)
            drawn = not overlays or is_made(overlay_file, made_from)
            if labels is None or not drawn:
                colours = read_upright(picture.path)
                predictor.seen_size(*colours.shape[:2])
        except (ValueError, OSError) as error:
            of_system = error.strerror if isinstance(error, OSError) else None
            skipped.append(f"{picture.path}: {of_system}" if of_system else str(error))
            notice(f"{skipped[-1]}; skipped")
            continue
        if labels is not None:
            kept += 1
        else:
            labels = predictor.predict(colours)
            write_bytes(mask_file, mask_png(labels, made_from))
        if not drawn:
            write_bytes(overlay_file, overlay_png(colours, labels, made_from))
        shown = picture.shown.encode(errors="backslashreplace").decode()  # a name may hold bytes that are no text
        rows.writerow([shown, *counts_of(labels, [*known, predictor.ignored]).tolist()])
    write_text(out / "pixels.csv", table.getvalue())
    return Predicted(len(pictures) - len(skipped), kept, tuple(skipped))


def counts_of(labels: Labels, known: Sequence[int]) -> Int[np.ndarray, " known"]:
    """The number of pixels of each of these labels."""
    return np.bincount(labels.ravel(), minlength=max(known) + 1)[list(known)]


def mask_png(labels: Labels, made_from: str = "") -> bytes:
    """Labels as PNG: as indices of plopkit's palette, or, where there are more than 255, as 16 bits of grey."""
    picture = Image.fromarray(labels)
    if labels.dtype == np.uint8:
        picture.putpalette(palette(IGNORE).tobytes())
    return _png(picture, made_from)


def overlay_png(colours: UInt8[np.ndarray, "H W 3"], labels: Labels, made_from: str = "") -> bytes:
    """The picture in grey under the colours of its labels (`plopkit.viz.masks.overlay`), as PNG."""
    drawn = np.empty_like(colours)
    for top in range(0, len(colours), ROWS):  # its intermediate results take sixteen times a picture's memory
        part = slice(top, top + ROWS)
        drawn[part] = overlay(colours[part].transpose(2, 0, 1), labels[part])
    return _png(Image.fromarray(drawn), made_from)


def is_made(path: Path, made_from: str) -> bool:
    """Whether there is such a file, made from this, as its header says."""
    try:
        with opened(path) as picture:
            return picture.info.get(MADE_FROM) == made_from
    except (ValueError, OSError):
        return False


def read_made(path: Path, made_from: str) -> Labels | None:
    """The labels in a mask's file, if it was made from this; None where it was not, is damaged, or is not there."""
    try:
        with opened(path) as picture:
            return np.array(load(picture, path)) if picture.info.get(MADE_FROM) == made_from else None
    except (ValueError, OSError):
        return None


def _png(picture: Image.Image, made_from: str) -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_text(MADE_FROM, made_from)
    buffer = io.BytesIO()
    picture.save(buffer, "png", pnginfo=texts, compress_level=1)
    return buffer.getvalue()


def _made_from(predictor: Predictor, path: Path) -> str:
    """What decides a mask: the net and how it is used, and the picture's file by its size and time."""
    state = path.stat()
    return f"{predictor.identity()}-{digest([state.st_size, state.st_mtime_ns])}"
