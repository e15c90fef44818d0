"""Results in a notebook, before they are there: shown as soon as a run has them, and anew after every step."""

from collections.abc import Callable
from typing import Any

import ipywidgets
from IPython.core.formatters import DisplayFormatter
from IPython.core.getipython import get_ipython
from matplotlib.figure import Figure

from plopkit.runs.folder import RunFolder
from plopkit.viz.png import encoded, png
from plopkit.widgets.explorer import standing_in

WAITING = "Nothing here yet. Press Run above: this place fills itself after every finished step."


def is_interactive() -> bool:
    """Does a person sit at this kernel? JupyterLab lets a cell ask its user for input; papermill, nbconvert and a
    script do not."""
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return False
    return bool(kernel.get_parent("shell").get("content", {}).get("allow_stdin", False))


class Later:
    """A place that shows ``make(folder)`` once the folder has results."""

    def __init__(self, make: Callable[[RunFolder], Any]):
        self._make = make
        self.place = ipywidgets.Output()
        self._put({"text/plain": WAITING})

    def refresh(self, folder: RunFolder) -> None:
        """Show the folder's results, if there are any yet; a mistake in ``make`` is told in their place."""
        try:
            self._put(_bundle(self._make(folder)) if folder.evaluated() else {"text/plain": WAITING})
        except Exception as error:
            self._put({"text/plain": f"{type(error).__name__}: {error}"})

    def _put(self, data: dict[str, Any]) -> None:
        self.data = data
        """What is shown, by MIME type."""
        self.place.outputs = ({"output_type": "display_data", "data": data, "metadata": {}},)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return standing_in(self.place, self.data)


def _bundle(value: Any) -> dict[str, Any]:
    if isinstance(value, Figure):
        return {"image/png": encoded(png(value)), "text/plain": "a figure"}
    return DisplayFormatter().format(value)[0]
