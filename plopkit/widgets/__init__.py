"""Controls in a notebook: explorers, the settings form, the live run. Only this package needs ipywidgets."""

from plopkit.support import moved
from plopkit.widgets.explorer import Explorer
from plopkit.widgets.form import SettingsForm
from plopkit.widgets.live import LiveRun
from plopkit.widgets.placeholder import is_interactive

__all__ = ["Explorer", "LiveRun", "SettingsForm", "is_interactive"]

__getattr__ = moved.renamed(__name__)
