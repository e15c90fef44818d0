"""What the commands share: their parsers, the words given to them, and what they print."""

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plopkit.support.places import expanded
from plopkit.support.printable import printable

if TYPE_CHECKING:
    from plopkit.runs.folder import RunFolder


def parser_of(command: Callable[[Sequence[str]], None], allow_abbrev: bool = True) -> argparse.ArgumentParser:
    """A parser with the command's name and its documentation as help."""
    name = command.__name__
    return argparse.ArgumentParser(f"plopkit {name}", description=command.__doc__, allow_abbrev=allow_abbrev)


def print_results(folder: "RunFolder") -> None:
    """A finished run's table and its folder; of several processes, the main one prints."""
    from accelerate import PartialState

    from plopkit.runs.results import SHOWN

    if not PartialState().is_main_process:
        return
    table = folder.summary[["method", "seed", "step", *SHOWN]]
    say(table.to_string(index=False, float_format="{:.1f}".format, na_rep="-"))
    if credit := str(folder.examples["credit"]):
        say(credit)
    say(f"\nresults, pictures and checkpoints: {folder.path}")


def say(text: Any, stream: Any = None) -> None:
    """Print a text in which a terminal obeys nothing, at once."""
    print(printable(str(text)), file=stream or sys.stdout, flush=True)


def print_json(value: Any) -> None:
    """Print a value as JSON: tables as lists of rows, and null for what is not a number, such as NaN."""
    print(json.dumps(_plain(value), indent=1, allow_nan=False), flush=True)


def _plain(value: Any) -> Any:
    """A value of dictionaries, lists, texts and numbers; numpy's numbers become Python's."""
    if hasattr(value, "to_dict"):
        value = value.to_dict("records")
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_path(text: str) -> Path:
    """A path among the words of a command, with `~` expanded."""
    try:
        return expanded(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def split_at(words: Sequence[str], mark: str) -> tuple[list[str], list[str]]:
    """The words before and after a word."""
    place = list(words).index(mark) if mark in words else len(words)
    return list(words[:place]), list(words[place + 1 :])


def without(words: Sequence[str], flag: str) -> tuple[bool, list[str]]:
    """Whether a flag is among the words, and the words without it."""
    return flag in words, [word for word in words if word != flag]


def values_of(words: Sequence[str], flag: str) -> tuple[list[str], list[str]]:
    """All values of a flag that may be given several times, and the other words."""
    parser = argparse.ArgumentParser("plopkit", add_help=False, allow_abbrev=False, prefix_chars="-")
    values, others = [], []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name != flag:
            others.append(word)
        elif equals:
            values.append(value)
        elif (following := next(rest, None)) is not None:
            values.append(following)
        else:
            parser.error(f"{flag} needs a file")
    return values, others
