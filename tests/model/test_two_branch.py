"""RCIL's network: which pairs are doubled, how a checkpoint describes it, and its merged form."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from drawing import draw
from required import inplace_abn
from torch import nn

from plopkit.model.branches import TwoBranch
from plopkit.model.checkpoints import load_published, save_published
from plopkit.model.classifiers import Classifier
from plopkit.model.decoder import ASPP
from plopkit.model.encoders import Encoder
from plopkit.model.folded import folded
from plopkit.model.norms import norm_of
from plopkit.model.segmenter import Segmenter
from plopkit.model.two_branch import DECODER, TwoBranchSegmenter

Names = Callable[[str], str]
ENCODERS = ["resnet18", "resnet50", "test_efficientnet", "efficientnet_lite0", "timm/resnet18"]


def net_of(name: str, norm: str = "abn", plain_stem: bool = False) -> TwoBranchSegmenter:
    """A net whose branches differ, with statistics of its own, in evaluation mode."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        encoder = Encoder(name, norm=norm, plain_stem=plain_stem)
        decoder = ASPP(encoder.channels[-1], 256 if name == "resnet18" else 16, (6, 12, 18), norm=norm_of(norm))
        net = TwoBranchSegmenter.from_parts(encoder, decoder, Classifier(decoder.width, (4, 2)))
        for module in net.modules():
            if getattr(module, "running_mean", None) is not None:
                module.running_mean.normal_(0, 0.25)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.25)
            if isinstance(module, TwoBranch):
                for parameter in module.conv_new.parameters():
                    parameter.add_(0.3 * parameter.std() * torch.randn_like(parameter))
    return net.eval()


def assert_same(found: Segmenter, expected: Segmenter) -> None:
    with torch.no_grad():
        image = draw(7, 2, 3, 64, 64)
        a, b = found(image), expected(image)
        for x, y in zip((a.logits, *a.activated), (b.logits, *b.activated), strict=True):
            torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-4 * float(y.abs().max()))


def test_the_released_resnets_have_two_branches_in_each_3x3_convolution() -> None:
    pairs = net_of("resnet50").pairs
    assert len(pairs) == 3 + 4 + 6 + 3 + 1
    assert pairs[-1] == DECODER
    assert all(conv.endswith(".conv2") and norm == conv[:-5] + "bn2" for conv, norm in pairs[:-1])
    assert len(net_of("resnet18").pairs) == 2 * 8 + 1


@pytest.mark.parametrize("name", ENCODERS)
def test_every_spatial_convolution_but_the_first_is_doubled(name: str) -> None:
    net = net_of(name)
    plain = Encoder(name)
    spatial = [module for module in plain.modules() if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)]
    assert len(net.pairs) == len(spatial) - 1 + 1
    assert sum(isinstance(module, TwoBranch) for module in net.modules()) == len(net.pairs)


@pytest.mark.parametrize("name", ENCODERS)
@torch.no_grad()
def test_equal_branches_compute_what_the_encoder_does(name: str) -> None:
    encoder = Encoder(name).eval()
    image = draw(3, 1, 3, 64, 64)
    expected = encoder(image)
    decoder = ASPP(encoder.channels[-1], 8, (1,))
    net = TwoBranchSegmenter.from_parts(encoder, decoder, Classifier(8, (2,))).eval()
    for found, before in zip(net(image).stages, expected, strict=True):
        torch.testing.assert_close(found, before, rtol=1e-5, atol=1e-5 * float(before.abs().max()))


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("plain_stem", [False, True])
def test_the_merged_net_is_of_the_standard_kind_and_computes_the_same(name: str, plain_stem: bool) -> None:
    net = net_of(name, plain_stem=plain_stem)
    merged = net.merged()
    assert type(merged) is Segmenter and not merged.training
    assert_same(merged, net)
    assert_same(merged.rebuilt().eval(), net)
    assert set(merged.state_dict()) == set(Segmenter(Encoder(name), (4, 2), merged.decoder.width).state_dict())
    assert merged.merged() is merged
    assert_same(folded(merged), net)
    assert_same(folded(net), net)


