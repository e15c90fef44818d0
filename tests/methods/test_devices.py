"""Methods on devices that have no float64, such as Apple's: all that is made in it is made by `doubled`."""

import copy
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from batches import Case, state_before
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from plopkit.backward import value_of
from plopkit.methods import METHODS, PLOP, Batch, Method, StepContext
from plopkit.support import precision
from plopkit.support.precision import doubled


class WithoutDouble(TorchDispatchMode):
    """What a device without float64 says to it."""

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = operation(*args, **(kwargs or {}))
        if any(isinstance(each, Tensor) and each.dtype == torch.float64 for each in tree_leaves(out)):
            raise TypeError(f"{operation}: the device does not support float64")
        return out


@pytest.fixture
def only_by_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `doubled` give float32 wherever it is used, so that all other float64 stands out."""
    users = [
        module for name, module in sys.modules.items() if name.startswith("plopkit.") and hasattr(module, "doubled")
    ]
    assert len(users) >= 4
    for module in users:
        monkeypatch.setattr(module, "doubled", Tensor.float)


@pytest.mark.usefixtures("only_by_doubled")
@pytest.mark.parametrize("method", [*(kind() for kind in METHODS.values()), PLOP(thresholds="median")], ids=repr)
def test_no_verb_makes_float64_by_itself(method: Method, case: Callable[..., Case]) -> None:
    made = case(2, method)
    data = [(made.image, made.target)]
    with WithoutDouble():
        state = state_before(method, made.teacher, data, made.step)
        regularizer = method.regularizer(made.net, {})
        teacher = method.teacher(made.teacher, made.step)
        context = StepContext(made.step, teacher, lambda: data, state, before=lambda: made.teacher)
        prepared = method.prepare(context)
        out, old = made.outputs()
        terms = method.losses(Batch(out, old if teacher else None, made.target, made.net, context, prepared))
        torch.stack([value_of(term) for term in terms.values()]).sum().backward()
        if regularizer is not None:
            regularizer.update(made.net)
            regularizer.add_penalty_gradient(made.net)
            regularizer.final_state(made.net)
        method.end_step(copy.deepcopy(made.net), context)
        with torch.no_grad():
            method.candidate_target(out, made.target, made.step)
            method.predict(out.logits)


def test_doubled_leaves_a_device_only_where_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.zeros(2, device="meta")
    assert doubled(x).device.type == "meta" and doubled(x).dtype == torch.float64
    monkeypatch.setattr(precision, "WITHOUT_DOUBLE", ("meta",))
    monkeypatch.setattr(Tensor, "cpu", lambda self: torch.ones(self.shape))  # a meta tensor has nothing to copy
    assert doubled(x).device.type == "cpu" and doubled(x).tolist() == [1, 1] and doubled(x).dtype == torch.float64
