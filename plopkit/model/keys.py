"""State dicts of the released code bases, recognised by their keys and renamed to plopkit's.

The layouts: CVPR2021_PLOP and MiB ("official"), cssegmentation, DKD, SSUL (`plopkit.model.binary_keys`), and the
ImageNet weights of inplace-abn, of torchvision and of timm.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from plopkit.support.moved import renamed
from plopkit.support.printable import one_line
from plopkit.support.torch_files import read_safetensors, read_torch, tensors_of

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


State = Mapping[str, Tensor]

WRAPPINGS = {"official": "model_state", "cssegmentation": "segmentor", "iabn": "state_dict"}
"""Where each code base keeps the tensors in its files."""

_NO_TENSORS = (
    (b"version https://git-lfs", "the pointer of Git LFS to a file that was not fetched"),
    (b"<", "a web page"),
)

LONGEST_KEY = 200
"""Characters of a tensor's name; those of the known networks have 60."""

ENCODER = "encoder.net."
_BODY = (
    (r"^mod1\.", r""),
    (r"^mod(\d)\.block(\d+)\.(?:convs\.)?", lambda m: f"layer{int(m[1]) - 1}.{int(m[2]) - 1}."),
    (r"proj_conv\.", "downsample.0."),
    (r"proj_bn\.", "downsample.1."),
)
_HEADS = {
    "official": {
        "map_convs.": "branches.",
        "map_bn.": "branches_norm.",
        "red_conv.": "reduce.",
        "global_pooling_conv.": "pool_conv.",
        "global_pooling_bn.": "pool_norm.",
        "pool_red_conv.": "pool_reduce.",
        "red_bn.": "norm.",
    },
    "cssegmentation": {
        "parallel_convs.": "branches.",
        "parallel_bn.": "branches_norm.",
        "out_project.0.": "reduce.",
        "global_branch.0.": "pool_conv.",
        "global_branch.1.": "pool_norm.",
        "global_branch.3.": "pool_reduce.",
        "out_project.1.": "norm.",
    },
}
BINARY_PARTS = {
    "dkd": ("backbone.", "aspp.", "cls."),
    "ssul": ("backbone.", "classifier.aspp.", "classifier.head."),
}
"""How the keys of the codes with binary decisions begin: encoder, decoder, classifiers. STAR's are as DKD's."""
_PARTS = {"official": ("body.", "head.", "cls."), "cssegmentation": ("encoder.", "decoder.", "convs_cls.")}
_TORCHVISION = re.compile(r"(conv1|bn1|layer[1-4]\.\d+)\.")


def detect_layout(keys: "set[str]") -> str | None:
    """The layout of keys without ``module.``, or None.

    "official", "cssegmentation", "dkd", "ssul"; of ImageNet weights "iabn", "torchvision".
    """
    for name, parts in (_PARTS | BINARY_PARTS).items():
        if all(key.startswith(parts) for key in keys) and all(any(k.startswith(p) for k in keys) for p in parts):
            return name
    rest = {key for key in keys if not key.startswith(("classifier.", "fc."))}
    if "mod1.conv1.weight" in rest and all(re.match(r"mod\d\.", key) for key in rest):
        return "iabn"
    if "conv1.weight" in rest and all(_TORCHVISION.match(key) for key in rest):
        return "torchvision"
    return None


