"""The methods. `plopkit.METHODS` has them by the name that the command line, the tables and the run folders use."""

from plopkit.catalogue import METHODS
from plopkit.methods.alife import ALIFE
from plopkit.methods.base import Batch, Method, Regularizer, Schedule, State, StepContext, Term, Whole
from plopkit.methods.baselines import FineTuning, Joint
from plopkit.methods.dft import DFT
from plopkit.methods.distil import ILT, LwF, LwFMC, MiB
from plopkit.methods.dkd import DKD, DKDM
from plopkit.methods.ewf import EWF, EWFMiB
from plopkit.methods.plop import PLOP
from plopkit.methods.prototypes import NearestPrototype
from plopkit.methods.rcil import RCIL
from plopkit.methods.regularize import EWC, PI, RW
from plopkit.methods.reminder import Reminder
from plopkit.methods.ssul import SSUL, SSULM
from plopkit.methods.star import STAR, STARM
from plopkit.methods.ucd import UCD

__all__ = [
    "ALIFE",
    "DFT",
    "DKD",
    "DKDM",
    "EWC",
    "EWF",
    "ILT",
    "METHODS",
    "PI",
    "PLOP",
    "RCIL",
    "RW",
    "SSUL",
    "SSULM",
    "STAR",
    "STARM",
    "UCD",
    "Batch",
    "EWFMiB",
    "FineTuning",
    "Joint",
    "LwF",
    "LwFMC",
    "Method",
    "MiB",
    "NearestPrototype",
    "Regularizer",
    "Reminder",
    "Schedule",
    "State",
    "StepContext",
    "Term",
    "Whole",
]
