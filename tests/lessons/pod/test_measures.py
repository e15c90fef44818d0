"""Distances by layer and region, against plain loops and the loss itself."""

import math

import pytest
import torch
from drawing import draw
from drawing import draw_output as output

from plopkit.lessons.pod.measures import (
    PLACES,
    clearest_channel,
    distance_courses,
    drift_by_content,
    most_drifted,
    pod_layers,
    pod_maps,
)
from plopkit.lessons.snapshots import Snapshot
from plopkit.pod import fold_new_into_background, local_pod, pod_distance, pod_regions, regions_of
from plopkit.scenario import Scenario


@pytest.mark.parametrize(("height", "width"), [(8, 8), (6, 6), (7, 6), (5, 6), (9, 7)])
def test_regions_are_those_of_the_embedding(height: int, width: int) -> None:
    x = draw(0, 1, 1, height, width)
    scales = [scale for scale in (1, 2, 3) if height > (scale - 1) * (width // scale)]
    strips = [
        strip
        for scale in scales
        for rows, columns in regions_of(height, width, scale)
        for strip in (x[0, 0, rows, columns].mean(1), x[0, 0, rows, columns].mean(0))
    ]
    torch.testing.assert_close(torch.cat(strips), local_pod(x, scales)[0])


def test_regions_do_not_use_the_remainder() -> None:
    last = regions_of(6, 6, 4)[-1]
    assert (last.rows, last.columns) == (slice(3, 4), slice(3, 4))
    with pytest.raises(ValueError, match="scale 7 does not fit a map of side 6"):
        regions_of(6, 6, 7)


def test_layers_have_names_and_the_logits_are_folded() -> None:
    net = output(1, 21)
    layers = pod_layers(net, 16)
    assert list(layers) == ["stage 1", "stage 2", "stage 3", "head", "logits"]
    assert layers["head"] is net.head
    assert torch.equal(layers["logits"], fold_new_into_background(net.small, 16))


def test_maps_split_the_distance_by_region() -> None:
    net, teacher = output(1, 21), output(2, 16)
    result = pod_maps(net, teacher, 16, (1, 2, 4))
    new, old = pod_layers(net, 16), pod_layers(teacher, 16)
    assert set(result.regions) == {(name, scale) for name in new for scale in (1, 2, 4)}
    for name in new:
        for image in range(2):
            pair = new[name][image : image + 1], old[name][image : image + 1]
            torch.testing.assert_close(result.distances[name][image], pod_distance(*pair, (1, 2, 4)))
            torch.testing.assert_close(result.regions[name, 2][image], pod_regions(*pair, 2)[0])


def test_maps_of_narrow_layers_have_the_scales_that_fit() -> None:
    wide = [output(1, 21), output(2, 16)]
    net, teacher = (out._replace(small=out.small[..., :3, :3]) for out in wide)
    result = pod_maps(net, teacher, 16, (1, 2, 4))
    assert [scale for name, scale in result.regions if name == "logits"] == [1, 2]
    new, old = pod_layers(net, 16), pod_layers(teacher, 16)
    torch.testing.assert_close(result.distances["logits"].mean(), pod_distance(new["logits"], old["logits"]))


def test_the_clearest_channel_shows_the_objects() -> None:
    masks = torch.zeros(3, 8, 8, dtype=torch.long)
    masks[:, 2:6, 2:6] = 5
    masks[:, 0] = 255
    features = torch.rand(3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    features[1, 2] = -((masks[1] == 5).float()[::2, ::2])
    assert clearest_channel(features, masks) == (1, 2)


def test_drift_by_what_a_region_shows() -> None:
    step = Scenario.parse("voc 15-1 overlap").steps[1]  # old 1 to 15, new 16, future from 17 on
    masks = torch.zeros(1, 8, 8, dtype=torch.long)
    masks[0, 0, 0], masks[0, 1, 6], masks[0, 6, 0], masks[0, 6, 1] = 3, 20, 16, 15
    masks[0, 4, 4] = 255
    regions = torch.tensor([[[1.0, 2.0], [4.0, 8.0]]])
    assert drift_by_content(regions, masks, step)["new objects"] == 4.0
    assert drift_by_content(regions, masks, step)["old objects"] == 2.5
    assert math.isnan(drift_by_content(regions, masks, step)["only background"])  # one is future, one is ignored
    masks[0, 4, 4] = 0
    assert drift_by_content(regions, masks, step)["only background"] == 8.0


@pytest.mark.parametrize(
    ("new", "old", "background", "place"),
    [(4.0, 2, 1.9, 0), (2, 4, 1.9, 1), (2, 4, 2, 2), (4, math.nan, 1, 0), (math.nan, 4, math.nan, 1), (1, 2, 9, 2)],
)
def test_where_a_net_has_drifted(new: float, old: float, background: float, place: int) -> None:
    distances = {"new objects": new, "old objects": old, "only background": background}
    assert most_drifted(distances) == PLACES[place]


def test_distances_while_a_step_is_trained() -> None:
    teacher, early, late = output(1, 16), output(2, 21), output(3, 21)
    watched = {
        "ft": [Snapshot(0, 8, early), Snapshot(8, 8, late)],
        "plop": [Snapshot(0, 8, late), Snapshot(8, 8, early)],
    }
    courses = distance_courses(watched, teacher, 16, (1, 2))
    assert list(courses.columns) == [0, 8]
    assert list(dict.fromkeys(courses.index.get_level_values("layer"))) == list(pod_layers(teacher, 16))
    for layer in pod_layers(teacher, 16):
        first, last = (float(pod_maps(net, teacher, 16, (1, 2)).distances[layer].mean()) for net in (early, late))
        assert courses.loc[(layer, "ft")].tolist() == [first, last] == courses.loc[(layer, "plop")].tolist()[::-1]
