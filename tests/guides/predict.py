"""Pictures for the guide, and what its commands have left."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image


def prepare(folder: Path) -> None:
    """Three photographs of a few dozen pixels in two folders."""
    colours = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), np.uint8)
    for name, pixels in zip(("beach/1.jpg", "beach/2.png", "1.jpg"), colours, strict=True):
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def check(folder: Path, printed: str) -> None:
    for kind in ("masks", "overlays"):
        root = folder / "predicted" / kind
        made = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
        assert made == ["1.png", "beach/1.png", "beach/2.png"]
    with (folder / "sure" / "pixels.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 4 and len(rows[0]) == 1 + 16 + 1
    assert (folder / "again" / "masks" / "1.png").read_bytes() != b""
    assert {path.name for path in (folder / "onnx").iterdir()} == {"model.onnx", "model.json"}
    assert "3 of 3 pictures" in printed
