"""Controls in a notebook: explorers, the settings form, the live run. Only these need ipywidgets."""

from plopkit.widgets.explorer import Explorer
from plopkit.widgets.form import SettingsForm
from plopkit.widgets.later import is_interactive
from plopkit.widgets.live import LiveRun

__all__ = ["Explorer", "LiveRun", "SettingsForm", "is_interactive"]
