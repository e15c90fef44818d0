"""What a run has forgotten on its example images: the kind of mistake of every pixel, and the nets' uncertainty."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Integer, UInt8

from plopkit.datasets.transforms import normalised
from plopkit.pseudo import uncertainty
from plopkit.runs.folder import RunFolder
from plopkit.scenario import IGNORE

KINDS = ("correct", "old class predicted as background", "old class predicted as a newer one", "other mistake")
"""The names of the kinds 0 to 3. Ignored pixels have the kind ``IGNORE``."""


def truth_after(
    mask: Integer[np.ndarray, "*shape"], learned_at: Mapping[int, int], step: int
) -> UInt8[np.ndarray, "*shape"]:
    """The true labels as they count after a step: those that are not learnt yet are background, as in the evaluation.

    Args:
        mask: the true labels.
        learned_at: the step in which each label is learnt; labels that are missing are never learnt.
        step: the step after which the labels count.
    """
    table = np.zeros(IGNORE + 1, np.uint8)
    for label, learnt_in in learned_at.items():
        if learnt_in <= step:
            table[label] = label
    table[IGNORE] = IGNORE
    return table[mask]


def classify_mistakes(
    prediction: Integer[np.ndarray, "*shape"],
    mask: Integer[np.ndarray, "*shape"],
    learned_at: Mapping[int, int],
    step: int,
) -> UInt8[np.ndarray, "*shape"]:
    """The kind of each pixel after a step.

    An old class is one that was learnt before ``step``, background excluded; a newer one was learnt after it.

    Args:
        prediction: the labels predicted after ``step``.
        mask: the true labels.
        learned_at: the step in which each label is learnt.
        step: the step after which the net predicts.

    Returns:
        Indices into ``KINDS``; ``IGNORE`` where the true label is ignored.
    """
    learnt_in = np.full(IGNORE + 1, -1)
    for label, when in learned_at.items():
        learnt_in[label] = when
    truth = truth_after(mask, learned_at, step)
    old = (truth != 0) & (truth != IGNORE) & (learnt_in[truth] < step)
    newer = (prediction != 0) & (learnt_in[prediction] > learnt_in[truth])
    kinds = np.select([truth == prediction, old & (prediction == 0), old & newer], [0, 1, 2], 3).astype(np.uint8)
    kinds[truth == IGNORE] = IGNORE
    return kinds


def mistake_shares(kinds: Integer[np.ndarray, "*shape"]) -> Float[np.ndarray, "4"]:
    """The share of each kind among the pixels that are not ignored; all 0 if every pixel is ignored."""
    counts = np.bincount(kinds[kinds != IGNORE].astype(np.int64), minlength=len(KINDS))
    return counts / max(1, counts.sum())


@dataclass(frozen=True, eq=False)
class ForgettingExamples:
    """A run's example images with the predictions after every evaluated step."""

    images: UInt8[np.ndarray, "N 3 H W"]
    masks: UInt8[np.ndarray, "N H W"]
    """The true labels."""
    predictions: UInt8[np.ndarray, "S N H W"]
    """Labels."""
    uncertainty: Float[np.ndarray, "S N H W"]
    """The entropy of the softmax divided by its largest possible value, in [0, 1]."""
    learned_at: dict[int, int]
    """The step in which each label is learnt."""
    stems: tuple[str, ...]
    """The images' names."""
    names: tuple[str, ...]
    """The labels' names."""
    credit: str

    @property
    def n_steps(self) -> int:
        """The number of evaluated steps."""
        return len(self.predictions)

    def truth(self, step: int) -> UInt8[np.ndarray, "N H W"]:
        """The true labels as they count after ``step``; those learnt later are background."""
        return truth_after(self.masks, self.learned_at, step)

    def mistakes(self, step: int) -> UInt8[np.ndarray, "N H W"]:
        """The kind of each pixel after ``step``: an index into ``KINDS``, or ``IGNORE``."""
        return classify_mistakes(self.predictions[step], self.masks, self.learned_at, step)

    def mistake_shares(self, step: int) -> pd.Series:
        """The percentage of each kind after ``step``, among the pixels that are not ignored."""
        return pd.Series(100 * mistake_shares(self.mistakes(step)), index=list(KINDS))

    def mean_uncertainty(self, kind: int, step: int) -> float:
        """The net's mean uncertainty after ``step`` on the pixels of this kind; NaN if there are none."""
        values = self.uncertainty[step][self.mistakes(step) == kind]
        return float(values.mean()) if values.size else float("nan")

    def predicted_as(self, label: int) -> pd.DataFrame:
        """What the pixels with this true label are predicted as.

        Returns:
            Percentages, by predicted class (rows, most frequent first) and step (columns); all 0 if no example shows
            the label.
        """
        predictions = self.predictions[:, self.masks == label]
        labels = sorted(self.learned_at)
        shares = [[100 * (row == other).sum() / max(1, row.size) for row in predictions] for other in labels]
        table = pd.DataFrame(shares, index=[self.names[other] for other in labels])
        table = table.rename_axis(index=f"{self.names[label]} is predicted as", columns="after step")
        return table.loc[table.sum(axis=1).sort_values(ascending=False, kind="stable").index]


@torch.no_grad()
def load_examples(folder: RunFolder) -> ForgettingExamples:
    """Read a run's example images, and compute the uncertainty of every step's net on them.

    Raises:
        FileNotFoundError: the run has no finished step, or one of its checkpoints is missing.

    Example:
        >>> examples = load_examples(plopkit.run(settings))
        >>> examples.mistake_shares(step=1)
    """
    n_steps = folder.evaluated()  # an interrupted run may hold the examples of one more
    if not n_steps:
        raise FileNotFoundError(f"{folder.path}: no step is finished here; name the folder of a run that has results")
    arrays, results = folder.examples, folder.results
    labels = results.drop_duplicates("label")
    images = torch.from_numpy(arrays["images"])
    uncertainties = []
    for step in range(n_steps):
        net = folder.net(step).eval()
        # Image by image: logits may be large.
        logits = (net(normalised(image.float() / 255)[None]).logits for image in images)
        uncertainties.append(torch.cat([uncertainty(batch) for batch in logits]).numpy())
    return ForgettingExamples(
        images=arrays["images"],
        masks=arrays["masks"],
        predictions=arrays["predictions"][:n_steps],
        uncertainty=np.stack(uncertainties),
        learned_at=dict(zip(labels["label"].tolist(), labels["learned_at"].tolist(), strict=True)),
        stems=tuple(map(str, arrays["stems"])),
        names=tuple(map(str, arrays["names"])),
        credit=str(arrays.get("credit", "")),
    )
