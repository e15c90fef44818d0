"""COCO's panoptic segmentation: a JSON file, and a PNG per image whose colours are the ids of segments.

Format: https://cocodataset.org/#format-data. A pixel's id is R + 256 G + 65536 B; id 0 is void. Things and stuff are
classes alike.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from plopkit.datasets.convert.annotated import Annotated, Canvas, ClassNames, Notes, Picture
from plopkit.datasets.convert.coco import Id, categories_of, category_of, find_image, images_of
from plopkit.datasets.convert.images import Images
from plopkit.datasets.convert.reading import frame_of, required
from plopkit.datasets.convert.request import Request
from plopkit.datasets.pictures import opened, pixels
from plopkit.support.printable import one_line, quoted

VOID = "void"


def read(request: Request, files: Mapping[Path, Any]) -> Annotated:
    """Read one or several files, such as those of training and validation.

    The PNGs are in the folder with the name of the JSON file, next to it, or in another folder below it.

    Args:
        request: What was asked for.
        files: The content of each file.

    Raises:
        ValueError: An entry is damaged. The message names it.
        FileNotFoundError: An image or a PNG is missing.
    """
    names, notes = ClassNames(), Notes()
    pictures: list[Picture] = []
    for path, content in files.items():
        categories = categories_of(path, content, names)
        images = images_of(path, content)
        masks = mask_files(request, path)
        seen: set[Id] = set()
        for number, annotation in enumerate(required(content, "annotations", list, str(path))):
            image_id = required(annotation, "image_id", (int, str), f"{path}: annotation {number}")
            where = f"{path}: image {one_line(image_id)}"
            if image_id not in images or image_id in seen:
                what = "is annotated twice" if image_id in seen else "is not among its images"
                raise ValueError(f"{where} {what}; correct the entry")
            seen.add(image_id)
            segments = segments_of(annotation, categories, where)
            mask = masks.find(required(annotation, "file_name", str, where), where)
            file = find_image(request, path, images[image_id], where)
            if file is not None and mask is not None:
                painter = _Painter(mask, segments)
                frame = frame_of(images[image_id], "height", "width", where)
                name = request.found_images.name_of(file)
                pictures.append(Picture(name, file, where, painter, frame, request.split_of(path), not segments))
        masks.check(notes, unnamed=False)
        if unannotated := len(images) - len(seen):
            notes.add("images without a panoptic annotation, left out", path, unannotated)
    request.found_images.check(notes, unnamed=False)  # the PNGs may be among them
    return Annotated((*names.names, VOID), tuple(pictures), notes)


def mask_files(request: Request, path: Path) -> Images:
    """The PNGs that belong to a JSON file."""
    folders = [request.masks, path.with_suffix(""), path.parent]
    return Images(next(folder for folder in folders if folder and folder.is_dir()))


def segments_of(annotation: Any, categories: Mapping[Id, str], where: str) -> dict[int, str]:
    """The class name of each segment id of an image.

    Raises:
        ValueError: A segment is damaged.
    """
    segments = {}
    for segment in required(annotation, "segments_info", list, where):
        key = required(segment, "id", int, where)
        if not 0 < key < 2**24:
            raise ValueError(f"{where}: {quoted(key)} is no id of a segment, which is 1 to {2**24 - 1:,}; correct it")
        segments[key] = category_of(segment, categories, f"{where}: segment {key}")
    return segments


def ids_of(colours: UInt8[np.ndarray, "h w 3"]) -> Int[np.ndarray, "h w"]:
    """R + 256 G + 65536 B."""
    return colours.astype(np.int32) @ np.array([1, 256, 65536], np.int32)


class _Painter:
    def __init__(self, mask: Path, segments: Mapping[int, str]):
        self.mask, self.segments = mask, segments

    def __call__(self, canvas: Canvas) -> None:
        with opened(self.mask) as picture:
            ids = ids_of(pixels(picture, self.mask, "RGB"))
        if ids.shape != canvas.size:
            raise ValueError(
                f"{self.mask}: {ids.shape[1]} x {ids.shape[0]} pixels, but its image has {canvas.size[1]} x "
                f"{canvas.size[0]}; make them equal"
            )
        present, indices = np.unique(ids, return_inverse=True)
        unknown = [int(key) for key in present if key and int(key) not in self.segments]
        if unknown:
            n_pixels = int((ids == unknown[0]).sum())
            raise ValueError(
                f"{self.mask}: {n_pixels:,} pixels have the id {unknown[0]}, which is not in segments_info of "
                f"{canvas.where}; are JSON and PNGs of the same export?"
            )
        names = [self.segments[int(key)] if key else VOID for key in present]
        canvas.fill(indices.reshape(ids.shape), names)
