"""What a machine lacks is told with the settings that help, and found before anything is trained."""

import errno
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import small

from plopkit.methods.plop import PLOP
from plopkit.model.segmenter import Segmenter
from plopkit.runs import dry_run
from plopkit.runs.experiment import Experiment
from plopkit.runs.machine import ResourceError, advice_on, explaining_resources, resources_explained
from plopkit.settings import Settings

SETTINGS = Settings.model_validate(
    {"data": {"size": 321}, "optim": {"batch": 7}, "compute": {"micro_batch": 5, "workers": 3}}
)
ALLOCATOR = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"
)
MEMORY = [
    MemoryError(),
    RuntimeError(ALLOCATOR),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
]


@pytest.mark.parametrize("error", MEMORY, ids=lambda error: f"{type(error).__name__} {str(error)[:20]}")
def test_too_little_memory_names_the_settings_and_their_values(error: Exception) -> None:
    with pytest.raises(ResourceError) as raised, resources_explained(SETTINGS):
        raise error
    message = str(raised.value)
    assert message.startswith("not enough memory (")
    for words in (
        "data.size (now 321)",
        "optim.batch (now 7)",
        "compute.micro_batch (now 5)",
        "compute.precision to bf16 (now fp32)",
        "compute.workers (now 3)",
        "model.encoder (now resnet101)",
    ):
        assert words in message
    assert raised.value.__cause__ is error
    assert "\n" not in message


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        (
            "DataLoader worker (pid 12) is killed by signal: Bus error. It is possible that dataloader's workers are "
            "out of shared memory. Please try to raise your shared memory limit.",
            r"/dev/shm is too small .*, \d[\d,]* MiB of it are free .* \(now 3\): 0 loads the images in the training",
        ),
        (
            "unable to allocate shared memory(shm) for file </torch_1_2_0>: No space left on device (28)",
            "/dev/shm is too",
        ),
        ("unable to write to file </torch_1_2_0>: No space left on device (28)", "/dev/shm is too small"),
        ("DataLoader worker (pid(s) 12) exited unexpectedly", r"was ended from outside .* compute\.workers \(now 3\)"),
        ("DataLoader worker (pid 12) is killed by signal: Killed. ", "was ended from outside"),
        ("Too many open files. Communication with the workers is no longer possible.", r"ulimit -n"),
    ],
)
def test_workers_that_lack_something_are_explained(message: str, advice: str) -> None:
    with pytest.raises(ResourceError, match=advice), resources_explained(SETTINGS):
        raise RuntimeError(message)


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), OSError(errno.ENOSPC, "full"), AssertionError("x")])
def test_other_errors_stay_as_they_are(error: Exception) -> None:
    assert advice_on(error, SETTINGS) is None
    with pytest.raises(type(error)) as raised, resources_explained(SETTINGS):
        raise error
    assert raised.value is error


def test_a_generator_is_explained_and_closed() -> None:
    closed = []

    class Run:
        settings = SETTINGS

        @explaining_resources
        def ticks(self) -> Any:
            try:
                yield 1
                raise MemoryError
            finally:
                closed.append(True)

    ticks = Run().ticks()
    assert next(ticks) == 1
    with pytest.raises(ResourceError, match="not enough memory"):
        next(ticks)
    ticks = Run().ticks()
    next(ticks)
    ticks.close()
    assert closed == [True, True]


def test_a_lack_of_memory_in_a_step_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = Experiment.open(small(tmp_path / "out"))
    monkeypatch.setattr(PLOP, "losses", lambda self, batch: (_ for _ in ()).throw(RuntimeError(ALLOCATOR)))
    with pytest.raises(
        ResourceError, match=r"data\.size \(now 64\), optim\.batch \(now 8\) or compute\.micro_batch \(now the"
    ):
        list(experiment.ticks())


@pytest.mark.parametrize(
    ("micro_batch", "batch", "most"), [(None, 8, 8), (3, 8, 3), (2, 8, 2)], ids=["whole", "three parts", "four parts"]
)
def test_a_batch_as_large_as_the_runs_goes_through_with_gradients(
    micro_batch: int | None, batch: int, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two images would fit where a batch does not."""
    seen: list[int] = []
    evaluated: list[int] = []
    forward = Segmenter.forward

    def noted(self: Segmenter, image: torch.Tensor) -> Any:
        (seen if torch.is_grad_enabled() else evaluated).append(len(image))
        return forward(self, image)

    monkeypatch.setattr(Segmenter, "forward", noted)
    changes = {"optim__batch": batch, "compute__micro_batch": micro_batch}
    experiment = Experiment.open(small(tmp_path / "out", **changes))
    assert max(seen) == most
    for step in experiment.scenario.steps:
        (rehearsed, *_), *others = experiment.data.eval_loader(step)
        assert len(rehearsed) == most == max(len(images) for images, _ in others)
    assert most in evaluated
    assert len(seen) == (2 if micro_batch is None else 4)  # of two steps, one part or two


def test_memory_that_is_short_is_found_before_the_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def backward(*args: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(dry_run, "backward", backward)
    with pytest.raises(ResourceError, match=r"not enough memory \(CUDA out of memory"):
        Experiment.open(small(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_the_rehearsal_changes_no_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before: dict[str, torch.Tensor] = {}
    after: dict[str, torch.Tensor] = {}
    train = dry_run._Rehearsal._train

    def watched(self: Any, training: Any, *args: Any) -> None:
        before.update({name: p.detach().clone() for name, p in training.net.named_parameters()})
        train(self, training, *args)
        after.update({name: p.detach().clone() for name, p in training.net.named_parameters()})

    monkeypatch.setattr(dry_run._Rehearsal, "_train", watched)
    Experiment.open(small(tmp_path / "out"))
    assert before.keys() == after.keys() and before
    assert all(torch.equal(before[name], after[name]) for name in before)
