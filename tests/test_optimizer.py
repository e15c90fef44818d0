"""The optimiser, its groups, and the learning rate's schedule."""

from collections.abc import Callable

import pytest
import torch

from plopkit.methods import PLOP, Joint, Method
from plopkit.model.segmenter import Segmenter
from plopkit.optimizer import make_optimizer, poly, set_lr
from plopkit.scenario import Scenario, Step
from plopkit.settings import Optim
from plopkit.trainer import Training

Nets = Callable[..., Segmenter]
OPTIM = Optim(lr=0.02, lr_later=0.01, epochs=2, epochs_later=3, batch=2)
FIRST, SECOND = Scenario.parse("emoji 15-5 overlap").steps


def test_poly_decreases_from_the_rate_to_almost_0() -> None:
    rates = [poly(0.1, iteration, 10) for iteration in range(10)]
    assert rates[0] == 0.1
    assert rates[9] == pytest.approx(0.1 * 0.1**0.9)
    assert rates[4] == pytest.approx(0.1 * 0.6**0.9)
    assert rates == sorted(rates, reverse=True)
    assert {poly(0.1, iteration, 10, power=0) for iteration in range(10)} == {0.1}
    assert poly(1, 5, 10, power=2) == 0.25


def test_sgd_is_as_published(tiny_net: Nets) -> None:
    net = tiny_net(16)
    optimizer = make_optimizer(net, Optim(), 0.01)
    assert isinstance(optimizer, torch.optim.SGD)
    (group,) = optimizer.param_groups
    assert {id(p) for p in group["params"]} == {id(p) for p in net.parameters()}
    assert (group["lr"], group["momentum"], group["nesterov"], group["weight_decay"]) == (0.01, 0.9, True, 1e-4)
    assert group["dampening"] == 0
    without_momentum = make_optimizer(net, Optim(momentum=0), 0.01)
    assert without_momentum.param_groups[0]["nesterov"] is False


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_an_overflow_is_skipped_whenever_it_comes(name: str, tiny_net: Nets, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the fused kernels as by the host: in the first iteration, too, where new memory holds NaN."""
    empty = torch.empty_like
    monkeypatch.setattr(torch, "empty_like", lambda *a, **options: empty(*a, **options).fill_(torch.nan))
    found = []
    for fused_on in ({"cpu"}, set()):
        monkeypatch.setattr("plopkit.optimizer.FUSED", fused_on)
        net = tiny_net(16)
        optimizer = make_optimizer(net, Optim(name=name), 0.01)  # type: ignore[arg-type]
        if name == "adamw" and not fused_on:  # which is fused on a CPU as well
            optimizer = torch.optim.AdamW(net.parameters(), 0.01, weight_decay=Optim().weight_decay, fused=False)
        assert bool(optimizer.defaults["fused"]) == bool(fused_on)
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        for gradient in (torch.inf, 1.0, 0.5, torch.inf, 0.25):
            optimizer.zero_grad()
            scaler.scale(torch.stack([parameter.sum() for parameter in net.parameters()]).sum()).backward()
            for parameter in net.parameters():
                assert parameter.grad is not None
                parameter.grad.mul_(gradient)
            scaler.step(optimizer)
            scaler.update()
        found.append(torch.cat([parameter.detach().flatten() for parameter in net.parameters()]))
    assert found[0].isfinite().all()
    torch.testing.assert_close(found[0], found[1], rtol=1e-6, atol=0)


def test_buffers_that_a_restored_state_lacks_are_filled(tiny_net: Nets, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of trained parameters only; what is there stays."""
    net = tiny_net(16)
    first, second, *_ = net.parameters()
    second.requires_grad_(False)
    ours = make_optimizer(net, Optim(), 0.01)
    assert not ours.state  # not fused
    monkeypatch.setattr("plopkit.optimizer.FUSED", {"cpu"})
    fused = make_optimizer(net, Optim(), 0.01)
    assert len(fused.state) == len(list(net.parameters())) - 1 and second not in fused.state
    fused.state[first]["momentum_buffer"].fill_(2)
    state = fused.state_dict()
    del state["state"][2]
    training = Training(net, OPTIM, SECOND)
    training.restore(training.state() | {"optimizer": state})
    trained = (parameter for parameter in net.parameters() if parameter is not second)
    buffers = [training.optimizer.state[parameter]["momentum_buffer"] for parameter in trained]
    assert (buffers[0] == 2).all() and not any(buffer.any() for buffer in buffers[1:])
    assert not make_optimizer(net, Optim(momentum=0), 0.01).state


def test_adamw_has_the_rate_and_decay_of_the_settings(tiny_net: Nets) -> None:
    net = tiny_net(16)
    optimizer = make_optimizer(net, Optim(name="adamw", weight_decay=0.3), 0.002)
    assert isinstance(optimizer, torch.optim.AdamW)
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.002, 0.3)
    assert len(group["params"]) == len(list(net.parameters()))


@pytest.mark.parametrize(
    ("step", "method", "expected"),
    [(FIRST, None, (2, 0.02)), (SECOND, None, (3, 0.01)), (SECOND, PLOP(), (3, 0.01)), (SECOND, Joint(), (2, 0.02))],
)
def test_later_steps_have_their_own_rate_and_epochs(
    step: Step, method: Method | None, expected: tuple, tiny_net: Nets
) -> None:
    training = Training(tiny_net(16), OPTIM, step, method)
    assert (training.schedule.epochs, training.schedule.lr) == expected
    assert training.optimizer.param_groups[0]["lr"] == expected[1]


def test_a_group_may_be_a_single_parameter_or_an_iterator(tiny_net: Nets) -> None:
    net = tiny_net(16)
    bias, weight = net.classifier[0].bias, net.classifier[0].weight
    optimizer = make_optimizer(net, OPTIM, 0.01, [{"params": bias}, {"params": (p for p in [weight])}])
    assert [group["params"] for group in optimizer.param_groups] == [[bias], [weight]]


@pytest.mark.parametrize("groups", [[], [{"params": []}], [{"params": []}, {"params": iter(())}]])
def test_groups_without_a_parameter_are_refused(groups: list, tiny_net: Nets) -> None:
    with pytest.raises(ValueError, match="no parameter, so there is nothing to train"):
        make_optimizer(tiny_net(16), OPTIM, 0.01, groups)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_groups_have_their_own_rate_and_decay_and_all_else_is_frozen(name: str, tiny_net: Nets) -> None:
    net = tiny_net(16, 5)
    groups = [
        {"params": list(net.decoder.parameters()), "lr_scale": 0.1},
        {"params": [net.classifier[1].weight], "weight_decay": 0.0},
        {"params": [net.classifier[1].bias]},
    ]
    optimizer = make_optimizer(net, Optim(name=name, weight_decay=0.3), 0.01, groups)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0, 0.3]
    trained = {id(parameter) for group in groups for parameter in group["params"]}
    assert {id(p) for p in net.parameters() if p.requires_grad} == trained
    set_lr(optimizer, 0.01)
    assert [group["lr"] for group in optimizer.param_groups] == [pytest.approx(0.001), 0.01, 0.01]
    set_lr(optimizer, 0.002)
    assert [group["lr"] for group in optimizer.param_groups] == [pytest.approx(0.0002), 0.002, 0.002]
