"""How fast are images loaded, next to a plain pipeline of the published kind? One core, interleaved, medians.

    python benchmarks/data.py --root data/voc [--crop 512] [--images 60] [--rounds 7]

The plain pipeline does what the released code does, in words of its own: Pillow crops and resizes, the image becomes
float32 and is normalised in the loader, and a Python function looks up every pixel of the mask. `plain` and `plopkit`
are milliseconds of processor time for one image or one mask, so that other work on the machine counts little.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import plopkit
from plopkit.datasets.lookup import look_up
from plopkit.datasets.steps import Selection, StepDataset, collate
from plopkit.datasets.transforms import IMAGENET_MEAN, IMAGENET_STD, train_transform
from plopkit.datasets.voc import voc
from plopkit.scenario import Scenario

from torchvision.transforms import InterpolationMode, RandomResizedCrop, functional  # isort: skip  (after plopkit)

SCALE = (0.5, 2.0)


def plain_remap(mask: Tensor, channels: dict[int, int]) -> Tensor:
    """The target of a mask, pixel by pixel: a label that is not shown is background."""
    shown = set(channels)
    return mask.apply_(lambda label: channels[label] if label in shown else 0)


def plain_sample(image: Path, mask: Path, channels: dict[int, int], crop: int) -> tuple[Tensor, Tensor]:
    """An image and its target, as the released code makes them."""
    with Image.open(image) as picture, Image.open(mask) as labels:
        picture = picture.convert("RGB")
        box = RandomResizedCrop.get_params(picture, scale=SCALE, ratio=(3 / 4, 4 / 3))
        picture = functional.resized_crop(picture, *box, [crop, crop], InterpolationMode.BILINEAR)
        labels = functional.resized_crop(labels, *box, [crop, crop], InterpolationMode.NEAREST)
    if torch.rand(1) < 0.5:
        picture, labels = functional.hflip(picture), functional.hflip(labels)
    ready = functional.normalize(functional.to_tensor(picture), IMAGENET_MEAN, IMAGENET_STD)
    return ready, plain_remap(torch.from_numpy(np.array(labels, np.uint8)), channels)


def interleaved(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each, run in turn."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for run in work.values():  # warm up
        run()
    for _ in range(rounds):
        for name, run in work.items():
            began = time.process_time()
            run()
            times[name].append(1000 * (time.process_time() - began))
    return {name: statistics.median(taken) for name, taken in times.items()}


def measure(args: argparse.Namespace) -> list[dict[str, float | str]]:
    step = Scenario.parse("voc 15-5 overlap").steps[0]
    source = voc(args.root, "train")
    chosen = range(min(args.images, len(source)))
    table = step.lookup()
    channels = {label: int(table[label]) for label in (*step.new, 255)}
    dataset = StepDataset(source, Selection.of(list(chosen), table), train_transform(args.crop, SCALE))
    mask = torch.from_numpy(np.random.default_rng(0).integers(0, 21, (args.crop, args.crop), np.uint8))
    assert torch.equal(plain_remap(mask.clone(), channels), look_up(mask, table))

    def plain_batch() -> None:
        torch.stack([plain_sample(source.images[i], source.masks[i], channels, args.crop)[0] for i in chosen])

    loads = {"plain": plain_batch, "plopkit": lambda: collate([dataset[i, i] for i in chosen])}
    looks = {"plain": lambda: plain_remap(mask.clone(), channels), "plopkit": lambda: look_up(mask, table)}
    rows = []
    for name, work, count in (("look-up of a mask", looks, 1), ("image loaded", loads, len(chosen))):
        taken = interleaved(work, args.rounds)
        per_item = {kind: round(milliseconds / count, 4) for kind, milliseconds in taken.items()}
        rows.append({"what": name, **per_item, "plopkit / plain": round(taken["plopkit"] / taken["plain"], 5)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="root folder of VOC 2012")
    parser.add_argument("--crop", type=int, default=512)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    about = {"plopkit": plopkit.__version__, "torch": torch.__version__, "processor": platform.processor()}
    print(json.dumps(about | {"rows": measure(args)}, indent=1))


if __name__ == "__main__":
    main()
