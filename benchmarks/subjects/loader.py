"""Training batches from photographs: seconds per image of 500 x 375 pixels to a crop of 512, on one core."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks import known
from benchmarks.files import VARIANTS, write_data_set
from benchmarks.references import data as plain
from benchmarks.timing import Contender, Effort, Row, interleaved, one_thread
from plopkit.datasets import open_split
from plopkit.datasets.counts import presence
from plopkit.datasets.steps import Selection, StepDataset, train_loader
from plopkit.datasets.transforms import train_transform
from plopkit.scenario import Scenario
from plopkit.settings import Data
from plopkit.trainer import batches

BAR = 1 / 8
BATCH = 4
STEP = Scenario.parse("voc 15-5 overlap").steps[1]
"""The labels of the generated masks fit it."""


def contenders(
    root: Path, size: int = 512, scale: tuple[float, float] = (0.5, 2.0), flip: float = 0.5, batch: int = BATCH
) -> dict[str, Contender]:
    """An epoch of a folder's training images; a contender returns its batches, ready for the net."""
    source = open_split("folder", "train", Data(root=root))
    selection = Selection.protocol(STEP, presence(source))
    loader = train_loader(StepDataset(source, selection, train_transform(size, scale, flip)), batch, seed=0)
    accelerator = Accelerator(cpu=True)
    stems = [source.stems[index] for index in selection.indices]
    images = [root / "images" / f"{stem}.jpg" for stem in stems]
    masks = [root / "masks" / f"{stem}.png" for stem in stems]
    convert = plain.remap(STEP.new, {label: channel for channel, label in enumerate(STEP.seen)})
    dataset = plain.PlainDataset(images, masks, convert, size, scale, flip)
    plain_loader = DataLoader(dataset, batch, shuffle=True, drop_last=True)

    def drained(items: Iterator[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
        return list(items)

    return {
        "ours": lambda: drained(batches(loader, 0, accelerator)),
        "reference": lambda: drained(iter(plain_loader)),
    }


def measure(effort: Effort) -> list[Row]:
    """One row, with one thread."""
    with one_thread(), tempfile.TemporaryDirectory() as folder:
        root = write_data_set(Path(folder), train=2 * VARIANTS, val=1)
        pair = contenders(root)
        count = sum(len(target) for _, target in pair["ours"]())
        times = interleaved(pair, effort.rounds(9, 3))
    ours, reference = times["ours"] / count, times["reference"] / count
    return [Row("loader, per image and core", ours, reference, bar=BAR, published=known.LOADER)]
