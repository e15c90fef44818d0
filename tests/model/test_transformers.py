"""Vision transformers and hierarchical ones as encoders: which maps they give, of which images, with whose weights."""

from pathlib import Path

import pytest
import tiny_encoders  # noqa: F401  (makes them known)
import torch
import torch.nn.functional as F
from comparing import close
from drawing import draw
from safetensors.torch import save_file

from plopkit.methods import RCIL
from plopkit.model import encoders
from plopkit.model.encoders import Encoder
from plopkit.model.folded import folded
from plopkit.model.segmenter import Segmenter

timm = encoders.timm


@pytest.fixture(scope="module")
def vit() -> Encoder:
    """Of 0.3 M parameters: 6 blocks 64 wide, patches of 16 pixels, made for images of 160."""
    torch.manual_seed(0)
    return Encoder("test_vit").eval()


def test_a_plain_one_gives_the_maps_after_its_quarters_through_the_final_norm(vit: Encoder) -> None:
    body, tokens = vit.net.body, []
    handles = [body.blocks[i].register_forward_hook(lambda m, a, out: tokens.append(out)) for i in (0, 2, 3, 5)]
    maps = vit(draw(0, 2, 3, 64, 96))
    for handle in handles:
        handle.remove()
    assert (vit.channels, vit.output_stride, len(maps)) == ((64,) * 4, 16, 4)
    for found, expected in zip(maps, tokens, strict=True):
        close(found, body.norm(expected)[:, 1:].mT.unflatten(2, (4, 6)))  # the class token is left out


