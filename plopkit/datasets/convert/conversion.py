"""The conversion: read a source, number its classes, divide its pictures, and write them as plopkit reads them."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from plopkit.datasets.convert import coco, cvat, folders, huggingface, label_studio, labelme, panoptic, supervisely
from plopkit.datasets.convert.annotated import Annotated, ClassNames, Labels, Notes, Picture, numbered
from plopkit.datasets.convert.colours import has_colours
from plopkit.datasets.convert.detect import Found, detect
from plopkit.datasets.convert.images import file_stems
from plopkit.datasets.convert.pixels import painted_mask, write_image, write_mask
from plopkit.datasets.convert.replacing import check_replaceable, made_whole
from plopkit.datasets.convert.request import Request
from plopkit.datasets.convert.splits import at_random, by_list, by_source
from plopkit.datasets.lists import read_lines
from plopkit.support.bars import progress_bar


class Division(NamedTuple):
    """How pictures are divided into training and validation."""

    share: float | None = None
    """Of the pictures that validate; None for the source's own splits, or 0.2 where it has none."""
    seed: int = 0
    listed: Path | None = None
    """A list of the pictures that validate."""


BY_SOURCE = Division()


class Converted(NamedTuple):
    """What was written."""

    format: str
    classes: tuple[str, ...]
    train: int
    val: int
    divided: str
    """How, in words."""
    notes: tuple[str, ...]
    """A line for everything that was left out or decided."""


def convert(
    request: Request,
    root: Path,
    colours: Callable[[int], UInt8[np.ndarray, "ids 3"]],
    format: str = "auto",
    division: Division = BY_SOURCE,
    link: bool = False,
    shown: bool = True,
) -> Converted:
    """Convert a data set.

    Args:
        request: The source, and what counts in it.
        root: The folder to write: images/, masks/, classes.txt, train.txt, val.txt.
        colours: The palette of masks, by the label of ignored pixels.
        format: One of `plopkit.datasets.convert.detect.FORMATS`, or "auto".
        division: Into training and validation.
        link: Whether images are linked instead of copied.
        shown: Whether progress is shown.

    Raises:
        ValueError: The source is damaged or not known, or `root` was made by something else. Nothing is written then.
        FileNotFoundError: A file is missing.
    """
    check_replaceable(root)
    found = detect(request.sources, format)
    source = READERS[found.format](request, found)
    notes = source.notes
    pictures = _kept(source.pictures, request, notes)
    labels = numbered(source.classes, request.void, _chosen(request, found.format), request.unknown,
                      str(request.source), notes)  # fmt: skip
    stems = file_stems(picture.name for picture in pictures)
    splits, divided = _divided(pictures, stems, division, request, notes)
    used = sorted(index for own in splits.values() for index in own)
    if unused := len(pictures) - len(used):
        notes.add("pictures of another split of the source, such as test, left out", request.source, unused)
    facts = {"format": found.format, "source": [str(path) for path in request.sources], "divided": divided}
    shown_labels: set[int] = set()
    with made_whole(root, facts) as folder:
        for name in ("images", "masks"):
            (folder / name).mkdir()
        for index in progress_bar(used, "converting", len(used), shown=shown):
            mask = _write(pictures[index], stems[index], folder, labels, colours(labels.ignored), notes, link)
            shown_labels |= set(np.unique(mask).tolist())
        for label, name in enumerate(labels.names):
            if label and label not in shown_labels:
                notes.add("classes that no picture shows; --classes can leave them out", name)
        _write_lists(folder, labels.names, {split: [stems[i] for i in own] for split, own in splits.items()})
    return Converted(
        found.format, labels.names, len(splits["train"]), len(splits["val"]), divided, tuple(notes.lines())
    )


