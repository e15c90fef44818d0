"""The memory layout in which a net is fast. Another layout rounds differently, so every net of a run has the same."""

import torch

from plopkit.model.segmenter import Segmenter


def memory_format_of(net: Segmenter) -> torch.memory_format:
    """The layout of a net's weights and maps: the one that its encoder's norms ask for, else channels last.

    In channels last a CPU's depthwise convolutions, and a GPU's half precision, are several times faster. A norm that
    has kernels for one layout only says so in an attribute ``memory_format``.
    """
    asked = (getattr(module, "memory_format", None) for module in net.encoder.modules())
    return next((layout for layout in asked if layout is not None), torch.channels_last)


def laid_out(net: Segmenter) -> Segmenter:
    """The net with its weights in its layout, in place; its maps follow, whatever the layout of the images."""
    return net.to(memory_format=memory_format_of(net))  # type: ignore[call-overload]
