"""YAML of plain values, from files that anybody may have written: small, flat, without tags and aliases."""

from pathlib import Path
from typing import Any

import yaml

from plopkit.support.places import read_limited
from plopkit.support.printable import one_line

LARGEST = 2**16
"""Bytes of a file; the settings of a run have 2,000."""
DEEPEST = 20
MOST = 5_000
"""The number of values in a file."""


def read_yaml(path: Path, what: str) -> Any:
    """The value in a file: dictionaries, lists, texts, numbers, dates, truth values and null.

    Anchors, aliases and tags are refused: an alias makes gigabytes of a few lines, and a tag may stand for anything.

    Args:
        path: The file.
        what: What it should be, for the error message, such as "the settings of a run".

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not such YAML; names the file and what is wrong.
    """
    content = read_limited(path, LARGEST, f"a file with {what}")
    try:
        text = content.decode("utf-8-sig")
        _check(text)
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # a text that looks like a date may be none
        raise ValueError(f"{path}: not {what}: {_problem(error)}; correct the file, or restore it") from error


def write_yaml(value: Any) -> str:
    """A value as YAML that `read_yaml` reads."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Write a value that is there twice two times."""
        return True


def _problem(error: Exception) -> str:
    """What is wrong, in one line; PyYAML takes five."""
    mark = getattr(error, "problem_mark", None)
    words = getattr(error, "problem", None) or error
    return one_line(words if mark is None else f"line {mark.line + 1}: {words}", 200)


def _check(text: str) -> None:
    """ValueError where the text is not plain. Events come one by one, so that nothing is built before it is checked."""
    depth = values = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ValueError(f"line {line}: anchors and aliases are not read; write the value itself")
        if tag := getattr(event, "tag", None):
            raise ValueError(f"line {line}: tags such as {tag} are not read; write the value without")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        values += isinstance(event, yaml.NodeEvent)
        if depth > DEEPEST or values > MOST:
            raise ValueError(f"line {line}: deeper than {DEEPEST} levels, or more than {MOST:,} values")
