"""The image that tells the story of forgetting: found among all validation images once the runs are finished."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Integer, UInt8

from plopkit.datasets.transforms import to_device
from plopkit.runs.experiment import Experiment
from plopkit.scenario import Step

LEAST = 0.015
"""The share of an image that its old and its new objects have to cover at least."""

FATES = ("its own class", "background", "one of the new classes", "another old class")
"""What a net may call a pixel of an old object."""


class Example(NamedTuple):
    """A validation image with what several nets predict for it after the last step; all masks are labels."""

    picture: UInt8[np.ndarray, "3 H W"]
    truth: Integer[np.ndarray, "H W"]
    predictions: dict[str, Integer[np.ndarray, "H W"]]
    """By method."""
    old: dict[str, float]
    """The share of the pixels of old objects that each method predicts right."""
    new: dict[str, float]
    """The same of new objects."""


def telling_example(experiments: Mapping[str, Experiment]) -> Example:
    """The validation image on which the first method has lost the old objects, and the last has old and new ones.

    Of all images with an old and a new object it is the one whose weakest part is strongest: new objects right in both,
    old objects right in the last, old objects wrong in the first. Where no image shows both, it is the first image.

    Args:
        experiments: finished runs of one scenario, by method.
    """
    runs = list(experiments.values())
    data, step = runs[0].data, runs[0].scenario.steps[-1]
    nets = {method: run.net(step.index).eval() for method, run in experiments.items()}
    best: tuple[float, Example] | None = None
    for pictures, target in data.eval_loader(step):
        device = next(next(iter(nets.values())).parameters()).device
        image, channels = to_device(pictures, target, device)
        with torch.no_grad():
            predicted = {m: experiments[m].method.predict(net(image).logits).cpu().numpy() for m, net in nets.items()}
        for place, truth in enumerate(channels.cpu().numpy()):
            example = _example(pictures[place].numpy(), truth, {m: p[place] for m, p in predicted.items()}, step)
            score = _score(example, step)
            if best is None or score > best[0]:
                best = score, example
    assert best is not None  # a step without validation images is refused when the run begins
    return best[1]


def fates(example: Example, method: str, step: Step) -> pd.Series:
    """What a method calls the pixels of old objects: the share of each answer, in words.

    Args:
        example: result of `telling_example`.
        method: one of the example's methods.
        step: the last step, which says which labels are old and which are new.
    """
    where = np.isin(example.truth, step.old[1:])
    truth, predicted = example.truth[where], example.predictions[method][where]
    own, new = predicted == truth, np.isin(predicted, step.new)
    kinds = np.select([own, predicted == 0, new], FATES[:3], FATES[3])
    return pd.Series(kinds).value_counts(normalize=True).reindex(FATES, fill_value=0.0)


def leading(scores: pd.Series, margin: float = 1.0) -> str | None:
    """The name with the highest score; None where another comes within this margin, or no score is known.

    Example:
        >>> leading(pd.Series({"ft": 52.5, "plop": 17.4}))
        'ft'
    """
    highest = scores.dropna().sort_values(ascending=False)
    clear = len(highest) == 1 or (len(highest) > 1 and highest.iloc[0] - highest.iloc[1] > margin)
    return str(highest.index[0]) if clear else None


def _example(picture: np.ndarray, truth: np.ndarray, predictions: Mapping[str, np.ndarray], step: Step) -> Example:
    """Channels as labels, with the shares of right pixels."""
    old, new = (truth > 0) & (truth < step.n_old), (truth >= step.n_old) & (truth < step.n_seen)
    shares = [{m: right_share(p, truth, where) for m, p in predictions.items()} for where in (old, new)]
    labels = {method: step.label_of[channels] for method, channels in predictions.items()}
    return Example(picture, step.label_of[truth], labels, *shares)


def right_share(
    predicted: Integer[np.ndarray, "H W"], truth: Integer[np.ndarray, "H W"], where: Bool[np.ndarray, "H W"]
) -> float:
    """The share of the pixels of ``where`` that are predicted right; 0 if there are none."""
    return float((predicted == truth)[where].mean()) if where.any() else 0.0


def _score(example: Example, step: Step) -> float:
    """The weakest of what the image has to show; 0 where old or new objects are missing or tiny."""
    objects = [set(step.old) - {0}, set(step.new) - {0}]
    if any(np.isin(example.truth, list(labels)).mean() < LEAST for labels in objects):
        return 0.0
    (first, *_, last) = example.old
    return min(example.old[last], example.new[last], example.new[first], 1 - example.old[first])
