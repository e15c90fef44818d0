"""Results in a notebook before they exist: a placeholder that is filled, and updated after every finished step."""

from collections.abc import Callable
from typing import Any

import ipywidgets
from IPython.core.formatters import DisplayFormatter
from matplotlib.figure import Figure

from plopkit.runs.folder import RunFolder
from plopkit.viz.figures import mime_bundle
from plopkit.widgets.outputs import RUN_ALL, show, with_fallback

WAITING = "Nothing here yet. Press Run above: this cell updates itself after every finished step."


class Placeholder:
    """A cell's output that shows ``make(folder)`` once the folder has results.

    Args:
        make: makes what is shown: a figure, a table, or anything else that a notebook can display.
    """

    def __init__(self, make: Callable[[RunFolder], Any]):
        self._make = make
        self.output = ipywidgets.Output()
        self.data: dict[str, Any] = {}
        """What is shown, by MIME type."""
        self._version: object = None
        self._show({"text/plain": WAITING})

    def refresh(self, folder: RunFolder, version: object) -> None:
        """Show the folder's results, or ``WAITING`` if it has none. An error in ``make`` is shown in their place.

        Args:
            folder: the run, up to its last finished step.
            version: identifies what the folder holds; nothing happens if it is the version that is shown already.
        """
        if version == self._version:
            return
        self._version = version
        try:
            self._show(bundle_of(self._make(folder)) if folder.evaluated() else {"text/plain": WAITING})
        except Exception as error:
            self._show({"text/plain": f"{type(error).__name__}: {error}"})

    def _show(self, data: dict[str, Any]) -> None:
        self.data = data
        self.output.outputs = ({"output_type": "display_data", "data": data, "metadata": {}},)

    def _ipython_display_(self) -> None:
        show(self.output, "")


def bundle_of(value: Any) -> dict[str, Any]:
    """What a notebook shows for this value, by MIME type; a figure becomes a picture, a placeholder its widget."""
    if isinstance(value, Placeholder):
        return with_fallback(value.output, {"text/plain": RUN_ALL})
    if isinstance(value, Figure):
        return mime_bundle(value)
    return DisplayFormatter().format(value)[0]
