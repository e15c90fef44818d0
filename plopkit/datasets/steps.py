"""What one step trains on and is evaluated on: a selection of images, and the targets made of their masks."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from plopkit.datasets.loading import Failure, ImageLoader, failing_softly
from plopkit.datasets.lookup import look_up
from plopkit.datasets.saliency import SaliencyMaps, salient_table
from plopkit.datasets.source import Source
from plopkit.datasets.transforms import Transform
from plopkit.scenario import IGNORE, N_IDS, WIDE_IGNORE, Scenario, Step, assign_classes, with_domains


class Group(NamedTuple):
    """Images whose masks become targets by one lookup table."""

    indices: np.ndarray
    """(N,) int: positions of the images in the source"""
    lookup: np.ndarray
    """(256,) uint8: the target of each label, as `Step.lookup` gives it; (65536,) beyond 255 labels"""
    salient: np.ndarray | None = None
    """(256,) uint8: the target of each label's salient pixels; None where saliency does not matter. Without saliency
    maps all pixels are salient"""


@dataclass(frozen=True, eq=False)
class Selection:
    """The images that a step trains on, in groups that share a lookup table.

    `a + b` joins two selections. An image that is in both is drawn twice an epoch, each time with its own target.

    Example:
        The protocol's images, and three images of earlier steps with all labels seen so far:

        >>> memory = Selection.of([3, 14, 15], step.lookup("seen"))
        >>> selection = Selection.protocol(step, presence) + memory

        The same, but the three are not further images of an epoch; they take half the places of every batch:

        >>> selection = Selection.protocol(step, presence) + memory.replacing()
    """

    groups: tuple[Group, ...] = ()
    """The images of an epoch."""
    replacements: tuple[Group, ...] = ()
    """Images that take half of the places in every batch, over and over; none: all places are those of an epoch."""

    @classmethod
    def of(cls, indices: "np.ndarray | list[int]", lookup: np.ndarray) -> Self:
        """One group of images.

        Args:
            indices: (N,) positions in the training images, in the order in which they are to be numbered.
            lookup: The target of each label: (256,), or (65536,) for a data set of more than 255 labels.

        Raises:
            ValueError: `indices` are not integers in one dimension, or `lookup` has another shape or other numbers.
        """
        positions, table = np.asarray(indices), np.asarray(lookup)
        if not positions.size:
            positions = np.zeros(0, np.int64)
        if positions.ndim != 1 or positions.dtype.kind not in "iu":
            raise ValueError(
                "a selection needs the positions of images, integers in one dimension, not "
                f"{positions.dtype} of shape {positions.shape}; np.flatnonzero(mask) gives those of a mask"
            )
        if table.shape not in ((N_IDS,), (WIDE_IGNORE + 1,)):
            raise ValueError(f"a lookup table has the shape ({N_IDS},), not {table.shape}; Step.lookup makes one")
        if table.dtype.kind not in "iu" or table.min() < 0 or table.max() > WIDE_IGNORE:
            raise ValueError(f"a lookup table holds targets, 0 to {IGNORE}, not {table.dtype}; Step.lookup makes one")
        return cls((Group(positions, table.astype(np.uint8 if table.max() <= IGNORE else np.uint16)),))

    @classmethod
    def protocol(cls, step: Step, presence: np.ndarray) -> Self:
        """The images that the step's protocol trains on, with the labels that its masks show.

        Args:
            step: The step.
            presence: (N, 256) bool, the labels in each training mask (`ScenarioData.presence`).
        """
        return cls.of(np.flatnonzero(step.trains_on(presence)), step.lookup(step.labelled))

    @classmethod
    def all_seen(cls, step: Step, presence: np.ndarray) -> Self:
        """Every image that contains a label seen so far, with all seen labels: joint training.

        Args:
            step: The step.
            presence: (N, 256) bool, the labels in each training mask (`ScenarioData.presence`).
        """
        return cls.of(np.flatnonzero(step.evaluates_on(presence)), step.lookup("seen"))

    def with_salient(self, target: int) -> "Selection":
        """The same images, in which salient pixels of the background have another target.

        Without saliency maps (`data.saliency`) the whole background counts as salient.

        Args:
            target: their target, which is no channel: 254 where ignored pixels are 255.
        """

        def marked(group: Group) -> Group:
            table = np.where(group.lookup == 0, target, group.lookup).astype(group.lookup.dtype)
            return group._replace(salient=table)

        return Selection(*(tuple(map(marked, part)) for part in (self.groups, self.replacements)))

    def with_targets(self, change: Callable[[np.ndarray], np.ndarray]) -> "Selection":
        """The same images, each lookup table replaced by what a function makes of it."""

        def changed(group: Group) -> Group:
            salient = group.salient if group.salient is None else change(group.salient)
            return group._replace(lookup=change(group.lookup), salient=salient)

        return Selection(*(tuple(map(changed, part)) for part in (self.groups, self.replacements)))

    def replacing(self) -> "Selection":
        """The same images, to take half of the places in every batch of a selection that this one is added to."""
        return Selection((), self.groups + self.replacements)

    def check(self, count: int) -> None:
        """ValueError where an image is selected that is not among the `count` training images."""
        wrong = self.indices[(self.indices < 0) | (self.indices >= count)]
        if len(wrong):
            raise ValueError(f"image {wrong[0]} is selected, and there are {count}, numbered from 0")

    def __add__(self, other: "Selection") -> "Selection":
        return Selection(self.groups + other.groups, self.replacements + other.replacements)

    def __len__(self) -> int:
        """Number of images of an epoch, counting an image once per group."""
        return sum(len(group.indices) for group in self.groups)

    @property
    def all_groups(self) -> tuple[Group, ...]:
        """The groups of an epoch, then the replacements."""
        return self.groups + self.replacements

    @property
    def indices(self) -> np.ndarray:
        """(N,) int: positions in the training images, group after group, those of `all_groups`."""
        return np.concatenate([group.indices for group in self.all_groups] or [np.zeros(0, np.int64)])


def protocol_presence(
    scenario: Scenario, presence: np.ndarray, stems: Sequence[str], seed: int, domains: Sequence[str] = ()
) -> np.ndarray:
    """The table by which a scenario's protocol selects training images.

    Args:
        scenario: The scenario.
        presence: (N, 256) bool, the labels in each training mask.
        stems: The name of each image.
        seed: For the protocol partitioned, which assigns each image to one of its classes at random.
        domains: For the protocol domain, the domain of each image.

    Returns:
        (N, 256) bool: one class per image for the protocol partitioned, else `presence`; for the protocol domain with a
        column more for each domain.
    """
    if scenario.domains:
        return with_domains(presence, domains, scenario.domains)
    return assign_classes(presence, stems, seed) if scenario.protocol == "partitioned" else presence


class StepDataset(Dataset):
    """The selected images of a source; masks of labels become targets of channels by the lookup table of their group.

    An item is (image, target), both 8-bit: uint8 (3, H, W) colours and uint8 (H, W) channels, 255 where ignored (uint16
    and 65535 beyond 255 channels). They cross processes and reach the device like that; `transforms.to_device` turns a
    batch of them into the normalised float32 images and the int64 targets that net and losses expect, as
    `trainer.batches` and `trainer.evaluate` do.

    The key is (position, seed): the seed determines the augmentation, so a sample depends neither on the worker that
    makes it nor on the samples before it. A plain position means seed None, for transforms without randomness.

    Args:
        source: The images and masks.
        selection: Which of them, and what their labels become.
        transform: Applied to image and mask together.
        maps: Saliency maps of the images; None where there are none.
    """

    def __init__(self, source: Source, selection: Selection, transform: Transform, maps: SaliencyMaps | None = None):
        self.source = source
        self.indices = selection.indices
        self.transform = transform
        self._maps = maps if any(group.salient is not None for group in selection.all_groups) else None
        self.n_replacements = sum(len(group.indices) for group in selection.replacements)
        """How many of the last images are `Selection.replacements`."""
        self._tables = [_lookup_of(group, self._maps is not None) for group in selection.all_groups]
        sizes = np.array([len(group.indices) for group in selection.all_groups], int)
        self._table_of = np.repeat(np.arange(len(sizes)), sizes)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, key: "tuple[int, int] | int") -> Any:
        """An item; a `Failure` in a worker that cannot read it."""
        return failing_softly(self._item)(key)

    def _item(self, key: "tuple[int, int] | int") -> tuple[Tensor, Tensor]:
        position, seed = key if isinstance(key, tuple) else (key, None)
        index = int(self.indices[position])
        pair = self.source.read(index)
        sample = self.transform(pair if self._maps is None else self._maps.marked(index, pair), seed)
        return sample.image, look_up(sample.mask, self._tables[self._table_of[position]])


def _lookup_of(group: Group, marked: bool) -> np.ndarray:
    """A group's lookup table: of plain masks, or of those in which salient pixels are marked."""
    salient = group.lookup if group.salient is None else group.salient
    return salient_table(group.lookup, salient) if marked else salient


