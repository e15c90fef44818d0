"""Weights of timm's networks: from the model hub, or a file that was downloaded elsewhere."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

import plopkit.support.torchvision_ops  # noqa: F401  (before timm, which imports torchvision)

import timm  # isort: skip

from plopkit.model.keys import first_keys, mismatched_keys, read_state
from plopkit.support.places import expanded
from plopkit.support.printable import one_line

HUB = "https://huggingface.co/"


def checked_state(name: str, path: Path | str, full: Any) -> dict[str, Tensor]:
    """The tensors of a file for a timm network, as the file has them; every tensor of the network is checked.

    The names may be timm's own, or those of the network's first release, which timm renames.

    Args:
        name: the network's name, for messages.
        path: a file of tensors.
        full: the whole network, of which a classifier is left out.

    Raises:
        FileNotFoundError: where there is no file.
        ValueError: where it is damaged, or does not hold the weights of this network.
    """
    file = expanded(str(path))
    if not file.is_file():
        raise no_file(path, name)
    state = read_state(file)
    renamed = renamed_by_timm(state, full)
    own = full.state_dict()
    if wrong := mismatched_keys(own, {key: tensor for key, tensor in renamed.items() if key in own}):
        in_file = tuple(renamed[wrong[0]].shape) if wrong[0] in renamed else "missing"
        raise ValueError(
            f"{path}: not the weights of {name!r}: {wrong[0]} is {in_file}, not {tuple(own[wrong[0]].shape)}; its keys "
            f"begin with {first_keys(state)}. {where_weights_are(name)}"
        )
    return state


def renamed_by_timm(state: Mapping[str, Tensor], full: Any) -> Mapping[str, Tensor]:
    """The tensors under timm's names: timm's own conversion for the network's family, where it has one."""
    convert = getattr(sys.modules[type(full).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return state
    try:
        return convert(dict(state), full)
    except Exception:  # tensors of another network may fail in any way
        return state


def where_weights_are(name: str) -> str:
    """What to download for a network, and where to put it."""
    config = timm.get_pretrained_cfg(name)
    if config is not None and config.hf_hub_id:
        file = f"{HUB}{config.hf_hub_id}/resolve/main/{config.hf_hub_filename or 'model.safetensors'}"
    elif config is not None and config.url:
        file = f"{config.url}"
    else:
        return f"timm {timm.__version__} knows no weights of {name!r}"
    remedy = "save that file anywhere, and name it: --model.weights FILE, or model.weights in a settings file"
    return f"Its weights are {file}; {remedy}"


def no_file(path: Path | str, name: str) -> FileNotFoundError:
    """The error for a file of weights that is not there."""
    return FileNotFoundError(
        f"{path}: no such file; model.weights is imagenet, none, or a file of weights. {where_weights_are(name)}"
    )


def no_hub(name: str, error: Exception, instead: str) -> ValueError:
    """The error for weights that cannot be fetched.

    Args:
        name: timm's name of the network.
        error: why.
        instead: an encoder whose weights are installed.
    """
    if not _has_weights(name):
        return ValueError(f"{where_weights_are(name)}; give model.weights none, or a file of them")
    return ValueError(
        f"cannot get the ImageNet weights of {name!r} from the model hub ({one_line(error, 200)}); connect to the "
        "internet once (without it, HF_HUB_OFFLINE=1 spares the attempts), or use model.weights none, or "
        f"model.encoder {instead}, whose weights come with a package that is installed. {where_weights_are(name)}"
    )


def _has_weights(name: str) -> bool:
    """Whether timm knows where weights of a network are."""
    config = timm.get_pretrained_cfg(name)
    return config is not None and bool(config.hf_hub_id or config.url)
