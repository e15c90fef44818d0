"""The methods in the protocol `domain`: no channel is new, and targets show every class."""

from collections.abc import Callable

import pytest
import torch
from batches import Case, terms_of
from drawing import draw

from plopkit.losses import cross_entropy, distillation
from plopkit.methods import METHODS, PLOP, Method, MiB, StepContext
from plopkit.model.segmenter import Segmenter
from plopkit.pod import pod_distance
from plopkit.scenario import IGNORE, Step

ABLE = [name for name, kind in METHODS.items() if kind.learns_domains]


@pytest.fixture
def case(tiny_net: Callable[..., Segmenter]) -> Callable[[Method], Case]:
    """A net of six channels that has left its teacher, and a batch of the next domain."""

    def make(method: Method) -> Case:
        labels = tuple(range(6))
        step = Step(1, "domain", (), labels, (), ("rain",), ("day",))
        teacher = tiny_net(6).frozen()
        net = method.begin_step(teacher, step).requires_grad_(True)
        for index, parameter in enumerate(net.parameters()):
            parameter.data += 0.02 * draw(index, *parameter.shape)
        target = (draw(7, 2, 64, 64).abs() * 3).long().clamp(max=5)
        target[:, 40:44] = IGNORE
        return Case(teacher, net, draw(99, 2, 3, 64, 64), target, step)

    return make


def test_which_methods_learn_domains() -> None:
    assert ABLE == ["ft", "lwf", "lwf-mc", "ilt", "ewc", "rw", "pi", "mib", "plop", "prototypes", "joint"]
    assert not Method.learns_domains


@pytest.mark.parametrize("name", [name for name in ABLE if name != "prototypes"])  # which trains nothing
def test_losses_are_finite_and_the_net_keeps_its_channels(name: str, case: Callable[[Method], Case]) -> None:
    method = METHODS[name]()
    made = case(method)
    begun = method.begin_step(made.teacher, made.step)
    assert begun.classes == made.teacher.classes == (6,)
    assert all(map(torch.equal, begun.state_dict().values(), made.teacher.state_dict().values()))
    teacher = method.teacher(made.teacher, made.step)

    def no_pass() -> list:
        raise AssertionError("a pass over the images")

    prepared = method.prepare(StepContext(made.step, teacher, no_pass))
    out, old = made.outputs()
    losses = terms_of(method, out, old if teacher is not None else None, made.target, made.step, prepared)
    assert all(term.isfinite() and term > 0 for term in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in made.net.parameters())


def test_mib_is_fine_tuning_and_plain_distillation(case: Callable[[Method], Case]) -> None:
    made = case(MiB())
    out, old = made.outputs()
    losses = terms_of(MiB(), out, old, made.target, made.step)
    assert set(losses) == {"ce", "kd"}
    assert torch.equal(losses["ce"], cross_entropy(out.logits, made.target).mean())
    torch.testing.assert_close(losses["kd"], 10 * distillation(out.logits, old.logits).mean())


def test_plop_is_plain_cross_entropy_and_pod(case: Callable[[Method], Case]) -> None:
    method = PLOP(pod=0.0001, pod_logits=0.001)
    made = case(method)
    out, old = made.outputs()
    losses = terms_of(method, out, old, made.target, made.step, None)
    assert set(losses) == {"ce", "pod"}
    assert torch.equal(losses["ce"], cross_entropy(out.logits, made.target).mean())
    maps = [0.0001 * pod_distance(a, b) for a, b in zip(out.features, old.features, strict=True)]
    expected = torch.stack([*maps, 0.001 * pod_distance(out.small, old.small)]).mean()
    torch.testing.assert_close(losses["pod"], expected)


def test_a_net_grown_by_nothing_is_a_copy(tiny_net: Callable[..., Segmenter]) -> None:
    net = tiny_net(4)
    same = net.grown(0)
    assert same is not net and same.classes == (4,)
    assert all(map(torch.equal, same.state_dict().values(), net.state_dict().values()))
