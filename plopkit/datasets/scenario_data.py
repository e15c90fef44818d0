"""A scenario's images: opened and checked before anything is trained, then served step by step."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import DataLoader

from plopkit.catalogue import DATASETS
from plopkit.datasets import Source, open_for
from plopkit.datasets.counts import presence
from plopkit.datasets.lacking import too_few_images
from plopkit.datasets.saliency import SaliencyMaps, fingerprint_with_maps
from plopkit.datasets.steps import Selection, StepDataset, eval_loader, protocol_presence, train_loader
from plopkit.datasets.tables import evaluated_images, steps_table
from plopkit.datasets.transforms import eval_transform, net_input, picture, train_transform
from plopkit.presets import open_scenario
from plopkit.scenario import Scenario, Step, ignored_id, with_domains
from plopkit.settings import Settings
from plopkit.support.bars import notice
from plopkit.support.seeding import seed_of


class Samples(NamedTuple):
    """A few images without augmentation, to look at, with what a step makes of their masks."""

    images: Float[Tensor, "B 3 H W"]
    """normalised, as a net expects them"""
    target: Int[Tensor, "B H W"]
    """channels, as in the step's training targets"""
    masks: Int[Tensor, "B H W"]
    """the true labels"""

    @property
    def pictures(self) -> UInt8[Tensor, "B 3 H W"]:
        """The images as 8-bit colours, for display."""
        return torch.stack([picture(image) for image in self.images])


