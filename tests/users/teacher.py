"""The lesson that was executed from the folder."""

import json
from pathlib import Path


def check(folder: Path, printed: str) -> None:
    """Every cell has run, with the plopkit of the folder, and there is a picture."""
    cells = json.loads((folder / "seen.ipynb").read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code" and cell["source"])
    assert any("<img alt=" in str(output.get("data", {}).get("text/html")) for output in outputs)
    assert (folder / "site" / "plopkit" / "_notebooks" / "00_start_here.ipynb").is_file()
    assert (folder / "my-lessons" / "runs").is_dir() or (folder / "runs").is_dir()
