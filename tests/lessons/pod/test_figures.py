"""Figures of local POD: cut, embedding, and drift."""

import numpy as np
import torch
from drawing import draw
from looking import words

from plopkit.lessons import pod as pod_lesson
from plopkit.lessons.pod.figures import heated, outlined
from plopkit.pod import local_pod
from plopkit.scenario import Scenario

STEP = Scenario.parse("voc 15-5 overlap").steps[1]
NAMES = [f"class {label}" for label in range(21)]


def test_the_cut_shows_every_region_with_its_strips() -> None:
    values = draw(3, 8, 8).numpy()
    figure = pod_lesson.pod_cut(np.zeros((3, 16, 16), np.uint8), values, (1, 2), "a map")
    assert {"image", "scale 1: 1 region", "scale 2: 2 x 2 regions", "value of the map (no unit)"} <= set(words(figure))
    drawn = [np.asarray(image.get_array()) for image in figure.axes[2].images]
    assert len(drawn) == 3 * 4
    np.testing.assert_allclose(drawn[3], values[:4, 4:])
    np.testing.assert_allclose(drawn[4][:, 0], values[:4, 4:].mean(1), rtol=1e-6)
    np.testing.assert_allclose(drawn[5][0], values[:4, 4:].mean(0), rtol=1e-6)


def test_the_embedding_is_drawn_in_its_order() -> None:
    values = draw(3, 8, 8)
    figure = pod_lesson.pod_vector(values, (1, 2, 4), "an embedding")
    axis = figure.axes[0]
    bars = sorted(axis.patches, key=lambda bar: bar.get_x())
    np.testing.assert_allclose([bar.get_height() for bar in bars], local_pod(values[None, None])[0], rtol=1e-6)
    assert {"index in the embedding", "mean over columns"} <= set(words(figure))


def test_heat_is_drawn_on_its_regions() -> None:
    picture, mask = np.full((3, 12, 12), 100, np.uint8), np.zeros((12, 12), np.int64)
    heat = np.arange(16.0).reshape(4, 4)
    result = heated(picture, mask, heat, (6, 6), 15.0, [0, 1], strength=1.0)
    zoom = len(result) // 12
    colours = [tuple(result[2 * row * zoom, 2 * column * zoom]) for row in range(4) for column in range(4)]
    assert len(set(colours)) == 16
    assert (result[8 * zoom :] == 100).all() and (result[:, 8 * zoom :] == 100).all()  # the remainder shows the picture


def test_outlines_distinguish_old_from_new() -> None:
    mask = np.zeros((12, 12), np.int64)
    mask[1:6, 1:6], mask[7:12, 7:12], mask[0] = 3, 17, 255
    result = outlined(np.full((12, 12, 3), 100, np.uint8), mask, STEP.old, 1)
    assert (result[1, 1:6] == 255).all() and (result[11, 7:12] == 100).any()
    assert (result[7, 7:12] == 0).all() and (result[3, 3] == 100).all() and (result[0] == 100).all()


def test_drift_maps_share_one_scale() -> None:
    masks = np.stack([np.full((32, 32), 2), np.full((32, 32), 18)])
    heats = {"fine-tuning": torch.rand(2, 4, 4), "PLOP": 2 * torch.ones(2, 4, 4)}
    pictures = np.zeros((2, 3, 32, 32), np.uint8)
    figure = pod_lesson.drift_maps(pictures, masks, heats, (8, 8), STEP.old, NAMES, "where", "by somebody")
    assert {"truth", "fine-tuning", "PLOP", "class 2", "class 18", "outline of old objects"} <= set(words(figure))
    assert figure.axes[-1].get_ylim() == (0, 2)
    assert figure.legends[0].get_title().get_text() == "by somebody"
    same = heated(pictures[0], masks[0], heats["PLOP"][0], (8, 8), 2.0, STEP.old)
    assert (np.asarray(figure.axes[2].images[0].get_array()) == same).all()
