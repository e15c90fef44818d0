"""`classes.txt`: the names of a user's classes, with or without their labels."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from plopkit.datasets.lists import Line, numbered_lines, read_lines
from plopkit.scenario import IGNORE, WIDE_IGNORE
from plopkit.support.printable import quoted

_NUMBERED = re.compile(r"(\d{1,6})(?:\s*[,;:\t]\s*|\s+)(\S.*)")
_NUMBERED_BEHIND = re.compile(r"(\S.*?)(?:\s*[,;:\t]\s*|\s+)(\d{1,6})")
_COLOURED = re.compile(r"([^,;\t]*[,;\t ]\s*)?\d{1,3}[,;\t ]\s*\d{1,3}[,;\t ]\s*\d{1,3}([,;\t ].*)?")
_HEADER = re.compile(r"\W*(id|label|index|value|class[_ ]?id)\W+(name|class|label|class[_ ]?name)\W*", re.IGNORECASE)
_NO_CLASS = ("ignore", "ignored", "void", "unlabeled", "unlabelled", "don't care")
BACKGROUND = "background"
LABELME = ["__ignore__", "_background_"]
"""How labelme's lists of classes begin."""


def class_names(path: Path) -> tuple[str, ...]:
    """The name of each label: one a line, background first, or as `label name`, `label,name` or `name label` in any
    order.

    Lines that begin with `#` are comments. Labels begin at 0, which is the background, or at 1: then label 0 is named
    "background".

    Raises:
        ValueError: A name or a label is repeated or missing, or there are too few or too many.
    """
    lines = [line for line in numbered_lines(path) if not line.text.startswith("#")]
    if len(lines) > 1 and _HEADER.fullmatch(lines[0].text):
        lines = lines[1:]
    if [line.text.lower() for line in lines[:2]] == LABELME:  # its label is -1
        lines = lines[1:]
    if lines and all(line.text.startswith("- ") for line in lines):  # a list in YAML or Markdown
        lines = [Line(line.number, line.text[2:].strip()) for line in lines]
    matches = [_NUMBERED.fullmatch(line.text) for line in lines]
    if lines and all(_COLOURED.fullmatch(line.text) for line in lines):
        raise ValueError(
            f"{path}: its lines hold colours, and masks hold labels; `plopkit data convert` makes labels of colours"
        )
    if lines and all(matches):
        names = _by_label(
            path, {line: (int(match[1]), match[2]) for line, match in zip(lines, matches, strict=True) if match}
        )
    elif labels := _labels_behind(lines):
        names = _by_label(path, labels)
    else:
        _check_no_gap(path)
        names = tuple(line.text for line in lines)
    names = tuple(_unquoted(name) for name in names)
    if (wrong := next((name for name in names if "\t" in name), None)) is not None:
        raise ValueError(
            f"{path}: {quoted(wrong)} has several columns; write the name alone, or behind its label, as in `1,cat`"
        )
    if not 2 <= len(names) <= WIDE_IGNORE:
        raise wrong_number(path, len(names))
    if len(set(names)) < len(names):
        repeated = Counter(names).most_common(1)[0][0]
        raise ValueError(f"{path}: the class name {repeated!r} is repeated; every name must be unique")
    return names


def wrong_number(path: Path, n_names: int) -> ValueError:
    """The error where there are too few or too many names."""
    return ValueError(
        f"{path}: {n_names} names; the background and 1 to {IGNORE - 1} classes are needed, one per line, or up to "
        f"{WIDE_IGNORE - 1:,} where the masks have 16 bits"
    )


def _unquoted(name: str) -> str:
    quotes = next((quote for quote in "\"'" if len(name) > 2 and name[0] == name[-1] == quote), "")
    return name.strip(quotes) if quotes else name


def _labels_behind(lines: Sequence[Line]) -> dict[Line, tuple[int, str]]:
    """Label and name of each line, where every name has its label behind it: all labels from 0 or from 1, and none of
    the names twice, as those of "class 1" and "class 2" would be. Nothing elsewhere."""
    matches = [_NUMBERED_BEHIND.fullmatch(line.text) for line in lines]
    found = {line: (int(match[2]), match[1]) for line, match in zip(lines, matches, strict=True) if match}
    labels, names = ({pair[part] for pair in found.values()} for part in (0, 1))
    complete = labels in (set(range(len(lines))), set(range(1, len(lines) + 1)))
    return found if len(lines) > 1 and complete and len(names) == len(lines) else {}


def _by_label(path: Path, labelled: dict[Line, tuple[int, str]]) -> tuple[str, ...]:
    names: dict[int, str] = {}
    for line, (label, name) in labelled.items():
        name = name.strip()
        if label in (IGNORE, WIDE_IGNORE) and name.lower() in _NO_CLASS:
            continue
        if label in names:
            raise ValueError(f"{path}: line {line.number} repeats label {label}; give every class its own")
        names[label] = name
    first = min(names, default=0)
    if first == 1:
        if names[1].lower() == BACKGROUND:
            raise ValueError(
                f"{path}: label 1 is the background, but the background has label 0 in masks; number from 0, and check "
                "the masks"
            )
        names[0] = BACKGROUND
    labels: Sequence[int] = sorted(names)
    gap = next((label for label, there in enumerate(labels) if label != there), None)
    if gap is not None:
        raise ValueError(
            f"{path}: label {gap} has no name, and the largest label is {labels[-1]}; labels run from 0 without gaps: "
            f"give it a name, or renumber the masks with `plopkit data convert`"
        )
    return tuple(names[label] for label in labels)


def _check_no_gap(path: Path) -> None:
    lines = read_lines(path)
    if "" in lines:
        raise ValueError(
            f"{path}: line {lines.index('') + 1} is empty; line n names label n - 1: name it, or remove the line"
        )
