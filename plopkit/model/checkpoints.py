"""Published weights in and out: step checkpoints of CVPR2021_PLOP, MiB and cssegmentation."""

import re
from pathlib import Path

import torch
from torch import Tensor

from plopkit.model.encoders import Encoder
from plopkit.model.keys import (
    ENCODER,
    WRAPPINGS,
    detect_layout,
    encoder_state,
    mismatched_keys,
    published_state,
    read_state,
    segmenter_state,
    shown,
    unexpected_keys,
)
from plopkit.model.resnet import BLOCKS, BOTTLENECKS
from plopkit.model.segmenter import RELEASED_DILATIONS, Segmenter
from plopkit.support.files import write_torch

KNOWN = (
    "a step checkpoint of CVPR2021_PLOP or MiB (body.mod1.conv1.weight … head.map_convs.0.weight … cls.0.weight), one "
    "of cssegmentation (encoder.conv1.weight … decoder.parallel_convs.0.weight … convs_cls.0.weight), and ImageNet "
    "weights of inplace-abn's ResNets (mod1.conv1.weight …)"
)
LAYOUTS = ("official", "cssegmentation")
RELEASED_SLOPE = 0.01  # of the leaky ReLU


def load_published(path: Path | str, output_stride: int = 16, pool: int | None = 32, norm: str = "abn") -> Segmenter:
    """The net of a published checkpoint: its keys tell whose it is, how deep, and how many channels each step added.

    The file is read without running code from it. A checkpoint does not tell its output stride; the released scripts
    use 16. ImageNet weights give a net of one untrained classifier of 21 channels. FileNotFoundError; ValueError that
    says what was found and what is known.
    """
    path = Path(path)
    state = read_state(path)
    whose = detect_layout(set(state))
    if whose not in WRAPPINGS:
        nearest, odd = unexpected_keys(set(state))
        if nearest:
            raise ValueError(
                f"{path}: of the layout {nearest!r}, but for {len(odd)} of its keys such as {odd[0]}; take them out"
            )
        if "classifiers.0.weight" in state:
            raise ValueError(
                f"{path}: these are plopkit's own names; read a run's net by plopkit.RunFolder(folder).net(step), or "
                "write it as published by `plopkit export`"
            )
        raise ValueError(
            f"{path}: whose weights these are is not known; its keys begin with {shown(state)}; known: {KNOWN}"
        )
    if broken := [key for key, tensor in state.items() if not tensor.isfinite().all()]:
        raise ValueError(
            f"{path}: {len(broken)} of its tensors hold numbers that are not finite, such as {broken[0]}; give another "
            "checkpoint: this one's training had failed, or the file was damaged"
        )
    ours = {} if whose == "iabn" else segmenter_state(state, whose)
    inner = {key.removeprefix(ENCODER): tensor for key, tensor in ours.items() if key.startswith(ENCODER)}
    body = inner or encoder_state(state, whose)
    encoder = Encoder(_depth(body, path), output_stride, "none", norm=norm)
    if not ours:
        net = Segmenter(encoder, (21,), pool=pool, norm=norm)
        _load(net.encoder.net, body, path)
        return net.eval()
    found = {key: re.fullmatch(r"classifiers\.(\d+)\.weight", key) for key in ours}
    steps = sorted((int(match[1]), ours[key].shape[:1].numel()) for key, match in found.items() if match)
    if [index for index, _ in steps] != list(range(len(steps))):
        raise ValueError(f"{path}: its classifiers are {[index for index, _ in steps]}, not 0, 1, 2, …")
    width = ours["head.norm.weight"].numel() if "head.norm.weight" in ours else 256
    net = Segmenter(encoder, [channels for _, channels in steps], width, pool=pool, norm=norm)
    _load(net, ours, path)
    return net.eval()


def save_published(net: Segmenter, path: Path | str, layout: str = "official") -> None:
    """Write a net with a released ResNet as the official code or cssegmentation saves one; they load it as theirs.

    The file does not tell the output stride; the released scripts use 16. Their heads are 256 wide; `load_published`
    reads any width. ValueError for another layout, and for a net that would be another one when it is read.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"there is no layout {layout!r}; known: {', '.join(LAYOUTS)}")
    state = net.state_dict()
    if net.encoder.name not in BLOCKS:
        raise ValueError(f"the {layout} code knows the encoders {', '.join(BLOCKS)} only, and this net has another one")
    theirs, ours = RELEASED_DILATIONS.get(net.encoder.output_stride), net.head.dilations
    if ours != theirs:
        raise ValueError(f"the {layout} code's head has the dilations {theirs} (model.dilations), this net's {ours}")
    if net.encoder.net.slope != RELEASED_SLOPE:
        raise ValueError(
            f"the {layout} code's slope is {RELEASED_SLOPE} (model.slope), this net's {net.encoder.net.slope}"
        )
    tensors = {f"module.{key}": tensor.detach().cpu() for key, tensor in published_state(state, layout).items()}
    write_torch(Path(path), {WRAPPINGS[layout]: tensors, "epoch": 0, "best_score": 0.0})


def _depth(body: dict[str, Tensor], path: Path) -> str:
    """The ResNet's name, from its blocks."""
    counts = [len({m[1] for key in body if (m := re.match(rf"layer{i}\.(\d+)\.", key))}) for i in range(1, 5)]
    bottleneck = "layer1.0.conv3.weight" in body
    for name, blocks in BLOCKS.items():
        if tuple(counts) == blocks and bottleneck == (name in BOTTLENECKS):
            return name
    raise ValueError(f"{path}: a ResNet of {counts} blocks is not known; known: {', '.join(BLOCKS)}")


def _load(net: torch.nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """All of the state, checked."""
    if wrong := mismatched_keys(wanted := net.state_dict(), state):
        first = wrong[0]
        raise ValueError(
            f"{path}: {len(wrong)} of its tensors do not fit, such as {first}: {_told(state.get(first))} there, "
            f"{_told(wanted.get(first))} in the net"
        )
    net.load_state_dict(state, strict=False)


def _told(tensor: Tensor | None) -> str:
    return "nothing" if tensor is None else "x".join(map(str, tensor.shape)) or "a number"
