"""What the lesson on local POD needs: regions and distances, nets looked at on their way, its pictures."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from drawing import draw
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from small_runs import small

from plopkit.datasets.scenario_data import Batch
from plopkit.lessons import pod as pod_lesson
from plopkit.lessons.pod import pod_explorer
from plopkit.lessons.pod.figures import heated, outlined
from plopkit.lessons.pod.measures import pod_layers, pod_maps
from plopkit.lessons.pseudo import OUTCOMES
from plopkit.lessons.snapshots import Snapshot, outputs_of, snapshots
from plopkit.model.segmenter import Output
from plopkit.pod import fold_new_into_background, local_pod, pod_distance, pod_regions, regions_of
from plopkit.runs.experiment import Experiment
from plopkit.scenario import Scenario
from plopkit.trainer import Tick
from plopkit.viz.colours import colour_of
from plopkit.viz.legends import CachedLegend, entry_corners

STEP = Scenario.parse("voc 15-5 overlap").steps[1]
NAMES = [f"class {label}" for label in range(21)]


def output(seed: int, channels: int, images: int = 2) -> Output:
    """Maps of 8 x 8 and 6 x 6, a head and logits of 4 x 4, of images of 32 x 32."""
    sides = {3: 8, 4: 6, 5: 6, 6: 4}
    maps = tuple(draw(seed + width, images, width, side, side) for width, side in sides.items())
    return Output(draw(seed, images, channels, 32, 32), draw(seed + 9, images, channels, 4, 4), maps)


# Regions


@pytest.mark.parametrize(("height", "width"), [(8, 8), (6, 6), (7, 6), (5, 6), (9, 7)])
def test_regions_are_those_of_the_embedding(height: int, width: int) -> None:
    x = draw(0, 1, 1, height, width)
    scales = [scale for scale in (1, 2, 3) if height > (scale - 1) * (width // scale)]
    strips = [
        strip
        for scale in scales
        for rows, columns in regions_of(height, width, scale)
        for strip in (x[0, 0, rows, columns].mean(1), x[0, 0, rows, columns].mean(0))
    ]
    torch.testing.assert_close(torch.cat(strips), local_pod(x, scales)[0])


def test_a_region_leaves_out_what_is_left_over() -> None:
    last = regions_of(6, 6, 4)[-1]
    assert (last.rows, last.columns) == (slice(3, 4), slice(3, 4))
    with pytest.raises(ValueError, match="scale 7 does not fit a map of side 6"):
        regions_of(6, 6, 7)


# Distances by map and region


def test_layers_are_named_and_the_logits_folded() -> None:
    net = output(1, 21)
    layers = pod_layers(net, 16)
    assert list(layers) == ["stage 1", "stage 2", "stage 3", "head", "logits"]
    assert layers["head"] is net.features[-1]
    assert torch.equal(layers["logits"], fold_new_into_background(net.small, 16))


def test_maps_are_the_distance_taken_apart() -> None:
    net, teacher = output(1, 21), output(2, 16)
    found = pod_maps(net, teacher, 16, (1, 2, 4))
    new, old = pod_layers(net, 16), pod_layers(teacher, 16)
    assert set(found.regions) == {(name, scale) for name in new for scale in (1, 2, 4)}
    for name in new:
        for image in range(2):
            pair = new[name][image : image + 1], old[name][image : image + 1]
            torch.testing.assert_close(found.distances[name][image], pod_distance(*pair, (1, 2, 4)))
            torch.testing.assert_close(found.regions[name, 2][image], pod_regions(*pair, 2)[0])


# Nets on their way


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    done = Experiment.open(small(tmp_path_factory.mktemp("runs"), optim__epochs_later=2))
    done.run(progress=False)
    return done


def test_a_step_trained_again_ends_as_the_run_did_and_writes_nothing(experiment: Experiment) -> None:
    images = experiment.data.look(experiment.scenario.steps[1], 2, "val").images
    before = sorted((path, path.stat().st_mtime_ns) for path in experiment.settings.out.rglob("*"))
    net, ticks = experiment.retrain_step(1)
    seen = snapshots(net, ticks, images, (1 / 2, 1))
    assert sorted((path, path.stat().st_mtime_ns) for path in experiment.settings.out.rglob("*")) == before
    assert [moment.done for moment in seen] == [0, seen[0].of // 2, seen[0].of]
    for name, weights in experiment.net(1).state_dict().items():  # though it was looked at on the way
        assert torch.equal(net.state_dict()[name], weights), name
    assert torch.equal(seen[-1].output.logits, outputs_of(experiment.net(1), images).logits)


def test_maps_of_narrow_layers_have_the_scales_that_fit() -> None:
    wide = [output(1, 21), output(2, 16)]
    net, teacher = (one._replace(small=one.small[..., :3, :3]) for one in wide)
    found = pod_maps(net, teacher, 16, (1, 2, 4))
    assert [scale for name, scale in found.regions if name == "logits"] == [1, 2]
    new, old = pod_layers(net, 16), pod_layers(teacher, 16)
    torch.testing.assert_close(found.distances["logits"].mean(), pod_distance(new["logits"], old["logits"]))


def test_before_the_first_iteration_only_the_logits_differ(experiment: Experiment) -> None:
    step = experiment.scenario.steps[1]
    images = experiment.data.look(step, 2, "val").images
    net, ticks = experiment.retrain_step(1)
    start, later = snapshots(net, ticks, images, (0.001,))
    teacher = outputs_of(experiment.net(0), images)
    assert (start.done, later.done) == (0, 1)  # a share of less than an iteration is one
    distances = [pod_maps(moment.output, teacher, step.n_old).distances for moment in (start, later)]
    for name in distances[0]:
        assert bool((distances[0][name] > 0).any()) == (name == "logits")
        assert (distances[1][name] > 0).all()
    assert net.training  # looking has put it back


def test_no_more_is_trained_than_is_looked_at(tiny_net: Callable) -> None:
    drawn = []

    def ticks():
        for iteration in range(8):
            drawn.append(iteration)
            yield Tick(1, 0, 1, iteration, 8, {"ce": 1.0}, 0.1, 0.1, iteration == 7)

    net, images = tiny_net(16), torch.zeros(1, 3, 64, 64)
    assert [moment.done for moment in snapshots(net, ticks(), images, (1 / 8, 1 / 2))] == [0, 1, 4]
    assert drawn == [0, 1, 2, 3]
    for shares in ((0, 1), (1.5,), ()):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            snapshots(net, ticks(), images, shares)
    with pytest.raises(ValueError, match="no iteration left"):
        snapshots(net, [], images)


# Pictures


def words(figure: Figure) -> list[str]:
    FigureCanvasAgg(figure).draw()
    found = [text.get_text() for text in figure.texts]
    found += [part.get_text() for axis in figure.axes for part in (axis.title, axis.xaxis.label, axis.yaxis.label)]
    found += [part for axis in figure.axes for part in axis.get_label().split("; ")]  # a legend kept as a picture
    return [*found, *(text.get_text() for legend in figure.legends for text in legend.get_texts())]


def test_the_cut_shows_every_region_with_its_strips() -> None:
    values = draw(3, 8, 8).numpy()
    figure = pod_lesson.pod_cut(np.zeros((3, 16, 16), np.uint8), values, (1, 2), "a map")
    assert {"image", "scale 1: 1 region", "scale 2: 2 x 2 regions", "value of the map (no unit)"} <= set(words(figure))
    drawn = [np.asarray(image.get_array()) for image in figure.axes[2].images]
    assert len(drawn) == 3 * 4
    np.testing.assert_allclose(drawn[3], values[:4, 4:])
    np.testing.assert_allclose(drawn[4][:, 0], values[:4, 4:].mean(1), rtol=1e-6)
    np.testing.assert_allclose(drawn[5][0], values[:4, 4:].mean(0), rtol=1e-6)


def test_the_embedding_is_drawn_in_its_order() -> None:
    values = draw(3, 8, 8)
    figure = pod_lesson.pod_vector(values, (1, 2, 4), "an embedding")
    axis = figure.axes[0]
    bars = sorted(axis.patches, key=lambda bar: bar.get_x())
    np.testing.assert_allclose([bar.get_height() for bar in bars], local_pod(values[None, None])[0], rtol=1e-6)
    assert {"index in the embedding", "mean over columns"} <= set(words(figure))


def test_heat_lies_on_its_regions() -> None:
    picture, mask = np.full((3, 12, 12), 100, np.uint8), np.zeros((12, 12), np.int64)
    heat = np.arange(16.0).reshape(4, 4)
    found = heated(picture, mask, heat, (6, 6), 15.0, [0, 1], strength=1.0)
    zoom = len(found) // 12
    colours = [tuple(found[2 * row * zoom, 2 * column * zoom]) for row in range(4) for column in range(4)]
    assert len(set(colours)) == 16
    assert (found[8 * zoom :] == 100).all() and (found[:, 8 * zoom :] == 100).all()  # left over: the picture


def test_outlines_tell_old_from_new() -> None:
    mask = np.zeros((12, 12), np.int64)
    mask[1:6, 1:6], mask[7:12, 7:12], mask[0] = 3, 17, 255
    found = outlined(np.full((12, 12, 3), 100, np.uint8), mask, STEP.old, 1)
    assert (found[1, 1:6] == 255).all() and (found[11, 7:12] == 100).any()
    assert (found[7, 7:12] == 0).all() and (found[3, 3] == 100).all() and (found[0] == 100).all()


def test_drift_maps_share_one_scale() -> None:
    masks = np.stack([np.full((32, 32), 2), np.full((32, 32), 18)])
    heats = {"fine-tuning": torch.rand(2, 4, 4), "PLOP": 2 * torch.ones(2, 4, 4)}
    pictures = np.zeros((2, 3, 32, 32), np.uint8)
    figure = pod_lesson.drift_maps(pictures, masks, heats, (8, 8), STEP.old, NAMES, "where", "by somebody")
    assert {"truth", "fine-tuning", "PLOP", "class 2", "class 18", "outline of old objects"} <= set(words(figure))
    assert figure.axes[-1].get_ylim() == (0, 2)
    assert figure.legends[0].get_title().get_text() == "by somebody"
    same = heated(pictures[0], masks[0], heats["PLOP"][0], (8, 8), 2.0, STEP.old)
    assert (np.asarray(figure.axes[2].images[0].get_array()) == same).all()


# The explorer


@pytest.fixture
def explorer():
    masks = torch.zeros(2, 32, 32, dtype=torch.long)
    masks[0, 4:20, 4:20], masks[1, 4:20, 4:20] = 3, 18
    batch = Batch(draw(5, 2, 3, 32, 32), masks, masks)
    teacher = output(0, 16)
    start = teacher._replace(small=draw(7, 2, 21, 4, 4))
    watched = {
        name: [Snapshot(0, 8, start), Snapshot(2, 8, output(seed, 21)), Snapshot(8, 8, output(seed + 50, 21))]
        for name, seed in (("ft", 20), ("plop", 30))
    }
    made = pod_explorer(watched, teacher, batch, STEP, NAMES, (1, 2, 4), "by somebody")
    made.maps = {name: [pod_maps(m.output, teacher, 16) for m in found] for name, found in watched.items()}
    return made


def test_every_control_of_the_explorer_changes_the_picture(explorer) -> None:
    assert list(explorer.controls) == ["image", "layer", "scale", "moment"]
    for change in ({"moment": 1}, {"scale": 2}, {"layer": "head"}, {"image": 2}):
        before = explorer.picture.value
        explorer.set(**change)
        assert explorer.picture.value != before, change
        assert explorer.message.value == ""


def test_the_explorer_tells_the_distances(explorer) -> None:
    for moment, done in enumerate((0, 2, 8)):
        explorer.set(image=2, layer="stage 3", scale=4, moment=moment)
        told = words(explorer.figure())
        assert f"stage 3 (5 x 6 x 6), scale 4, after {done} iterations" in told
        for name, title in (("ft", "fine-tuning"), ("plop", "PLOP")):
            assert f"{title}: distance {explorer.maps[name][moment].distances['stage 3'][1]:.4g}" in told
    assert {"class 18", "outline of new objects", "by somebody"} <= set(told)
    assert "class 3" not in told  # it is on the other image


def test_the_explorer_draws_the_curve_of_each_method(explorer) -> None:
    explorer.set(image=1, layer="head", moment=0)
    axis = explorer.figure().axes[-1]
    for line, name in zip(axis.get_lines(), ("ft", "plop"), strict=False):
        assert list(line.get_xdata()) == [0, 2, 8]
        np.testing.assert_allclose(line.get_ydata(), [m.distances["head"][0] for m in explorer.maps[name]], rtol=1e-6)


def test_methods_have_to_be_watched_at_the_same_moments() -> None:
    one = [Snapshot(1, 8, output(1, 21))]
    batch = Batch(draw(5, 2, 3, 32, 32), *(torch.zeros(2, 32, 32, dtype=torch.long),) * 2)
    with pytest.raises(ValueError, match="different iterations"):
        pod_explorer({"ft": one, "plop": [*one, *one]}, output(0, 16), batch, STEP, NAMES)


def test_a_legend_has_room_for_a_full_image_and_all_mistakes() -> None:
    words = [*NAMES, *OUTCOMES.values()]
    width, height = 2.7, 4.2
    found = entry_corners(words, width, height)
    assert max(y for _, y in found) < height - 0.15
    assert len(set(found)) == len(found)
    for (x, y), (after, below), word in zip(found, found[1:], words, strict=False):
        end = after if y == below else width
        assert x + 0.26 + 0.06 * len(word) <= end + 0.1
    np.testing.assert_allclose(entry_corners(["a"] * 12, 4.0, 4.2)[:4], [(0, 0), (4 / 3, 0), (8 / 3, 0), (0, 0.19)])


def test_a_legend_kept_as_a_picture_shows_its_colours_and_words() -> None:
    figure = Figure(figsize=(4, 2))
    legend = CachedLegend(figure, (0, 0, 4, 1), "by somebody")
    entries = [Patch(facecolor=colour_of(label), label=f"class {label}") for label in (1, 2)]
    legend.show(entries)
    drawn = np.asarray(figure.axes[0].images[0].get_array())
    assert drawn.shape == (100, 400, 4)
    for label in (1, 2):
        assert (drawn[..., :3] == np.round(255 * np.array(colour_of(label)))).all(-1).any()
    assert figure.axes[0].get_label() == "class 1; class 2; by somebody"
    legend.show(entries[:1])
    assert (np.asarray(figure.axes[0].images[0].get_array()) != drawn).any()
    legend.show(entries)
    assert (np.asarray(figure.axes[0].images[0].get_array()) == drawn).all()
