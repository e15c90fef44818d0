"""Device, precision and processes: what a batch needs, and Accelerate's global state."""

import accelerate
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState

from plopkit.compute import check_shares, make_accelerator
from plopkit.presets import configure
from plopkit.settings import Compute, Optim, Settings


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


@pytest.mark.parametrize("micro_batch", [1, 2])
def test_parts_of_one_image_are_refused(micro_batch: int) -> None:
    settings = configure(overrides={"optim.batch": 3, "compute.micro_batch": micro_batch, "compute.cpu": True})
    with pytest.raises(ValueError, match=rf"micro_batch {micro_batch} cuts the batch of 3 into parts of one image"):
        make_accelerator(settings)


@pytest.mark.parametrize(
    ("processes", "micro_batch", "message"),
    [
        (
            25,
            None,
            r"optim\.batch 24 counts the images of all processes together, and there are 25 processes; raise it to 25",
        ),
        (16, 1, r"micro_batch 1 cuts a batch of 2 into 2 parts, and some of the 16 processes .* have 1; choose"),
    ],
)
def test_a_batch_that_cannot_be_shared_is_refused(processes: int, micro_batch: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_shares(24, processes, micro_batch)


def test_a_batch_of_24_can_be_shared_by_up_to_24_processes() -> None:
    for processes in range(1, 25):
        check_shares(24, processes, None)
        check_shares(24, processes, 2)


def test_a_second_accelerator_leaves_the_state_of_the_first(accelerator: Accelerator) -> None:
    """Accelerate's state is global, and the first may be training in another thread."""
    first = make_accelerator(Settings(compute=Compute(cpu=True), optim=Optim(batch=2)))
    state = dict(first.state.__dict__)
    second = make_accelerator(Settings(compute=Compute(cpu=True), optim=Optim(batch=2)))
    assert first.state.__dict__ == state and second.device == first.device
    other = make_accelerator(Settings(compute=Compute(cpu=True, precision="bf16"), optim=Optim(batch=2)))
    assert other.mixed_precision == "bf16"
    assert make_accelerator(Settings(compute=Compute(cpu=True), optim=Optim(batch=2))).mixed_precision == "no"
