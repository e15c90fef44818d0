"""Twelve pictures in two deliveries, as an annotation tool exports them, and what becomes of them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

NAMES = ("cup", "spoon", "plate")
COLOURS = ((200, 40, 40), (40, 160, 60), (50, 70, 210))


def prepare(folder: Path) -> None:
    """Write `pictures/` and a COCO file for each delivery; the second one shows the third class."""
    (folder / "pictures").mkdir()
    for delivery, shown in (("first", (0, 1)), ("second", (2, 0))):
        images, annotations = [], []
        for index in range(6):
            pixels = np.full((72, 96, 3), 90 + 5 * index, np.uint8)
            for k, kind in enumerate(shown):
                x, y = 6 + 44 * k, 10 + 2 * index
                pixels[y : y + 40, x : x + 36] = COLOURS[kind]
                corners = [x, y, x + 36, y, x + 36, y + 40, x, y + 40]
                annotations.append(
                    {"id": 2 * index + k, "image_id": index, "category_id": kind + 1, "segmentation": [corners]}
                )
            name = f"{delivery}-{index}.jpg"
            Image.fromarray(pixels).save(folder / "pictures" / name, quality=95)
            images.append({"id": index, "file_name": name, "height": 72, "width": 96})
        known = NAMES[: max(shown) + 1]
        categories = [{"id": number, "name": name} for number, name in enumerate(known, 1)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / f"{delivery}.json").write_text(json.dumps(content), encoding="utf-8")


def check(folder: Path, printed: str) -> None:
    """The pictures that are left have masks of the three classes, from a net whose step 0 was never trained again."""
    assert sorted(path.name for path in (folder / "predicted" / "masks").iterdir()) == [
        f"second-{index}.png" for index in range(6)
    ]
    table = pd.read_csv(folder / "predicted" / "pixels.csv")
    assert {"background", *NAMES} <= set(table.columns)
    assert set(table[["background", *NAMES]].sum(axis=1)) == {72 * 96}
    first, second = (
        folder / "runs" / name / "checkpoints" / "step-0.safetensors" for name in ("knows-two", "knows-three")
    )
    assert first.read_bytes() == second.read_bytes()
    assert list((folder / "exported").glob("model.*"))
