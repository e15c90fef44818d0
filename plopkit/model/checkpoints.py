"""Published weights in and out: step checkpoints of CVPR2021_PLOP, MiB and cssegmentation, and nets of any encoder."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from plopkit.model.binary_keys import binary_net, binary_state
from plopkit.model.classifiers import Classifier
from plopkit.model.decoder import ASPP, RELEASED_DILATIONS
from plopkit.model.encoders import Encoder
from plopkit.model.keys import (
    BINARY_PARTS,
    ENCODER,
    WRAPPINGS,
    detect_layout,
    encoder_state,
    first_keys,
    mismatched_keys,
    published_state,
    read_state,
    segmenter_state,
    unexpected_keys,
)
from plopkit.model.norms import available_norm, norm_of
from plopkit.model.resnet import BLOCKS, BOTTLENECKS
from plopkit.model.segmenter import Segmenter
from plopkit.scenario import WIDE_IGNORE
from plopkit.support.files import write_bytes, write_torch
from plopkit.support.places import expanded
from plopkit.support.printable import one_line
from plopkit.support.torch_files import read_metadata, safetensors_bytes

KNOWN = (
    "a step checkpoint of CVPR2021_PLOP or MiB (body.mod1.conv1.weight … head.map_convs.0.weight … cls.0.weight), one "
    "of cssegmentation (encoder.conv1.weight … decoder.parallel_convs.0.weight … convs_cls.0.weight), of DKD or STAR "
    "(backbone.conv1.weight … aspp.convs.0.0.weight … cls.0.weight) or SSUL (… classifier.head.0.0.weight), and "
    "ImageNet weights of inplace-abn's ResNets (mod1.conv1.weight …)"
)
LAYOUTS = ("official", "cssegmentation", "plopkit")
RECIPE = "net"
"""The text in a file of layout "plopkit" that describes the net."""
STEP = "step"
"""The text in a run's own checkpoint, which holds such a description."""
WIDEST = 2048  # as `plopkit.settings.Model.width`
RELEASED_SLOPE = 0.01  # of the leaky ReLU


def load_published(path: Path | str, output_stride: int = 16, pool: int | None = 32, norm: str = "abn") -> Segmenter:
    """The net of a published checkpoint, in evaluation mode.

    The keys say which code base wrote it, how deep the ResNet is, and how many channels each step added. The file is
    read without running code from it. ImageNet weights give a net with one untrained classifier of 21 channels. A file
    of layout "plopkit" and a run's own checkpoint describe their net themselves, and the other arguments do not matter.

    Args:
        path: the checkpoint.
        output_stride: the file does not say it; the released scripts use 16.
        pool: the decoder's pooling window at evaluation.
        norm: "abn" or "iabn".

    Raises:
        FileNotFoundError: where there is no file.
        ValueError: that says what the file holds and what is known.
    """
    path = expanded(path)
    state = read_state(path)
    if (recipe := _recipe_in(path)) is not None:
        return _described(path, recipe, state)
    layout = detect_layout(set(state))
    if layout not in (*WRAPPINGS, *BINARY_PARTS):
        raise _unknown_layout(path, state)
    if broken := [key for key, tensor in state.items() if not tensor.isfinite().all()]:
        raise ValueError(
            f"{path}: {len(broken)} of its tensors hold numbers that are not finite, such as {broken[0]}; use another "
            "checkpoint: this one's training had failed, or the file was damaged"
        )
    if layout in BINARY_PARTS:
        return _binary(path, state, layout, output_stride, norm)
    renamed = {} if layout == "iabn" else segmenter_state(state, layout)
    inner = {key.removeprefix(ENCODER): tensor for key, tensor in renamed.items() if key.startswith(ENCODER)}
    body = inner or encoder_state(state, layout)
    depth = _depth(body, path)

    def build(classes: Sequence[int], width: int = 256) -> Segmenter:
        return Segmenter(Encoder(depth, output_stride, "none", norm=norm), classes, width, pool=pool, norm=norm)

    if not renamed:
        net = build((21,))
        _load(net.encoder.net, body, path)
        return net.eval()
    matches = {key: re.fullmatch(r"classifier\.(\d+)\.weight", key) for key in renamed}
    steps = sorted((int(match[1]), renamed[key].shape[:1].numel()) for key, match in matches.items() if match)
    if [index for index, _ in steps] != list(range(len(steps))):
        raise ValueError(f"{path}: its classifiers are {[index for index, _ in steps]}, not 0, 1, 2, …")
    width = renamed["decoder.norm.weight"].numel() if "decoder.norm.weight" in renamed else 256
    classes = [channels for _, channels in steps]
    if not (all(0 < channels <= WIDE_IGNORE for channels in classes) and 0 < width <= WIDEST):
        raise ValueError(
            f"{path}: classifiers of {one_line(classes)} channels on a decoder {width} wide; a class has a channel, "
            f"and {WIDEST} is the widest that a decoder can be"
        )
    with torch.device("meta"):  # no memory is taken for a net that the file does not hold
        _check_fits(build(classes, width), renamed, path)
    net = build(classes, width)
    _load(net, renamed, path)
    return net.eval()


def _binary(path: Path, state: dict[str, Tensor], layout: str, output_stride: int, norm: str) -> Segmenter:
    """The net of a checkpoint of DKD, STAR or SSUL."""
    depth = _depth({key.removeprefix("backbone."): tensor for key, tensor in state.items()}, path)
    norm_of(norm, slope=0.0)  # an error about the setting is none about the file
    try:
        own = binary_state(state, layout)
        with torch.device("meta"):
            reference = binary_net(own, layout, depth, output_stride, norm)
    except KeyError as error:
        raise ValueError(f"{path}: not a whole net of the layout {layout!r}: {error} is missing in it") from error
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: no net of the layout {layout!r}: {one_line(error, 200)}") from error
    _check_fits(reference, own, path)
    net = binary_net(own, layout, depth, output_stride, norm)
    _load(net, own, path)
    return net.eval()


