"""The methods, by the name that the command line, the tables and the run folders use."""

from plopkit.catalogue import METHODS
from plopkit.methods.base import FineTuning, Joint, Method
from plopkit.methods.distil import ILT, LwF, LwFMC, MiB
from plopkit.methods.plop import PLOP
from plopkit.methods.regularise import EWC, PI, RW

__all__ = ["EWC", "ILT", "METHODS", "PI", "PLOP", "RW", "FineTuning", "Joint", "LwF", "LwFMC", "Method", "MiB"]
