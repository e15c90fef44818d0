"""What a run computes on: the one private function of Accelerate that plopkit.compute calls does what is needed."""

import accelerate
import pytest
import torch
from accelerate.state import AcceleratorState, PartialState

from plopkit.compute import make_accelerator
from plopkit.settings import Compute, Settings


def test_accelerates_state_can_be_changed() -> None:
    """Precision after precision in one process, also where only a PartialState exists."""
    why = (
        f"accelerate {accelerate.__version__}: AcceleratorState._reset_state(reset_partial_state=True) no longer lets "
        "a process change its precision; adapt plopkit.compute.forget_other_state or bound accelerate in pyproject.toml"
    )
    try:
        for precision, expected in (("bf16", "bf16"), ("fp32", "no"), ("bf16", "bf16")):
            accelerator = make_accelerator(Settings(compute=Compute(cpu=True, precision=precision)))
            assert (accelerator.mixed_precision, accelerator.device) == (expected, torch.device("cpu")), why
        AcceleratorState._reset_state(reset_partial_state=True)
        PartialState()
        assert make_accelerator(Settings(compute=Compute(cpu=True))).device == torch.device("cpu"), why
    except (AttributeError, TypeError, ValueError) as error:
        pytest.fail(f"{why} ({type(error).__name__}: {error})")