@pytest.mark.parametrize("name", ["resnet18", "test_efficientnet"])
def test_a_checkpoint_describes_the_net(name: str) -> None:
    net = net_of(name, plain_stem=name == "resnet18")
    recipe = json.loads(json.dumps(net.recipe()))
    assert recipe["kind"] == "two-branch" and recipe["encoder"].get("plain_stem", False) == (name == "resnet18")
    again = Segmenter.restored(recipe, net.state_dict()).eval()
    assert type(again) is TwoBranchSegmenter and again.pairs == net.pairs
    assert_same(again, net)
    damaged = recipe | {"pairs": [["encoder.net", "decoder.norm"]]}
    with pytest.raises(ValueError, match="its description of the net is damaged"):
        Segmenter.restored(damaged, net.state_dict())


def test_a_standard_net_does_not_mention_its_stem() -> None:
    assert (
        "plain_stem" not in Encoder("resnet18").recipe() and "plain_stem" not in Encoder("test_efficientnet").recipe()
    )


@torch.no_grad()
def test_a_plain_stem_has_no_activation() -> None:
    encoder = Encoder("resnet18").eval()
    image, outputs = draw(0, 1, 3, 64, 64), []
    encoder.net.bn1.register_forward_hook(lambda module, arguments, output: outputs.append(output.clone()))
    encoder(image)
    encoder.deactivate_stem()
    encoder(image)
    torch.testing.assert_close(outputs[0], nn.functional.leaky_relu(outputs[1], 0.01))
    assert outputs[1].min() < -0.1


def test_branch_1_is_frozen_when_a_step_begins() -> None:
    net = net_of("test_efficientnet").train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    begun = net.grown(3).merge()
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())  # it is not changed
    frozen = {name for name, parameter in begun.named_parameters() if not parameter.requires_grad}
    starts = tuple(f"{conv}.{part}." for conv, _ in net.pairs for part in ("conv", "norm"))
    of_branch_1 = {name for name in before if name.startswith(starts)}
    assert frozen == {name for name in of_branch_1 if "running" not in name and "num_batches" not in name}
    kept = {name: tensor.clone() for name, tensor in begun.state_dict().items()}
    begun.train()(draw(1, 4, 3, 64, 64))
    changed = {name for name, tensor in begun.state_dict().items() if not torch.equal(kept[name], tensor)}
    assert not changed & of_branch_1 and any("norm_new.running_mean" in name for name in changed)


def test_an_encoder_without_such_convolutions_is_refused() -> None:
    encoder = Encoder("convnext_atto")  # its norms are layer norms
    with pytest.raises(ValueError, match=r"the encoder 'convnext_atto' has no convolutions followed by batch norms"):
        TwoBranchSegmenter.from_parts(encoder, ASPP(encoder.channels[-1], 8, (1,)), Classifier(8, (2,)))


@pytest.mark.parametrize("layout", ["official", "cssegmentation", "plopkit"])
def test_an_exported_net_is_merged(layout: str, tmp_path: Path) -> None:
    net = net_of("resnet18")
    path = tmp_path / ("net.safetensors" if layout == "plopkit" else "net.pth")
    save_published(net, path, layout)
    found = load_published(path)
    assert type(found) is Segmenter and not found.training
    assert_same(found, net)


def test_the_released_codes_cannot_hold_a_plain_stem(tmp_path: Path) -> None:
    net = net_of("resnet18", plain_stem=True)
    with pytest.raises(ValueError, match=r"this net's has none, as RCIL's; choose the layout plopkit"):
        save_published(net, tmp_path / "net.pth")
    save_published(net, tmp_path / "net.safetensors", "plopkit")
    assert_same(load_published(tmp_path / "net.safetensors"), net)


def test_a_file_that_describes_another_net_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    net, path = net_of("test_efficientnet"), tmp_path / "net.safetensors"
    for recipe in ("{", "[]", json.dumps(net.recipe())):
        save_file(net.merged().state_dict(), path, {"net": recipe})
        with pytest.raises(ValueError, match=r"net\.safetensors: "):
            load_published(path)


@torch.no_grad()
def test_inplace_abn_computes_the_same() -> None:
    inplace_abn()
    plain, in_place = (net_of("resnet18", norm) for norm in ("abn", "iabn"))
    in_place.load_state_dict(plain.state_dict())
    assert_same(in_place, plain)
    assert_same(in_place.merged(), plain)
    image = draw(1, 2, 3, 64, 64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        expected = plain.train()(image).small
        torch.manual_seed(0)
        torch.testing.assert_close(in_place.train()(image).small, expected, rtol=1e-3, atol=1e-3)
