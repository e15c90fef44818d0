"""JSON from strangers: read within a limit, and fields that are there and of the right type."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plopkit.support.places import read_limited
from plopkit.support.printable import quoted

LARGEST_JSON = 2**31
"""Bytes of a file of annotations. COCO's largest one has 0.45 GB."""


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ValueError: It is none, or larger than `LARGEST_JSON`.
        FileNotFoundError: There is no such file.
    """
    try:
        return json.loads(read_limited(path, LARGEST_JSON, "a file of annotations").decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text ({error}); export it again, or save it as UTF-8") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error}); export it again") from error


def entry_of(value: Any, where: str) -> Mapping[str, Any]:
    """A JSON object.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: an object with names is needed here, not {quoted(value)}; export it again")
    return value


def required(entry: Any, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """A field of a JSON object.

    Raises:
        ValueError: It is missing, or of another type.
    """
    value = entry_of(entry, where).get(key)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        found = f"not {quoted(value)}" if key in entry else "but there is none"
        raise ValueError(f"{where}: {key!r} must be {_words(kind)}, {found}; correct the entry, or export it again")
    return value


def number(entry: Any, key: str, where: str) -> float:
    """A finite number among the fields of a JSON object.

    Raises:
        ValueError: It is missing or none.
    """
    value = required(entry, key, (int, float), where)
    if not math.isfinite(value):
        raise ValueError(f"{where}: {key!r} is {value}, no number; correct the entry")
    return float(value)


def frame_of(entry: Any, height: str, width: str, where: str) -> tuple[int, int] | None:
    """Height and width by the names of their fields; None where they are not noted.

    Raises:
        ValueError: They are no sizes.
    """
    entry = entry_of(entry, where)
    if entry.get(height) is None or entry.get(width) is None:
        return None
    size = int(number(entry, height, where)), int(number(entry, width, where))
    if min(size) < 1:
        raise ValueError(f"{where}: {size[1]} x {size[0]} is no size of a picture; correct the entry")
    return size


def located(error: Exception, where: str, advice: str) -> ValueError:
    """The same error with its place and what to do, where it does not name the place already."""
    text = str(error)
    return ValueError(text if text.startswith(where) else f"{where}: {text}; {advice}")


def points_of(value: Any, where: str) -> list[tuple[float, float]]:
    """Pairs of numbers.

    Raises:
        ValueError: They are none.
    """
    try:
        return [(float(x), float(y)) for x, y in value]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: pairs of x and y are needed, not {quoted(value)}; correct the entry") from error


def _words(kind: type | tuple[type, ...]) -> str:
    names = {str: "a text", int: "a whole number", float: "a number", list: "a list", dict: "an object"}
    kinds = kind if isinstance(kind, tuple) else (kind,)
    kinds = (float,) if float in kinds else kinds
    return " or ".join(names.get(item, item.__name__) for item in kinds)
