"""EWC, PI and RW against plain loops over single numbers that follow the definitions."""

import math

import pytest
import torch
from torch import Tensor, nn

from plopkit.methods import EWC, METHODS, PI, RW, FineTuning
from plopkit.methods.base import Regularizer, State
from plopkit.methods.regularize import joined, part

EPS = 1e-8
IMPORTANCE = 3.0
KINDS = {"ewc": EWC(importance=IMPORTANCE, alpha=0.7), "pi": PI(importance=IMPORTANCE)}
KINDS["rw"] = RW(importance=IMPORTANCE, alpha=0.7, every=2)


class Two(nn.Module):
    """Two small tensors; a third, `c`, from the second step on."""

    def __init__(self, grown: bool = False):
        super().__init__()
        self.a = nn.Parameter(torch.tensor([0.5, -1.0, 2.0]))
        self.b = nn.Parameter(torch.tensor([[0.1], [0.2]]))
        if grown:
            self.c = nn.Parameter(torch.tensor([1.0, -1.0]))


def walk(
    net: nn.Module, regularizer: Regularizer, steps: int, seed: int
) -> tuple[list[dict], list[dict], list[Tensor | None]]:
    """Descend along random gradients; returns the gradients, the parameters at those times and the penalties."""
    generator = torch.Generator().manual_seed(seed)
    gradients, places, penalties = [], [], []
    for _ in range(steps):
        places.append({n: p.detach().clone() for n, p in net.named_parameters()})
        for p in net.parameters():
            p.grad = torch.randn(p.shape, generator=generator)
        gradients.append({n: p.grad.clone() for n, p in net.named_parameters()})
        regularizer.update(net)
        penalties.append(regularizer.add_penalty_gradient(net))
        with torch.no_grad():
            for p in net.parameters():
                p -= 0.1 * p.grad
    return gradients, places, penalties


def by_kind(state: State) -> dict[str, dict[str, Tensor]]:
    return {kind: part(state, kind) for kind in dict.fromkeys(name.partition("/")[0] for name in state)}


def indices(table: dict[str, Tensor]) -> list[tuple[str, int]]:
    return [(name, i) for name, t in table.items() for i in range(t.numel())]


def scaled(values: dict[tuple[str, int], float]) -> dict[tuple[str, int], float]:
    """From 0 at the smallest to 1 at the largest number of each tensor."""
    found = {}
    for name, i in values:
        own = [v for (n, _), v in values.items() if n == name]
        found[name, i] = (values[name, i] - min(own)) / (max(own) - min(own) + EPS)
    return found


def numbers(table: dict[str, Tensor]) -> dict[tuple[str, int], float]:
    return {(n, i): float(table[n].flatten()[i]) for n, i in indices(table)}


def oracle_fisher(gradients: list[dict], alpha: float, before: dict | None) -> dict[tuple[str, int], float]:
    found = {}
    for n, i in indices(gradients[0]):
        value = 1.0 if before is None or (n, i) not in before else before[n, i]
        for g in gradients:
            value = alpha * float(g[n].flatten()[i]) ** 2 + (1 - alpha) * value
        found[n, i] = value
    return found


def oracle_path(gradients: list[dict], places: list[dict], end: dict) -> dict[tuple[str, int], float]:
    found = {}
    for n, i in indices(end):
        total, last = 0.0, None
        for g, place in zip(gradients, places, strict=True):
            now = float(place[n].flatten()[i])
            if last is not None:
                total += float(g[n].flatten()[i]) * (last - now)
            last = now
        moved = float(end[n].flatten()[i]) - float(places[0][n].flatten()[i])
        found[n, i] = max(total / (moved**2 + 1e-20), 0.0)
    return found


def oracle_walk(gradients: list[dict], places: list[dict], every: int, alpha: float, before: dict | None) -> dict:
    found = {}
    for n, i in indices(gradients[0]):
        fisher = 1.0 if before is None or (n, i) not in before else before[n, i]
        score, last = 0.0, None
        for t, (g, place) in enumerate(zip(gradients, places, strict=True)):
            grad, now = float(g[n].flatten()[i]), float(place[n].flatten()[i])
            if t % every == 0:
                if last is not None:
                    score += grad * (last - now) / (0.5 * fisher * (now - last) ** 2 + EPS)
                last = now
            fisher = alpha * grad**2 + (1 - alpha) * fisher
        found[n, i] = score
    return found


def close(table: dict[str, Tensor], expected: dict[tuple[str, int], float]) -> None:
    found = numbers(table)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-3, abs=1e-6), key


def first_state(kind: str) -> tuple[State, list[dict], list[dict], dict]:
    net = Two()
    regularizer = KINDS[kind].regularizer(net, {})
    gradients, places, penalties = walk(net, regularizer, 6, 0)
    assert penalties == [None] * 6  # nothing is known in step 0
    return regularizer.final_state(net), gradients, places, {n: p.detach().clone() for n, p in net.named_parameters()}


