"""plopkit: see, measure and beat catastrophic forgetting in semantic segmentation."""

from importlib.metadata import PackageNotFoundError, version

from plopkit.methods import METHODS
from plopkit.parameters import from_parameters
from plopkit.presets import PRESETS, configure
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.folder import RunFolder
from plopkit.runs.results import compare, forgetting_table, load_results, published, report, summarise
from plopkit.scenario import Scenario, Step
from plopkit.settings import Settings, to_yaml

try:
    __version__ = version("plopkit")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0+checkout"

__all__ = [
    "METHODS",
    "PRESETS",
    "Experiment",
    "RunFolder",
    "Scenario",
    "Settings",
    "Step",
    "compare",
    "configure",
    "forgetting_table",
    "from_parameters",
    "load_results",
    "published",
    "report",
    "run",
    "summarise",
    "to_yaml",
]
