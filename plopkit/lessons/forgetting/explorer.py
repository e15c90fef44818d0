"""An explorer of finished runs: predictions, mistakes and uncertainty, by image, step and method."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from plopkit.lessons.forgetting.figures import mistakes_figure
from plopkit.lessons.forgetting.measures import ForgettingExamples
from plopkit.widgets.controls import choice
from plopkit.widgets.explorer import MOST_FRAMES, Explorer


def mistakes_explorer(runs: Mapping[str, ForgettingExamples]) -> Explorer:
    """An explorer with the controls ``image``, ``step`` and ``method``.

    Args:
        runs: the examples of runs on the same scenario and data, by name, from ``load_examples``.

    Raises:
        ValueError: there is no run, or the runs show different images.
    """
    if not runs:
        raise ValueError("there is no run to show; pass at least one, by name")
    first_name, first = next(iter(runs.items()))
    for name, run in runs.items():
        if run.stems != first.stems or run.images.shape != first.images.shape:
            raise ValueError(f"{name} shows other images than {first_name}; pass runs of the same scenario and data")

    def draw(image: int, step: int, method: str) -> Figure:
        run = runs[method]
        if step >= run.n_steps:
            steps = "only step 0" if run.n_steps == 1 else f"only steps 0 to {run.n_steps - 1}"
            raise ValueError(f"{method} has finished {steps}; choose an earlier step")
        return mistakes_figure(
            run.images[image],
            run.truth(step)[image],
            run.predictions[step, image],
            run.mistakes(step)[image],
            run.uncertainty[step, image],
            run.names,
            f"{run.stems[image]} after step {step}, {method}",
            run.credit,
        )

    last = max(run.n_steps for run in runs.values()) - 1
    images = [(stem, index) for index, stem in enumerate(first.stems)]
    frames = [(name, step) for name, run in runs.items() for step in {0, run.n_steps - 1}]
    return Explorer(
        draw,
        {
            "image": choice(images, "image", "the validation image that is shown"),
            "step": choice(range(last + 1), "after step", "the net as it was after this step", last),
            "method": choice(list(runs), "method", "the method whose net is shown"),
        },
        {f"{name} after step {step}": {"method": name, "step": step} for name, step in frames[:MOST_FRAMES]},
    )
