"""Mask files: which kinds hold labels, and how they become labels of 8 or 16 bits."""

import os
from typing import Any

import numpy as np

from plopkit.datasets.pictures import pixels
from plopkit.datasets.turns import orientation_of, turned
from plopkit.scenario import IGNORE, WIDE_IGNORE

CHANNELS = {
    IGNORE: "8-bit channel (grey or palette)",
    WIDE_IGNORE: "16-bit channel (grey), because there are more than 255 classes",
}
"""By the label of ignored pixels: what can hold the labels."""
WIDE_MODES = ("I;16", "I;16B", "I")
GREY_MODES = ("RGB", "RGBA", "LA")
"""Modes of several channels that hold labels where the colours are grey and nothing is transparent."""


def mask_labels(picture: Any, path: str, n_labels: int) -> np.ndarray:
    """The labels in an opened mask.

    8-bit channels, grey or palette, are taken as they are, and so are grey pictures that were saved with colours or 16
    bits, if no label is lost. White of a mask of one bit is label 1.

    Args:
        picture: The opened file.
        path: Its name, for messages.
        n_labels: Number of labels, background included. Beyond 255 the mask needs 16 bits.

    Returns:
        (H, W) uint8, 255 where ignored; beyond 255 labels uint16, 65535 where ignored.

    Raises:
        ValueError: The file cannot hold labels, or is damaged. The message names it.
    """
    ignored = IGNORE if n_labels <= IGNORE else WIDE_IGNORE
    if (reason := _refusal(picture, path, n_labels)) is not None:
        raise _wrong_kind(path, picture, ignored, reason)
    values = pixels(picture, path)
    if picture.mode in GREY_MODES:
        values = _grey(values, path, picture, ignored)
    elif picture.mode == "1":
        values = values.astype(np.uint8)
    elif picture.mode in WIDE_MODES:
        values = _narrow(values, path, n_labels) if ignored == IGNORE else _wide(values, path, n_labels)
    return turned(values, orientation_of(picture))


def outside(path: str, label: int, n_labels: int) -> ValueError:
    """The error for a label that has no name."""
    ignored = IGNORE if n_labels <= IGNORE else WIDE_IGNORE
    remedy = ", or add the class name" if 0 <= label < WIDE_IGNORE else ""
    return ValueError(
        f"{path}: label {label} is outside the classes, which are 0 to {n_labels - 1}; correct the mask ({ignored} "
        f"marks ignored pixels){remedy}"
    )


def kind_of(picture: Any) -> str:
    """File format and mode, such as "PNG L".

    Grey images of 2 and 4 bits are "L;2" and "L;4": Pillow stretches their values, so label 1 would become 85 or 17.
    Palette images of 1, 2 or 4 bits are not stretched. White is 0 in "L;I".
    """
    return f"{picture.format} {_raw_mode(picture) if picture.mode == 'L' else picture.mode}"


def _raw_mode(picture: Any) -> str:
    """The mode of an opened grey picture as its file has it."""
    args = picture.tile[0][3] if picture.tile else picture.mode
    raw = args if isinstance(args, str) else next(iter(args or ()), picture.mode)
    return raw if isinstance(raw, str) and raw.startswith("L") else picture.mode


def _refusal(picture: Any, path: str, n_labels: int) -> str | None:
    """Why a mask cannot hold labels, by its header: None where it can, "" where its kind says it."""
    if _is_lossy(picture, path):
        return "which changes the labels where it saves space"
    if n_labels > IGNORE:
        return None if picture.mode in WIDE_MODES else ""
    if picture.mode == "1":
        return None if n_labels == 2 else "which tells two labels apart"
    if picture.mode == "L":
        return None if _raw_mode(picture) == "L" else ""
    return None if picture.mode in ("P", *WIDE_MODES, *GREY_MODES) else ""


def _is_lossy(picture: Any, path: str) -> bool:
    if picture.format == "WEBP":
        return b"VP8 " in riff_chunks(path)
    return picture.format in ("JPEG", "MPO") or "jpeg" in str(picture.info.get("compression", ""))


def riff_chunks(path: str) -> list[bytes]:
    """The names of the parts of a WebP file, up to the one with the pixels: "VP8L" is lossless, "VP8 " is not."""
    names: list[bytes] = []
    with open(path, "rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8 and b"VP8 " not in names and b"VP8L" not in names:
            names.append(head[:4])
            length = int.from_bytes(head[4:], "little")
            file.seek(length + length % 2, os.SEEK_CUR)
    return names


def _grey(values: np.ndarray, path: str, picture: Any, ignored: int) -> np.ndarray:
    if values.shape[2] in (2, 4) and values[..., -1].min() < IGNORE:
        raise _wrong_kind(path, picture, ignored, "parts of which are transparent")
    colours = values[..., :1] if values.shape[2] == 2 else values[..., :3]
    if (colours != colours[..., :1]).any():
        raise _wrong_kind(path, picture, ignored, "", ", or make labels of its colours with `plopkit data convert`")
    return np.ascontiguousarray(colours[..., 0])


def _narrow(values: np.ndarray, path: str, n_labels: int) -> np.ndarray:
    """Labels of 8 bits from a mask of 16 or 32; 65535 is ignored as 255 is."""
    values = np.where(values == WIDE_IGNORE, IGNORE, values)
    if (wrong := values[(values < 0) | (values > IGNORE)]).size:
        raise outside(path, int(wrong[0]), n_labels)
    return values.astype(np.uint8)


def _wide(values: np.ndarray, path: str, n_labels: int) -> np.ndarray:
    if (wrong := values[(values < 0) | (values > WIDE_IGNORE)]).size:
        raise outside(path, int(wrong[0]), n_labels)
    return values.astype(np.uint16)


def _wrong_kind(path: str, picture: Any, ignored: int, reason: str, remedy: str = "") -> ValueError:
    because = f", {reason}" if reason else ""
    return ValueError(
        f"{path}: a mask must be a PNG with one {CHANNELS[ignored]}, but this is {kind_of(picture)!r}{because}; "
        f"save the labels in that format ({ignored} marks ignored pixels){remedy}"
    )