def check_stages(encoder: Encoder, strides: tuple[int, ...]) -> None:
    """Check the shapes of the maps of two images, of which the second is resized to the first, or nearly as large."""
    assert encoder.output_stride == strides[-1] and encoder.is_transformer
    shapes = [(c, 64 // stride, 96 // stride) for c, stride in zip(encoder.channels, strides, strict=True)]
    with torch.no_grad():
        for height, width in ((64, 96), (61, 95)):
            assert [tuple(x.shape[1:]) for x in encoder(draw(0, 1, 3, height, width))] == shapes


def test_swin_gives_its_stages_with_channels_first() -> None:
    name = "swin_tiny_patch4_window7_224"
    encoder = Encoder(name, stages=4).eval()
    check_stages(encoder, (4, 8, 16, 32))
    whole = timm.create_model(name, num_classes=0, strict_img_size=False).eval()
    whole.load_state_dict(encoder.net.body.state_dict(), strict=False)  # all but the norm of its classifier
    with torch.no_grad():
        image = draw(1, 1, 3, 64, 64)
        close(whole.forward_features(image), whole.norm(encoder(image)[3].movedim(1, 3)))


@pytest.mark.skipif(
    not hasattr(timm.models.PyramidVisionTransformerV2, "forward_intermediates"), reason="needs a later timm"
)
def test_pvt_gives_its_stages() -> None:
    check_stages(Encoder("pvt_v2_b0").eval(), (4, 8, 16, 32))


def test_images_are_resized_to_whole_patches(vit: Encoder) -> None:
    image = draw(0, 1, 3, 70, 50)
    resized = F.interpolate(image, (80, 64), mode="bilinear", align_corners=False)
    for found, expected in zip(vit(image), vit(resized), strict=True):
        assert found.shape[2:] == (5, 4)
        close(found, expected)


@pytest.mark.parametrize("name", ["tiny_swin", "tiny_pvt"])
def test_the_stages_of_a_hierarchical_one_cover_the_image(name: str) -> None:
    encoder = Encoder(name).eval()
    image = draw(0, 1, 3, 70, 50)
    resized = F.interpolate(image, (96, 64), mode="bilinear", align_corners=False)
    for found, expected, stride in zip(encoder(image), encoder(resized), (4, 8, 16, 32), strict=True):
        assert found.shape[2:] == (96 // stride, 64 // stride)
        close(found, expected)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("test_vit", (8,), r"output_stride is 8, and 'test_vit' has a stride of 16 that cannot be changed"),
        ("test_vit", (16, "none", 5), r"model.stages is 5, and 'test_vit' gives four maps"),
        ("levit_128s", (), r"encoder 'levit_128s' gives 3 stages; four are needed"),
        (
            "test_vit",
            (16, "imagenet"),
            r"cannot get the ImageNet weights of 'test_vit' .* https://huggingface.co/timm/"
            r"test_vit.r160_in1k/resolve/main/model.safetensors; .* --model.weights FILE",
        ),
    ],
)
def test_what_a_transformer_cannot_do_is_explained(name: str, arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Encoder(name, *arguments)


def test_a_size_that_a_network_does_not_take_is_explained() -> None:
    encoder = Encoder("maxvit_pico_rw_256").eval()
    with pytest.raises(ValueError, match=r"takes no images of 64 x 96 pixels \(.*\); it was made for 256 x 256"):
        encoder(torch.zeros(1, 3, 64, 96))


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_weights_come_from_a_file(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    whole = timm.create_model(name)  # with its classifier, as the files of the hub
    save_file(whole.state_dict(), file := tmp_path / "model.safetensors")
    encoder = Encoder(name, 16, str(file)).eval()
    own = {key.removeprefix("body."): tensor for key, tensor in encoder.net.state_dict().items()}
    assert own and all(torch.equal(tensor, whole.state_dict()[key]) for key, tensor in own.items())

    torch.save({"model": whole.state_dict(), "epoch": 3}, wrapped := tmp_path / "released.pth")  # as DeiT's
    loaded = Encoder(name, 16, str(wrapped)).net.state_dict()
    assert all(torch.equal(tensor, own[key.removeprefix("body.")]) for key, tensor in loaded.items())

    del (state := whole.state_dict())[missing := next(key for key in own if key.endswith("weight"))]
    save_file(state, file)
    with pytest.raises(ValueError, match=rf"not the weights of '{name}': {missing} is missing.*huggingface"):
        Encoder(name, 16, str(file))
    with pytest.raises(FileNotFoundError, match=r"coco: no such file; .*imagenet, none, or a file of weights.*hugging"):
        Encoder(name, 16, "coco")


def test_position_embeddings_of_another_size_are_resampled(tmp_path: Path) -> None:
    name = "vit_tiny_patch16_224"
    state = {f"module.{key}": tensor for key, tensor in timm.create_model(name).state_dict().items()}
    state["module.pos_embed"] = draw(0, 1, 1 + 4 * 4, 192)  # of images of 64 pixels
    save_file(state, file := tmp_path / "model.safetensors")
    embedding = Encoder(name, 16, str(file)).net.body.pos_embed
    assert embedding.shape == (1, 1 + 14 * 14, 192)  # resampled
    close(embedding[:, 0], state["module.pos_embed"][:, 0])


def test_it_is_a_part_of_a_net_as_any_encoder(vit: Encoder) -> None:
    net = Segmenter(vit, (3,), width=8, dilations=(1,)).eval()
    image = draw(0, 1, 3, 64, 64)
    for other in (net.rebuilt().eval(), net.merged(), folded(net)):
        close(other(image).logits, net(image).logits)
    assert net.recipe()["encoder"] == Encoder("test_vit").recipe()
    trained = net.grown(2).train()
    trained(draw(1, 2, 3, 64, 64)).logits[:, 1].square().sum().backward()
    without = {name for name, p in trained.named_parameters() if p.grad is None or not p.grad.any()}
    assert not {name for name in without if name.startswith("encoder.") and not name.endswith(".k.bias")}


def test_rcil_refuses_it_by_name(vit: Encoder) -> None:
    net = Segmenter(vit, (3,), width=8, dilations=(1,))
    with pytest.raises(ValueError, match=r"'test_vit' has no convolutions followed by batch norms"):
        RCIL().build(net.encoder, net.decoder, 3)
