"""What the guide's runs have left."""

import csv
from pathlib import Path


def check(folder: Path, printed: str) -> None:
    commands = [line for line in printed.splitlines() if "plopkit run" in line and "optim.lr" in line]
    assert len(commands) == 24  # two scenarios, two methods, three seeds, two learning rates
    with (folder / "runs" / "grid.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} == {"ft", "plop"}
    assert {path.name for path in (folder / "runs" / ".grid").glob("*.log")} == {
        path.name + ".log" for path in (folder / "runs").glob("*ft*")
    }  # plop's run was there
