"""LwF, LwF-MC, ILT and MiB: the released numbers, and identities."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from batches import Case, later_step, terms_of
from comparing import close
from drawing import draw
from torch import Tensor

from plopkit.losses import unbiased_cross_entropy
from plopkit.methods import ILT, LwF, LwFMC, MiB
from plopkit.model.segmenter import Output
from plopkit.scenario import Step

Golden = Callable[[str], dict[str, Tensor]]


def released_case(name: str, golden: Golden) -> tuple[dict[str, Tensor], Step]:
    numbers = {key.split("/")[1]: value for key, value in golden("losses").items() if key.startswith(f"{name}/")}
    n_old, n = numbers["logits_old"].shape[1], numbers["logits"].shape[1]
    return numbers, later_step(n_old, n - n_old)


@pytest.mark.parametrize("name", ["voc_15_5", "voc_15_1"])
def test_lwf_gives_the_released_numbers(name: str, golden: Golden) -> None:
    numbers, step = released_case(name, golden)
    logits, old = numbers["logits"], numbers["logits_old"]
    found = terms_of(LwF(), Output(logits, logits, ()), Output(old, old, ()), numbers["labels"], step, None)
    assert list(found) == ["ce", "kd"]
    close(found["ce"], numbers["cross_entropy"].mean())
    close(found["kd"], 100 * numbers["distillation_mean"])


@pytest.mark.parametrize("name", ["voc_15_5", "voc_15_1"])
def test_lwf_mc_gives_the_released_numbers(name: str, golden: Golden) -> None:
    numbers, step = released_case(name, golden)
    logits, old = numbers["logits"], numbers["logits_old"]
    found = terms_of(LwFMC(), Output(logits, logits, ()), Output(old, old, ()), numbers["labels"], step, None)
    assert list(found) == ["bce", "kd"]
    close(found["bce"], numbers["bce_ignore"].mean())
    p, q = logits[:, : old.shape[1]].double().sigmoid(), old.double().sigmoid()
    loss = -(q * p.log() + (1 - q) * (1 - p).log())  # the golden `icarl` is a variant without the BCE of old channels
    close(found["kd"], (10 * old.shape[1] * loss.mean()).float(), atol=1e-2)
    first = terms_of(LwFMC(), Output(logits, logits, ()), None, numbers["labels"], step, None)
    assert list(first) == ["bce"] and first["bce"] == found["bce"]


@pytest.mark.parametrize("name", ["voc_15_5", "voc_15_1"])
def test_ilt_gives_the_released_numbers(name: str, golden: Golden, case: Callable[..., Case]) -> None:
    """The squared error is between the encoders' last maps, behind their activation."""
    numbers, step = released_case(name, golden)
    logits, old = numbers["logits"], numbers["logits_old"]
    maps, old_maps = draw(1, 2, 3, 4, 4), draw(2, 2, 3, 4, 4)
    active = [F.leaky_relu(m, 0.01) for m in (maps, old_maps)]
    outputs = [Output(one, one, (), m, draw(3, 2, 5)) for one, m in zip((logits, old), active, strict=True)]
    found = terms_of(ILT(), *outputs, numbers["labels"], step)
    assert list(found) == ["ce", "kd", "mse"]
    close(found["ce"], numbers["cross_entropy"].mean())
    close(found["kd"], 100 * numbers["distillation_mean"])
    new_active, old_active = (torch.where(m > 0, m, 0.01 * m) for m in (maps, old_maps))
    close(found["mse"], 100 * ((new_active - old_active) ** 2).sum() / maps.numel())
    out, _ = case().outputs()
    assert out.encoded is out.stages[-1]  # a timm encoder's map has no activation behind it


# MiB


@pytest.mark.parametrize("name", ["voc_15_5", "voc_15_1"])
def test_mib_gives_the_released_numbers(name: str, golden: Golden) -> None:
    numbers, step = released_case(name, golden)
    logits, old = numbers["logits"], numbers["logits_old"]
    found = terms_of(MiB(kd=10), Output(logits, logits, ()), Output(old, old, ()), numbers["labels"], step, None)
    assert list(found) == ["ce", "kd"]
    close(found["ce"], numbers["unbiased_cross_entropy"].mean())
    close(found["kd"], 10 * numbers["unbiased_distillation"].mean())


@pytest.mark.parametrize("n_new", [1, 5])
def test_a_new_net_has_nothing_to_distil(n_new: int, case: Callable[..., Case]) -> None:
    """A net just grown shares the teacher's background: the loss is the teacher's entropy, with gradient 0."""
    made = case(n_new, noise=0)
    out, old = made.outputs()
    out.logits.retain_grad()
    terms = terms_of(MiB(kd=3), out, old, made.target, made.step, None)
    p = old.logits.softmax(1)
    close(terms["kd"], 3 * -(p * p.log()).sum(1).mean() / made.step.n_old)
    (gradient,) = torch.autograd.grad(terms["kd"], out.logits, retain_graph=True)
    assert gradient.abs().max() < 1e-8
    hidden = (1 - p[:, 0] * n_new / (n_new + 1)).log()
    background = made.target == 0
    losses = unbiased_cross_entropy(out.logits, made.target, made.step.n_old)
    close(losses[background], -hidden[background])


def test_mib_scales_its_distillation(case: Callable[..., Case]) -> None:
    made = case()
    out, old = made.outputs()
    weighted, none = (terms_of(MiB(kd=kd), out, old, made.target, made.step, None) for kd in (1, 0))
    assert none["kd"] == 0
    close(terms_of(MiB(kd=7), out, old, made.target, made.step, None)["kd"], 7 * weighted["kd"])
    assert weighted["ce"] == none["ce"]
