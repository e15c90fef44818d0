"""A run's example images, looked at once more by the net of every step: what it says there, and how sure it is."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8

from plopkit.datasets.transforms import normalised
from plopkit.lessons.forgetting.measures import KINDS, mistakes, shares, truth_at
from plopkit.pseudo import uncertainty
from plopkit.runs.folder import RunFolder


@dataclass(frozen=True, eq=False)
class Examined:
    """Every example image after every evaluated step of a run."""

    images: UInt8[np.ndarray, "N 3 H W"]
    masks: UInt8[np.ndarray, "N H W"]
    """the true labels"""
    predictions: UInt8[np.ndarray, "S N H W"]
    """labels"""
    uncertainty: Float[np.ndarray, "S N H W"]
    """entropy of the softmax over its largest possible value, in [0, 1]"""
    learned_at: dict[int, int]
    """the step that brought each label"""
    stems: tuple[str, ...]
    names: tuple[str, ...]
    """of the labels"""
    credit: str

    @property
    def steps(self) -> int:
        return len(self.predictions)

    def truth(self, step: int) -> UInt8[np.ndarray, "N H W"]:
        """The labels learnt by ``step``; later ones are background."""
        return truth_at(self.masks, self.learned_at, step)

    def mistakes(self, step: int) -> UInt8[np.ndarray, "N H W"]:
        """The kind of each pixel after ``step``, a place in ``plopkit.lessons.forgetting.measures.KINDS``, or 255."""
        return mistakes(self.predictions[step], self.masks, self.learned_at, step)

    def shares(self, step: int) -> pd.Series:
        """How many percent of the pixels that count are right, or which kind of mistake, after ``step``."""
        return pd.Series(100 * shares(self.mistakes(step)), index=list(KINDS))

    def called(self, label: int) -> pd.DataFrame:
        """What the pixels of this true label are called: percent of them by predicted class (rows) and step (columns).

        Most frequent first; all 0 where no example shows it.
        """
        said = self.predictions[:, self.masks == label]
        labels = sorted(self.learned_at)
        shares = [[100 * (one == other).sum() / max(1, one.size) for one in said] for other in labels]
        table = pd.DataFrame(shares, index=[self.names[other] for other in labels])
        table = table.rename_axis(index=f"{self.names[label]} is called", columns="after step")
        return table.loc[table.sum(axis=1).sort_values(ascending=False, kind="stable").index]


@torch.no_grad()
def examine(folder: RunFolder) -> Examined:
    """Read a run's examples back and ask the net of each step how sure it is of them.

    FileNotFoundError where the run has no finished step, or a checkpoint of it is gone.
    """
    steps = folder.evaluated()  # the examples of one more may lie there, where a run was broken off
    if not steps:
        raise FileNotFoundError(f"{folder.path}: no finished step in it; name a run folder")
    shown, results = folder.examples, folder.results
    labels = results.drop_duplicates("label")
    images = torch.from_numpy(shown["images"])
    unsure = []
    for step in range(steps):
        net = folder.net(step).eval()
        # One by one: logits may be large.
        logits = (net(normalised(image.float() / 255)[None]).logits for image in images)
        unsure.append(torch.cat([uncertainty(one) for one in logits]).numpy())
    return Examined(
        images=shown["images"],
        masks=shown["masks"],
        predictions=shown["predictions"][:steps],
        uncertainty=np.stack(unsure),
        learned_at=dict(zip(labels["label"].tolist(), labels["learned_at"].tolist(), strict=True)),
        stems=tuple(map(str, shown["stems"])),
        names=tuple(map(str, shown["names"])),
        credit=str(shown.get("credit", "")),
    )
