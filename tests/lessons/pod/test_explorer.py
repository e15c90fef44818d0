"""The explorer of drift: every control, distances, and curves."""

import numpy as np
import pytest
import torch
from drawing import draw
from drawing import draw_output as output
from looking import words

from plopkit.datasets.scenario_data import Batch
from plopkit.lessons.pod import pod_explorer
from plopkit.lessons.pod.measures import pod_maps
from plopkit.lessons.snapshots import Snapshot
from plopkit.scenario import Scenario

STEP = Scenario.parse("voc 15-5 overlap").steps[1]
NAMES = [f"class {label}" for label in range(21)]


@pytest.fixture
def explorer():
    masks = torch.zeros(2, 32, 32, dtype=torch.long)
    masks[0, 4:20, 4:20], masks[1, 4:20, 4:20] = 3, 18
    batch = Batch(draw(5, 2, 3, 32, 32), masks, masks)
    teacher = output(0, 16)
    start = teacher._replace(small=draw(7, 2, 21, 4, 4))
    watched = {
        name: [Snapshot(0, 8, start), Snapshot(2, 8, output(seed, 21)), Snapshot(8, 8, output(seed + 50, 21))]
        for name, seed in (("ft", 20), ("plop", 30))
    }
    made = pod_explorer(watched, teacher, batch, STEP, NAMES, (1, 2, 4), "by somebody")
    made.maps = {name: [pod_maps(m.output, teacher, 16) for m in result] for name, result in watched.items()}
    return made


def test_every_control_of_the_explorer_changes_the_picture(explorer) -> None:
    assert list(explorer.controls) == ["image", "layer", "scale", "moment"]
    for change in ({"moment": 1}, {"scale": 2}, {"layer": "head"}, {"image": 2}):
        before = explorer.picture.value
        explorer.set(**change)
        assert explorer.picture.value != before, change
        assert explorer.message.value == ""


def test_the_explorer_shows_the_distances(explorer) -> None:
    for moment, done in enumerate((0, 2, 8)):
        explorer.set(image=2, layer="stage 3", scale=4, moment=moment)
        shown = words(explorer.figure())
        assert f"stage 3 (5 x 6 x 6), scale 4, after {done} iterations" in shown
        for name, title in (("ft", "fine-tuning"), ("plop", "PLOP")):
            assert f"{title}: {explorer.maps[name][moment].distances['stage 3'][1]:.4g}" in shown
    assert {"class 18", "outline of new objects", "by somebody"} <= set(shown)
    assert "class 3" not in shown  # it is on the other image


def test_the_explorer_draws_the_curve_of_each_method(explorer) -> None:
    explorer.set(image=1, layer="head", moment=0)
    axis = explorer.figure().axes[-1]
    for line, name in zip(axis.get_lines(), ("ft", "plop"), strict=False):
        assert list(line.get_xdata()) == [0, 2, 8]
        np.testing.assert_allclose(line.get_ydata(), [m.distances["head"][0] for m in explorer.maps[name]], rtol=1e-6)


def test_methods_need_snapshots_of_the_same_iterations() -> None:
    snapshots = [Snapshot(1, 8, output(1, 21))]
    batch = Batch(draw(5, 2, 3, 32, 32), *(torch.zeros(2, 32, 32, dtype=torch.long),) * 2)
    with pytest.raises(ValueError, match="different iterations"):
        pod_explorer({"ft": snapshots, "plop": [*snapshots, *snapshots]}, output(0, 16), batch, STEP, NAMES)
