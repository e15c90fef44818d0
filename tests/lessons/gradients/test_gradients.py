"""Terms and gradients side by side: against plain loops and the methods themselves, by identities; the pictures."""

import copy
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from batches import prepared_by, terms_of
from drawing import draw
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from small_runs import small

from plopkit.lessons import gradients as gradients_lesson
from plopkit.lessons.exercises import check
from plopkit.lessons.gradients import gradient_explorer
from plopkit.lessons.gradients.measures import (
    Situation,
    attribution,
    gradient_norms,
    losses_at,
    parts,
    penalty,
    protects,
    some_iterations,
    whole_net,
)
from plopkit.methods import METHODS, PLOP, Method, MiB
from plopkit.methods.regularize import joined
from plopkit.model.segmenter import Segmenter
from plopkit.scenario import Step
from plopkit.viz.colours import method_styles

N_OLD, N_NEW = 6, 2
STEP = Step(1, "overlap", (6, 7), tuple(range(N_OLD)), ())
PARTS = ["stage 1", "stage 2", "stage 3", "stage 4", "head", "old classifier", "new classifier"]
WATCHING = ("ewc", "rw", "pi")

every_method = pytest.mark.parametrize("name", METHODS)
pytestmark = pytest.mark.usefixtures("no_pyplot")


def situation(tiny_net: Callable[..., Segmenter], moved: float = 0.02) -> Situation:
    """A net in the midst of a step; ``moved`` is how far its parameters are from the start's."""
    teacher = tiny_net(N_OLD).frozen()
    start = tiny_net(N_OLD).grown(N_NEW).eval()
    net = copy.deepcopy(start)
    for index, parameter in enumerate(net.parameters()):
        parameter.data += moved * draw(index, *parameter.shape)
    masks = torch.zeros(2, 64, 64, dtype=torch.int64)
    masks[0, 10:40, 10:40], masks[1, :20], masks[1, 40:] = 6, 7, 3
    target = torch.from_numpy(STEP.lookup("new").astype("int64"))[masks]
    return Situation(STEP, teacher, start, net, draw(99, 2, 3, 64, 64), target, masks)


@pytest.fixture
def at(tiny_net: Callable[..., Segmenter]) -> Situation:
    return situation(tiny_net)


@pytest.fixture
def seen(at: Situation) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(at.images, at.target)]


def halves(at: Situation) -> dict[str, torch.Tensor]:
    """Importance by parameter: 1 for the first half of each tensor, 0 for the rest."""
    return {name: (torch.arange(p.numel()) < p.numel() / 2).float().view_as(p) for name, p in old_parameters(at.start)}


def states_of(at: Situation) -> dict[str, dict[str, torch.Tensor]]:
    """Each regularizer's state after the step before, with these importances."""
    half = halves(at)
    return {
        "ewc": joined(fisher=half),
        "pi": joined(score=half),
        "rw": joined(fisher=half, score=half),
    }


def old_parameters(net: Segmenter) -> list:
    return [(name, p) for name, p in net.named_parameters() if not name.startswith("classifier.1")]


# --- the parts of the net


def test_every_parameter_has_a_part(at: Situation) -> None:
    found = parts(at.net, at.images)
    assert set(found) == {name for name, _ in at.net.named_parameters()}
    assert list(dict.fromkeys(found.values())) == PARTS
    for name, part in found.items():
        assert name.startswith("encoder.") == part.startswith("stage")
        assert name.startswith("decoder.") == (part == "head")
    assert found["classifier.0.bias"] == "old classifier" and found["classifier.1.bias"] == "new classifier"


def test_a_stage_is_the_first_map_that_changes_with_the_parameter(at: Situation) -> None:
    found = parts(at.net, at.images)
    named = dict(at.net.named_parameters())
    with torch.no_grad():
        before = at.net.encoder(at.images)
        for name in [name for name in found if name.startswith("encoder.")][::5]:
            kept = named[name].clone()
            named[name] += 0.1 * draw(1, *kept.shape)
            after = at.net.encoder(at.images)
            named[name].copy_(kept)
            changed = [number for number in range(4) if not torch.equal(before[number], after[number])]
            assert found[name] == f"stage {changed[0] + 1}"


