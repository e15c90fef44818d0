"""What the published code itself took on one machine: how good the references are as its stand-ins.

CVPR2021_PLOP (commit 4b4a060), medians of interleaved runs in one process, two cores, fp32, batch 2 of 512 pixels.
Machines differ, so a reference is compared after both are multiplied by their machine's rate of convolutions. That is
rough where the work is not a convolution.
"""

SOURCE = "CVPR2021_PLOP 4b4a060"
MACHINE = "two AMD Zen 5 cores with bf16"
GFLOPS = 527
"""Of 3x3 convolutions on channels-last maps, as `machine.convolution_rate` measures them."""

ITERATION_IABN = 4.40
ITERATION_ABN = 3.59
POD = 0.233
"""Forward and backward, on the maps of a ResNet-101."""
PSEUDO_LABEL = 0.067
THRESHOLDS = 0.122
"""Both of two images with 16 channels."""
REMAP = 0.0182
"""A mask of 512 x 512 pixels."""
LOADER = 1 / 42
"""An image of 500 pixels to a crop of 512, on one core."""


def relative(reference: float, published: float, gflops: float) -> float:
    """How many times as long as the published code a reference takes, per convolution rate of the machines."""
    return reference * gflops / (published * GFLOPS)
