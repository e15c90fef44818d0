"""The explorer of mistakes, and the exercises of lesson 07."""

import io

import numpy as np
import pytest
from lesson_tables import forgetting_examples, results
from PIL import Image

from plopkit.lessons.forgetting import check, mistakes_explorer
from plopkit.runs.results import forgetting_table
from plopkit.scenario import IGNORE


def test_the_explorer_shows_every_image_step_and_method() -> None:
    runs = {"ft": forgetting_examples(), "plop": forgetting_examples(seed=0)}
    explorer = mistakes_explorer(runs)
    assert explorer.values == {"image": 0, "step": 2, "method": "ft"}
    assert all(control.description and control.tooltip for control in explorer.controls.values())
    pictures = set()
    for step in range(3):
        for image in range(2):
            explorer.set(step=step, image=image)
            assert explorer.message.value == ""
            pictures.add(bytes(explorer.picture.value))
    assert len(pictures) == 6
    assert Image.open(io.BytesIO(explorer.picture.value)).width > 900
    explorer.controls["image"].value = 0  # as a key press does
    assert bytes(explorer.picture.value) in pictures


def test_what_cannot_be_shown_is_explained() -> None:
    explorer = mistakes_explorer({"ft": forgetting_examples(), "plop": forgetting_examples(steps=1)})
    explorer.set(method="plop", step=2)
    assert "plop has finished only step 0" in explorer.message.value
    explorer.set(step=0)
    assert explorer.message.value == ""
    with pytest.raises(ValueError, match="plop shows other images than ft"):
        mistakes_explorer({"ft": forgetting_examples(), "plop": forgetting_examples(n=3)})
    with pytest.raises(ValueError, match="at least one"):
        mistakes_explorer({})


def test_the_exercises_know_the_right_answer() -> None:
    lost = forgetting_table(results(seeds=(0,)))
    points = [row.forgetting for row in lost.itertuples() if row.method == "ft" and row.label in (1, 2)]
    assert check("07.1", sum(points) / 2, lost=lost, method="ft").right
    assert not check("07.1", sum(points), lost=lost, method="ft").right
    kinds = np.array([0, 1, 1, 2, 3, IGNORE])
    assert check("07.2", 0.5, kinds=kinds).right and not check("07.2", 0.4, kinds=kinds).right
