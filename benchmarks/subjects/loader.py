"""Training batches from photographs: seconds per image of 500 x 375 pixels to a crop of 512, on one core.

Each side is in a process of its own (`apart`), and drops a batch before it loads the next, as a training does: a list
of all would need new memory for every batch.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks import known
from benchmarks.apart import apart
from benchmarks.files import VARIANTS, write_data_set
from benchmarks.references import data as plain
from benchmarks.timing import Contender, Effort, Row, interleaved, one_thread
from benchmarks.trainings import settings_of
from plopkit.compute import make_accelerator
from plopkit.datasets import open_split
from plopkit.datasets.counts import presence
from plopkit.datasets.source import Source
from plopkit.datasets.steps import Selection, StepDataset, train_loader
from plopkit.datasets.transforms import train_transform
from plopkit.scenario import Scenario
from plopkit.settings import Data
from plopkit.trainer import batches

BAR = 1 / 8
BATCH = 4
STEP = Scenario.parse("voc 15-5 overlap").steps[1]
"""The labels of the generated masks fit it."""


Epoch = Callable[[], Iterator[tuple[Tensor, Tensor]]]
"""Begins an epoch of a folder's training images: batches that are ready for the net."""


def plopkit_epoch(
    root: Path, size: int = 512, scale: tuple[float, float] = (0.5, 2.0), flip: float = 0.5, batch: int = BATCH
) -> Epoch:
    """As `plopkit run` loads them."""
    settings = settings_of(root / "runs", scenario="folder 15-5 overlap", data__root=root)
    accelerator = make_accelerator(settings)
    source, selection = _selected(root)
    loader = train_loader(StepDataset(source, selection, train_transform(size, scale, flip)), batch, seed=0)
    return lambda: batches(loader, 0, accelerator)


def published_epoch(
    root: Path, size: int = 512, scale: tuple[float, float] = (0.5, 2.0), flip: float = 0.5, batch: int = BATCH
) -> Epoch:
    """The same images, loaded plainly."""
    source, selection = _selected(root)
    stems = [source.stems[index] for index in selection.indices]
    images = [root / "images" / f"{stem}.jpg" for stem in stems]
    masks = [root / "masks" / f"{stem}.png" for stem in stems]
    convert = plain.remap(STEP.new, {label: channel for channel, label in enumerate(STEP.seen)})
    dataset = plain.PlainDataset(images, masks, convert, size, scale, flip)
    loader = DataLoader(dataset, batch, shuffle=True, drop_last=True)
    return lambda: iter(loader)


def counted(make: Callable[..., Epoch], *arguments: Any) -> Contender:
    """Loads an epoch; returns its number of images."""
    epoch = make(*arguments)
    return lambda: sum(len(target) for _, target in epoch())


def _selected(root: Path) -> tuple[Source, Selection]:
    source = open_split("folder", "train", Data(root=root))
    return source, Selection.protocol(STEP, presence(source))


def measure(effort: Effort) -> list[Row]:
    """One row, with one thread."""
    with one_thread(), tempfile.TemporaryDirectory() as folder, apart() as start:
        root = write_data_set(Path(folder), train=2 * VARIANTS, val=1)
        work = {"ours": start(counted, plopkit_epoch, root), "reference": start(counted, published_epoch, root)}
        count = work["ours"]()
        times = interleaved(work, effort.rounds(9, 3))
    ours, reference = times["ours"] / count, times["reference"] / count
    return [Row("loader, per image and core", ours, reference, bar=BAR, published=known.LOADER)]
