"""Decoders other than ASPP: what they compute, and that a checkpoint describes them."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from comparing import close
from drawing import draw

from plopkit.model.abn import ABN
from plopkit.model.checkpoints import save_published
from plopkit.model.classifiers import Classifier
from plopkit.model.decoder import DECODERS
from plopkit.model.decoders import Features, Linear, Pyramid, decoder_from_recipe, settings_of_decoder
from plopkit.model.encoders import Encoder
from plopkit.model.segmenter import Segmenter, segmenter_of
from plopkit.presets import configure
from plopkit.settings import Model

SMALL = {"encoder": "test_efficientnet", "weights": "none", "width": 8, "dilations": (1,)}


@pytest.mark.parametrize("kind", ["aspp", "linear", "pyramid"])
def test_settings_choose_a_decoder_and_a_checkpoint_describes_it(kind: str) -> None:
    net = segmenter_of(Model(**SMALL, decoder=kind), (3,)).eval()
    assert (net.decoder.kind, net.decoder.width) == (kind, 8)
    image = draw(0, 1, 3, 64, 64)
    out = net(image)
    assert out.head.shape[1] == 8 and out.logits.shape == (1, 3, 64, 64)
    close(net.rebuilt().eval()(image).logits, out.logits)
    assert Model(**SMALL, decoder=kind) == Model(**SMALL).model_copy(update=settings_of_decoder(net.decoder))


def test_the_recipe_of_aspp_is_that_of_earlier_versions() -> None:
    assert segmenter_of(Model(**SMALL), (3,)).recipe()["decoder"] == {"width": 8, "dilations": [1], "pool": 32}


def test_the_released_codes_have_aspp_only(tmp_path: Path) -> None:
    net = segmenter_of(Model(encoder="resnet18", weights="none", width=8, decoder="linear"), (3,))
    with pytest.raises(ValueError, match=r"official code's decoder is ASPP .* this net's is linear; .*layout plopkit"):
        save_published(net, tmp_path / "step-0.pth")


def test_linear_is_linear_in_evaluation_mode() -> None:
    decoder = Linear(5, 4, ABN).eval()
    decoder.norm.running_mean.copy_(draw(0, 4))
    x, y, zero = draw(1, 2, 5, 3, 3), draw(2, 2, 5, 3, 3), torch.zeros(2, 5, 3, 3)
    close(decoder(2 * x - y) - decoder(zero), 2 * (decoder(x) - decoder(zero)) - (decoder(y) - decoder(zero)))


def test_pyramid_is_the_sum_of_a_convolution_of_each_map() -> None:
    channels = (2, 3, 4, 5)
    decoder = Pyramid(channels, 6, ABN).eval()
    maps = [draw(index, 2, c, side, side) for index, (c, side) in enumerate(zip(channels, (16, 8, 4, 2), strict=True))]
    total = torch.zeros(2, 6, 8, 8)
    for x, weight in zip(maps, decoder.fuse.weight.split(channels, 1), strict=True):
        resized = F.interpolate(F.leaky_relu(x, 0.1), (8, 8), mode="bilinear", align_corners=False)
        total += F.conv2d(resized, weight)
    gathered = decoder.gather(maps, lambda x: F.leaky_relu(x, 0.1))
    close(decoder(gathered), decoder.norm(total))


def test_features_are_the_last_map_itself() -> None:
    x = draw(0, 2, 4, 3, 3)
    assert torch.equal(Features(4, unit=False)(x), x)
    close(Features(4, unit=True)(x).square().sum(1), torch.ones(2, 3, 3))
    encoder = Encoder("test_efficientnet")
    net = Segmenter.from_parts(encoder, Features(encoder.channels[-1], unit=True), Classifier(64, (2,)))
    assert net.rebuilt().decoder.recipe() == net.decoder.recipe()
    assert settings_of_decoder(net.decoder) == {}  # no setting asks for it


def test_an_unknown_decoder_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a decoder 'mystery', which nothing has defined; known: aspp, linear"):
        decoder_from_recipe({"kind": "mystery"}, (1, 2, 3, 4), ABN)
    with pytest.raises(ValueError, match=r"model.decoder = 'mystery': "):
        configure(overrides={"model.decoder": "mystery"})
    assert {"aspp", "linear", "pyramid", "features"} <= set(DECODERS)
