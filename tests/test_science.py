"""The science itself, on shapes that a small net learns in seconds: fine-tuning forgets; PLOP and MiB do not."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from small_runs import leave_out_pictures

from plopkit import configure, run

NAMES = ("background", "red oval", "green box", "blue oval", "yellow box")
COLOURS = ((90, 90, 90), (210, 40, 40), (40, 180, 60), (50, 80, 220), (230, 210, 50))
SIZE = 64


def draw(rng: np.random.Generator, labels: list[int]) -> tuple[Image.Image, Image.Image]:
    """One shape per label, left and right, on noise, and the mask."""
    image = Image.fromarray(rng.normal(90, 25, (SIZE, SIZE, 3)).clip(0, 255).astype(np.uint8))
    mask = Image.new("L", (SIZE, SIZE))
    for column, label in enumerate(labels):
        x, y, height = 1 + 32 * column + rng.integers(3), rng.integers(1, 20), rng.integers(34, 44)
        box = tuple(int(v) for v in (x, y, x + 27, y + height))
        for canvas, fill in ((image, COLOURS[label]), (mask, label)):
            pen = ImageDraw.Draw(canvas)
            (pen.ellipse if label % 2 else pen.rectangle)(box, fill=fill)
    return image, mask


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A user's data set of two old and two new classes; most images show one of each."""
    root = tmp_path_factory.mktemp("shapes")
    rng = np.random.default_rng(0)
    (root / "images").mkdir()
    (root / "masks").mkdir()
    (root / "classes.txt").write_text("\n".join(NAMES))
    for split, count in (("train", 64), ("val", 32)):
        stems = [f"{split}{index}" for index in range(count)]
        for index, stem in enumerate(stems):
            image, mask = draw(rng, [1 + index % 2, 3 + index // 2 % 2] if index % 4 else [1 + index // 4 % 4])
            image.save(root / "images" / f"{stem}.jpg")
            mask.save(root / "masks" / f"{stem}.png")
        (root / f"{split}.txt").write_text("\n".join(stems))
    return root


@pytest.fixture(scope="module")
def summaries(shapes, tmp_path_factory):
    """The summary of each method on `folder 2-2 overlap`; they share the first step."""
    out = tmp_path_factory.mktemp("science")
    overrides = {
        "data.root": shapes,
        "data.size": SIZE,
        "model.encoder": "test_efficientnet",
        "model.weights": "none",
        "model.stages": None,
        "model.output_stride": 8,
        "model.width": 32,
        "optim.lr": 3e-3,
        "optim.epochs": 14,
        "optim.epochs_later": 10,
        "optim.min_iterations": 0,
        "optim.lr_later": 3e-3,
        "optim.batch": 8,
        "out": out,
    }
    settings = {m: configure("folder 2-2 overlap", m, "laptop", overrides) for m in ("ft", "mib", "plop")}
    with pytest.MonkeyPatch.context() as patch:
        leave_out_pictures(patch)
        return {method: run(chosen, progress=False).summary for method, chosen in settings.items()}


def test_step_0_is_learnt_and_the_same_for_all(summaries):
    firsts = [summary["old_nobg"][0] for summary in summaries.values()]
    assert len(set(firsts)) == 1
    assert firsts[0] > 60


def test_fine_tuning_forgets(summaries):
    assert summaries["ft"]["old_nobg"][1] < 5
    assert summaries["ft"]["new"][1] > 40


@pytest.mark.parametrize("method", ["mib", "plop"])
def test_mib_and_plop_keep_old_classes_and_learn_new_ones(summaries, method):
    summary = summaries[method]
    assert summary["old_nobg"][1] > 0.7 * summary["old_nobg"][0]
    assert summary["new"][1] > 25
    assert summary["all"][1] > summaries["ft"]["all"][1] + 10
