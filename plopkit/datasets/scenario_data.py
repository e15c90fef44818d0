"""A scenario's images: opened, indexed and checked before anything is trained, then given out step by step."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import DataLoader

from plopkit.datasets import Source, n_labels, open_split
from plopkit.datasets.presence import presence
from plopkit.datasets.steps import StepDataset, eval_loader, train_loader
from plopkit.datasets.transforms import eval_transform, picture, train_transform
from plopkit.scenario import Scenario, Step
from plopkit.settings import Settings
from plopkit.support.seeding import seed_of


class Batch(NamedTuple):
    """Images as a step sees them, to look at: no augmentation."""

    images: Float[Tensor, "B 3 H W"]
    """normalised, for a net"""
    target: Int[Tensor, "B H W"]
    """channels, as the step's training masks show them"""
    masks: Int[Tensor, "B H W"]
    """the true labels"""

    @property
    def pictures(self) -> UInt8[Tensor, "B 3 H W"]:
        """For people."""
        return torch.stack([picture(image) for image in self.images])


@dataclass(frozen=True)
class StepData:
    """The training and validation images of a scenario under some settings."""

    settings: Settings
    scenario: Scenario
    train: Source
    val: Source

    @classmethod
    def open(cls, settings: Settings, trains: bool = True) -> Self:
        """Open both splits and check all of it; ValueError or FileNotFoundError names the file or the step.

        trains: whether there must be enough images to train on.
        """
        dataset = settings.scenario.split()[0]
        scenario = Scenario.parse(settings.scenario, n_labels(dataset, settings.data))
        sources = (open_split(dataset, split, settings.data, settings.seed) for split in ("train", "val"))
        data = cls(settings, scenario, *sources)
        for step in scenario.steps:
            if trains:
                data.train_loader(step)
            if not len(data._val_set(step)):
                raise ValueError(f"step {step.index}: no validation image has any of its labels {step.seen[1:]}")
        return data

    @cached_property
    def presence(self) -> tuple[np.ndarray, np.ndarray]:
        """Which labels the training and the validation images have: two (N, 256) bool."""
        return presence(self.train), presence(self.val)

    def table(self) -> pd.DataFrame:
        """One row per step: its new classes, and the images that it is trained and evaluated on."""
        names = self.val.classes
        rows = [
            {
                "step": step.index,
                "new classes": ", ".join(names[label] for label in step.new if label),
                "training images": int(step.trains_on(self.presence[0]).sum()),
                "validation images": int(step.evaluates_on(self.presence[1]).sum()),
            }
            for step in self.scenario.steps
        ]
        return pd.DataFrame(rows).set_index("step")

    def train_loader(self, step: Step, rehearse: bool = False, shard: tuple[int, int] = (0, 1)) -> DataLoader:
        """The shuffled batches that a step trains on; ``rehearse``: every image and label so far (joint training).

        shard: this process's number and how many there are; each gets its part of every batch.
        """
        s = self.settings
        used = step.evaluates_on(self.presence[0]) if rehearse else step.trains_on(self.presence[0])
        lookup = step.lookup("seen" if rehearse else step.labelled)
        chosen = StepDataset(self.train, np.flatnonzero(used), lookup, train_transform(s.data.size, s.data.scale))
        try:
            return train_loader(chosen, s.optim.batch, seed_of(s.seed, step.index), s.compute.workers, shard)
        except ValueError as error:
            raise ValueError(f"{self.scenario}, step {step.index}: {error}") from None

    def eval_loader(self, step: Step, shard: tuple[int, int] = (0, 1)) -> DataLoader:
        """The validation images with a label seen so far; labels of later steps are background. ``shard`` as above."""
        batch = 1 if self.settings.evaluate == "full" else self.settings.optim.batch  # full images differ in size
        return eval_loader(self._val_set(step, shard), batch, self.settings.compute.workers)

    def examples(self, count: int) -> StepDataset:
        """A few validation images, evenly over those with labels of step 0 and of later steps if there are any."""
        table, (first, *_, last) = self.presence[1], (self.scenario.steps[0], *self.scenario.steps)
        old, new = (table[:, [label for label in step.new if label]].any(1) for step in (first, last))
        both = np.flatnonzero(old & new)
        found = both if len(both) else np.flatnonzero(old | new)
        chosen = found[np.linspace(0, len(found) - 1, min(count, len(found))).astype(int)]
        return StepDataset(self.val, chosen, last.lookup("seen"), eval_transform(self.settings.data.size))

    def look(self, step: Step, count: int = 8, split: str = "train") -> Batch:
        """A few images that ``step`` trains on ("train") or is evaluated on ("val"), evenly over those that show old
        and new classes together, where there are such; ``target`` is that of training in either case."""
        if split not in ("train", "val"):
            raise ValueError(f"split is 'train' or 'val', not {split!r}")
        source, table = (self.train, self.presence[0]) if split == "train" else (self.val, self.presence[1])
        used = step.trains_on(table) if split == "train" else step.evaluates_on(table)
        old, new = (table[:, [label for label in labels if label]].any(1) for labels in (step.old, step.new))
        both = np.flatnonzero(used & old & new)
        found = both if len(both) else np.flatnonzero(used)
        chosen = found[np.linspace(0, len(found) - 1, min(count, len(found))).astype(int)]
        plain = StepDataset(source, chosen, np.arange(256), eval_transform(self.settings.data.size))
        images, masks = (torch.stack(parts) for parts in zip(*(plain[i] for i in range(len(plain))), strict=True))
        return Batch(images, channels_of(masks, step, step.labelled), masks)

    def _val_set(self, step: Step, shard: tuple[int, int] = (0, 1)) -> StepDataset:
        found = np.flatnonzero(step.evaluates_on(self.presence[1]))[shard[0] :: shard[1]]
        size = None if self.settings.evaluate == "full" else self.settings.data.size
        return StepDataset(self.val, found, step.lookup("seen"), eval_transform(size))


def channels_of(masks: Int[Tensor, "*shape"], step: Step, labelled: str) -> Int[Tensor, "*shape"]:
    """Labels as a step's channels, 255 staying; ``labelled`` as in `Step.lookup`: "seen", or ``step.labelled``."""
    return torch.from_numpy(step.lookup(labelled).astype(np.int64)).to(masks.device)[masks]


def labels_of(channels: Int[Tensor, "*shape"], step: Step) -> Int[Tensor, "*shape"]:
    """A target's or a prediction's channels as labels; 255 stays."""
    return torch.from_numpy(step.label_of.astype(np.int64)).to(channels.device)[channels]
