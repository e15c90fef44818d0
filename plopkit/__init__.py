"""plopkit: see, measure and beat catastrophic forgetting in semantic segmentation.

The names below are imported when they are first used, so that `import plopkit` costs next to nothing.

Example:
    >>> import plopkit
    >>> folder = plopkit.run(plopkit.configure("emoji 15-5 overlap", "plop", "smoke"))
    >>> print(folder.summary)
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from plopkit.support import moved

if TYPE_CHECKING:
    from plopkit.catalogue import DATASETS, METHODS, DataSet, load_plugin
    from plopkit.grids.grid import GridResult, grid
    from plopkit.parameters import from_parameters
    from plopkit.presets import PRESETS, configure, open_scenario
    from plopkit.runs.experiment import Experiment, run
    from plopkit.runs.folder import RunFolder
    from plopkit.runs.loading import load
    from plopkit.runs.predictor import Predictor
    from plopkit.runs.results import compare, forgetting_table, load_results, published, report, summarise
    from plopkit.scenario import Scenario, Step
    from plopkit.settings import Settings, to_yaml

    __version__: str

__all__ = [
    "DATASETS",
    "METHODS",
    "PRESETS",
    "DataSet",
    "Experiment",
    "GridResult",
    "Predictor",
    "RunFolder",
    "Scenario",
    "Settings",
    "Step",
    "compare",
    "configure",
    "forgetting_table",
    "from_parameters",
    "grid",
    "load",
    "load_plugin",
    "load_results",
    "open_scenario",
    "published",
    "report",
    "run",
    "summarise",
    "to_yaml",
]

_MODULES = {
    "catalogue": ("DATASETS", "METHODS", "DataSet", "load_plugin"),
    "grids.grid": ("GridResult", "grid"),
    "parameters": ("from_parameters",),
    "presets": ("PRESETS", "configure", "open_scenario"),
    "runs.experiment": ("Experiment", "run"),
    "runs.folder": ("RunFolder",),
    "runs.loading": ("load",),
    "runs.predictor": ("Predictor",),
    "runs.results": ("compare", "forgetting_table", "load_results", "published", "report", "summarise"),
    "scenario": ("Scenario", "Step"),
    "settings": ("Settings", "to_yaml"),
}
"""The module of each public name."""
_HOME = {name: module for module, names in _MODULES.items() for name in names}

moved.install()


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"plopkit.{_HOME[name]}"), name)
    elif name == "__version__":
        value = _version()
    elif not name.startswith("_") and importlib.util.find_spec(f"plopkit.{name}") is not None:
        return importlib.import_module(f"plopkit.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("plopkit")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0+checkout"
