"""Controls in a notebook: explorers, the settings form, the live run. Only these need ipywidgets."""

from plopkit.widgets.explorer import Explorer

__all__ = ["Explorer"]
