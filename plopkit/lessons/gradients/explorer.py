"""An explorer of one method's gradients."""

import ipywidgets
import pandas as pd

from plopkit.lessons.gradients.figures import method_bars
from plopkit.widgets.explorer import STYLE, Explorer


def gradient_explorer(table: pd.DataFrame, method: str) -> Explorer:
    """An explorer with the control ``method``: the gradients of its terms on each part of the net.

    Args:
        table: result of ``attribution``.
        method: the method that is shown first.
    """
    names = list(dict.fromkeys(str(name) for name, _ in table.index))
    control = ipywidgets.Dropdown(
        options=names,
        value=method,
        description="method",
        tooltip="the method whose loss terms are shown",
        style=STYLE,
    )
    return Explorer(lambda method: method_bars(table, method), {"method": control})