def unexpected_keys(keys: "set[str]") -> tuple[str | None, list[str]]:
    """The code base to which all but a few of the keys belong, and these few; None where there is no such code base."""
    for name, parts in (_PARTS | BINARY_PARTS).items():
        odd = sorted(key for key in keys if not key.startswith(parts))
        if detect_layout(keys - set(odd)) == name and len(odd) < 0.1 * len(keys):
            return name, odd
    return None, []


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint file, unwrapped and without ``module.`` before their names.

    Only tensors and plain values are read: a file that would run code is refused.

    Raises:
        FileNotFoundError: where there is no file.
        ValueError: where it is damaged, would run code, or holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        content = read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path)
    except ValueError as error:
        with open(path, "rb") as file:
            begin = file.read(32)
        if instead := next((words for mark, words in _NO_TENSORS if begin.lstrip().startswith(mark)), ""):
            raise ValueError(f"{path}: it is {instead}; download the file itself") from error
        raise ValueError(
            f"{path}: not a checkpoint that can be read without running code from it ({one_line(error, 300)})"
        ) from error
    for wrapping in (*WRAPPINGS.values(), "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapping), Mapping):
            content = content[wrapping]
    state = tensors_of(content)
    if state is None:
        keys = ", ".join(one_line(key, 60) for key in list(content)[:6]) if isinstance(content, Mapping) else ""
        what = f"a dictionary of {keys}" if keys else type(content)
        raise ValueError(
            f"{path}: holds {what}, not a network's tensors; known are plain state dicts and those under "
            f"{', '.join(WRAPPINGS.values())}, model"
        )
    if longest := [key for key in state if len(key) > LONGEST_KEY or not key.isprintable()]:
        raise ValueError(
            f"{path}: a tensor is named {one_line(longest[0], 60)!r}, which is no name of a network's part"
        )
    return {key.removeprefix("module."): tensor for key, tensor in state.items()}


def mismatched_keys(expected: State, state: State) -> list[str]:
    """The keys that one of the two lacks or has in another shape, except batch counters, which are unused."""
    shapes = [{k: tensor.shape for k, tensor in s.items() if "num_batches" not in k} for s in (expected, state)]
    return sorted(key for key in shapes[0].keys() | shapes[1].keys() if shapes[0].get(key) != shapes[1].get(key))


def first_keys(state: State) -> str:
    """The first keys of a state dict, for an error message."""
    return ", ".join(list(state)[:4])


def encoder_state(state: State, layout: str) -> dict[str, Tensor]:
    """A ResNet's tensors under torchvision's names; the ImageNet classifier is left out."""
    renamed = {
        _body(key) if layout == "iabn" else key: tensor
        for key, tensor in state.items()
        if not key.startswith(("classifier.", "fc."))
    }
    return absolute_scales(renamed) if layout == "torchvision" else renamed


def segmenter_state(state: State, layout: str) -> dict[str, Tensor]:
    """A whole net's tensors under plopkit's names."""
    body, head, classifiers = _PARTS[layout]
    renamed = {}
    for key, tensor in state.items():
        if key.startswith(body):
            inner = key.removeprefix(body)
            renamed[ENCODER + (_body(inner) if layout == "official" else inner)] = tensor
        elif key.startswith(head):
            inner = key.removeprefix(head)
            new = next((b + inner.removeprefix(a) for a, b in _HEADS[layout].items() if inner.startswith(a)), inner)
            renamed["decoder." + new] = tensor
        else:
            renamed["classifier." + key.removeprefix(classifiers)] = tensor
    return renamed


def published_state(state: State, layout: str) -> dict[str, Tensor]:
    """plopkit's tensors under the names of the official code or of cssegmentation: undoes ``segmenter_state``."""
    body, head, classifiers = _PARTS[layout]
    names = {own: published for published, own in _HEADS[layout].items()}
    renamed = {}
    for key, tensor in state.items():
        if key.startswith(ENCODER):
            inner = key.removeprefix(ENCODER)
            renamed[body + (_official_body(inner) if layout == "official" else inner)] = tensor
        elif key.startswith("decoder."):
            inner = key.removeprefix("decoder.")
            renamed[head + next(b + inner.removeprefix(a) for a, b in names.items() if inner.startswith(a))] = tensor
        else:
            renamed[classifiers + key.removeprefix("classifier.")] = tensor
    return renamed


def current_names(state: State) -> dict[str, Tensor]:
    """The tensors of a checkpoint or a method's state written by plopkit 0.1, under today's names; others as they are.

    A method's state has its kind before a slash: "fisher/head.reduce.weight".
    """
    return {
        re.sub(r"^(.*/)?head\.", r"\1decoder.", re.sub(r"^(.*/)?classifiers\.", r"\1classifier.", key)): tensor
        for key, tensor in state.items()
    }


def absolute_scales(state: State, eps: float = 1e-5) -> dict[str, Tensor]:
    """Plain batch norm's state for an ABN, which scales by `|weight|` + eps: the same function of the image.

    Where a weight is negative, the filter before it, its running mean and the weight change sign together.

    Raises:
        ValueError: one of these is missing, or has another number of channels. The message names it.
    """
    converted = dict(state)
    for key in state:
        conv = _convolution_of(key, state)
        if conv is None:
            continue
        mean = f"{key.removesuffix('.weight')}.running_mean"
        for other in (conv, mean):
            if other not in state or state[other].shape[:1] != state[key].shape:
                found = f"of {len(state[other])} channels" if other in state and state[other].ndim else "missing"
                raise ValueError(f"{other} is {found}, and belongs to {key} of {state[key].numel()} channels")
        sign = torch.where(state[key] < 0, -1.0, 1.0).to(state[key])
        converted[key] = (state[key].abs() - eps).clamp(min=0)
        converted[conv] = state[conv] * sign.reshape(-1, *[1] * (state[conv].ndim - 1))
        converted[mean] = state[mean] * sign
    return converted


def _convolution_of(key: str, state: State) -> str | None:
    """The filters that a batch norm's weight scales; None for other keys."""
    if re.search(r"(^|\.)bn\d\.weight$", key):
        return re.sub(r"bn(\d)\.weight$", r"conv\1.weight", key)
    place = re.fullmatch(r"(.*\.)(\d+)\.weight", key)  # in a sequence, where the norm follows its convolution
    if place is None or f"{key.removesuffix('.weight')}.running_var" not in state:
        return None
    return f"{place[1]}{int(place[2]) - 1}.weight"


def _body(key: str) -> str:
    for pattern, name in _BODY:
        key = re.sub(pattern, name, key)
    return key


def _official_body(key: str) -> str:
    match = re.fullmatch(r"layer(\d)\.(\d+)\.(.+)", key)
    if not match:
        return f"mod1.{key}"
    block = f"mod{int(match[1]) + 1}.block{int(match[2]) + 1}."
    if match[3].startswith("downsample."):
        return block + match[3].replace("downsample.0.", "proj_conv.").replace("downsample.1.", "proj_bn.")
    return f"{block}convs.{match[3]}"
