"""The gradients of a batch, whole or in parts."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from batches import prepared_by
from torch import Tensor
from toy_methods import Frozen

from plopkit.backward import backward, check_divisible, check_terms
from plopkit.compute import num_micro_batches
from plopkit.datasets.emoji import EmojiScenes
from plopkit.datasets.steps import Selection, StepDataset, train_loader
from plopkit.datasets.transforms import train_transform
from plopkit.methods import METHODS, Batch, StepContext, Whole
from plopkit.model.segmenter import Segmenter
from plopkit.scenario import IGNORE, Scenario
from plopkit.settings import Optim
from plopkit.trainer import Tick, Training, batches, fit

Nets = Callable[..., Segmenter]
SECOND = Scenario.parse("emoji 15-5 overlap").steps[1]


@pytest.fixture(scope="module")
def scenes() -> EmojiScenes:
    return EmojiScenes("train", 7, size=64)


@pytest.mark.parametrize("method", ["plop", "mib", "ft"])
@pytest.mark.parametrize("part", [1, 2, 3, 4])
def test_parts_of_a_batch_add_up_to_it(
    tiny_net: Nets, scenes: EmojiScenes, accelerator: Accelerator, method: str, part: int
) -> None:
    """Without batch norm, whose statistics depend on the part, the numbers are those of the whole batch."""

    def trained(micro_batch: int | None) -> tuple[list[Tick], Tensor, Tensor]:
        teacher = without_norms(tiny_net(16)).frozen()
        net = teacher.grown(5).requires_grad_(True)
        generator = torch.Generator().manual_seed(0)
        for parameter in net.parameters():  # where net and teacher agree, POD has no gradient
            parameter.data += (
                0.05 * parameter.data.std().nan_to_num() * torch.randn(parameter.shape, generator=generator)
            )
        chosen = StepDataset(scenes, Selection.of(np.arange(7), SECOND.lookup("seen")), train_transform(64, (0.5, 1.0)))
        loader = train_loader(chosen, 3, seed=1)
        training = Training(net, Optim(name="sgd", lr_later=1e-3, epochs_later=1, batch=3), SECOND)
        value = METHODS[method]()
        start = torch.cat([p.detach().flatten() for p in net.parameters()])
        prepared = prepared_by(value, teacher, list(batches(loader, 0, accelerator)), SECOND)
        ticks = list(fit(training, loader, value, SECOND, accelerator, teacher, prepared, micro_batch))
        return ticks, start, torch.cat([p.detach().flatten() for p in net.parameters()])

    (whole, start, end), (parts, _, end_of_parts) = trained(None), trained(part)
    for found, expected in zip(parts, whole, strict=True):
        assert found.losses == pytest.approx(expected.losses, rel=1e-4)
    assert (end_of_parts - end).norm() < 1e-2 * (end - start).norm()


def without_norms(net: Segmenter) -> Segmenter:
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.BatchNorm2d):
                setattr(module, name, torch.nn.Identity())
    return net


@pytest.mark.parametrize(("batch", "micro_batch", "sizes"), [(24, 23, (12, 12)), (7, 3, (3, 2, 2)), (4, None, (4,))])
def test_parts_are_as_even_as_possible(batch: int, micro_batch: int | None, sizes: tuple[int, ...]) -> None:
    parts = torch.arange(batch).tensor_split(num_micro_batches(batch, micro_batch))
    assert tuple(map(len, parts)) == sizes


def test_sums_and_counts_add_up_over_parts(tiny_net: Nets, accelerator: Accelerator) -> None:
    """The gradient of Σ sums / Σ counts, part by part, is that of the whole batch, also where the counts differ."""
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    target = torch.full((4, 64, 64), IGNORE)
    target[0], target[1, :8], target[2, :, :3] = 16, 17, 0
    grads, values = [], []
    for micro_batch in (None, 2, 1):
        net = tiny_net(16, 5).eval()  # the norms' statistics must not depend on the parts

        def losses(image: torch.Tensor, part: torch.Tensor, net: Segmenter = net) -> dict:
            return Frozen().losses(Batch(net(image), None, part, net, StepContext(SECOND)))

        values.append(float(backward(losses, net, accelerator, images, target, [4], micro_batch)["ce"]))
        grads.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))
    for value, grad in zip(values[1:], grads[1:], strict=True):
        assert value == pytest.approx(values[0], rel=1e-5)
        assert (grad - grads[0]).norm() < 1e-4 * grads[0].norm()


def test_a_term_of_the_whole_batch_cannot_be_divided() -> None:
    terms = {"ce": torch.tensor(1.0), "contrast": Whole(torch.tensor(2.0))}
    check_divisible(terms, 1, 1)
    with pytest.raises(ValueError, match=r"the loss term 'contrast' compares all images of a batch.*micro_batch"):
        check_divisible(terms, 2, 1)
    with pytest.raises(ValueError, match=r"the loss term 'contrast' compares all images of a batch.*one process"):
        check_divisible(terms, 1, 2)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({}, "its losses give no term"),
        ({"ce": torch.zeros(3)}, r"'ce' is a tensor without dimensions, or a pair of them, not of shape \(3,\)"),
        ({"ce": 0.5}, "'ce' is a tensor .* not float"),
        ({"ce": (torch.tensor(1.0), 7)}, "'ce' is a tensor .* not int"),
        ({"ce": torch.tensor(1.0), "far": Whole(torch.zeros(2, 2))}, r"'far' is a tensor .* not of shape \(2, 2\)"),
    ],
)
def test_terms_of_another_form_are_refused(terms: dict, message: str) -> None:
    check_terms({"ce": torch.tensor(1.0), "kd": (torch.tensor(1.0), torch.tensor(7)), "all": Whole(torch.tensor(2.0))})
    with pytest.raises(ValueError, match=message):
        check_terms(terms)
