"""Terms and gradients of methods: against plain loops and the methods themselves, and identities."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from batches import terms_of
from drawing import draw
from small_runs import small

from plopkit.lessons.exercises import check
from plopkit.lessons.gradients.measures import (
    Situation,
    attribution,
    gradient_norms,
    losses_at,
    parts,
    penalty,
    protects,
    softmax_methods,
    some_iterations,
    state_at,
    whole_net,
)
from plopkit.methods import METHODS, PLOP, Method, MiB
from plopkit.methods.base import StepContext
from plopkit.methods.regularize import joined
from plopkit.model.segmenter import Segmenter
from plopkit.scenario import Step

N_OLD, N_NEW = 6, 2
STEP = Step(1, "overlap", (6, 7), tuple(range(N_OLD)), ())
PARTS = ["stage 1", "stage 2", "stage 3", "stage 4", "head", "old classifier", "new classifier"]
BINARY = {"dkd", "ssul", "star", "dkd-m", "ssul-m", "star-m"}
REGULARIZED = ("ewc", "rw", "pi")

LEFT_OUT = {*BINARY, "prototypes"}

# Those of softmax_methods, as a test below says. It builds a net of each method, which is too much for a collection.
every_method = pytest.mark.parametrize("name", [name for name in METHODS if name not in LEFT_OUT])


def situation(tiny_net: Callable[..., Segmenter], noise: float = 0.02) -> Situation:
    """A net in the middle of a step, whose parameters differ from the start's by noise."""
    teacher = tiny_net(N_OLD).frozen()
    start = tiny_net(N_OLD).grown(N_NEW).eval()
    net = copy.deepcopy(start)
    for index, parameter in enumerate(net.parameters()):
        parameter.data += noise * draw(index, *parameter.shape)
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


# The parts of the net


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
            original = named[name].clone()
            named[name] += 0.1 * draw(1, *original.shape)
            after = at.net.encoder(at.images)
            named[name].copy_(original)
            changed = [number for number in range(4) if not torch.equal(before[number], after[number])]
            assert found[name] == f"stage {changed[0] + 1}"


def test_a_frozen_net_has_no_gradients(at: Situation) -> None:
    with pytest.raises(ValueError, match="the net is frozen"):
        parts(at.teacher, at.images)


# Terms and gradients


def test_methods_with_other_classifiers_are_left_out() -> None:
    assert {"ft", "mib", "plop", "rcil", "ucd", "dft", "joint"} <= set(softmax_methods()) == set(METHODS) - LEFT_OUT


@every_method
def test_terms_are_the_methods_losses(name: str, at: Situation, seen: list) -> None:
    method = METHODS[name]()
    table = attribution({name: method}, at, seen, {})
    with torch.no_grad():
        teacher = method.teacher(at.teacher, STEP)
        old = None if teacher is None else teacher(at.images)
        target = at.masks if name == "joint" else at.target  # STEP's labels are its channels
        prepared = method.prepare(StepContext(STEP, teacher, lambda: seen, state_at(at, method)))
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


@pytest.mark.parametrize("name", REGULARIZED)
def test_penalties_by_hand(name: str, at: Situation, seen: list) -> None:
    table = attribution({name: METHODS[name]()}, at, seen, states_of(at))
    factor = 2 if name == "rw" else 1  # the score and the Fisher information
    start, half = dict(at.start.named_parameters()), halves(at)
    value, squares, found = 0.0, dict.fromkeys(PARTS, 0.0), parts(at.net, at.images)
    for parameter_name, parameter in old_parameters(at.net):
        change = (parameter - start[parameter_name]).detach()
        weight = factor * (half[parameter_name] if parameter.numel() > 1 else 0)
        value += 100 * (weight * change.square()).sum().item()
        squares[found[parameter_name]] += (200 * weight * change).square().sum().item()
    row = table.loc[(name, "penalty")]
    assert row["value"] == pytest.approx(value, rel=1e-4)
    for part in PARTS:
        assert row[part] == pytest.approx(squares[part] ** 0.5, rel=1e-4)
    assert row["new classifier"] == 0


@pytest.mark.parametrize("name", REGULARIZED)
def test_without_a_state_there_is_no_penalty(name: str, at: Situation, seen: list) -> None:
    assert list(attribution({name: METHODS[name]()}, at, seen, {}).index) == [(name, "ce")]
    assert penalty(METHODS[name]().regularizer(at.start, {}), at.net) is None


def test_nets_and_gradients_stay_as_they_were(at: Situation, seen: list) -> None:
    before = {name: tensor.clone() for name, tensor in at.net.state_dict().items()}
    attribution({name: METHODS[name]() for name in softmax_methods()}, at, seen, states_of(at))
    assert all(torch.equal(before[name], tensor) for name, tensor in at.net.state_dict().items())
    assert all(parameter.grad is None for net in (at.net, at.start) for parameter in net.parameters())


