"""The tables that a comparison leaves."""

import json
from pathlib import Path

import pandas as pd
import yaml


def check(folder: Path, printed: str) -> None:
    """Two methods are in the table, and the settings of the paper in the file."""
    rows = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    assert {(row["scenario"], row["method"]) for row in rows["runs"]} == {
        ("emoji 15-5 disjoint", "mib"),
        ("emoji 15-5 disjoint", "plop"),
    }
    assert len(pd.read_csv(folder / "published.csv")) > 50
    settings = yaml.safe_load((folder / "paper.yaml").read_text(encoding="utf-8"))
    assert settings["scenario"] == "voc 15-1 overlap"
    assert settings["method"] == "plop"
    assert "emoji 15-5 disjoint" in (folder / "report.html").read_text(encoding="utf-8")
    assert list((folder / "pictures").glob("*.png"))
