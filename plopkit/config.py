"""Settings files: `--config settings.yaml` gives the values from which the flags of a command start.

A file is nested as `plopkit run --print-config` prints it, and may hold any part of that. The `settings.yaml` of a
run's folder is one, too. A file may also name a `preset` and a `recipe`, which are weaker than its other values; flags
are stronger.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plopkit.settings import Settings, flat, known_names
from plopkit.support.errors import unknown_name
from plopkit.support.plain_yaml import read_yaml

WORDS = ("scenario", "method", "preset", "recipe")
"""What is chosen before the settings: by arguments of `configure`, not among its overrides."""
HYPER = "hyper."


@dataclass(frozen=True)
class Config:
    """What a settings file says. Without a file, nothing."""

    path: Path | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    """those of `WORDS` that it names"""
    values: Mapping[str, Any] = field(default_factory=dict)
    """all other settings, by dotted name"""

    def word(self, name: str, given: str | None, usual: str) -> str:
        """A word of `WORDS`: that of a flag, else the file's, else the usual one."""
        return given if given is not None else self.words.get(name, usual)

    @contextmanager
    def named_in_errors(self) -> Iterator[None]:
        """Name the file in a `ValueError` about settings that are partly its own."""
        try:
            yield
        except ValueError as error:
            if self.path is None:
                raise
            raise ValueError(f"{error} (the settings are those of {self.path} and the flags)") from error


def not_replaced(values: Mapping[str, Any], flags: Collection[str]) -> dict[str, Any]:
    """A file's values without those that belong to a checkpoint or to weights which flags replace.

    Another checkpoint (`Start`) has its own list, step and digest; another list or step of the same one gives another
    digest, and so do other weights.

    Args:
        values: The settings of the file, by dotted name.
        flags: The names of the settings that flags set.
    """
    replaced = ["model.digest"] if "model.weights" in flags else []
    if any(name.startswith("start.") for name in flags):
        replaced.append("start." if "start.checkpoint" in flags else "start.digest")
    return {name: value for name, value in values.items() if not name.startswith(tuple(replaced))}


def read_config(path: Path | None) -> Config:
    """Read a settings file; None gives an empty `Config`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not YAML, or names a setting that does not exist; says which, and the nearest one.
    """
    if path is None:
        return Config()
    tree = read_yaml(path, "settings")
    if tree is None:
        return Config(path)
    if not isinstance(tree, Mapping) or not all(isinstance(name, str) for name in tree):
        raise ValueError(f"{path}: not settings; write lines such as `seed: 1`, as plopkit run --print-config does")
    values = flat(tree)
    known = [*(name for name in known_names(Settings) if name != "hyper"), "preset", "recipe"]
    for name in values:
        if name not in known and not (name.startswith(HYPER) and name.count(".") == 1):
            raise ValueError(f"{path}: {unknown_name('setting', name, [*known, 'hyper.<name>'])}")
    words = {name: values.pop(name) for name in WORDS if name in values}
    for name, word in words.items():
        if not isinstance(word, str):
            raise ValueError(f"{path}: {name} is a word, not {word!r}")
    return Config(path, words, values)
