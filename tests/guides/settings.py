"""The commands of docs/guides/settings.md need no files."""

from pathlib import Path


def prepare(folder: Path) -> None:
    """Nothing: the folder stays empty."""