def test_a_frozen_net_has_no_gradients(at: Situation) -> None:
    with pytest.raises(ValueError, match="the net is frozen"):
        parts(at.teacher, at.images)


# --- terms and gradients


@every_method
def test_terms_are_the_methods_losses(name: str, at: Situation, seen: list) -> None:
    method = METHODS[name]()
    table = attribution({name: method}, at, seen, {})
    with torch.no_grad():
        teacher = method.teacher(at.teacher, STEP)
        old = None if teacher is None else teacher(at.images)
        target = at.masks if name == "joint" else at.target  # STEP's labels are its channels
        prepared = prepared_by(method, teacher, seen, STEP)
        losses = terms_of(method, at.net(at.images), old, target, STEP, prepared, at.net)
    assert list(table.index) == [(name, term) for term in losses]
    for term, loss in losses.items():
        assert table.loc[(name, term), "value"] == pytest.approx(loss.item(), rel=1e-5)


@every_method
def test_norms_are_those_of_backward_by_a_plain_loop(name: str, at: Situation, seen: list) -> None:
    method = METHODS[name]()
    table = attribution({name: method}, at, seen, {})
    assert list(table.columns) == ["value", *PARTS]
    found = parts(at.net, at.images)
    for term in losses_at(at, method, seen):
        at.net.zero_grad()
        losses_at(at, method, seen)[term].backward()
        squares = dict.fromkeys(PARTS, 0.0)
        for parameter_name, parameter in at.net.named_parameters():
            if parameter.grad is not None:
                squares[found[parameter_name]] += parameter.grad.double().square().sum().item()
        for part in PARTS:
            assert table.loc[(name, term), part] == pytest.approx(squares[part] ** 0.5, rel=1e-4, abs=1e-7)
        whole = sum(squares.values()) ** 0.5
        assert whole_net(table)[name, term] == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize("name", WATCHING)
def test_penalty_by_hand(name: str, at: Situation, seen: list) -> None:
    table = attribution({name: METHODS[name]()}, at, seen, states_of(at))
    factor = 2 if name == "rw" else 1  # the score and the Fisher information
    start, half = dict(at.start.named_parameters()), halves(at)
    value, squares, found = 0.0, dict.fromkeys(PARTS, 0.0), parts(at.net, at.images)
    for parameter_name, parameter in old_parameters(at.net):
        away = (parameter - start[parameter_name]).detach()
        weight = factor * (half[parameter_name] if parameter.numel() > 1 else 0)
        value += 100 * (weight * away.square()).sum().item()
        squares[found[parameter_name]] += (200 * weight * away).square().sum().item()
    row = table.loc[(name, "penalty")]
    assert row["value"] == pytest.approx(value, rel=1e-4)
    for part in PARTS:
        assert row[part] == pytest.approx(squares[part] ** 0.5, rel=1e-4)
    assert row["new classifier"] == 0


@pytest.mark.parametrize("name", WATCHING)
def test_no_memory_no_penalty(name: str, at: Situation, seen: list) -> None:
    assert list(attribution({name: METHODS[name]()}, at, seen, {}).index) == [(name, "ce")]
    assert penalty(METHODS[name]().regularizer(at.start, {}), at.net) is None


def test_nothing_is_left_behind(at: Situation, seen: list) -> None:
    before = {name: tensor.clone() for name, tensor in at.net.state_dict().items()}
    attribution({name: kind() for name, kind in METHODS.items()}, at, seen, states_of(at))
    assert all(torch.equal(before[name], tensor) for name, tensor in at.net.state_dict().items())
    assert all(parameter.grad is None for net in (at.net, at.start) for parameter in net.parameters())


# --- identities


