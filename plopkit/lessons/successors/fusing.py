"""Nets between two nets: the weights before a step and after it, averaged, and what such a net still knows."""

import copy
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from plopkit.fusion import fused
from plopkit.metrics import group_means, iou
from plopkit.model.segmenter import Segmenter
from plopkit.runs.experiment import Experiment
from plopkit.trainer import evaluate

WEIGHTS = tuple(np.linspace(0, 1, 6).round(1).tolist())


def between(before: Segmenter, after: Segmenter, weight: float) -> Segmenter:
    """`after`, whose weights and statistics are (1 − weight) times those of `before` plus weight times its own.

    What only `after` has, the classifier of the new classes, stays as it is. Both nets are left alone.
    """
    mixed = copy.deepcopy(after)
    own = mixed.state_dict()
    with torch.no_grad():
        for name, old in before.state_dict().items():
            if old.is_floating_point() and old.shape == own[name].shape:
                own[name].copy_(fused(old, own[name], weight))
    return mixed


def fusion_curve(run: Experiment, step: int = 1, weights: Sequence[float] = WEIGHTS) -> pd.DataFrame:
    """What a run's nets between the step before and a step know, on the step's validation images.

    Args:
        run: a finished run.
        step: the step whose new weights are mixed with those before it, from 1 on.
        weights: of the new weights, 0 to 1; 1 is the run's own net.

    Returns:
        A row per weight: `method`, `weight`, and in percent `old_nobg`, the classes before this scenario's step 1,
        without background, and `new`, those since.
    """
    before, after, this = run.net(step - 1), run.net(step), run.scenario.steps[step]
    n_first, rows = run.scenario.steps[0].n_seen, []
    for weight in weights:
        net = between(before, after, weight)
        counts = evaluate(net, run.data.eval_loader(this), this.n_seen, run.method.predict).numpy()
        means = group_means(iou(counts), n_first)
        rows.append({"method": run.settings.method, "weight": weight} | {k: means[k] for k in ("old_nobg", "new")})
    return pd.DataFrame(rows)