def test_importance_after_the_first_step() -> None:
    state, gradients, places, end = first_state("ewc")
    close(part(state, "fisher"), oracle_fisher(gradients, 0.7, None))
    state, gradients, places, end = first_state("pi")
    close(part(state, "score"), oracle_path(gradients, places, end))
    state, gradients, places, end = first_state("rw")
    close(part(state, "fisher"), oracle_fisher(gradients, 0.7, None))
    score = oracle_walk(gradients, places, 2, 0.7, None)
    close(part(state, "score"), {key: max(value, 0.0) for key, value in score.items()})


@pytest.mark.parametrize("kind", KINDS)
def test_a_later_step_adds_the_penalty_and_keeps_both_importances(kind: str) -> None:
    state, *_ = first_state(kind)
    before = {kind: numbers(table) for kind, table in by_kind(state).items()}
    weights = {what: scaled(table) for what, table in before.items()}
    weight = {key: sum(table[key] for table in weights.values()) for key in next(iter(weights.values()))}
    net = Two(grown=True)
    start = {n: p.detach().clone() for n, p in net.named_parameters()}
    regularizer = KINDS[kind].regularizer(net, state)

    # The penalty and its gradient at one point, by hand.
    with torch.no_grad():
        net.a += torch.tensor([0.3, -0.2, 0.1])
        net.c += 1.0
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    penalty = regularizer.add_penalty_gradient(net)
    expected = IMPORTANCE * sum(weight["a", i] * d**2 for i, d in enumerate((0.3, -0.2, 0.1)))
    assert float(penalty) == pytest.approx(expected, rel=1e-4)
    for i, d in enumerate((0.3, -0.2, 0.1)):
        assert float(net.a.grad[i]) == pytest.approx(2 * IMPORTANCE * weight["a", i] * d, rel=1e-4, abs=1e-6)
    assert not net.b.grad.any() and not net.c.grad.any()  # b has not changed, c is new

    with torch.no_grad():
        for n, p in net.named_parameters():
            p.copy_(start[n])
    gradients, places, _ = walk(net, regularizer, 5, 1)
    end = {n: p.detach().clone() for n, p in net.named_parameters()}
    after = regularizer.final_state(net)
    if kind != "pi":
        close(part(after, "fisher"), oracle_fisher(gradients, 0.7, before["fisher"]))
    if kind == "pi":
        path = oracle_path(gradients, places, end)
        close(part(after, "score"), {key: value + before["score"].get(key, 0.0) for key, value in path.items()})
    if kind == "rw":
        score = oracle_walk(gradients, places, 2, 0.7, before["fisher"])
        old = before["score"]
        merged = {k: 0.5 * (max(v, 0.0) + old[k]) if k in old else max(v, 0.0) for k, v in score.items()}
        close(part(after, "score"), merged)


@pytest.mark.parametrize("kind", KINDS)
def test_a_restored_regularizer_gives_the_same_numbers(kind: str) -> None:
    state, *_ = first_state(kind)

    def trained(stop: int | None) -> tuple[State, dict]:
        net = Two(grown=True)
        regularizer = KINDS[kind].regularizer(net, state)
        for seed in (5, 6):
            walk(net, regularizer, 3, seed)
            if seed == stop:
                saved = {name: tensor.clone() for name, tensor in regularizer.state().items()}
                regularizer = KINDS[kind].regularizer(Two(grown=True), state)
                regularizer.restore(saved)
        return regularizer.final_state(net), dict(net.named_parameters())

    (expected, expected_net), (found, found_net) = trained(None), trained(5)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert all(torch.equal(found_net[name], parameter) for name, parameter in expected_net.items())


def test_important_parameters_move_less() -> None:
    state = joined(fisher={"a": torch.tensor([0.0, 0.5, 1.0]), "b": torch.zeros(2, 1)})
    net = Two()
    regularizer = EWC(importance=10.0).regularizer(net, state)
    start = net.a.detach().clone()
    for _ in range(50):
        for p in net.parameters():
            p.grad = torch.ones_like(p)
        regularizer.add_penalty_gradient(net)
        with torch.no_grad():
            for p in net.parameters():
                p -= 0.01 * p.grad
    away = (net.a.detach() - start).abs()
    assert away[0] > 2 * away[1] > 2 * away[2] * math.sqrt(1.5)


def test_released_defaults() -> None:
    assert [METHODS[name]().importance for name in ("ewc", "pi", "rw")] == [100.0] * 3
    assert (EWC().alpha, RW().alpha, RW().every) == (0.9, 0.9, 10)


def test_methods_that_train_step_0_themselves() -> None:
    own = {name for name, kind in METHODS.items() if kind().first_step() == kind()}
    assert own == {"ft", "ewc", "pi", "rw", "lwf-mc", "rcil", "ucd", "dft", "dkd", "ssul", "star", "prototypes"}
    forms = {f"{name}-m": METHODS[name]() for name in ("dkd", "ssul", "star")}  # a memory is for later steps
    assert all(METHODS[name]().first_step() == first.first_step() for name, first in forms.items())
    assert all(METHODS[name]().first_step() == FineTuning() for name in set(METHODS) - own - set(forms))
    assert FineTuning().regularizer(Two(), {}) is None