def test_at_the_start_mib_penalties_and_features_are_at_rest(tiny_net: Callable[..., Segmenter]) -> None:
    at = situation(tiny_net, moved=0.0)
    methods: dict[str, Method] = {name: METHODS[name]() for name in (*WATCHING, "ilt", "mib")}
    methods["plop"] = PLOP(pod_logits=0.0)
    table = attribution(methods, at, [(at.images, at.target)], states_of(at))
    whole = whole_net(table)
    for row in [*((name, "penalty") for name in WATCHING), ("ilt", "mse"), ("plop", "pod")]:
        assert table.loc[row, "value"] == whole[row] == 0
    assert whole["mib", "kd"] < 1e-4 * whole["mib", "ce"]


def test_a_net_distilled_from_itself_sends_no_gradient(tiny_net: Callable[..., Segmenter]) -> None:
    net = tiny_net(N_OLD).eval()
    step = Step(1, "sequential", (), tuple(range(N_OLD)), ())
    images, target = draw(99, 2, 3, 64, 64), torch.zeros(2, 64, 64, dtype=torch.int64)
    at = Situation(step, net.frozen(), net, net, images, target, target)
    table = attribution({name: METHODS[name]() for name in ("lwf", "lwf-mc", "mib", "ilt")}, at, [], {})
    whole = whole_net(table)
    for name in ("lwf", "lwf-mc", "mib", "ilt"):
        assert table.loc[(name, "kd"), "value"] > 0.01
        assert whole[name, "kd"] < 1e-4 * table.loc[(name, "kd"), "value"]


def test_what_reaches_the_new_classifier(at: Situation, seen: list) -> None:
    table = attribution({name: kind() for name, kind in METHODS.items()}, at, seen, states_of(at))
    silent = {("ilt", "mse"), *((name, "kd") for name in ("lwf", "lwf-mc", "ilt"))}
    silent |= {(name, "penalty") for name in WATCHING}
    assert set(table.index[table["new classifier"] == 0]) == silent
    assert check("05.1", silent, table=table).right
    assert check("05.1", silent - {("ilt", "mse")}, table=table).right is False
    assert (table.loc[("ilt", "mse"), ["head", "old classifier"]] == 0).all()


def test_a_weight_scales_its_term_and_its_gradients(at: Situation, seen: list) -> None:
    weak, strong = (attribution({"mib": MiB(kd=kd)}, at, seen, {}).loc[("mib", "kd")] for kd in (1.0, 3.0))
    np.testing.assert_allclose(strong, 3 * weak, rtol=1e-4)


def test_exercise_2_is_the_ratio_of_the_gradients(at: Situation, seen: list) -> None:
    table = attribution({"ewc": METHODS["ewc"]()}, at, seen, states_of(at))
    factor = whole_net(table)["ewc", "ce"] / whole_net(table)["ewc", "penalty"]
    assert check("05.2", factor, table=table).right
    changed = {"ewc": METHODS["ewc"](importance=100 * factor)}
    whole = whole_net(attribution(changed, at, seen, states_of(at)))
    assert whole["ewc", "penalty"] == pytest.approx(whole["ewc", "ce"], rel=1e-4)


# --- what is held, and the few iterations


def test_what_each_method_protects(at: Situation, seen: list) -> None:
    held = {name: protects(kind(), at, seen) for name, kind in METHODS.items()}
    assert held["ft"] == () and held["joint"] == ("old labels",)
    assert {held[name] for name in WATCHING} == {("parameters",)}
    assert {held[name] for name in ("lwf", "lwf-mc", "mib")} == {("outputs",)}
    assert {held[name] for name in ("ilt", "plop")} == {("outputs", "features")}
    assert protects(MiB(kd=0.0), at, seen) == ()


def test_some_iterations_train_and_remember(at: Situation, tmp_path) -> None:
    settings, batches = small(tmp_path), [(at.images, at.target)] * 3
    nets = [copy.deepcopy(at.start) for _ in range(3)]
    moved, state = some_iterations(settings, METHODS["ewc"](), nets[0], STEP, batches)
    assert moved is nets[0] and not moved.training
    assert not torch.equal(moved.classifier[1].weight, at.start.classifier[1].weight)
    assert set(state) == {f"fisher/{name}" for name, _ in moved.named_parameters()}
    assert state["fisher/decoder.reduce.weight"].max() > 0
    assert all(parameter.grad is None for parameter in moved.parameters())
    again, nothing = some_iterations(settings, METHODS["ft"](), nets[1], STEP, batches)
    assert nothing == {}
    assert all(map(torch.equal, again.state_dict().values(), moved.state_dict().values()))  # EWC only watched
    still, _ = some_iterations(settings, METHODS["ft"](), nets[2], STEP, batches, lr=1e-12)
    torch.testing.assert_close(still.classifier[1].weight, at.start.classifier[1].weight)