def save_published(
    net: Segmenter, path: Path | str, layout: str = "official", about: Mapping[str, str] | None = None
) -> None:
    """Write a net for inference, with its branches merged where it has two (`Segmenter.merged`).

    Args:
        net: the net.
        path: the file.
        layout: "official" or "cssegmentation": a net with a released ResNet, so that their code can load it. The file
            does not say its output stride; the released scripts use 16. Their decoders are 256 wide; `load_published`
            reads any width. "plopkit": any net, as safetensors that describe it, for `load_published` alone.
        about: texts by name that a file of layout "plopkit" holds as well.

    Raises:
        ValueError: for another layout, and for a net that the released code would read as a different one.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"there is no layout {layout!r}; known: {', '.join(LAYOUTS)}")
    net = net.merged()
    state = net.state_dict()
    if layout == "plopkit":
        texts = {RECIPE: json.dumps(net.recipe()), **(about or {})}
        write_bytes(expanded(path), safetensors_bytes(state, texts))
        return
    if net.encoder.name not in BLOCKS:
        raise ValueError(f"the {layout} code knows the encoders {', '.join(BLOCKS)} only, and this net has another one")
    if not isinstance(net.decoder, ASPP):
        raise ValueError(
            f"the {layout} code's decoder is ASPP (model.decoder), and this net's is {net.decoder.kind}; choose the "
            "layout plopkit"
        )
    if type(net) is not Segmenter or type(net.classifier) is not Classifier or len(net.decoder.last):
        raise ValueError(
            f"the {layout} code's classifiers are for a softmax and follow its ASPP; this net is of the kind "
            f"{net.kind!r}, with a classifier {net.classifier.kind!r}: choose the layout plopkit"
        )
    released, own = RELEASED_DILATIONS.get(net.encoder.output_stride), net.decoder.dilations
    if own != released:
        raise ValueError(f"the {layout} code's head has the dilations {released} (model.dilations), this net's {own}")
    if net.encoder.net.slope != RELEASED_SLOPE:
        raise ValueError(
            f"the {layout} code's slope is {RELEASED_SLOPE} (model.slope), this net's {net.encoder.net.slope}"
        )
    if net.encoder.plain_stem:
        raise ValueError(
            f"the {layout} code's encoder has an activation after its first norm, and this net's has none, as RCIL's; "
            "choose the layout plopkit"
        )
    tensors = {f"module.{key}": tensor.detach().cpu() for key, tensor in published_state(state, layout).items()}
    write_torch(expanded(path), {WRAPPINGS[layout]: tensors, "epoch": 0, "best_score": 0.0})


def _recipe_in(path: Path) -> str | None:
    """The text that describes the net in a file of layout "plopkit" or in a run's own checkpoint; None in others."""
    texts = read_metadata(path) if path.suffix == ".safetensors" else {}
    return texts.get(RECIPE) or texts.get(STEP)


def _described(path: Path, text: str, state: dict[str, Tensor]) -> Segmenter:
    """The net that such a file describes."""
    try:
        described = json.loads(text)
        if isinstance(described, dict) and isinstance(described.get("recipe"), dict):  # of a step
            described = described["recipe"]
        if not isinstance(described, dict):
            raise ValueError(f"describes no net, but {one_line(described, 60)}")
        if isinstance(encoder := described.get("encoder"), dict) and "norm" in encoder:
            encoder["norm"] = available_norm(encoder["norm"])
        return Segmenter.restored(described, state).eval()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {one_line(error, 300)}") from error


def _unknown_layout(path: Path, state: dict[str, Tensor]) -> ValueError:
    """The error for a checkpoint of no known layout."""
    nearest, odd = unexpected_keys(set(state))
    if nearest:
        return ValueError(
            f"{path}: has the layout {nearest!r}, except for {len(odd)} of its keys such as {odd[0]}; remove them"
        )
    if {"classifier.0.weight", "classifiers.0.weight"} & set(state):
        return ValueError(
            f"{path}: these are plopkit's own names; read a run's net by plopkit.RunFolder(folder).net(step), or "
            "write it as published by `plopkit export`"
        )
    return ValueError(f"{path}: its keys begin with {first_keys(state)}, which is no known layout; known: {KNOWN}")


def _depth(body: dict[str, Tensor], path: Path) -> str:
    """The ResNet's name, from its blocks."""
    counts = [len({m[1] for key in body if (m := re.match(rf"layer{i}\.(\d+)\.", key))}) for i in range(1, 5)]
    bottleneck = "layer1.0.conv3.weight" in body
    for name, blocks in BLOCKS.items():
        if tuple(counts) == blocks and bottleneck == (name in BOTTLENECKS):
            return name
    raise ValueError(f"{path}: a ResNet of {counts} blocks is not known; known: {', '.join(BLOCKS)}")


def _load(net: torch.nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load all of the state, checked."""
    _check_fits(net, state, path)
    net.load_state_dict(state, strict=False)


def _check_fits(net: torch.nn.Module, state: dict[str, Tensor], path: Path) -> None:
    if wrong := mismatched_keys(expected := net.state_dict(), state):
        first = wrong[0]
        raise ValueError(
            f"{path}: {len(wrong)} of its tensors do not fit, such as {first}: {_shape(state.get(first))} in the file, "
            f"{_shape(expected.get(first))} in the net"
        )


def _shape(tensor: Tensor | None) -> str:
    return "nothing" if tensor is None else "x".join(map(str, tensor.shape)) or "a number"