@dataclass(frozen=True)
class ScenarioData:
    """The training and validation images of a scenario under the given settings. `ScenarioData.open` makes it.

    Example:
        >>> data = ScenarioData.open(configure("emoji 15-5 overlap"))
        >>> images, target = next(iter(data.train_loader(data.scenario.steps[1])))  # 8-bit
        >>> images, target = to_device(images, target, torch.device("cpu"))  # as net and losses expect them
    """

    settings: Settings
    scenario: Scenario
    train: Source
    val: Source
    known_presence: tuple[np.ndarray, np.ndarray] | None = None
    """`mask_presence`, where it is known without reading the masks"""
    saliency: SaliencyMaps | None = None
    """of the training images"""

    @classmethod
    def open(cls, settings: Settings, scenario: Scenario | None = None, trains: bool = True, n_given: int = 0) -> Self:
        """Open both splits and check all images, masks, saliency maps and steps.

        Args:
            settings: The settings of a run.
            scenario: Their scenario, as `open_scenario(settings)` gives it, which is called if it is left out.
            trains: Whether each step needs enough images to train on.
            n_given: The number of first steps that are not trained. These need no images, neither for training nor for
                validation.

        Raises:
            ValueError: A file is damaged, or a step has too few images. The message names the file or the step.
            FileNotFoundError: A file or folder is missing.
        """
        scenario = scenario or open_scenario(settings)
        train, val = (open_for(scenario, split, settings.data, settings.seed) for split in ("train", "val"))
        folder = settings.data.saliency
        maps = SaliencyMaps(folder, train.stems) if folder and trains else None
        data = cls(settings, scenario, train, val, saliency=maps)
        for remark in (*data.train.remarks, *data.val.remarks):
            notice(remark)
        data.check_labels()
        if maps is not None:
            maps.check(train)
        for step in scenario.steps[n_given:]:
            data.check_step(step, trains)
        return data

    @property
    def train_fingerprint(self) -> str:
        """Changes whenever a training image, its mask or its saliency map changes."""
        return fingerprint_with_maps(self.train.fingerprint, self.saliency)

    def check_labels(self) -> None:
        """ValueError where a user's masks hold nothing but 0 and 255, as binary masks do."""
        present = np.asarray(self.mask_presence[0].any(axis=0))
        if not DATASETS[self.scenario.dataset].is_users_own or present[1:-1].any() or not (present[0] and present[-1]):
            return
        one = len(self.train.classes) == 2
        remedy = "" if one else "write the background and one class there, and "
        raise ValueError(
            f"{self.settings.data.root}: binary masks: they hold only 0 and 255, and 255 marks ignored pixels, so that "
            f"none shows {self.train.classes[1]!r} of classes.txt{'' if one else ' or another class'}; {remedy}set "
            f"data.binary (--data.binary) to take 255 for the class"
        )

    def check_step(self, step: Step, trains: bool = True) -> None:
        """ValueError where a step has too few images to train on, or none to be evaluated on."""
        if trains:
            self.train_loader(step)
        if not len(self._val_set(step)):
            lacking = (
                f"comes from any of the domains seen so far, {', '.join(step.seen_domains)}"
                if step.seen_domains
                else f"contains any of the labels seen so far, {step.seen[1:]}"
            )
            raise ValueError(
                f"{self.scenario}, step {step.index}: no validation image {lacking}; add such images, or choose "
                "another task"
            )

    @cached_property
    def mask_presence(self) -> tuple[np.ndarray, np.ndarray]:
        """Which labels the training and the validation masks contain: two (N, 256) bool."""
        return self.known_presence or (presence(self.train), presence(self.val))

    @cached_property
    def presence(self) -> tuple[np.ndarray, np.ndarray]:
        """The tables by which the protocol selects training and validation images: two (N, 256) bool.

        They are `mask_presence`, except that the protocol partitioned assigns each training image to one class, and
        that the protocol domain has a column more for each domain.
        """
        train, val = self.mask_presence
        selecting = protocol_presence(self.scenario, train, self.train.stems, self.settings.seed, self.train.domains)
        return selecting, with_domains(val, self.val.domains, self.scenario.domains) if self.scenario.domains else val

    def table(self) -> pd.DataFrame:
        """One row per step: the names of its new classes, and its numbers of training and validation images."""
        return steps_table(self.scenario, *self.presence, self.val.classes, self.settings.future)

    def train_loader(
        self, step: Step, selection: Selection | None = None, shard: tuple[int, int] = (0, 1)
    ) -> DataLoader:
        """The shuffled batches that a step trains on: 8-bit images and targets, which `to_device` converts.

        Args:
            step: The step, which also determines the random numbers drawn.
            selection: Which images, with which targets; None selects the protocol's.
            shard: This process's number and the number of processes; each gets its part of every batch.

        Raises:
            ValueError: There are fewer images than one batch, or an image that does not exist is selected. The message
                names the scenario and the step.
        """
        s = self.settings
        if selection is None:
            selection = Selection.protocol(step, self.presence[0])
        dataset = StepDataset(self.train, selection, train_transform(s.data.size, s.data.scale), self.saliency)
        try:
            selection.check(len(self.train))
            if len(selection) < s.optim.batch:
                presence = self.mask_presence[0]
                raise ValueError(too_few_images(step, len(selection), s.optim.batch, presence, self.train))
            return train_loader(dataset, s.optim.batch, seed_of(s.seed, step.index), s.compute.workers, shard)
        except ValueError as error:
            raise ValueError(f"{self.scenario}, step {step.index}: {error}") from None

    def eval_loader(self, step: Step, shard: tuple[int, int] = (0, 1), domain: str = "") -> DataLoader:
        """The validation images that a step is evaluated on, in order, with all labels seen so far.

        Those with such a label; labels of later steps are background. `Settings.future` changes both.

        Args:
            step: The step.
            shard: This process's number and the number of processes; each gets its part of the images.
            domain: The domain that the images come from; "" for all that the step has seen.
        """
        return eval_loader(self._val_set(step, shard, domain), eval_batch(self.settings), self.settings.compute.workers)

    def examples(self, count: int) -> StepDataset:
        """Validation images for pictures, with the targets of the last step.

        Args:
            count: Number of images, at most. They are evenly spaced over the images that contain both labels of step 0
                and of the last step, if there are any, else over those that contain either; in the protocol domain over
                the domains.
        """
        (first, *_, last) = (self.scenario.steps[0], *self.scenario.steps)
        if domains := self.scenario.domains:
            by_domain = [last.comes_from(self.presence[1], [domain]).nonzero()[0] for domain in domains]
            chosen = np.concatenate(by_domain)
            chosen = chosen[evenly_spaced(chosen >= 0, chosen >= 0, count)]
        else:
            old, new = (_contains(self.presence[1], labels) for labels in (first.new, last.new))
            chosen = evenly_spaced(old | new, old & new, count)
        selection = Selection.of(chosen, last.lookup("seen"))
        return StepDataset(self.val, selection, eval_transform(self.settings.data.size))

    def samples(self, step: Step, count: int = 8, split: str = "train") -> Samples:
        """Images of a step to look at.

        Args:
            step: The step.
            count: Number of images, at most. They are evenly spaced over the step's images that contain both old and
                new classes, if there are any, else over all of the step's images.
            split: "train", images that the step trains on, or "val", images that it is evaluated on. `target` is the
                training target for either.

        Raises:
            ValueError: There is no such split.
        """
        if split not in ("train", "val"):
            raise ValueError(f"split is 'train' or 'val', not {split!r}")
        train = split == "train"
        source, contents = (self.train, self.mask_presence[0]) if train else (self.val, self.mask_presence[1])
        used = step.trains_on(self.presence[0]) if train else step.evaluates_on(self.presence[1])
        old, new = (_contains(contents, labels) for labels in (step.old, step.new))
        selection = Selection.of(evenly_spaced(used, used & old & new, count), np.arange(ignored_id(step.n_labels) + 1))
        dataset = StepDataset(source, selection, eval_transform(self.settings.data.size))
        images, masks = (torch.stack(parts) for parts in zip(*(dataset[i] for i in range(len(dataset))), strict=True))
        masks = masks.long()
        return Samples(net_input(images), channels_of(masks, step, step.labelled), masks)

    look = samples  # an earlier name

    def _val_set(self, step: Step, shard: tuple[int, int] = (0, 1), domain: str = "") -> StepDataset:
        process, n_processes = shard
        presence, future = self.presence[1], self.settings.future
        evaluated = step.comes_from(presence, [domain]) if domain else evaluated_images(step, presence, future)
        indices = np.flatnonzero(evaluated)[process::n_processes]
        table = step.lookup("seen", ignore_future=self.settings.future != "background")
        size = None if self.settings.evaluate == "full" else self.settings.data.size
        return StepDataset(self.val, Selection.of(indices, table), eval_transform(size))


