"""What a run writes next to its results: example predictions, ticks and pictures."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from plopkit import viz
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.datasets.steps import eval_loader
from plopkit.datasets.transforms import to_device
from plopkit.model.segmenter import Segmenter
from plopkit.runs.folder import RunFolder
from plopkit.scenario import Step
from plopkit.support.files import write_arrays, write_table
from plopkit.viz.png import save

EXAMPLES = 6  # validation images whose predictions are kept after every step


@torch.no_grad()
def write_examples(
    folder: RunFolder, data: ScenarioData, step: Step, net: Segmenter, predict: Callable[[Tensor], Tensor]
) -> None:
    """Write predictions on a few validation images, as labels, next to those of the steps before."""
    samples = data.examples(EXAMPLES)
    label_of = data.scenario.steps[-1].label_of
    pictures, target = next(iter(eval_loader(samples, len(samples))))
    image, _ = to_device(pictures, target, next(net.parameters()).device)
    logits = net.eval()(image).logits
    predictions = label_of[predict(logits).cpu().numpy()][None]
    if step.index:
        predictions = np.concatenate([folder.examples["predictions"][: step.index], predictions])
    write_arrays(
        folder.examples_file,
        images=pictures.numpy(),
        masks=label_of[target.numpy()],
        predictions=predictions,
        stems=np.array([data.val.stems[i] for i in samples.indices]),
        names=np.array(data.val.classes),
        credit=np.array(data.val.credit),
    )


def write_ticks(folder: RunFolder, ticks: Iterable[dict[str, Any]]) -> None:
    """Write a row per iteration; ``ticks`` are those of all steps so far, as `StepStore` keeps them."""
    rows = [tick | {f"loss_{name}": value for name, value in tick["losses"].items()} for tick in ticks]
    table = pd.DataFrame(rows, columns=None if rows else ["step"])  # a checkpoint from elsewhere has none
    left_out = ["epoch_done", "epochs", "n_iterations", "of", "losses"]  # "of" was n_iterations in plopkit 0.1
    write_table(folder.ticks_file, table.drop(columns=left_out, errors="ignore"))


def draw_pictures(folder: RunFolder, title: str) -> None:
    """Draw the pictures of a finished run that are not there yet."""
    figures = {
        "curves.png": lambda: viz.forgetting_curves(folder.summary, title),
        "losses.png": lambda: viz.loss_curves(folder.ticks, title),
        "predictions.png": lambda: viz.strip(folder.examples, title),
    }
    if not len(folder.ticks):
        del figures["losses.png"]
    for name, draw in figures.items():
        if not (folder.pictures / name).is_file():
            save(draw(), folder.pictures / name)