# Identities


def test_at_the_start_penalties_and_distillation_have_no_gradient(tiny_net: Callable[..., Segmenter]) -> None:
    at = situation(tiny_net, noise=0.0)
    methods: dict[str, Method] = {name: METHODS[name]() for name in (*REGULARIZED, "ilt", "mib")}
    methods["plop"] = PLOP(pod_logits=0.0)
    table = attribution(methods, at, [(at.images, at.target)], states_of(at))
    whole = whole_net(table)
    for row in [*((name, "penalty") for name in REGULARIZED), ("ilt", "mse"), ("plop", "pod")]:
        assert table.loc[row, "value"] == whole[row] == 0
    assert whole["mib", "kd"] < 1e-4 * whole["mib", "ce"]


def test_a_net_distilled_from_itself_has_no_gradient(tiny_net: Callable[..., Segmenter]) -> None:
    net = tiny_net(N_OLD).eval()
    step = Step(1, "sequential", (), tuple(range(N_OLD)), ())
    images, target = draw(99, 2, 3, 64, 64), torch.zeros(2, 64, 64, dtype=torch.int64)
    at = Situation(step, net.frozen(), net, net, images, target, target)
    table = attribution({name: METHODS[name]() for name in ("lwf", "lwf-mc", "mib", "ilt")}, at, [], {})
    whole = whole_net(table)
    for name in ("lwf", "lwf-mc", "mib", "ilt"):
        assert table.loc[(name, "kd"), "value"] > 0.01
        assert whole[name, "kd"] < 1e-4 * table.loc[(name, "kd"), "value"]


def test_which_terms_have_a_gradient_on_the_new_classifier(at: Situation, seen: list) -> None:
    table = attribution({name: METHODS[name]() for name in softmax_methods()}, at, seen, states_of(at))
    without = {("ilt", "mse"), *((name, "kd") for name in ("lwf", "lwf-mc", "ilt", "alife"))}
    without |= {(name, "penalty") for name in REGULARIZED} | {("reminder", "csw"), ("ucd", "contrast")}
    assert set(table.index[table["new classifier"] == 0]) == without
    assert check("05.1", without, table=table).right
    assert check("05.1", without - {("ilt", "mse")}, table=table).right is False
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


# What a method preserves, and a few iterations


def test_what_each_method_preserves(at: Situation, seen: list) -> None:
    preserved = {name: protects(METHODS[name](), at, seen) for name in softmax_methods()}
    assert preserved["ft"] == () and preserved["joint"] == ("old labels",)
    assert {preserved[name] for name in REGULARIZED} == {("parameters",)}
    assert {preserved[name] for name in ("lwf", "lwf-mc", "mib", "ewf-mib", "alife")} == {("outputs",)}
    assert {preserved[name] for name in ("ilt", "plop", "ewf", "reminder", "ucd")} == {("outputs", "features")}
    assert protects(MiB(kd=0.0), at, seen) == ()


def test_some_iterations_train_the_net_and_its_regularizer(at: Situation, tmp_path) -> None:
    settings, batches = small(tmp_path), [(at.images, at.target)] * 3
    nets = [copy.deepcopy(at.start) for _ in range(3)]
    trained, state = some_iterations(settings, METHODS["ewc"](), nets[0], STEP, batches)
    assert trained is nets[0] and not trained.training
    assert not torch.equal(trained.classifier[1].weight, at.start.classifier[1].weight)
    assert set(state) == {f"fisher/{name}" for name, _ in trained.named_parameters()}
    assert state["fisher/decoder.reduce.weight"].max() > 0
    assert all(parameter.grad is None for parameter in trained.parameters())
    without_ewc, empty = some_iterations(settings, METHODS["ft"](), nets[1], STEP, batches)
    assert empty == {}
    assert all(
        map(torch.equal, without_ewc.state_dict().values(), trained.state_dict().values())
    )  # EWC has no penalty yet
    unchanged, _ = some_iterations(settings, METHODS["ft"](), nets[2], STEP, batches, lr=1e-12)
    torch.testing.assert_close(unchanged.classifier[1].weight, at.start.classifier[1].weight)


def test_gradient_norms_of_a_plain_sum(at: Situation) -> None:
    """The gradient of the sum of all biases of a classifier is 1 for each."""
    norms = gradient_norms(at.net.classifier[0].bias.sum(), at.net, parts(at.net, at.images))
    assert norms["old classifier"] == pytest.approx(N_OLD**0.5)
    assert all(norms[part] == 0 for part in PARTS if part != "old classifier")
