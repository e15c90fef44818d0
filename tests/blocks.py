"""The fenced blocks of a Markdown text, and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from small_runs import SMALL

BLOCK = re.compile(r"^[ ]*```(\w*)[^\n]*\n(.*?)^[ ]*```[ ]*$", flags=re.MULTILINE | re.DOTALL)
SMALLER: dict[str, dict[str, Any]] = {
    "run": SMALL,
    "grid": SMALL,
    "evaluate": {name: SMALL[name] for name in ("data.size", "data.scenes", "data.val_scenes", "compute.cpu")},
}
"""Settings of the commands that would take long."""


class Block(NamedTuple):
    """A fenced block: its language, its text, and the number of lines above the text."""

    language: str
    text: str
    above: int

    @property
    def file(self) -> str | None:
        """The name of the file that the block is, if its first line is a comment with nothing but a file's name."""
        match = re.match(r"# ?([\w.-]+\.\w+)\n", self.text)
        return match[1] if match and self.language not in ("bash", "sh") else None

    def lines(self) -> Iterator[str]:
        """The commands, one each: without comment lines, and continued lines joined."""
        for line in self.text.replace("\\\n", " ").splitlines():
            if line.strip() and not line.strip().startswith("#"):
                yield line.strip().removeprefix("$ ")


def blocks(markdown: str, *languages: str) -> list[Block]:
    """The fenced blocks of a text, in order; of `languages` alone, if there are any."""
    found = [Block(match[1], match[2], markdown.count("\n", 0, match.start(2))) for match in BLOCK.finditer(markdown)]
    return [block for block in found if not languages or block.language in languages]


def commands(markdown: str, language: str = "sh") -> list[list[str]]:
    """The commands of the blocks of a language, split into words."""
    return [shlex.split(line, comments=True) for block in blocks(markdown, language) for line in block.lines()]


def write_files(markdown: str, folder: Path) -> None:
    """Write the blocks that are files."""
    for block in blocks(markdown):
        if block.file:
            (folder / block.file).write_text(block.text, encoding="utf-8")


def shrunk(words: list[str]) -> list[str]:
    """The words after `plopkit`, with preset smoke, a smaller network and fewer images for a command that takes long.

    What the words set themselves stays, except the preset.
    """
    if words[0] not in SMALLER or "--help" in words:
        return words
    words = [word if before != "--preset" else "smoke" for before, word in zip(["", *words], words, strict=False)]
    if "--preset" not in words:
        words += ["--preset", "smoke"]
    known = {word.partition("=")[0] for word in words}
    if words[0] == "grid":
        pairs = [f"{name}={text_of(value)}" for name, value in SMALL.items() if name not in known]
        return [*words, "--set", *pairs]
    for name, value in SMALLER[words[0]].items():
        flag = "--" + name.replace("_", "-")
        if flag not in known:
            words += [flag, *([] if value is True else map(str, value if isinstance(value, tuple) else (value,)))]
    return words


def text_of(value: object) -> str:
    """A value as `plopkit grid --set` reads it."""
    return str(list(value)).replace(" ", "") if isinstance(value, tuple) else str(value).lower()