def test_gradient_norms_of_a_plain_sum(at: Situation) -> None:
    """The gradient of the sum of all biases of a classifier is 1 for each."""
    norms = gradient_norms(at.net.classifier[0].bias.sum(), at.net, parts(at.net, at.images))
    assert norms["old classifier"] == pytest.approx(N_OLD**0.5)
    assert all(norms[part] == 0 for part in PARTS if part != "old classifier")


# --- the pictures


@pytest.fixture
def table() -> pd.DataFrame:
    rows = {
        ("ft", "ce"): {"value": 1.5, "stage 1": 1.0, "new classifier": 0.5},
        ("ilt", "ce"): {"value": 1.5, "stage 1": 1.0, "new classifier": 0.5},
        ("ilt", "mse"): {"value": 600.0, "stage 1": 4000.0, "new classifier": 0.0},
        ("mib", "kd"): {"value": 0.0, "stage 1": 3e-8, "new classifier": 0.02},
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["method", "term"])


def test_term_bars(table: pd.DataFrame) -> None:
    axis = gradients_lesson.term_bars(table, "title").axes[0]
    bars = axis.containers[0]
    assert [bar.get_width() for bar in bars] == [1.5, 1.5, 600.0, 0.0]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["ft · ce", "ilt · ce", "ilt · mse", "mib · kd"]
    assert [text.get_text() for text in axis.texts] == ["1.5", "1.5", "600", "0"]
    styles = method_styles(["ft", "ilt", "mib"])
    assert to_rgb(bars[3].get_facecolor()) == to_rgb(styles["mib"]["color"])
    assert axis.get_ylim() == (3.5, -0.5)  # the first on top


def test_gradient_map(table: pd.DataFrame) -> None:
    axis = gradients_lesson.gradient_map(table, "title").axes[0]
    cells = [text.get_text() for text in axis.texts]
    assert cells == ["1", "0.5", "1", "0.5", "4000", "0", "3e-8", "0.02"]
    masked = axis.images[0].get_array().mask
    assert masked.tolist() == [[False, False], [False, False], [False, True], [False, False]]
    assert axis.get_ylabel() == "method · term"
    with pytest.raises(ValueError, match="no term of the table has a gradient"):
        gradients_lesson.gradient_map(table * 0, "title")


def test_method_bars_share_an_axis(table: pd.DataFrame) -> None:
    axes = {method: gradients_lesson.method_bars(table, method).axes[0] for method in ("ft", "ilt", "mib")}
    assert len({axis.get_ylim() for axis in axes.values()}) == 1
    assert [[bar.get_height() for bar in bars] for bars in axes["ilt"].containers] == [[1.0, 0.5], [4000.0, 0.0]]
    for axis in axes.values():
        FigureCanvasAgg(axis.figure).draw()
        assert axis.yaxis.label.get_window_extent().x0 > 0  # not clipped
    with pytest.raises(ValueError, match="no method 'plop'; known: ft, ilt, mib"):
        gradients_lesson.method_bars(table, "plop")


def test_explorer_follows_its_list(table: pd.DataFrame) -> None:
    explorer = gradient_explorer(table, "ilt")
    assert explorer.values == {"method": "ilt"}
    assert list(explorer.controls["method"].options) == ["ft", "ilt", "mib"]
    assert explorer.controls["method"].description and explorer.controls["method"].tooltip
    before = explorer.picture.value
    explorer.set(method="mib")
    assert explorer.picture.value != before
    assert explorer.figure().axes[0].get_title().startswith("mib")
