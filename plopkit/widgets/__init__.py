"""Controls in a notebook: explorers, the settings form, the live run. Only this package needs ipywidgets."""

from typing import TYPE_CHECKING

from plopkit.support.kernels import is_interactive
from plopkit.support.moved import renamed
from plopkit.widgets.explorer import Explorer
from plopkit.widgets.form import SettingsForm
from plopkit.widgets.live import LiveRun
from plopkit.widgets.reveal import Reveal

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


__all__ = ["Explorer", "LiveRun", "Reveal", "SettingsForm", "is_interactive"]
