"""Masks whose colours are classes, with a table of the colours.

The table is a CSV file, a class per line: name,r,g,b or r,g,b,name or name,#rrggbb, with a header or without; or CVAT's
labelmap.txt. Colours are exact: a mask that was saved as JPEG has others.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from plopkit.datasets.convert.annotated import BACKGROUND, Canvas, ClassNames
from plopkit.datasets.lists import read_lines
from plopkit.support.printable import one_line

Colour = tuple[int, int, int]
OTHERS = {"ignore": "ignored", "background": "background"}
"""By choice of what to do with unknown pixels: what they are afterwards."""


def has_colours(path: Path) -> bool:
    """Whether a file of classes has a colour in its first line or, below a header, in its second."""
    return any(_coloured(line) for line in _class_lines(path)[:2])


def colour_table(path: Path, names: ClassNames) -> dict[Colour, str]:
    """The class name of each colour.

    Args:
        path: A CSV file, or CVAT's labelmap.txt.
        names: Gets the names, in the file's order.

    Raises:
        ValueError: A line is none of the known forms, or a colour is repeated. The message names the line.
    """
    colours: dict[Colour, str] = {}
    for place, line in enumerate(_class_lines(path)):
        where = f"{path}: {one_line(line)!r}"
        found = _coloured(line)
        if found is None and not place:
            continue  # the header
        if found is None:
            raise ValueError(
                f"{where} is no class with a colour; write name,r,g,b with numbers of 0 to 255, or name,#rrggbb"
            )
        name, colour = found
        if colour in colours:
            raise ValueError(f"{where}: the colour {colour} is that of {one_line(colours[colour])}, too; correct one")
        colours[colour] = names.add(name, where)
    if not colours:
        raise ValueError(f"{path}: it names no class with a colour; write a line name,r,g,b for each")
    return colours


def _class_lines(path: Path) -> list[str]:
    return [line for line in read_lines(path) if line and not line.startswith("# ")]


def _coloured(line: str) -> tuple[str, Colour] | None:
    if match := re.fullmatch(r"([^:]+):(\d+),(\d+),(\d+):[^:]*:[^:]*", line):  # CVAT's labelmap.txt
        cells = list(match.groups())
    else:
        mark = next((mark for mark in (",", ";", "\t") if mark in line), None)
        cells = [cell.strip() for cell in (next(csv.reader([line], delimiter=mark)) if mark else line.split())]
    whole = [i for i, cell in enumerate(cells) if re.fullmatch(r"\d{1,3}", cell) and int(cell) < 256]
    coded = [i for i, cell in enumerate(cells) if re.fullmatch(r"#[0-9a-fA-F]{6}", cell)]
    if len(coded) == 1:
        taken, colour = coded, tuple(bytes.fromhex(cells[coded[0]][1:]))
    elif len(whole) in (3, 4) and (run := _three_in_a_row(whole)):
        taken, colour = run, tuple(int(cells[i]) for i in run)
    else:
        return None
    # A further number is an id: the line's place says the label.
    words = [cell for i, cell in enumerate(cells) if i not in taken and cell and not re.fullmatch(r"\d+", cell)]
    return (words[0], (colour[0], colour[1], colour[2])) if words else None


def _three_in_a_row(places: Sequence[int]) -> list[int] | None:
    run = list(places[-3:])
    return run if run[2] - run[0] == 2 else None


def paint_colours(
    canvas: Canvas, values: UInt8[np.ndarray, "h w 3"], colours: Mapping[Colour, str], unknown: str, where: str
) -> None:
    """Paint a mask by its colours.

    Args:
        canvas: What is painted.
        values: The mask.
        colours: The class of each colour.
        unknown: What other colours become: "ignore", "background", or an error for "refuse".
        where: The mask, for messages.

    Raises:
        ValueError: A colour is unknown, and that is refused.
    """
    indices, others = indexed(values, list(colours))
    names = [*colours.values(), BACKGROUND]
    if others and unknown == "refuse":
        colour, n_pixels = max(others.items(), key=lambda item: item[1])
        near = min(colours, key=lambda own: sum((a - b) ** 2 for a, b in zip(own, colour, strict=True)))
        more = f", and {len(others) - 1:,} more colours are unknown" if len(others) > 1 else ""
        is_jpeg = where.lower().endswith((".jpg", ".jpeg"))
        advice = "save masks as PNG, because JPEG changes colours" if is_jpeg else "correct the mask or the table"
        raise ValueError(
            f"{where}: {n_pixels:,} pixels have the colour {colour}, which is no class{more}; the nearest is "
            f"{one_line(colours[near])} {near}; {advice}, or choose --unknown ignore or --unknown background"
        )
    if others:
        canvas.notes.add(f"masks with unknown colours, which are {OTHERS[unknown]}", where)
        if unknown == "background":
            indices[indices < 0] = len(colours)
    canvas.fill(indices, names)


def indexed(
    values: UInt8[np.ndarray, "h w 3"], colours: Sequence[Colour]
) -> tuple[Int[np.ndarray, "h w"], dict[Colour, int]]:
    """The index of each pixel's colour.

    Returns:
        Indices into `colours`, -1 for others; and the number of pixels of each other colour.
    """
    codes = values.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
    own = np.array([65536 * r + 256 * g + b for r, g, b in colours], np.int32)
    order = np.argsort(own)
    place = np.searchsorted(own[order], codes).clip(max=len(own) - 1)
    indices = np.where(own[order][place] == codes, order[place], -1)
    others, counts = np.unique(codes[indices < 0], return_counts=True)
    unknown = {(int(c) >> 16, int(c) >> 8 & 255, int(c) & 255): int(n) for c, n in zip(others, counts, strict=True)}
    return indices, unknown
