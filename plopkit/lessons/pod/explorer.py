"""An explorer of POD's distances by region: image, layer, scale, and progress of the training."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from plopkit.datasets.scenario_data import Samples
from plopkit.lessons.pod.drift import DriftView
from plopkit.lessons.pod.measures import pod_layers, pod_maps
from plopkit.lessons.snapshots import Snapshot
from plopkit.methods import METHODS
from plopkit.model.segmenter import Output
from plopkit.pod import SCALES, fitting_scales
from plopkit.scenario import Step
from plopkit.widgets.controls import choice
from plopkit.widgets.explorer import MOST_FRAMES, Explorer


def pod_explorer(
    watched: Mapping[str, Sequence[Snapshot]],
    teacher: Output,
    batch: Samples,
    step: Step,
    names: Sequence[str],
    scales: Sequence[int] = SCALES,
    credit: str = "",
) -> Explorer:
    """An explorer of where nets drift from their teacher, with the controls `image`, `layer`, `scale`, `moment`.

    All distances are computed at once, so that moving a slider only draws.

    Args:
        watched: the snapshots of each method's net, for the images of ``batch``.
        teacher: the teacher's output for the same images.
        batch: images and true labels.
        step: the step that was trained.
        names: class names, indexed by label.
        scales: scales of local POD.
        credit: attribution of the images, shown in small print.

    Raises:
        ValueError: the snapshots of the methods are of different iterations.
    """
    done = {tuple(snapshot.done for snapshot in taken) for taken in watched.values()}
    if len(done) != 1:
        raise ValueError(f"the snapshots are of different iterations, {sorted(done)}; take them at the same shares")
    iterations = next(iter(done))
    maps = {
        method: [pod_maps(snapshot.output, teacher, step.n_old, scales) for snapshot in taken]
        for method, taken in watched.items()
    }
    layers = pod_layers(teacher, step.n_old)
    usable = fitting_scales(scales, min(layer.shape[3] for layer in layers.values()))
    pictures, masks = batch.pictures.numpy(), batch.masks.numpy()
    view = DriftView({method: METHODS[method].title for method in watched}, names, step.old, credit)

    def draw(image: int, layer: str, scale: int, moment: int) -> Figure:
        at = image - 1
        heats = {method: series[moment].regions[layer, scale][at] for method, series in maps.items()}
        totals = {method: [float(item.distances[layer][at]) for item in series] for method, series in maps.items()}
        top = max(float(item.regions[layer, scale][at].max()) for series in maps.values() for item in series)
        channels, height, width = layers[layer].shape[1:]
        title = f"{layer} ({channels} x {height} x {width}), scale {scale}, after {iterations[moment]} iterations"
        return view.show(pictures[at], masks[at], heats, (height, width), top, totals, iterations, moment, title)

    frames = {f"after {done} iterations": {"moment": place} for place, done in enumerate(iterations[:MOST_FRAMES])}
    return Explorer(draw, _controls(len(pictures), list(layers), usable, iterations), frames)


def _controls(images: int, layers: Sequence[str], scales: Sequence[int], iterations: Sequence[int]) -> dict:
    middle = layers[-4]  # the stage before the last: fine enough for every scale, coarse enough to be read
    moments = [(str(done), place) for place, done in enumerate(iterations)]
    return {
        "image": choice(range(1, images + 1), "image", "which of the images"),
        "layer": choice(layers, "layer", "the feature map that is compared", middle),
        "scale": choice(scales, "scale", "number of regions per side of the map", scales[-1]),
        "moment": choice(moments, "after iterations", "iterations of this step trained so far", len(moments) - 1),
    }