class EpochSampler(Sampler[tuple[int, int]]):
    """A new permutation each epoch and a seed for each sample, both derived from (seed, epoch) alone.

    An epoch can therefore be repeated or resumed without running the earlier ones, from any batch on: the training loop
    sets `epoch`, and `first`, the number of the first batch. The length is that of a whole epoch.

    Args:
        count: Number of samples in the data set.
        seed: Determines all permutations and sample seeds.
        batch: Size of a batch over all processes; the last incomplete batch is dropped. None: one batch of everything.
        shard: This process's number and the number of processes. Each process gets `per_batch` samples of each batch.
        n_replacements: Number of further samples, after the `count`, that take half of the places in each batch: places
            at random, and all of these samples before one comes again.
    """

    def __init__(
        self,
        count: int,
        seed: int,
        batch: int | None = None,
        shard: tuple[int, int] = (0, 1),
        n_replacements: int = 0,
    ):
        self.count, self.n_replacements = count, n_replacements
        self.seed = seed
        self.batch = batch or count
        self.shard = shard
        self.per_batch = len(range(self.batch)[shard[0] :: shard[1]])
        self.epoch = 0
        self.first = 0

    def __len__(self) -> int:
        return self.count // self.batch * self.per_batch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = np.random.default_rng([self.seed, self.epoch])
        order = generator.permutation(self.count)
        seeds = generator.integers(2**62, size=self.count)
        if self.n_replacements:
            order = self._replaced(order, generator)
        pairs = list(zip(order.tolist(), seeds.tolist(), strict=True))
        process, n_processes = self.shard
        for begin in range(self.first * self.batch, self.count // self.batch * self.batch, self.batch):
            yield from pairs[begin : begin + self.batch][process::n_processes]

    def _replaced(self, order: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The order of an epoch with half of each batch replaced."""
        half, n_batches = self.batch // 2, self.count // self.batch
        n_rounds = -(-half * n_batches // self.n_replacements)
        rounds = [self.count + generator.permutation(self.n_replacements) for _ in range(n_rounds)]
        drawn = iter(np.concatenate(rounds))
        for begin in range(0, n_batches * self.batch, self.batch):
            for place in sorted(generator.permutation(self.batch)[:half]):
                order[begin + place] = next(drawn)
        return order


def collate(items: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Make a batch of items; the colours of a pixel stay next to each other, as images are read and resized.

    Args:
        items: Images (3, H, W) and targets (H, W).

    Returns:
        Images (B, 3, H, W), in memory as (B, H, W, 3), and targets (B, H, W).
    """
    image, target = default_collate([(image.permute(1, 2, 0), target) for image, target in items])
    return image.permute(0, 3, 1, 2), target


def collate_softly(items: list[Any]) -> Any:
    """`collate`, or the first `Failure` among the items."""
    failures = [item for item in items if isinstance(item, Failure)]
    return failures[0] if failures else failing_softly(collate)(items)


def train_loader(
    dataset: StepDataset, batch: int, seed: int, workers: int = 0, shard: tuple[int, int] = (0, 1)
) -> DataLoader:
    """Shuffled batches without the last incomplete one, as published. `loader.sampler` is the `EpochSampler`.

    Batches are 8-bit images and targets, as `StepDataset` has them.

    Args:
        dataset: What to load.
        batch: Size of a batch over all processes.
        seed: Determines the order of the images and their augmentation.
        workers: Number of processes that load images; 0 loads them in the calling process.
        shard: This process's number and the number of processes. The parts of all processes make up the same batches
            for any number of processes; their sizes differ by at most one.

    Raises:
        ValueError: There are fewer images than one batch, or half of a batch is to be replaced and it is one image.
    """
    count = len(dataset) - dataset.n_replacements
    if count < batch:
        raise ValueError(
            f"this step has {count} training images, fewer than one batch of {batch}; "
            "lower optim.batch, or add images to the data set"
        )
    if dataset.n_replacements and batch < 2:
        raise ValueError("memory.mix half needs a batch of two images or more; raise optim.batch, or use mix beside")
    sampler = EpochSampler(count, seed, batch, shard, dataset.n_replacements)
    return ImageLoader(
        dataset,
        sampler.per_batch,
        sampler=sampler,
        drop_last=True,
        collate_fn=collate_softly,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def eval_loader(dataset: StepDataset, batch: int, workers: int = 0) -> DataLoader:
    """Batches of every image once, in order; 8-bit images and targets, as `StepDataset` has them."""
    return ImageLoader(
        dataset, batch, collate_fn=collate_softly, num_workers=workers, pin_memory=torch.cuda.is_available()
    )
