"""What a run writes next to its results: example predictions and pictures."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from plopkit import viz
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.datasets.steps import eval_loader
from plopkit.datasets.transforms import to_device
from plopkit.model.segmenter import Segmenter
from plopkit.runs.domains import domain_means
from plopkit.runs.folder import RunFolder
from plopkit.scenario import Step
from plopkit.support import seals
from plopkit.support.files import write_arrays
from plopkit.viz.png import save

EXAMPLES = 6  # validation images whose predictions are kept after every step
LAST_PICTURE = "predictions.png"
"""Drawn last: where it is, nothing of a run is left to do."""


@torch.no_grad()
def write_examples(
    folder: RunFolder, data: ScenarioData, step: Step, net: Segmenter, predict: Callable[[Tensor], Tensor]
) -> None:
    """Write predictions on a few validation images, as labels; at step 0 also the images."""
    samples = data.examples(EXAMPLES)
    label_of = data.scenario.steps[-1].label_of
    pictures, target = next(iter(eval_loader(samples, len(samples))))
    image, _ = to_device(pictures, target, next(net.parameters()).device)
    logits = net.eval()(image).logits
    if step.index == 0:
        write_arrays(
            folder.examples_file,
            seal=True,
            images=pictures.numpy(),
            masks=label_of[target.numpy()],
            stems=np.array([data.val.stems[i] for i in samples.indices]),
            names=np.array(data.val.classes),
            credit=np.array(data.val.credit),
        )
    write_arrays(folder.predictions_file(step.index), seal=True, predictions=label_of[predict(logits).cpu().numpy()])


def remove_later_examples(folder: RunFolder, index: int) -> None:
    """Remove the predictions of later steps: those of results that have been moved away."""
    for later in folder.predicted_steps():
        if later > index:
            seals.remove(folder.predictions_file(later))


def draw_pictures(folder: RunFolder, title: str) -> None:
    """Draw the pictures of a finished run that are not there yet."""
    figures = {
        "curves.png": lambda: viz.forgetting_curves(folder.summary, title),
        "losses.png": lambda: viz.loss_curves(folder.ticks, title),
        "domains.png": lambda: viz.domain_curves(domain_means(folder.domains), title),
        LAST_PICTURE: lambda: viz.strip(folder.examples, title),
    }
    if not len(folder.ticks):
        del figures["losses.png"]
    if not folder.domains_file.is_file():
        del figures["domains.png"]
    for name, draw in figures.items():
        if not (folder.pictures / name).is_file():
            save(draw(), folder.pictures / name, seal=True)
