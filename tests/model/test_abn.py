"""ABN: inplace-abn's numbers from plain PyTorch."""

from collections.abc import Callable

import pytest
import torch.nn.functional as F
from comparing import close
from torch import Tensor, nn

from plopkit.model.abn import ABN


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
