"""Checkpoints of the codes with binary decisions, DKD, STAR and SSUL: their tensors under plopkit's names, their nets.

They have plain batch norm and torchvision's ASPP. Its projection is plopkit's two reductions next to each other, and
its norms of the branches are plopkit's joint one, so that both compute the same function.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from plopkit.model.decoder import ASPP, RELEASED_DILATIONS
from plopkit.model.encoders import Encoder
from plopkit.model.keys import BINARY_PARTS, ENCODER, absolute_scales
from plopkit.model.norms import norm_of
from plopkit.model.segmenter import Segmenter
from plopkit.model.sigmoid import Decomposed, SigmoidClassifier
from plopkit.model.unknown import Heads, WithUnknown

DROPOUT = 0.1
"""Of the released nets."""

_NAMES = (
    (r"^convs\.(\d+)\.0\.", r"branches.\1."),
    (r"^project\.1\.", r"norm."),
    (r"^last_conv\.0\.", r"last.conv."),
    (r"^last_conv\.1\.", r"last.norm."),
)


def binary_state(state: Mapping[str, Tensor], layout: str) -> dict[str, Tensor]:
    """A released net's tensors under plopkit's names; norms are scaled by absolute values, as plopkit's are.

    Args:
        state: the tensors, with the names of layout "dkd" or "ssul".
        layout: its name.

    Raises:
        KeyError: a tensor is missing.
        ValueError: a norm does not fit the convolution before it.
    """
    body, head, classifiers = BINARY_PARTS[layout]
    state = absolute_scales(state)
    renamed = {}
    for key, tensor in state.items():
        if key.startswith(body):
            renamed[ENCODER + key.removeprefix(body)] = tensor
        elif key.startswith(classifiers):
            own = key.removeprefix(classifiers)  # SSUL's heads have their activation in place 2
            renamed["classifier." + re.sub(r"^(\d+)\.3\.", r"\1.2.", own)] = tensor
    aspp = {key.removeprefix(head): tensor for key, tensor in state.items() if key.startswith(head)}
    return renamed | {f"decoder.{key}": tensor for key, tensor in _aspp(aspp).items()}


def binary_net(state: Mapping[str, Tensor], layout: str, encoder_name: str, output_stride: int, norm: str) -> Segmenter:
    """A net of the shape of these tensors, with new weights; a plain ReLU, and the whole map pooled.

    Args:
        state: tensors under plopkit's names.
        layout: the layout that they come from.
        encoder_name: name of the ResNet.
        output_stride: its stride.
        norm: "abn"; inplace-abn cannot compute a plain ReLU.

    Raises:
        KeyError: a tensor is missing.
        ValueError: there are too few classifiers.
    """
    encoder = Encoder(encoder_name, output_stride, "none", norm=norm, slope=0.0, late_dilation=True)
    width = len(state["decoder.norm.weight"])
    dilations = RELEASED_DILATIONS.get(output_stride, (1, 2, 3))
    shape = (encoder.channels[-1], width, dilations, None)
    decoder = ASPP(*shape, norm_of(norm, 0.0), DROPOUT, "decoder.last.conv.weight" in state)
    if layout == "ssul":
        last = [len(tensor) for key, tensor in state.items() if re.fullmatch(r"classifier\.\d+\.2\.weight", key)]
        if len(last) < 3:
            raise ValueError(f"SSUL has heads of the unknown, the background and each step's classes, here are {last}")
        _, background, first, *later = last
        return WithUnknown.from_parts(encoder, decoder, Heads(width, (background + first, *later), 0.0))
    counts = [len(tensor) for key, tensor in state.items() if re.fullmatch(r"classifier\.\d+\.weight", key)]
    if not counts:
        raise ValueError("it has no classifier")
    has_auxiliary = counts[0] == 1  # STAR has none, and no task that begins with a single class
    if has_auxiliary and len(counts) == 1:
        raise ValueError("behind its auxiliary channel it has no classifier")
    first, *later = counts[int(has_auxiliary) :]
    classifier = SigmoidClassifier(width, (first + 1, *later), has_auxiliary)
    return (Decomposed if has_auxiliary else Segmenter).from_parts(encoder, decoder, classifier)


def _aspp(own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of torchvision's ASPP under the names of plopkit's."""
    n_branches = len({key.split(".")[1] for key in own if key.startswith("convs.")}) - 1
    pooled, projection = f"convs.{n_branches}.", own["project.0.weight"]
    width = len(projection)
    renamed = {
        "reduce.weight": projection[:, : n_branches * width],
        "pool_reduce.weight": projection[:, n_branches * width :],
    }
    for part in ("weight", "bias", "running_mean", "running_var"):
        renamed[f"branches_norm.{part}"] = torch.cat([own[f"convs.{index}.1.{part}"] for index in range(n_branches)])
    for key, tensor in own.items():
        if key.startswith(pooled):
            place, _, rest = key.removeprefix(pooled).partition(".")
            renamed[("pool_conv." if place == "1" else "pool_norm.") + rest] = tensor
        elif not re.match(r"convs\.\d+\.1\.|project\.0\.", key):
            for pattern, name in _NAMES:
                key = re.sub(pattern, name, key)
            renamed[key] = tensor
    return renamed
