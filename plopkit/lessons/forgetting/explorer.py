"""An explorer of finished runs: image, step and method; what the net says, what is wrong, where it is unsure."""

from collections.abc import Mapping

import ipywidgets
from matplotlib.figure import Figure

from plopkit.lessons.forgetting.examples import Examined
from plopkit.lessons.forgetting.view import mistakes_view
from plopkit.widgets.explorer import STYLE, Explorer


def mistakes_explorer(runs: Mapping[str, Examined]) -> Explorer:
    """``runs`` are those of one scenario and data, by name (``forgetting.examples.examine``); controls ``image``,
    ``step`` and ``method``.

    All that is shown has been computed before. ValueError where the runs do not show the same images.
    """
    if not runs:
        raise ValueError("there is no run to show; give at least one, by name")
    first = next(iter(runs.values()))
    for name, run in runs.items():
        if run.stems != first.stems or run.images.shape != first.images.shape:
            raise ValueError(f"{name} shows other images than {next(iter(runs))}; give runs of one scenario and data")

    def draw(image: int, step: int, method: str) -> Figure:
        run = runs[method]
        if step >= run.steps:
            raise ValueError(f"{method} has finished {run.steps} steps only: 0 to {run.steps - 1}")
        title = f"{run.stems[image]} after step {step}, {method}"
        told = (run.images[image], run.truth(step)[image], run.predictions[step, image])
        more = (run.mistakes(step)[image], run.uncertainty[step, image])
        return mistakes_view(*told, *more, run.names, title, run.credit)

    last = max(run.steps for run in runs.values()) - 1
    images = [(stem, place) for place, stem in enumerate(first.stems)]
    return Explorer(
        draw,
        {
            "image": ipywidgets.SelectionSlider(
                options=images, description="image", tooltip="which validation image is shown", style=STYLE
            ),
            "step": ipywidgets.IntSlider(
                last, 0, last, description="after step", tooltip="the net as it was after this step", style=STYLE
            ),
            "method": ipywidgets.Dropdown(
                options=list(runs), description="method", tooltip="whose net is shown", style=STYLE
            ),
        },
    )