def eval_batch(settings: Settings) -> int:
    """The number of validation images that go through the net at once: a training batch's, or its parts'."""
    if settings.evaluate == "full":  # full images differ in size
        return 1
    return min(settings.optim.batch, settings.compute.micro_batch or settings.optim.batch)


def evenly_spaced(allowed: np.ndarray, preferred: np.ndarray, count: int) -> np.ndarray:
    """The positions of at most `count` images, evenly spaced over the preferred ones, or else the allowed ones.

    Args:
        allowed: (N,) bool.
        preferred: (N,) bool; ignored if it is False everywhere.
        count: How many.

    Returns:
        (count,) int, or fewer if there are fewer images.
    """
    candidates = np.flatnonzero(preferred if preferred.any() else allowed)
    return candidates[np.linspace(0, len(candidates) - 1, min(count, len(candidates))).astype(int)]


def channels_of(masks: Int[Tensor, "*shape"], step: Step, labelled: str) -> Int[Tensor, "*shape"]:
    """Convert labels to a step's channels; ignored pixels stay ignored.

    Args:
        masks: Labels.
        step: The step.
        labelled: Which labels are shown, as in `Step.lookup`: "seen", "new", or `step.labelled`.
    """
    return torch.from_numpy(step.lookup(labelled).astype(np.int64)).to(masks.device)[masks]


def labels_of(channels: Int[Tensor, "*shape"], step: Step) -> Int[Tensor, "*shape"]:
    """Convert the channels of a target or a prediction to labels; ignored pixels stay ignored."""
    return torch.from_numpy(step.label_of.astype(np.int64)).to(channels.device)[channels]


def _contains(presence: np.ndarray, labels: tuple[int, ...]) -> np.ndarray:
    """Which images contain one of the labels other than background: (N, 256) -> (N,) bool."""
    return np.asarray(presence[:, [label for label in labels if label]].any(1))


# Earlier names.
StepData = ScenarioData
Batch = Samples
