"""The network, its encoders, and published weights."""

from plopkit.model.encoders import Encoder
from plopkit.model.reserved import Reserved
from plopkit.model.segmenter import Output, Segmenter
from plopkit.model.two_branch import TwoBranchSegmenter

__all__ = ["Encoder", "Output", "Reserved", "Segmenter", "TwoBranchSegmenter"]
