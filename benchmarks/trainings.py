"""Trainings to be measured: plopkit's as `plopkit run` makes them, and the published one with the same weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import plopkit
from benchmarks.references.net import PlainNet, PlainOutput
from benchmarks.references.training import PlainTraining
from plopkit.compute import make_accelerator
from plopkit.model.keys import published_state
from plopkit.model.segmenter import Segmenter
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.experiment import Experiment
from plopkit.runs.steps import first_net
from plopkit.trainer import Tick, batches

SCENARIO = "emoji 15-5 overlap"
"""Its scenes are drawn in advance and kept, so that an iteration's time is that of the training."""
CLASSES = 20
EPOCHS = 1000
"""Enough that no measurement reaches the end of a step."""


def settings_of(
    out: Path, preset: str = "paper", device: str = "cpu", scenario: str = SCENARIO, method: str = "plop",
    **overrides: Any,
) -> plopkit.Settings:  # fmt: skip
    """The preset's settings for a step that never ends.

    Args:
        out: folder of the run.
        preset: "paper" or "laptop".
        device: "cpu" or "cuda".
        scenario: of which step 1 is trained.
        method: the method that trains.
        overrides: dotted settings, with "__" in place of a dot.
    """
    chosen = {name.replace("__", "."): value for name, value in overrides.items()}
    never_ends = {"out": out, "optim.epochs_later": EPOCHS, "compute.cpu": device == "cpu"}
    return plopkit.configure(scenario, method, preset, never_ends | chosen)


def published_configuration(
    out: Path, norm: str = "abn", precision: str = "fp32", size: int = 512, batch: int = 2, device: str = "cpu",
    encoder: str = "resnet101", root: Path | None = None, workers: int = 0,
) -> plopkit.Settings:  # fmt: skip
    """PLOP as published, untrained, on drawn scenes of which step 1 gets at least two batches.

    `root` is a folder of files (`files.write_data_set`) in place of the scenes.
    """
    return settings_of(
        out,
        device=device,
        scenario=SCENARIO if root is None else "folder 15-5 overlap",
        data__root=root,
        model__weights="none",
        model__encoder=encoder,
        model__norm=norm,
        data__size=size,
        data__scenes=CLASSES * (1 + batch // 3),
        data__val_scenes=CLASSES,
        optim__batch=batch,
        compute__precision=precision,
        compute__workers=workers,
        name=f"{norm}-{precision}-{workers}",
    )


def ticks(settings: plopkit.Settings) -> Iterator[Tick]:
    """Step 1's iterations, trained as in `plopkit run` from a step 0 that has learnt nothing."""
    experiment = Experiment.open(settings)
    with_first_checkpoint(experiment)
    return experiment.retrain_step(1)[1]


def with_first_checkpoint(experiment: Experiment) -> Segmenter:
    """Give a run the checkpoint of an untrained step 0, which the main process writes; returns its net."""
    net = first_net(experiment.settings, experiment.scenario, experiment.method.first_step())
    if experiment.main:
        StepStore(experiment.folder.checkpoints, 0).finish(net, [], {})
    make_accelerator(experiment.settings).wait_for_everyone()
    return net


@dataclass(frozen=True)
class Start:
    """Where step 1 begins, for a training outside plopkit: weights, batches, channels and the optimiser's settings."""

    teacher: dict[str, Tensor]
    net: dict[str, Tensor]
    """under the published names"""
    batches: list[tuple[Tensor, Tensor]]
    """normalised images and targets of the first epoch"""
    n_old: int
    n_seen: int
    encoder: str
    optim: dict[str, Any]
    weights: tuple[float, float]
    """of POD on maps and on logits"""


def start_of(settings: plopkit.Settings, most: int | None = None) -> Start:
    """Where plopkit's training with these settings begins; it must be of a published ResNet.

    `most` is the largest number of batches to keep.
    """
    experiment = Experiment(settings)
    before = first_net(experiment.settings, experiment.scenario, experiment.method.first_step())
    step = experiment.scenario.steps[1]
    net = experiment.method.begin_step(before, step)
    accelerator = make_accelerator(settings)
    epoch = islice(_first_epoch(experiment, accelerator), most)
    items = [(image.cpu().contiguous(), target.cpu()) for image, target in epoch]
    optim, method = settings.optim, experiment.method
    return Start(
        *(_contiguous(published_state(part.state_dict(), "official")) for part in (before, net)),
        items,
        step.n_old,
        step.n_seen,
        settings.model.encoder,
        {"lr": optim.lr_later, "momentum": optim.momentum, "weight_decay": optim.weight_decay},
        (method.pod, method.pod_logits),  # type: ignore[attr-defined]
    )


def _first_epoch(experiment: Experiment, accelerator: Any) -> Iterator[tuple[Tensor, Tensor]]:
    step = experiment.scenario.steps[1]
    yield from batches(experiment.data.train_loader(step), 0, accelerator)


def _contiguous(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in state.items()}


def published_training(start: Start, norm: str = "abn", precision: str = "fp32", device: str = "cpu") -> PlainTraining:
    """The published training from this start, with its thresholds computed."""
    teacher = PlainNet(start.encoder, (start.n_old,), norm)
    net = PlainNet(start.encoder, (start.n_old, start.n_seen - start.n_old), norm)
    teacher.load_state_dict(start.teacher)
    net.load_state_dict(start.net)
    net, teacher = net.to(device), teacher.to(device)
    optimizer = torch.optim.SGD(net.parameters(), nesterov=True, **start.optim)
    training = PlainTraining(net, teacher, optimizer, start.n_old, start.n_seen, start.weights, precision)
    training.prepare([(image.to(device), target.to(device)) for image, target in start.batches])
    return training


def published_iterations(training: PlainTraining, start: Start) -> Iterator[dict[str, float]]:
    """Endless iterations over the start's batches."""
    items = [(image.to(training.device), target.to(training.device)) for image, target in start.batches]
    for image, target in chain.from_iterable(repeat(items)):
        yield training.iterate(image, target)


class Wrapped(nn.Module):
    """plopkit's net channels first, with the output of a plain one."""

    def __init__(self, net: Segmenter):
        super().__init__()
        self.net = net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def forward(self, image: Tensor) -> PlainOutput:
        out = self.net(image)
        return PlainOutput(out.logits, out.small, list(out.features))


def plain_demo(settings: plopkit.Settings) -> Iterator[dict[str, float]]:
    """The `laptop` net trained plainly: the same parts channels first, with the published losses and AdamW."""
    experiment = Experiment(settings)
    before = first_net(experiment.settings, experiment.scenario, experiment.method.first_step())
    step, optim, method = experiment.scenario.steps[1], settings.optim, experiment.method
    net = experiment.method.begin_step(before, step)
    accelerator = make_accelerator(settings)
    items = [(image.contiguous(), target) for image, target in _first_epoch(experiment, accelerator)]
    optimizer = torch.optim.AdamW(net.parameters(), optim.lr_later, weight_decay=optim.weight_decay)
    weights = (method.pod, method.pod_logits)  # type: ignore[attr-defined]
    training = PlainTraining(Wrapped(net), Wrapped(before), optimizer, step.n_old, step.n_seen, weights)
    training.floor = method.floor  # type: ignore[attr-defined]
    training.prepare(items)
    for image, target in chain.from_iterable(repeat(items)):
        yield training.iterate(image, target)
