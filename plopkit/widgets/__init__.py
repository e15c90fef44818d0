"""Controls in a notebook: explorers, the settings form, the live run. Only these need ipywidgets."""

from plopkit.widgets.explorer import Explorer
from plopkit.widgets.form import SettingsForm
from plopkit.widgets.gradients import gradient_explorer
from plopkit.widgets.later import attended
from plopkit.widgets.live import LiveRun
from plopkit.widgets.pod import pod_explorer
from plopkit.widgets.pseudo import pseudo_explorer
from plopkit.widgets.runs import mistakes_explorer
from plopkit.widgets.splits import splits_explorer
from plopkit.widgets.thresholds import walk_explorer

__all__ = [
    "Explorer",
    "LiveRun",
    "SettingsForm",
    "attended",
    "gradient_explorer",
    "mistakes_explorer",
    "pod_explorer",
    "pseudo_explorer",
    "splits_explorer",
    "walk_explorer",
]
