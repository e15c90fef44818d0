"""The methods, by the name that the command line, the tables and the run folders use."""

from plopkit.methods.base import FineTuning, Joint, Method
from plopkit.methods.distil import MiB
from plopkit.methods.plop import PLOP

METHODS: dict[str, type[Method]] = {method.name: method for method in (FineTuning, Joint, MiB, PLOP)}

__all__ = ["METHODS", "PLOP", "FineTuning", "Joint", "Method", "MiB"]
