"""Data sets of the package `datasets` (Hugging Face) with a column of images and one of masks.

The masks hold ids, which a list of names numbers from 0, or colours of a table. They come from a folder that
`save_to_disk` has written, from a folder that `load_dataset` reads, or from the hub by name.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from plopkit.datasets.convert.annotated import Annotated, Canvas, ClassNames, Notes, Picture
from plopkit.datasets.convert.colours import Colour, colour_table, has_colours, paint_colours
from plopkit.datasets.convert.ids import paint_ids
from plopkit.datasets.convert.request import Request
from plopkit.datasets.convert.splits import known_split
from plopkit.datasets.lists import read_lines
from plopkit.datasets.pictures import MOST_PIXELS
from plopkit.support.printable import one_line

MARKERS = ("dataset_dict.json", "state.json")
"""What `save_to_disk` writes."""


def read(request: Request) -> Annotated:
    """Read all splits of a data set.

    Raises:
        ModuleNotFoundError: The package `datasets` is not installed.
        ValueError: There are no class names, or no such columns.
    """
    if request.classes is None:
        raise ValueError(f"{request.source}: its masks hold ids; name the classes with --classes FILE, a line for each")
    names, notes = ClassNames(), Notes()
    table = colour_table(request.classes, names) if has_colours(request.classes) else None
    if table is None:
        for number, line in enumerate(read_lines(request.classes), 1):
            names.add(line, f"{request.classes}: line {number}")
    pictures = []
    for split, rows in _splits(_opened(request.source)).items():
        rows = _undecoded(rows, request.columns, f"{request.source}: {split}")
        for index in range(len(rows)):
            where = f"{request.source}: {split}[{index}]"
            mask = _cell(rows, index, request.columns[1], where)
            painter = _Painter(mask, table, tuple(names.names), request.unknown)
            image = _cell(rows, index, request.columns[0], where)
            pictures.append(Picture(f"{split}-{index:06d}.png", image, where, painter, None, known_split(split)))
    return Annotated(tuple(names.names), tuple(pictures), notes)


def _opened(source: Path) -> Any:
    try:
        import datasets

        load_from_disk, load_dataset = datasets.load_from_disk, datasets.load_dataset
    except (ModuleNotFoundError, AttributeError) as error:  # a folder named datasets is importable, too
        raise ModuleNotFoundError(
            "data sets of Hugging Face are read by the package datasets: pip install datasets"
        ) from error
    if any((source / name).is_file() for name in MARKERS):
        return load_from_disk(str(source))
    return load_dataset(str(source) if source.is_dir() else source.as_posix())


def _splits(loaded: Any) -> Mapping[str, Any]:
    return loaded if isinstance(loaded, Mapping) else {"all": loaded}


def _undecoded(rows: Any, columns: Sequence[str], where: str) -> Any:
    """The rows with the bytes of images, as they were stored."""
    from datasets import Image as Column

    for name in columns:
        if name not in rows.column_names:
            raise ValueError(
                f"{where}: there is no column {one_line(name)}; its columns are "
                f"{', '.join(map(one_line, rows.column_names))}: name two of them with --columns IMAGE,MASK"
            )
        rows = rows.cast_column(name, Column(decode=False))
    return rows


def _cell(rows: Any, index: int, column: str, where: str) -> Callable[[], bytes]:
    def content() -> bytes:
        cell = rows[index][column]
        if not isinstance(cell, Mapping) or not (cell.get("bytes") or cell.get("path")):
            raise ValueError(f"{where}: its {one_line(column)} is empty; remove the row")
        return cell.get("bytes") or Path(cell["path"]).read_bytes()

    return content


class _Painter:
    def __init__(
        self,
        mask: Callable[[], bytes],
        table: Mapping[Colour, str] | None,
        names: Sequence[str],
        unknown: str,
    ):
        self.mask, self.table, self.names, self.unknown = mask, table, names, unknown

    def __call__(self, canvas: Canvas) -> None:
        values = decoded(self.mask(), canvas.where, "L" if self.table is None else "RGB")
        if values.shape[:2] != canvas.size:
            raise ValueError(
                f"{canvas.where}: its mask has {values.shape[1]} x {values.shape[0]} pixels, but the image "
                f"{canvas.size[1]} x {canvas.size[0]}; remove the row"
            )
        if self.table is not None:
            paint_colours(canvas, values, self.table, self.unknown, canvas.where)
        else:
            paint_ids(canvas, values, self.names, self.unknown, canvas.where)


def decoded(content: bytes, where: str, mode: str) -> np.ndarray:
    """The pixels of an encoded mask: its values for "L", or colours for "RGB".

    Raises:
        ValueError: It is damaged or too large.
    """
    try:
        with Image.open(io.BytesIO(content), formats=["PNG", "TIFF", "JPEG"]) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise ValueError(f"it has more than {MOST_PIXELS:,} pixels")
            if mode == "RGB":
                return np.array(picture.convert("RGB"))
            if picture.mode not in ("1", "L", "P", "I", "I;16"):
                raise ValueError(f"its mode is {picture.mode}; masks of ids are grey: see --classes for coloured ones")
            return np.array(picture)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{where}: its mask is not readable ({error}); replace it") from error