READERS: Mapping[str, Callable[[Request, Found], Annotated]] = {
    "coco": lambda request, found: coco.read(request, _needed(request, found)),
    "coco-panoptic": lambda request, found: panoptic.read(request, _needed(request, found)),
    "rgb": lambda request, found: folders.read(request),
    "label-studio": lambda request, found: label_studio.read(request, _needed(request, found)),
    "cvat": lambda request, found: cvat.read(request, list(found.files)) if found.files else cvat.read_masks(request),
    "labelme": lambda request, found: labelme.read(request, list(_needed(request, found))),
    "supervisely": lambda request, found: supervisely.read(request),
    "huggingface": lambda request, found: huggingface.read(request),
}
"""By format."""


def _needed(request: Request, found: Found) -> Mapping[Path, Any]:
    if not found.files:
        raise ValueError(f"{request.source}: it contains no file of annotations in the format {found.format}")
    return found.files


def _chosen(request: Request, format: str) -> Sequence[str] | None:
    """The names in --classes where they choose and order; where masks hold colours or ids, they are the classes."""
    if request.classes is None or format in ("rgb", "huggingface") or has_colours(request.classes):
        return None
    names = ClassNames()
    for number, line in enumerate(read_lines(request.classes), 1):
        names.add(line, f"{request.classes}: line {number}")
    return tuple(names.names)


def _kept(pictures: Sequence[Picture], request: Request, notes: Notes) -> list[Picture]:
    kept = [picture for picture in pictures if not (picture.is_empty and "empty" in request.leave_out)]
    empty = [picture for picture in pictures if picture.is_empty]
    if empty:
        what = "left out" if "empty" in request.leave_out else "all background"
        notes.add(f"pictures without annotations, {what}", empty[0].where, len(empty))
    if not kept:
        raise ValueError(f"{request.source}: there is no picture to write")
    annotated: dict[Path, str] = {}
    for picture in kept:
        if isinstance(picture.image, Path):
            if other := annotated.get(picture.image):
                raise ValueError(f"{picture.where} and {other} annotate the same image, {picture.image}; remove one")
            annotated[picture.image] = picture.where
    return kept


def _divided(
    pictures: Sequence[Picture], stems: Sequence[str], division: Division, request: Request, notes: Notes
) -> tuple[dict[str, list[int]], str]:
    if division.listed is not None:
        names = [
            dict.fromkeys((stem, picture.name, Path(picture.name).name, Path(picture.name).stem,
                           str(Path(picture.name).with_suffix(""))))
            for picture, stem in zip(pictures, stems, strict=True)
        ]  # fmt: skip
        return by_list(division.listed, names, notes), f"by {division.listed}"
    own = by_source([picture.split for picture in pictures])
    if division.share is None and own:
        return own, "as in the source"
    share = 0.2 if division.share is None else division.share
    usable = [i for i, picture in enumerate(pictures) if picture.split != "test"]
    if len(usable) < 2:
        raise ValueError(
            f"{request.source}: {len(usable)} picture{'s'[: len(usable) != 1]}; at least 2 are needed, to train and to "
            "validate"
        )
    drawn = at_random([stems[i] for i in usable], share, division.seed)
    splits = {split: [usable[i] for i in indices] for split, indices in drawn.items()}
    return splits, f"at random, {share:.0%} for validation, seed {division.seed}"


def _write(
    picture: Picture, stem: str, folder: Path, labels: Labels, colours: np.ndarray, notes: Notes, link: bool
) -> np.ndarray:
    target = folder / "images" / stem
    if isinstance(picture.image, Path):
        header, _ = write_image(picture.image, target, link)
    else:
        with tempfile.TemporaryDirectory() as place:
            content = Path(place, "embedded image")
            content.write_bytes(picture.image())
            try:
                header, _ = write_image(content, target, link=False)
            except ValueError as error:
                raise ValueError(str(error).replace(str(content), picture.where)) from error
    mask = painted_mask(picture, header, labels, notes)
    write_mask(mask, folder / "masks" / f"{stem}.png", colours)
    return mask


def _write_lists(folder: Path, classes: Sequence[str], splits: Mapping[str, Sequence[str]]) -> None:
    lists = {"classes": classes, **splits}
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
