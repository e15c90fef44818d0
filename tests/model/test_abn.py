"""ABN: inplace-abn's numbers from plain PyTorch."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from comparing import close
from drawing import draw
from torch import Tensor, nn

from plopkit.model.abn import ABN, Activation


@pytest.fixture
def abn(golden: Callable[[str], dict[str, Tensor]]) -> tuple[ABN, dict[str, Tensor]]:
    """inplace-abn's layer of the golden file, and its numbers."""
    numbers = golden("abn")
    layer = ABN(6)
    layer.weight.data, layer.bias.data = numbers["weight"], numbers["bias"]
    return layer, numbers


def test_golden_numbers_in_training(abn: tuple[ABN, dict[str, Tensor]]) -> None:
    layer, numbers = abn
    assert numbers["weight"].min() < 0 < numbers["weight"].max()
    x = numbers["x"].clone().requires_grad_()
    out = layer(x)
    out.backward(numbers["grad_out"])
    close(out, numbers["train_out"])
    assert x.grad is not None
    close(x.grad, numbers["grad_x"])
    close(layer.weight.grad, numbers["grad_weight"])
    close(layer.bias.grad, numbers["grad_bias"])
    close(layer.running_mean, numbers["running_mean"])
    close(layer.running_var, numbers["running_var"])
    assert layer.num_batches_tracked == 1


def test_golden_numbers_at_evaluation(abn: tuple[ABN, dict[str, Tensor]]) -> None:
    layer, numbers = abn
    layer(numbers["x"])
    layer.eval()
    close(layer(numbers["x"]), numbers["eval_out"])
    close(layer.running_mean, numbers["running_mean"])
    assert layer.num_batches_tracked == 1


def test_abn_differs_from_batch_norm_where_a_weight_is_negative(abn: tuple[ABN, dict[str, Tensor]]) -> None:
    layer, numbers = abn
    plain = nn.BatchNorm2d(6)
    plain.load_state_dict(layer.state_dict())
    other = F.leaky_relu(plain(numbers["x"]), 0.01)
    positive = numbers["weight"] > 0
    close(other[:, positive], numbers["train_out"][:, positive], atol=1e-4)
    assert (other - numbers["train_out"])[:, ~positive].abs().max() > 1


def test_without_its_activation_abn_gives_the_map_before_it(abn: tuple[ABN, dict[str, Tensor]]) -> None:
    layer, numbers = abn
    identity, steep = ABN(6, "identity"), ABN(6, slope=0.5)
    for other in (identity, steep):
        other.load_state_dict(layer.state_dict())
    before = identity(numbers["x"])
    assert before.min() < -1
    close(F.leaky_relu(before, 0.01), numbers["train_out"])
    close(F.leaky_relu(before, 0.5), steep(numbers["x"]))


@pytest.mark.parametrize("slope", [0.01, 0.0])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_activation_in_place_changes_no_bit(slope: float, training: bool, layout: torch.memory_format) -> None:
    layer = ABN(6, slope=slope).train(training)
    layer.weight.data, layer.bias.data = draw(1, 6), draw(2, 6)
    start = draw(3, 2, 6, 5, 7).contiguous(memory_format=layout)

    def apart(x: Tensor) -> Tensor:
        scale, running = layer.weight.abs() + layer.eps, (torch.zeros(6), torch.ones(6))
        return F.leaky_relu(F.batch_norm(x, *running, scale, layer.bias, training, 0.1, layer.eps), slope)

    results = []
    for function in (layer, apart):
        x = start.clone().requires_grad_()
        y = function(x)
        gradients = torch.autograd.grad((y * draw(4, *y.shape)).sum(), [x, layer.weight, layer.bias])
        assert torch.equal(x, start)  # the input is not touched
        results.append([y, *gradients])
    for found, expected in zip(*results, strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("activation", ["leaky_relu", "identity"])
def test_gradient(activation: Activation) -> None:
    layer = ABN(3, activation, slope=0.2).double()

    def numbers(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, x)

    values = [draw(seed, *shape).double().requires_grad_() for seed, shape in enumerate([(2, 3, 4, 5), (3,), (3,)])]
    assert torch.autograd.gradcheck(numbers, values)


def test_one_map_is_kept_besides_the_input() -> None:
    layer, kept = ABN(6), {}

    def keep(saved: Tensor) -> Tensor:
        if saved.ndim == 4:
            kept[saved.data_ptr()] = saved
        return saved

    x = draw(0, 2, 6, 5, 7).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        y = layer(x)
    assert set(kept) == {x.data_ptr(), y.data_ptr()}
