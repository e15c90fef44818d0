"""Tables and examples of made-up runs, for the tests of lessons 07 and 08."""

import numpy as np
import pandas as pd

from plopkit.lessons.forgetting import ForgettingExamples
from plopkit.scenario import IGNORE
from plopkit.support import resources

LEARNED_AT = {0: 0, 1: 0, 2: 0, 5: 1, 9: 2}
"""The step in which each label is learnt."""


def results(methods: tuple[str, ...] = ("ft", "plop"), seeds: tuple[int, ...] = (0, 1), steps: int = 3) -> pd.DataFrame:
    """Rows like those of ``results.csv``, with random scores."""
    rng = np.random.default_rng(0)
    names = resources.class_names("voc")
    return pd.DataFrame(
        [
            {"scenario": "emoji 15-1 overlap", "method": method, "seed": seed, "step": step, "label": label}
            | {"name": names[label], "learned_at": learnt_in, "iou": rng.uniform(0, 100), "accuracy": 1.0, "pixels": 9}
            for method in methods
            for seed in seeds
            for step in range(steps)
            for label, learnt_in in LEARNED_AT.items()
            if learnt_in <= step
        ]
    )


def forgetting_examples(steps: int = 3, n: int = 2, side: int = 16, seed: int = 0) -> ForgettingExamples:
    """Random predictions."""
    rng = np.random.default_rng(seed)
    return ForgettingExamples(
        images=rng.integers(0, 256, (n, 3, side, side), np.uint8),
        masks=rng.choice([0, 1, 2, 5, 9, IGNORE], (n, side, side)).astype(np.uint8),
        predictions=rng.choice([0, 1, 2, 5, 9], (steps, n, side, side)).astype(np.uint8),
        uncertainty=rng.random((steps, n, side, side), np.float32),
        learned_at=LEARNED_AT,
        stems=tuple(f"image-{i}" for i in range(n)),
        names=resources.class_names("voc"),
        credit="a credit",
    )
