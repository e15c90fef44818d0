"""One method's gradients, chosen from a list."""

import ipywidgets
import pandas as pd

from plopkit.lessons.gradients.figures import method_bars
from plopkit.widgets.explorer import STYLE, Explorer


def gradient_explorer(table: pd.DataFrame, method: str) -> Explorer:
    """The gradients of one method's terms on each part of the net, ``method`` at first; ``table`` is that of
    ``attribution``."""
    names = list(dict.fromkeys(str(method) for method, _ in table.index))
    chosen = ipywidgets.Dropdown(
        options=names,
        value=method,
        description="method",
        tooltip="whose loss terms are drawn",
        style=STYLE,
    )
    return Explorer(lambda method: method_bars(table, method), {"method": chosen})
