"""RCIL's bottleneck and the first layer of its head from tensors under the names of its released code."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from torch import Tensor, nn

from plopkit.model.abn import ABN
from plopkit.model.branches import TwoBranch
from plopkit.model.decoder import Parallel
from plopkit.model.resnet import Bottleneck, shortcut

State = Mapping[str, Tensor]
"""Tensors such as ``convs.conv2_new.weight`` and ``proj_bn.running_var``, or ``map_convs.0.weight``."""

Part = TypeVar("Part", Bottleneck, TwoBranch)

_BRANCHES = {
    "convs.conv2.": "conv.",
    "convs.bn2.": "norm.",
    "convs.conv2_new.": "conv_new.",
    "convs.bn2_new.": "norm_new.",
}
_BLOCK = {name: f"conv2.{own}" for name, own in _BRANCHES.items()}
_BLOCK |= {name.removeprefix("convs."): own for name, own in _BLOCK.items()}
_BLOCK |= {"convs.": "", "proj_conv.": "downsample.0.", "proj_bn.": "downsample.1."}
_HEAD = {"map_convs.": "conv.", "map_bn.": "norm.", "map_convs_new.": "conv_new.", "map_bn_new.": "norm_new."}


def released_block(state: State, stride: int = 1, dilation: int = 1, draws: Tensor | None = None) -> Bottleneck:
    """A bottleneck with two branches: (B, C, H, W) -> the sum before the activation.

    Its branches are ``block.conv2``, a `plopkit.model.branches.TwoBranch`.

    Args:
        state: the block's tensors.
        stride, dilation: those of its 3x3 convolutions.
        draws: the numbers in [0, 1) that mix its branches, one for each of their channels; the block is then in
            training mode, otherwise in evaluation mode.
    """
    width, channels = state["convs.conv1.weight"].shape[:2]
    out = state["convs.conv3.weight"].shape[0]
    block = Bottleneck(channels, width, stride, dilation, ABN)
    block.conv2, block.bn2 = TwoBranch(block.conv2, ABN(width, "identity")), nn.LeakyReLU(0.01, inplace=True)  # type: ignore[assignment]
    block.conv3, block.bn3 = nn.Conv2d(width, out, 1, bias=False), ABN(out, "identity")
    block.downsample = shortcut(channels, out, stride, ABN) if "proj_conv.weight" in state else None
    load_released(block, state)
    block.conv2.draws = draws  # type: ignore[assignment]
    return block.train(draws is not None)


def released_head(state: State, dilations: Sequence[int] = (6, 12, 18)) -> TwoBranch:
    """The head's parallel convolutions with two branches, in evaluation mode, before the activation.

    Args:
        state: tensors of ``map_convs``, ``map_bn`` and of the same with ``_new``.
        dilations: those of the 3x3 convolutions.
    """
    width, channels = state["map_convs.0.weight"].shape[:2]
    convolutions = [nn.Conv2d(channels, width, 1, bias=False)]
    convolutions += [nn.Conv2d(channels, width, 3, padding=d, dilation=d, bias=False) for d in dilations]
    head = TwoBranch(Parallel(convolutions), ABN(width * len(convolutions), "identity"))
    load_released(head, state)
    return head.eval()


def merge_released(module: Part, *trained: State) -> Part:
    """Merge the branches as when step 1 begins, in place; returns the part.

    Args:
        module: a `released_block` or a `released_head`.
        trained: for each further step the tensors that the training before it has changed; they are loaded, and the
            branches merged once more.
    """
    branches: Any = module if isinstance(module, TwoBranch) else module.conv2
    branches.merge()
    for state in trained:
        load_released(module, state)
        branches.merge()
    return module


def load_released(module: Bottleneck | TwoBranch, state: State) -> None:
    """Load some or all tensors of a `released_block` or a `released_head`, in place.

    Raises:
        ValueError: for a name or a shape that it does not have.
    """
    names = _HEAD if isinstance(module, TwoBranch) else _BLOCK
    own = {}
    for key, tensor in state.items():
        released = next((name for name in names if key.startswith(name)), None)
        if released is None:
            raise ValueError(f"no tensor of this part is named {key!r}; names begin with {', '.join(names)}")
        own[names[released] + key.removeprefix(released)] = tensor
    if unknown := module.load_state_dict(own, strict=False).unexpected_keys:
        raise ValueError(f"this part has no tensors {', '.join(unknown)}")
