"""Device, precision and processes: what a batch needs, and Accelerate's global state."""

import os
import re
import warnings
from pathlib import Path
from typing import Any

import accelerate
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState

from plopkit.compute import LAUNCHER_PREFIXES, SHARDING, check_launcher, check_shares, make_accelerator, settings_decide
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


# What launchers leave in the environment

IGNORED = {
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4",
    "ACCELERATE_MIXED_PRECISION": "bf16",
    "ACCELERATE_DYNAMO_BACKEND": "inductor",
    "ACCELERATE_FP8_BACKEND": "TE",
    "ACCELERATE_TORCH_DEVICE": "meta",
}
"""What asks for something that a setting decides."""
SILENT = {
    "ACCELERATE_DYNAMO_MODE": "max-autotune",
    "ACCELERATE_DYNAMO_USE_FULLGRAPH": "true",
    "ACCELERATE_DYNAMO_USE_DYNAMIC": "nonsense",
    "ACCELERATE_GRADIENT_CLIPPING": "1.0",
    "ACCELERATE_BYPASS_DEVICE_MAP": "true",
    "ACCELERATE_FP8_OPT_LEVEL": "O1",
    "ACCELERATE_CONFIG_DS_FIELDS": "x",
    "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3",
    "FSDP_VERSION": "2",
    "FSDP_OFFLOAD_PARAMS": "true",
    "FP8_BACKEND": "TE",
    "MEGATRON_LM_TP_DEGREE": "2",
    "PARALLELISM_CONFIG_TP_SIZE": "2",
}
"""What has an effect only together with something that is refused or ignored."""


def test_a_launchers_cpu_is_ignored_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_launcher(Compute(cpu=True))
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    with pytest.warns(UserWarning, match=r"ACCELERATE_USE_CPU=true in .* is ignored: compute\.cpu decides"):
        check_launcher(Compute())


def gradient(accelerator: Accelerator) -> torch.Tensor:
    """The gradient of one weight, and the type in which a product is computed."""
    with settings_decide():
        layer = accelerator.prepare(torch.nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        layer.weight.fill_(1.0)
    with accelerator.accumulate(layer):
        accelerator.backward(layer(torch.full((1, 1), 3.0)).sum())
    return layer.weight.grad


@pytest.mark.parametrize("name", [*IGNORED, *SILENT])
def test_a_launchers_variable_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(compute=Compute(cpu=True), optim=Optim(batch=2))
    AcceleratorState._reset_state(reset_partial_state=True)
    monkeypatch.setenv(name, (IGNORED | SILENT)[name])
    if name in IGNORED:
        with pytest.warns(UserWarning, match=rf"{name}={IGNORED[name]} in the environment is ignored: .* decides"):
            accelerator = make_accelerator(settings)
    else:
        accelerator = make_accelerator(settings)
    assert os.environ[name] == (IGNORED | SILENT)[name]
    assert accelerator.gradient_accumulation_steps == 1
    assert accelerator.mixed_precision == "no"
    assert accelerator.state.dynamo_plugin.backend == "NO"
    assert accelerator.device.type == "cpu"
    assert gradient(accelerator).item() == 3.0


def test_processes_share_cpus_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accelerate must know; it would let each process train alone."""
    given = []

    def accelerator(**options: Any) -> Any:
        given.append(options["cpu"])
        return Accelerator(cpu=True)

    monkeypatch.setattr("plopkit.compute.Accelerator", accelerator)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    make_accelerator(Settings(optim=Optim(batch=2)))
    assert given == [True]


@pytest.mark.parametrize("name", SHARDING)
def test_a_launcher_that_shards_the_net_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "true")
    with pytest.raises(ValueError, match=rf"{name}=true in the environment asks for .*; unset it, or start"):
        make_accelerator(Settings(compute=Compute(cpu=True)))
    monkeypatch.setenv(name, "false")
    make_accelerator(Settings(compute=Compute(cpu=True)))


def test_what_accelerate_launch_always_sets_is_no_reason_to_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    launched = {
        "ACCELERATE_MIXED_PRECISION": "no",
        "ACCELERATE_DYNAMO_BACKEND": "NO",
        "ACCELERATE_DYNAMO_MODE": "default",
        "ACCELERATE_USE_CPU": "False",
        "ACCELERATE_CPU_AFFINITY": "0",
        "ACCELERATE_DEBUG_MODE": "false",
    }
    for name, value in launched.items():
        monkeypatch.setenv(name, value)
    for precision in ("fp32", "bf16"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            make_accelerator(Settings(compute=Compute(cpu=True, precision=precision)))


def test_no_variable_of_accelerate_is_unknown() -> None:
    """A new version of Accelerate may read others: each is shut out by its prefix, or harmless, or named here."""
    processes = (
        "LOCAL_RANK|MASTER_ADDR|MASTER_PORT|FORK_LAUNCHED|PMI_.*|OMPI_.*|MV2_.*|MPI_.*|CCL_.*|WORLD_SIZE|RANK|"
        "LOCAL_WORLD_SIZE|NPROC|NODE_RANK|OMP_NUM_THREADS|MKL_NUM_THREADS|NCCL_.*"
    )
    other_devices = "TPU_.*|PJRT_DEVICE|XLA_.*|USE_TORCH_XLA|PT_HPU_LAZY_MODE|DEEPSPEED_USE_HPU|PYTORCH_.*|systemdrive"
    trackers = "MLFLOW_.*|CLEARML_.*|AWS_.*|KAGGLE.*|FOO"  # FOO is in an example
    known = re.compile(f"{'|'.join(LAUNCHER_PREFIXES)}|({processes}|{other_devices}|{trackers})$")
    read = r"""(?:environ(?:\.get\(|\[)|getenv\(|from_env\(\[?)\s*["']([A-Za-z_0-9]+)["']"""
    root = Path(accelerate.__file__).parent
    names = {
        name
        for path in root.rglob("*.py")
        if not {"commands", "test_utils"} & set(path.relative_to(root).parts)
        for name in re.findall(read, path.read_text(encoding="utf-8"))
    }
    assert "ACCELERATE_GRADIENT_ACCUMULATION_STEPS" in names
    assert sorted(name for name in names if not known.match(name)) == []
