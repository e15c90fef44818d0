"""What one step trains on and is tested on: the images it uses, with target = table[mask]."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from plopkit.datasets.source import Source
from plopkit.datasets.transforms import Transform


class StepDataset(Dataset):
    """The images ``indices`` of a source; masks of labels become targets of channels by one look-up.

    Indexed by (position, seed): the seed decides the augmentation, so that a sample does not depend on which worker
    draws it or what was drawn before. A plain position gives seed None, for transforms that draw nothing.
    """

    def __init__(self, source: Source, indices: np.ndarray, lookup: np.ndarray, transform: Transform):
        self.source = source
        self.indices = indices
        self.lookup = torch.from_numpy(lookup.astype(np.int64))
        self.transform = transform

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, key: "tuple[int, int] | int") -> tuple[Tensor, Tensor]:
        position, seed = key if isinstance(key, tuple) else (key, None)
        sample = self.transform(self.source.read(int(self.indices[position])), seed)
        return sample.image, self.lookup[sample.mask.long()]


class EpochSampler(Sampler[tuple[int, int]]):
    """A new permutation each epoch with a seed for each sample, both drawn from (seed, epoch) alone.

    So an epoch can be repeated or resumed without the ones before it. ``epoch`` is set by the training loop. batch:
    samples come in batches of so many, and the last incomplete one is left out; ``shard``, a number and how many, gives
    its part of every batch, ``own`` samples.
    """

    def __init__(self, count: int, seed: int, batch: int | None = None, shard: tuple[int, int] = (0, 1)):
        self.count = count
        self.seed = seed
        self.batch = batch or count
        self.shard = shard
        self.own = len(range(self.batch)[shard[0] :: shard[1]])
        self.epoch = 0

    def __len__(self) -> int:
        return self.count // self.batch * self.own

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = np.random.default_rng([self.seed, self.epoch])
        order = generator.permutation(self.count)
        seeds = generator.integers(2**62, size=self.count)
        pairs = list(zip(order.tolist(), seeds.tolist(), strict=True))
        number, of = self.shard
        for begin in range(0, self.count // self.batch * self.batch, self.batch):
            yield from pairs[begin : begin + self.batch][number::of]


def train_loader(
    dataset: StepDataset, batch: int, seed: int, workers: int = 0, shard: tuple[int, int] = (0, 1)
) -> DataLoader:
    """Shuffled batches, the last incomplete one dropped, as published. ``loader.sampler`` is the EpochSampler.

    shard: this process's number and how many there are. Their parts make up batches of ``batch`` images together, and
    differ by one image where it cannot be shared evenly.
    """
    if len(dataset) < batch:
        raise ValueError(
            f"this step has {len(dataset)} training images, fewer than one batch of {batch}; "
            "lower optim.batch, or give the data set more images"
        )
    sampler = EpochSampler(len(dataset), seed, batch, shard)
    return DataLoader(
        dataset,
        sampler.own,
        sampler=sampler,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def eval_loader(dataset: StepDataset, batch: int, workers: int = 0) -> DataLoader:
    """Every image once, in order."""
    return DataLoader(dataset, batch, num_workers=workers, pin_memory=torch.cuda.is_available())
