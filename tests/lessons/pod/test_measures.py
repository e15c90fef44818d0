"""Distances by layer and region, against plain loops and the loss itself."""

import pytest
import torch
from drawing import draw
from drawing import draw_output as output

from plopkit.lessons.pod.measures import clearest_channel, pod_layers, pod_maps
from plopkit.pod import fold_new_into_background, local_pod, pod_distance, pod_regions, regions_of


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
