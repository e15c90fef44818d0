"""What the commands of docs/guides/convert.md find in their folder."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

FLOWERS = ("tulip", "rose", "daisy")
STREET = {"sky": (70, 130, 180), "road": (128, 64, 128), "car": (0, 0, 142)}


def prepare(folder: Path) -> None:
    """Twelve photos with COCO's JSON, four pictures of a street with coloured masks, and two lists."""
    images, annotations = [], []
    for i in range(12):
        path = folder / "photos" / "images" / f"IMG_{i:02d}.jpg"
        _save(path, np.full((48, 64, 3), 60 + 10 * i, np.uint8))
        images.append({"id": i, "file_name": path.name, "height": 48, "width": 64})
        for k in range(2):
            x = 4 + 30 * k
            corners = [x, 8, x + 24, 12, x + 20, 40, x + 2, 36]
            annotations.append(
                {
                    "id": 2 * i + k,
                    "image_id": i,
                    "category_id": 1 + (i + k) % 3,
                    "iscrowd": 0,
                    "segmentation": [corners],
                }
            )
    categories = [{"id": 1 + k, "name": name} for k, name in enumerate(FLOWERS)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "photos" / "instances.json").write_text(json.dumps(content), encoding="utf-8")
    colours = np.array(list(STREET.values()), np.uint8)
    for i in range(4):
        labels = np.repeat(np.arange(3), 16)[:, None] + np.zeros(64, int)
        _save(folder / "street" / "images" / f"{i}.jpg", colours[labels] // 2)
        _save(folder / "street" / "masks" / f"{i}.png", colours[labels])
    table = "name,r,g,b\n" + "".join(f"{name},{r},{g},{b}\n" for name, (r, g, b) in STREET.items())
    (folder / "street" / "colours.csv").write_text(table, encoding="utf-8")
    (folder / "wanted.txt").write_text("daisy\ntulip\n", encoding="utf-8")
    (folder / "held-out.txt").write_text("IMG_03\nIMG_07.jpg\nimages/IMG_10.jpg\n", encoding="utf-8")


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
