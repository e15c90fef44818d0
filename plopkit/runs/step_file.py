"""A checkpoint that a run begins with, of a run or released: read, and its channels put in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from plopkit.model.checkpoints import load_published
from plopkit.model.classifiers import Classifier
from plopkit.model.keys import detect_layout, read_state
from plopkit.model.segmenter import Segmenter
from plopkit.runs.checkpoints import StepStore
from plopkit.settings import Model
from plopkit.support import seals
from plopkit.support.seals import DamagedError
from plopkit.support.torch_files import read_metadata

WEIGHTS = ("weight", "bias")
"""Parameters of a classifier's convolution."""


@dataclass(frozen=True)
class StepFile(StepStore):
    """A step's files under any name."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        return self.path

    @property
    def state_file(self) -> Path:
        return self.path.with_name(f"{self.path.stem}.state.safetensors")

    @property
    def earlier_state_file(self) -> Path:
        return self.path.with_name(f"{self.path.stem}.memory.safetensors")


def reorder(net: Segmenter, order: Sequence[int], blocks: Sequence[int], path: Path) -> None:
    """Bring a net's channels into another order, in place, and those of several steps into one classifier.

    Classifiers of another kind than the softmax's are left as they are where the order is right: those of several steps
    compute what one of all their classes would, and SSUL's heads cannot be merged.

    Args:
        net: the net.
        order: for each new channel, the old one.
        blocks: number of channels of each of the classifiers afterwards.
        path: what the message names.

    Raises:
        ValueError: the order is another one, and its classifier is of another kind than the softmax's.
    """
    if type(net.classifier) is not Classifier:
        if list(order) == list(range(len(order))):
            return
        raise ValueError(
            f"{path}: its classes are in another order than the scenario's, and its classifier of the kind "
            f"{net.classifier.kind!r} stays as it is; give the scenario its order (order=1,2,…)"
        )
    weight, bias = (torch.cat([getattr(part, name) for part in net.classifier])[list(order)] for name in WEIGHTS)
    classifier = Classifier(net.decoder.width, blocks)
    parts = zip(classifier, weight.split(list(blocks)), bias.split(list(blocks)), strict=True)
    with torch.no_grad():
        for part, *values in parts:
            for name, value in zip(WEIGHTS, values, strict=True):
                getattr(part, name).copy_(value)
    net.classifier = classifier


def read_net(path: Path, model: Model) -> Segmenter:
    """The net in a checkpoint, with its channels as they are there."""
    if is_of_a_run(path):
        try:
            seals.check(path)
            return StepFile(path.parent, 0, path).net(model)
        except DamagedError as error:
            raise ValueError(f"{error.path}: {error.problem}; name another checkpoint") from error
    if path.suffix != ".safetensors" and detect_layout(set(read_state(path))) in ("iabn", "torchvision"):
        raise ValueError(
            f"{path}: holds an encoder's ImageNet weights, and no classifier; model.weights takes them, and "
            "start.checkpoint (--from) takes a net that has learnt the classes of step 0"
        )
    return load_published(path, model.output_stride, model.pool, model.norm)


def is_of_a_run(path: Path) -> bool:
    """Whether a file is a step's checkpoint as a run keeps it."""
    return path.suffix == ".safetensors" and bool({"step", "classes"} & read_metadata(path).keys())
