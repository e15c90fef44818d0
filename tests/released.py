"""The golden files: their numbers, how their nets' weights were made, and the training that two of them record."""

import copy
import functools
import hashlib
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from batches import prepared_by
from torch import Tensor

from plopkit.methods import PLOP, Method, MiB
from plopkit.model.encoders import Encoder
from plopkit.model.keys import published_state, segmenter_state
from plopkit.model.segmenter import Segmenter
from plopkit.scenario import Scenario
from plopkit.settings import Optim
from plopkit.trainer import Tick, Training, fit

TRAININGS = {
    "trajectory_plop_15-5": (PLOP(), 120, ("ce", "pod")),
    "trajectory_mib_15-5": (MiB(), 130, ("ce", "kd")),
}
"""By file: the method, the seed of its net, and its losses."""


def numbers_of(name: str) -> dict[str, Tensor]:
    """The arrays of tests/golden/NAME.npz as tensors, without its texts."""
    with np.load(Path(__file__).parent / "golden" / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    return {key: torch.from_numpy(array) for key, array in arrays.items() if array.dtype.kind != "U"}


def filled(name: str, shape: torch.Size) -> Tensor:
    """The tensor of this name, drawn as tests/golden/README.md says."""
    generator = torch.Generator().manual_seed(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
    if "running_var" in name:
        return torch.rand(shape, generator=generator) + 0.5
    drawn = torch.randn(shape, generator=generator)
    if len(shape) == 4:
        return drawn * (2 / shape[1:].numel()) ** 0.5
    return 1 + 0.1 * drawn if name.endswith("weight") and "running" not in name else 0.1 * drawn


def released_net(classes: tuple[int, ...], layout: str, seed: int, norm: str = "abn") -> Segmenter:
    """A ResNet-50 with the weights of the golden files, calibrated by 20 passes, in evaluation mode."""
    return copy.deepcopy(_made(classes, layout, seed, norm))


@functools.cache
def _made(classes: tuple[int, ...], layout: str, seed: int, norm: str) -> Segmenter:
    net = Segmenter(Encoder("resnet50", 16, "none", norm=norm), classes, pool=32, norm=norm)
    published = published_state(net.state_dict(), layout)
    state = {key: filled(key, t.shape) if t.is_floating_point() else t for key, t in published.items()}
    net.load_state_dict(segmenter_state(state, layout))
    generator = torch.Generator().manual_seed(seed + 1)
    net.train()
    with torch.no_grad():
        for _ in range(20):
            net(torch.randn(4, 3, 96, 96, generator=generator))
    return net.eval()


def trained(
    method: Method, seed: int, numbers: dict[str, Tensor], nudge: float | Tensor = 0.0
) -> tuple[list[Tick], Tensor, Tensor]:
    """plopkit's ticks on a golden file's four batches, the thresholds, and the change of the old classifier.

    The images are multiplied by 1 + nudge.
    """
    teacher = released_net((16,), "official", seed).frozen()
    step = Scenario.parse("voc 15-5 overlap").steps[1]
    images = numbers["images"] * (1 + nudge)
    loader = list(zip(images, numbers["labels"].long(), strict=True))
    prepared = prepared_by(method, teacher, loader, step)
    net = teacher.grown(5).requires_grad_(True)
    training = Training(net, Optim(lr_later=0.001, epochs_later=1), step)
    before = teacher.classifier[0].weight.clone()
    ticks = list(fit(training, loader, method, step, Accelerator(cpu=True), teacher, prepared))
    thresholds = prepared.values if prepared else torch.zeros(0)
    return ticks, thresholds, (net.classifier[0].weight - before).detach().flatten()


def later_case(file: str, case: str) -> dict[str, Tensor]:
    """The arrays of one case of tests/golden/later/FILE.npz, by their names in it."""
    return part_of(numbers_of(f"later/{file}"), case)


def part_of(numbers: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """The arrays below `part/`, by their names in it."""
    return {name.removeprefix(f"{part}/"): value for name, value in numbers.items() if name.startswith(f"{part}/")}
