"""The methods, by the name that the command line, the tables and the run folders use."""

from plopkit.methods.base import FineTuning, Joint, Method
from plopkit.methods.distil import ILT, LwF, LwFMC, MiB
from plopkit.methods.plop import PLOP
from plopkit.methods.regularise import EWC, PI, RW

METHODS: dict[str, type[Method]] = {
    method.name: method for method in (FineTuning, LwF, LwFMC, ILT, EWC, RW, PI, MiB, PLOP, Joint)
}

__all__ = ["EWC", "ILT", "METHODS", "PI", "PLOP", "RW", "FineTuning", "Joint", "LwF", "LwFMC", "Method", "MiB"]
