"""POD's distances by region, to move through: image, layer, scale, and the progress of training."""

from collections.abc import Mapping, Sequence

import ipywidgets
from matplotlib.figure import Figure

from plopkit.datasets.scenario_data import Batch
from plopkit.lessons.pod.drift import DriftView
from plopkit.lessons.pod.measures import pod_layers, pod_maps
from plopkit.lessons.snapshots import Snapshot
from plopkit.methods import METHODS
from plopkit.model.segmenter import Output
from plopkit.pod import SCALES, fitting_scales
from plopkit.scenario import Step
from plopkit.widgets.explorer import STYLE, Explorer


def pod_explorer(
    watched: Mapping[str, Sequence[Snapshot]],
    teacher: Output,
    batch: Batch,
    step: Step,
    names: Sequence[str],
    scales: Sequence[int] = SCALES,
    credit: str = "",
) -> Explorer:
    """An explorer of where nets drift from their teacher; its controls are image, layer, scale and moment.

    watched: the snapshots of each method's net, on the images of ``batch``; teacher: its output on the same; names by
    label. All distances are worked out now, so that a slider only draws. ValueError where methods were watched at
    different iterations.
    """
    done = {tuple(moment.done for moment in snapshots) for snapshots in watched.values()}
    if len(done) != 1:
        raise ValueError(f"the methods were watched at different iterations: {sorted(done)}; give all the same shares")
    iterations = next(iter(done))
    maps = {m: [pod_maps(moment.output, teacher, step.n_old, scales) for moment in ms] for m, ms in watched.items()}
    layers = pod_layers(teacher, step.n_old)
    usable = fitting_scales(scales, min(one.shape[3] for one in layers.values()))
    pictures, masks = batch.pictures.numpy(), batch.masks.numpy()
    view = DriftView({m: METHODS[m].title for m in watched}, names, step.old, credit)

    def draw(image: int, layer: str, scale: int, moment: int) -> Figure:
        heats = {m: found[moment].regions[layer, scale][image - 1] for m, found in maps.items()}
        totals = {m: [float(one.distances[layer][image - 1]) for one in found] for m, found in maps.items()}
        top = max(float(one.regions[layer, scale][image - 1].max()) for found in maps.values() for one in found)
        channels, height, width = layers[layer].shape[1:]
        title = f"{layer} ({channels} x {height} x {width}), scale {scale}, after {iterations[moment]} iterations"
        return view.show(
            pictures[image - 1], masks[image - 1], heats, (height, width), top, totals, iterations, moment, title
        )

    return Explorer(draw, _controls(len(pictures), list(layers), usable, iterations))


def _controls(images: int, layers: Sequence[str], scales: Sequence[int], iterations: Sequence[int]) -> dict:
    middle = layers[-4]  # the stage before the last: fine enough for every scale, coarse enough to be read
    return {
        "image": ipywidgets.IntSlider(
            1, 1, images, description="image", tooltip="which of the images watched", style=STYLE
        ),
        "layer": ipywidgets.Dropdown(
            options=layers, value=middle, description="layer", tooltip="the map that is compared", style=STYLE
        ),
        "scale": ipywidgets.Dropdown(
            options=list(scales),
            value=scales[-1],
            description="scale",
            tooltip="how many regions a side the map is cut in",
            style=STYLE,
        ),
        "moment": ipywidgets.SelectionSlider(
            options=[(str(done), place) for place, done in enumerate(iterations)],
            value=len(iterations) - 1,
            description="after iterations",
            tooltip="how far the step's training has come",
            style=STYLE,
        ),
    }
