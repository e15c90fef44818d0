"""The same scenes in every domain, scores by domain, and the picture that a net has lost; lesson 10's exercises."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from looking import inside

from plopkit.catalogue import DATASETS
from plopkit.datasets.source import Pair, Source
from plopkit.lessons import domains as lesson
from plopkit.lessons.domains import measures
from plopkit.runs.folder import RunFolder

MIOU = {"day": (40.0, 35.0, 43.0), "night": (40.0, 12.0, 4.0), "paper": (None, 36.0, 20.0), "rain": (None, None, 47.0)}
"""By domain: the mIoU after steps 0 to 2 of a made-up run."""


def domain_means(method: str = "ft") -> pd.DataFrame:
    rows = []
    for domain, scores in MIOU.items():
        learned_at = next(step for step, score in enumerate(scores) if score is not None)
        for step, score in enumerate(scores):
            if score is not None:
                rows.append({"step": step, "domain": domain, "learned_at": learned_at, "miou": score})
    return pd.DataFrame(rows).assign(scenario="emoji 2-1 domain", method=method, seed=0)


def test_a_scene_has_the_same_objects_in_every_domain() -> None:
    names = DATASETS["emoji"].domains
    scenes = lesson.same_scenes(names, n_scenes=2, size=48)
    assert [tuple(scene) for scene in scenes] == [names] * 2
    day, night = scenes[0]["day"].astype(float), scenes[0]["night"].astype(float)
    assert night.mean() < day.mean()
    assert np.corrcoef(day.ravel(), night.ravel())[0, 1] > 0.8  # the same places are bright
    assert all((scenes[0][name] == lesson.same_scenes(names, 2, 48)[0][name]).all() for name in names)
    figure = lesson.scenes_by_domain(scenes, "scenes", "a credit")
    assert [axis.get_title() for axis in figure.axes[: len(names)]] == list(names)
    assert inside(figure)


def test_a_table_has_a_row_per_step_and_a_column_per_domain() -> None:
    table = lesson.by_domain(pd.concat([domain_means(), domain_means("plop").assign(miou=1.0)]), "ft")
    assert list(table.columns) == list(MIOU)
    assert table["night"].tolist() == [40.0, 12.0, 4.0]
    assert table["paper"].isna().tolist() == [True, False, False]


def test_brightness_is_the_mean_of_the_scenes() -> None:
    scene = {"day": np.full((2, 2, 3), 255, np.uint8), "night": np.zeros((2, 2, 3), np.uint8)}
    assert lesson.brightness([scene, {"day": scene["day"], "night": scene["day"]}]) == {"day": 1.0, "night": 0.5}


def test_the_price_of_staying_near_the_teacher() -> None:
    def price(**last: float) -> str:
        """With these mIoU of PLOP after the last step."""
        plop = domain_means("plop")
        for domain, score in last.items():
            plop.loc[(plop["domain"] == domain) & (plop["step"] == 2), "miou"] = score
        return lesson.price(pd.concat([domain_means(), plop]))

    nothing, newest, another = lesson.PRICES
    assert price() == price(night=30.0) == price(rain=46.5) == nothing
    assert price(night=30.0, rain=40.0) == price(day=1.0, rain=40.0) == newest
    assert price(night=30.0, day=20.0) == another


def test_the_exercises() -> None:
    table = lesson.by_domain(domain_means(), "ft")
    assert lesson.check("10.1", 36.0, table=table, domain="night").right
    assert not lesson.check("10.1", -36.0, table=table, domain="night").right
    forgetting = lesson.domain_forgetting(domain_means())
    transfer = np.mean([43 - 40, 4 - 40, 20 - 36])  # without rain, of the last step
    assert lesson.check("10.2", transfer, forgetting=forgetting, method="ft").right
    assert not lesson.check("10.2", -transfer, forgetting=forgetting, method="ft").right


class Pictures(Source):
    """Three pictures of 2 x 2 pixels, of which the middle one comes from another domain."""

    domains = ("night", "day", "night")

    def labels(self, index: int) -> frozenset[int]:
        return frozenset({0, 1, 255})

    def read(self, index: int) -> Pair:
        return Pair(
            torch.full((3, 2, 2), index, dtype=torch.uint8), torch.tensor([[1, 1], [0, 255]], dtype=torch.uint8)
        )


def test_the_picture_of_which_most_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    right = np.array([[1, 1], [0, 0]], np.uint8)
    lost = {0: np.array([[0, 1], [0, 0]], np.uint8), 2: np.zeros((2, 2), np.uint8)}  # one pixel, and two

    def load(path: Path, step: int) -> SimpleNamespace:
        forgets = path.name == "ft" and step == 1
        return SimpleNamespace(predict=lambda image: lost[int(image[0, 0, 0])] if forgets else right)

    monkeypatch.setattr(measures, "load", load)
    runs = {name: RunFolder(name) for name in ("ft", "plop")}
    picture = lesson.most_forgotten(runs, Pictures(), "night", (0, 1))
    assert picture.image[0, 0, 0] == 2 and measures.n_lost(picture) == 2
    assert {method: len(labels) for method, labels in picture.predictions.items()} == {"ft": 2, "plop": 2}
    figure = lesson.through_the_steps(picture, ("background", "cat"), "night", "a credit")
    assert "cat 50 %" in figure.alt and "ft no object" in figure.alt
    assert inside(figure)
    with pytest.raises(ValueError, match="no image comes from 'fog'; there are day, night"):
        lesson.most_forgotten(runs, Pictures(), "fog", (0, 1))
