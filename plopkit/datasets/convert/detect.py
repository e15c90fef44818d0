"""Which format a source has, by its content."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from plopkit.datasets.convert.folders import IMAGE_FOLDERS, MASK_FOLDERS
from plopkit.datasets.convert.images import files_below, is_image
from plopkit.datasets.convert.reading import read_json
from plopkit.support.errors import unknown_name

FORMATS = ("coco", "coco-panoptic", "rgb", "label-studio", "cvat", "labelme", "supervisely", "huggingface")
LOOKED_AT = 20
"""JSON files of a folder that are read to find the format out; a labelme folder has one for each picture."""
_BRUSH_PNG = re.compile(r"task-\d+-annotation-\d+-by-.*\.png")


class Found(NamedTuple):
    """A format, and the files of annotations."""

    format: str
    files: Mapping[Path, Any]
    """With their content, where it was read."""


def detect(sources: Sequence[Path], chosen: str = "auto") -> Found:
    """Find out the format of a folder, or of files.

    Args:
        sources: A folder, or files of annotations.
        chosen: The format where it is known; "auto" to find it out.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: The format is not known, or several fit.
    """
    if chosen not in ("auto", *FORMATS):
        raise unknown_name("format", chosen, ("auto", *FORMATS))
    if chosen == "huggingface" and len(sources) == 1:
        return Found(chosen, {})  # it may be a name on the hub
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(
                f"{source}: no such file or folder; name the exported folder, or its file of annotations (a name on "
                "the hub needs --format huggingface)"
            )
        if source.suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".7z"):
            raise ValueError(f"{source}: an archive; unpack it, and name the folder")
    if len(sources) > 1 and not all(source.is_file() for source in sources):
        raise ValueError("name one folder, or one or several files of annotations")
    found = _of_folder(sources[0], chosen) if sources[0].is_dir() else _of_files(sources)
    if chosen != "auto":
        return Found(chosen, found.get(chosen, {}))
    if not found:
        raise ValueError(
            f"{sources[0]}: no known format was found; known: {', '.join(FORMATS)}. Name the file of annotations, or "
            "choose --format"
        )
    if len(found) > 1:
        places = "; ".join(f"{name}: {_examples(files) or sources[0]}" for name, files in found.items())
        raise ValueError(f"{sources[0]}: several formats fit ({places}); choose one with --format")
    return Found(*next(iter(found.items())))


def json_format(path: Path, content: Any) -> str | None:
    """The format of a JSON file by its content; None for another.

    Raises:
        ValueError: It is an export of a known tool that does not say enough.
    """
    if isinstance(content, list) and content and isinstance(content[0], dict):
        first = content[0]
        if "data" in first and ("annotations" in first or "completions" in first):
            return "label-studio"
        if "annotator" in first or "annotation_id" in first:
            raise ValueError(f"{path}: it is Label Studio's JSON-MIN; export JSON instead")
    if isinstance(content, dict):
        if "shapes" in content and "imagePath" in content:
            return "labelme"
        if {"images", "annotations", "categories"} <= content.keys():
            annotations = content["annotations"]
            first = annotations[0] if isinstance(annotations, list) and annotations else {}
            return "coco-panoptic" if isinstance(first, dict) and "segments_info" in first else "coco"
        if "objects" in content and "size" in content:
            raise ValueError(f"{path}: one picture of a Supervisely project; name the project's folder instead")
    return None


def _of_files(sources: Sequence[Path]) -> dict[str, dict[Path, Any]]:
    found: dict[str, dict[Path, Any]] = {}
    for path in sources:
        if path.suffix.lower() == ".xml":
            found.setdefault("cvat", {})[path] = None
        elif path.suffix.lower() == ".json":
            content = read_json(path)
            kind = json_format(path, content)
            if kind is None:
                raise ValueError(
                    f"{path}: neither COCO's JSON nor an export of Label Studio or labelme; is it the right file?"
                )
            found.setdefault(kind, {})[path] = None if kind == "labelme" else content
        else:
            raise ValueError(f"{path}: a folder, .json or .xml is needed; name the file of annotations, or the folder")
    return found


def _of_folder(folder: Path, chosen: str) -> dict[str, dict[Path, Any]]:
    found: dict[str, dict[Path, Any]] = {}
    if (folder / "meta.json").is_file() and any(folder.glob("**/ann")):
        found["supervisely"] = {}
    if (folder / "labelmap.txt").is_file():
        found["cvat"] = {}
    if any((folder / name).exists() for name in ("dataset_dict.json", "state.json")) or any(folder.glob("*.parquet")):
        return {"huggingface": {}}
    if chosen != "cvat" or "cvat" not in found:
        for path in _files(folder, ".xml"):
            if _begins_as_cvat(path):
                found.setdefault("cvat", {})[path] = None
    if "supervisely" not in found:
        _add_json(folder, found)
    if not found and any(_BRUSH_PNG.fullmatch(path.name) for path in folder.glob("*.png")):
        raise ValueError(
            f"{folder}: Label Studio's brush masks as PNG do not say which picture they belong to; export JSON, which "
            "has the same masks, and name its file"
        )
    if not found and _has_images(folder, IMAGE_FOLDERS) and _has_images(folder, MASK_FOLDERS):
        found["rgb"] = {}
    return found


def _add_json(folder: Path, found: dict[str, dict[Path, Any]]) -> None:
    paths = _files(folder, ".json")
    other = []
    for path in paths[:LOOKED_AT]:
        content = read_json(path)
        kind = json_format(path, content)
        if kind is not None:
            found.setdefault(kind, {})[path] = None if kind == "labelme" else content
        else:
            other.append(path)
    if "labelme" in found:
        found["labelme"] |= dict.fromkeys([*other, *paths[LOOKED_AT:]])


def _files(folder: Path, suffix: str) -> list[Path]:
    return [path for path in files_below(folder) if path.suffix.lower() == suffix]


def _begins_as_cvat(path: Path) -> bool:
    with path.open("rb") as file:
        return b"<annotations>" in file.read(4096)


def _has_images(folder: Path, names: Sequence[str]) -> bool:
    folders = (entry for entry in folder.iterdir() if entry.is_dir() and entry.name.casefold() in names)
    return any(is_image(path.name) for entry in folders for path in entry.rglob("*"))


def _examples(files: Mapping[Path, Any]) -> str:
    names = [path.name for path in list(files)[:2]]
    return ", ".join(names) + (", …" if len(files) > 2 else "")
