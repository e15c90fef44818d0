"""The golden files' nets of DKD and SSUL, whose weights are drawn by their names in the released code."""

import functools
import json
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from released import filled
from torch import Tensor, nn

from plopkit.model.binary_keys import binary_net, binary_state
from plopkit.model.decoder import ASPP
from plopkit.model.encoders import Encoder
from plopkit.model.keys import BINARY_PARTS
from plopkit.model.norms import norm_of
from plopkit.model.segmenter import Segmenter
from plopkit.model.unknown import Heads, WithUnknown

GOLDEN = Path(__file__).parent / "golden" / "later"


def keys_of(layout: str, depth: str, n_classifiers: int) -> dict[str, torch.Size]:
    """Names and shapes of the tensors of a released net with so many classifiers, four at most for SSUL, else three."""
    shapes = json.loads((GOLDEN / f"state_keys_{layout}_resnet101.json").read_text())
    last = re.compile(re.escape(BINARY_PARTS[layout][2]) + r"(\d+)\.")
    found = {}
    for key, shape in shapes.items():
        beyond = (match := last.match(key)) and int(match[1]) >= n_classifiers
        deeper = (match := re.match(r"backbone\.layer3\.(\d+)\.", key)) and depth == "resnet50" and int(match[1]) >= 6
        if not beyond and not deeper:
            found[key] = torch.Size(shape)
    return found


def released_state(layout: str, depth: str, n_classifiers: int) -> dict[str, Tensor]:
    """Its tensors as the golden files have them, before the calibration."""
    shapes = keys_of(layout, depth, n_classifiers)
    return {key: filled(key, shape) if shape else torch.tensor(0) for key, shape in shapes.items()}


@functools.cache
def calibrated(layout: str, depth: str, n_classifiers: int, seed: int, size: int) -> Segmenter:
    """Such a net of plopkit's, calibrated by five passes of noise, in evaluation mode; for reading only."""
    state = binary_state(released_state(layout, depth, n_classifiers), layout)
    net = binary_net(state, layout, depth, 16, "abn")
    net.load_state_dict(state, strict=False)
    calibrate(net, [nn.modules.batchnorm._BatchNorm], seed, size)
    return net


def calibrate(net: Segmenter, kinds: Sequence[type], seed: int, size: int) -> None:
    """Let the norms' statistics be the plain means over five passes of noise, in place."""
    norms = [module for module in net.modules() if isinstance(module, tuple(kinds))]
    before = [module.momentum for module in norms]  # type: ignore[attr-defined]
    dropouts = [module for module in net.modules() if isinstance(module, nn.Dropout)]
    net.train()
    for module in dropouts:
        module.eval()
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for number in range(1, 6):
            for module in norms:
                module.momentum = 1 / number  # type: ignore[attr-defined]
            net(torch.randn(2, 3, size, size, generator=generator))
    for module, momentum in zip(norms, before, strict=True):
        module.momentum = momentum  # type: ignore[attr-defined]
    net.eval()


def filled_head(channels: Sequence[int], width: int = 256, depth: int = 6) -> WithUnknown:
    """SSUL's decoder and heads for maps of so many channels, drawn by the released names; its encoder is not used."""
    decoder = ASPP(depth, width, (6, 12, 18), None, norm_of("abn", 0.0))
    _, background, first, *later = channels
    heads_of = Heads(width, (background + first, *later), 0.0)
    net = WithUnknown.from_parts(Encoder("test_efficientnet"), decoder, heads_of)
    shapes = {
        key: torch.Size((shape[0], depth, *shape[2:])) if len(shape) == 4 and shape[1] == 2048 else shape
        for key, shape in keys_of("ssul", "resnet50", 4).items()
        if key.startswith("classifier.")
    }
    for index, n in enumerate(channels):
        shapes[f"classifier.head.{index}.3.weight"] = torch.Size((n, width, 1, 1))
        shapes[f"classifier.head.{index}.3.bias"] = torch.Size((n,))
    heads = tuple(f"classifier.head.{index}." for index in range(len(channels)))
    state = {
        key: filled(key, shape) if shape else torch.tensor(0)
        for key, shape in shapes.items()
        if key.startswith(("classifier.aspp.", *heads))
    }
    net.load_state_dict(binary_state(state, "ssul"), strict=False)
    return net.eval()
