"""Which normalisation layer: plopkit's ABN, or inplace-abn's where that package is built."""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

from torch import nn

from plopkit.model.abn import ABN, Activated, Activation

Norm = Callable[[int, Activation], nn.Module]
"""(channels, activation) -> the layer."""


def norm_of(kind: str, slope: float = 0.01) -> Norm:
    """The constructor of a normalisation layer.

    Args:
        kind: "abn" for `ABN`, "iabn" for inplace-abn's InPlaceABN: the same numbers in less memory. The same state dict
            fits both.
        slope: slope of the leaky ReLU for negative values.

    Raises:
        ValueError: for another kind, and for "iabn" where the package is missing or cannot compute the slope.
    """
    if kind == "abn":
        return partial(ABN, slope=slope)
    if kind != "iabn":
        raise ValueError(f"norm is 'abn' or 'iabn', not {kind!r}")
    if slope == 0:
        raise ValueError("inplace-abn inverts its activation, which a slope of 0 does not permit; use model.norm abn")
    try:
        from plopkit.model.iabn import InPlace  # optional: a C++ extension
    except ImportError as error:
        raise ValueError(
            f"model.norm iabn needs inplace-abn ({error}); build it with `make iabn` or `pip install "
            "--no-build-isolation inplace-abn==1.1.0`, or use model.norm abn, which computes the same"
        ) from error
    return partial(InPlace, slope=slope)


def available_norm(kind: str) -> str:
    """The kind that a checkpoint names, or "abn" where inplace-abn is not built: the same state, the same numbers."""
    return "abn" if kind == "iabn" and find_spec("inplace_abn") is None else kind


def norm_names(net: nn.Module) -> list[str]:
    """The names of a net's batch norms, of whatever kind, as `Segmenter.freeze` takes them."""
    kinds = (nn.modules.batchnorm._BatchNorm, Activated)
    return [name for name, module in net.named_modules() if isinstance(module, kinds)]


def fixed_names(net: nn.Module) -> list[str]:
    """The names of a net's batch norms and dropouts: frozen, they compute the same in training as in evaluation."""
    return norm_names(net) + [name for name, module in net.named_modules() if isinstance(module, nn.Dropout)]
