"""An explorer of one method's gradients."""

import pandas as pd

from plopkit.lessons.gradients.figures import method_bars
from plopkit.widgets.controls import choice
from plopkit.widgets.explorer import MOST_FRAMES, Explorer


def gradient_explorer(table: pd.DataFrame, method: str) -> Explorer:
    """An explorer with the control ``method``: the gradients of its terms on each part of the net.

    Args:
        table: result of ``attribution``.
        method: the method that is shown first.
    """
    names = list(dict.fromkeys(str(name) for name, _ in table.index))
    control = choice(names, "method", "the method whose loss terms are shown", method)
    frames = {name: {"method": name} for name in names[:MOST_FRAMES]}
    return Explorer(lambda method: method_bars(table, method), {"method": control}, frames)
