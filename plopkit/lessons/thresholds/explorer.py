"""An explorer of the released walk: which class, and how sure its teacher is."""

from collections.abc import Mapping, Sequence

import ipywidgets

from plopkit.lessons.thresholds.figures import WalkView
from plopkit.lessons.thresholds.measures import Histograms
from plopkit.widgets.explorer import STYLE, Explorer


def walk_explorer(found: Mapping[float, Histograms], names: Sequence[str]) -> Explorer:
    """``found`` gives the histograms of each temperature; names are those of the teacher's channels.

    Controls ``channel`` and ``temperature``. ValueError where there is no temperature.
    """
    if not found:
        raise ValueError("there are no histograms to show; give at least one, by its temperature")
    temperatures = sorted(found)
    view = WalkView(found[temperatures[0]].scale)
    return Explorer(
        lambda channel, temperature: view.show(found[temperature], channel, names[channel]),
        {
            "channel": ipywidgets.Dropdown(
                options=[(name, place) for place, name in enumerate(names)],
                description="class",
                tooltip="the class that the teacher gives the pixels",
                style=STYLE,
            ),
            "temperature": ipywidgets.SelectionSlider(
                options=[(f"{t:g}", t) for t in temperatures],
                value=1.0 if 1.0 in found else temperatures[0],
                description="temperature",
                tooltip="the teacher's logits are divided by it: above 1 it is less sure, of the same opinions",
                style=STYLE,
            ),
        },
    )
