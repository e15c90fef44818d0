"""Every explorer of the lessons on a few small images, without a training, and the other widgets, within seconds."""

import functools
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from small_runs import small
from torch import Tensor

from plopkit.datasets.scenario_data import Samples, ScenarioData
from plopkit.lessons.forgetting import ForgettingExamples, mistakes_explorer
from plopkit.lessons.gradients import gradient_explorer
from plopkit.lessons.pod import pod_explorer
from plopkit.lessons.pseudo import pseudo_explorer
from plopkit.lessons.snapshots import Snapshot
from plopkit.lessons.splits import splits_explorer
from plopkit.lessons.thresholds import search_explorer, teacher_histograms
from plopkit.model.segmenter import Output
from plopkit.pseudo import median_thresholds, released_thresholds
from plopkit.scenario import Step
from plopkit.widgets import Explorer, LiveRun, Reveal, SettingsForm


class Shown(NamedTuple):
    """Some emoji scenes, and a teacher that is right about most pixels."""

    data: ScenarioData
    step: Step
    samples: Samples
    logits: Tensor
    credit: str

    @property
    def names(self) -> list[str]:
        return list(self.data.val.classes)


@functools.cache
def shown() -> Shown:
    with tempfile.TemporaryDirectory() as folder:
        data = ScenarioData.open(small(Path(folder), data__size=96), trains=False)
    step = data.scenario.steps[1]
    samples = data.samples(step, 4)
    channels = torch.from_numpy(step.lookup("seen").astype(np.int64))[samples.masks]
    known = torch.where(channels < step.n_old, channels, 0)
    hint = torch.nn.functional.one_hot(known, step.n_old).permute(0, 3, 1, 2).float()
    return Shown(data, step, samples, 4 * hint + 1.5 * noise(1, *hint.shape), str(data.val.credit))


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def output(seed: int, channels: int, images: int) -> Output:
    """The output of a net of random features for images of 96 x 96."""
    sides = {8: 24, 16: 12, 24: 6, 32: 6}
    *stages, head = (noise(seed + width, images, width, side, side) for width, side in sides.items())
    return Output(noise(seed, images, channels, 96, 96), noise(seed, images, channels, 6, 6), tuple(stages), head, head)


def splits() -> Explorer:
    return splits_explorer(shown().data)


def pod() -> Explorer:
    it = shown()
    n, old = len(it.samples.images), it.step.n_old
    teacher = output(0, old, n)
    start = teacher._replace(small=noise(7, n, it.step.n_seen, 6, 6))
    watched = {
        method: [Snapshot(0, 8, start), *(Snapshot(done, 8, output(seed + done, it.step.n_seen, n)) for done in (2, 8))]
        for method, seed in (("ft", 20), ("plop", 30))
    }
    return pod_explorer(watched, teacher, it.samples, it.step, it.names, (1, 2, 4), it.credit)


def pseudo() -> Explorer:
    it = shown()
    known = [(it.logits, it.samples.target)], it.step.n_old, it.step.n_seen
    rules = median_thresholds(*known), released_thresholds(*known)
    return pseudo_explorer(it.logits, it.samples, it.step, *rules, it.names, it.credit)


def gradients() -> Explorer:
    parts = ["stage 1", "stage 2", "stage 3", "stage 4", "head", "old classifier", "new classifier"]
    terms = [("ft", "ce"), ("ilt", "ce"), ("ilt", "mse"), ("mib", "unce"), ("mib", "unkd"), ("plop", "pod")]
    rows: dict[Any, Any] = {
        key: {"value": 1.5} | {part: 10.0 ** -(place + row) for row, part in enumerate(parts)}
        for place, key in enumerate(terms)
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis(["method", "term"])
    return gradient_explorer(table, "plop")


def mistakes() -> Explorer:
    it = shown()
    images, masks = it.samples.pictures.numpy(), it.samples.masks.numpy().astype(np.uint8)
    learned_at = {label: step.index for step in it.data.scenario.steps for label in step.new}
    runs = {}
    for method, share in (("ft", 0.7), ("mib", 0.4), ("plop", 0.1)):
        lost = np.random.default_rng(0).random((2, *masks.shape)) < share
        predictions = np.where(lost | (masks == 255), 0, masks).astype(np.uint8)
        unsure = np.random.default_rng(1).random(predictions.shape, np.float32)
        stems = tuple(f"image-{index}" for index in range(len(masks)))
        runs[method] = ForgettingExamples(
            images, masks, predictions, unsure, learned_at, stems, tuple(it.names), it.credit
        )
    return mistakes_explorer(runs)


def search() -> Explorer:
    it = shown()
    by_temperature = {t: teacher_histograms(it.logits, it.samples.target, it.step.n_seen, t) for t in (0.5, 1.0, 2.0)}
    return search_explorer(by_temperature, it.names[: it.step.n_old])


EXPLORERS = {"01": splits, "03": pod, "04": pseudo, "05": gradients, "07": mistakes, "09": search}
"""A function that makes the explorer, by the number of its lesson."""


def live() -> LiveRun:
    """Of a run that takes a second or two, once its button is pressed, in a folder with a name wider than a phone."""
    return LiveRun(small(Path(tempfile.mkdtemp()) / "a_folder_with_a_name_that_is_wider_than_a_phone", method="ft"))


def reveal() -> Reveal:
    choices = ("the net that was fine-tuned", "the net that PLOP trained", "both alike", "neither of them")
    return Reveal("Which net has lost more of `step 0`?", lambda: pod().figure(), choices, choices[0])


def typed() -> Reveal:
    return Reveal("How many channels has the classifier after step 1, background included?", lambda: "21", right="21")


OTHERS: dict[str, Any] = {"form": SettingsForm, "live": live, "reveal": reveal, "typed": typed}
"""The widgets that are no explorers."""
