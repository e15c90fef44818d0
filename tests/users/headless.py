"""What a job finds after a run without a screen."""

import json
from pathlib import Path


def check(folder: Path, printed: str) -> None:
    """One run, read back by the second command; its table and its log are JSON."""
    (run,) = [path for path in (folder / "runs").iterdir() if path.is_dir() and not path.name.startswith(".")]
    assert (folder / "printed.txt").read_text(encoding="utf-8") == (folder / "again.txt").read_text(encoding="utf-8")
    table = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    assert [row["step"] for row in table["runs"]] == [0, 1]
    kinds = [json.loads(line)["kind"] for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert kinds[0] == "settings"
    assert kinds.count("evaluation") == 2
    assert json.loads((folder / "check.json").read_text(encoding="utf-8"))["findings"] == []
