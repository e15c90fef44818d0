"""What the guide's commands have left and printed."""

from pathlib import Path


def check(folder: Path, printed: str) -> None:
    assert len(list((folder / "runs").glob("*/results.csv"))) == 1
    commands = [line for line in printed.splitlines() if "plopkit run" in line and "optim.lr" in line]
    assert len(commands) == 24  # two scenarios, two methods, three seeds, two learning rates
