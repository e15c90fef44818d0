"""Controls in a notebook: explorers, the settings form, the live run. Only this package needs ipywidgets."""

from typing import TYPE_CHECKING

from plopkit.support.moved import renamed
from plopkit.widgets.explorer import Explorer
from plopkit.widgets.form import SettingsForm
from plopkit.widgets.live import LiveRun
from plopkit.widgets.placeholder import is_interactive

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


__all__ = ["Explorer", "LiveRun", "SettingsForm", "is_interactive"]
