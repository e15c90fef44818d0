"""Training in two processes: statistics over both, a run equal to that of one process, and a clean end."""

import inspect
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from required import inplace_abn
from small_runs import NARROW, contents, small, small_flags

pytestmark = pytest.mark.usefixtures("narrow")

ROOT = Path(__file__).resolve().parents[1]
METHODS = ("plop", "ewc")
MICRO_BATCHES = (None, 2)
RUN: dict[str, Any] = {
    "model__encoder": "resnet18",
    "model__width": 32,
    "optim__name": "sgd",
    "optim__lr": 0.01,
    "optim__batch": 7,  # four images and three
    "data__scenes": 24,
    "data__val_scenes": 12,
}
MEMORY = {"memory__images": 16, "memory__mix": "half"}
RUNS = [*({"method": method} for method in METHODS), {"method": "mib"} | MEMORY]
ENDINGS = {
    "pass": (0,),
    "raise RuntimeError('wrong')": (1,),
    "raise SystemExit(3)": (3,),
    "raise KeyboardInterrupt": (1, -signal.SIGINT),  # by torch's excepthook or by Python's
}
"""What ends a process, and the exit codes that this may give it."""
CLEAN = 3  # times that a process ends by itself: an abort needs some bad luck


def end(statement: str) -> None:
    """Start the process group as a run does, leave collectives pending, and end the process by this statement."""
    import torch

    from plopkit.compute import make_accelerator
    from plopkit.settings import Compute, Settings

    accelerator = make_accelerator(Settings(compute=Compute(cpu=True)))
    accelerator.wait_for_everyone()
    for _ in range(20):
        torch.distributed.all_reduce(torch.ones(100_000), async_op=True)
    exec(statement)


def synchronise(parts: list[torch.Tensor]) -> dict[str, Any]:
    """What ABN computes of this process's part, forward and backward."""
    import importlib.util

    import torch
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    from plopkit.model.norms import norm_of

    layer = norm_of("abn")(3, "leaky_relu")
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.5, -0.5, 0.1]))
        layer.bias.copy_(torch.tensor([0.3, -0.2, 0.0]))
    x = parts[distributed.get_rank()].clone().requires_grad_()
    wrapped = DistributedDataParallel(layer)  # which lives until the gradients are averaged
    y = wrapped(x.clone())
    (y * torch.linspace(-1, 1, y[0].numel()).view_as(y[0])).sum().backward()
    result = {"y": y.detach(), "x": x.grad, "mean": layer.running_mean, "var": layer.running_var}
    result |= {"weight": layer.weight.grad, "bias": layer.bias.grad}
    if importlib.util.find_spec("inplace_abn"):
        try:
            norm_of("iabn")(3, "leaky_relu")(x.detach().clone())
        except ValueError as error:
            result["refused"] = str(error)
    return result


def kernels_written_out() -> dict[str, Any]:
    """torch's kernels of a synchronised batch norm, which a CPU does not have, in plain tensors."""
    import torch

    def per_channel(x: torch.Tensor) -> torch.Tensor:
        return x[:, None, None]

    def batch_norm_stats(x, eps):
        var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        return mean, (var + eps).rsqrt()

    def batch_norm_gather_stats_with_counts(x, means, invstds, running_mean, running_var, momentum, eps, counts):
        shares, n = (counts / counts.sum())[:, None], counts.sum()
        mean = (shares * means).sum(0)
        var = (shares * (invstds**-2 - eps + (means - mean) ** 2)).sum(0)
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(var * n / (n - 1), momentum)
        return mean, (var + eps).rsqrt()

    def batch_norm_elemt(x, weight, bias, mean, invstd, eps):
        return (x - per_channel(mean)) * per_channel(invstd * weight) + per_channel(bias)

    def batch_norm_backward_reduce(dy, x, mean, invstd, weight, for_input, for_weight, for_bias):
        sum_dy, sum_dy_xmu = dy.sum((0, 2, 3)), (dy * (x - per_channel(mean))).sum((0, 2, 3))
        return sum_dy, sum_dy_xmu, sum_dy_xmu * invstd, sum_dy.clone()

    def batch_norm_backward_elemt(dy, x, mean, invstd, weight, sum_dy, sum_dy_xmu, counts):
        assert counts.dtype == torch.int32
        n = counts.sum()
        projected = (x - per_channel(mean)) * per_channel(invstd**2 * sum_dy_xmu / n)
        return (dy - per_channel(sum_dy / n) - projected) * per_channel(invstd * weight)

    return {name: function for name, function in locals().items() if name.startswith("batch_norm")}


def synchronise_by_kernels(parts: list[torch.Tensor]) -> dict[str, Any]:
    """As `synchronise`, as if this device had torch's kernels."""
    import unittest.mock

    import torch

    from plopkit.model import synchronised

    patch = unittest.mock.patch
    with patch.object(synchronised, "HAVE_KERNELS", ("cpu",)), patch.multiple(torch, **kernels_written_out()):
        return synchronise(parts)


def one_step(rank: int, processes: int, micro_batch: int | None, order: tuple[int, ...] = tuple(range(7))):
    """How one iteration on this process's share of seven images changes the net."""
    import torch
    from accelerate import Accelerator

    from plopkit.methods import MiB
    from plopkit.model import Encoder, Segmenter
    from plopkit.scenario import Scenario
    from plopkit.settings import Optim
    from plopkit.trainer import Training, fit

    step = Scenario.parse("emoji 15-5 overlap").steps[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        teacher = Segmenter(Encoder("resnet18", 16, "none"), (16,), width=16, dilations=(1,)).frozen()
        net = teacher.grown(5).requires_grad_(True)
        images = torch.randn(7, 3, 32, 32) * torch.linspace(0.2, 2, 7)[:, None, None, None]
        targets = torch.randint(16, 21, (7, 32, 32))
    share = list(order)[rank::processes]
    training = Training(net, Optim(name="sgd", lr_later=1e-3, epochs_later=1, batch=7), step)
    before = torch.cat([p.detach().flatten() for p in net.parameters()])
    batches = [(images[share], targets[share])]
    list(fit(training, batches, MiB(), step, Accelerator(cpu=True), teacher, None, micro_batch))
    return torch.cat([p.detach().flatten() for p in net.parameters()]) - before


SCRIPT = f"""
from __future__ import annotations
import gc, os, socket, sys
from pathlib import Path
import torch
import plopkit.runs.experiment  # before the children, which would each import it
from plopkit.model import resnet

resnet.WIDTHS = {NARROW}

{inspect.getsource(end)}
{inspect.getsource(synchronise)}
{inspect.getsource(kernels_written_out)}
{inspect.getsource(synchronise_by_kernels)}
{inspect.getsource(one_step)}

gc.freeze()  # so that the children neither look through what is imported nor copy it
ports, chosen = os.pipe()
other = os.fork()  # after the imports, which take longer than a run
rank = 0 if other else 1
os.environ |= {{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}}


def next_port() -> str:
    # For both processes: the first one chooses it when they need it.
    if rank == 0:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        os.write(chosen, port.rjust(5).encode())
        return port
    return os.read(ports, 5).decode().strip()


ends = []
os.environ["MASTER_ADDR"] = "127.0.0.1"
for statement in {[*["pass"] * (CLEAN - 1), *ENDINGS]!r}:
    os.environ["MASTER_PORT"] = next_port()  # each pair of children meets at a port of its own
    stderr = Path(f"stderr.{{rank}}.{{len(ends)}}")
    if not (child := os.fork()):
        os.dup2(os.open(stderr, os.O_CREAT | os.O_WRONLY), 2)
        end(statement)
        sys.exit()
    ends.append((os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), stderr.read_text()))
os.environ["MASTER_PORT"] = next_port()

from plopkit.cli import main

assert [main(words) for words in torch.load("words")] == [0] * {len(RUNS)}
changes = [one_step(rank, 2, micro_batch) for micro_batch in {MICRO_BATCHES!r}]
synced, by_kernels = (of(torch.load("parts")) for of in (synchronise, synchronise_by_kernels))
torch.save({{"ends": ends, "changes": changes, "synced": synced, "by_kernels": by_kernels}}, f"result.{{rank}}")
assert not other or os.waitpid(other, 0)[1] == 0
"""


class Launched(NamedTuple):
    """What two processes computed, started once for all tests of this file."""

    results: list[dict[str, Any]]
    """by process: how its children ended, what `one_step` changed, what `synchronise` computed, and with kernels"""
    parts: list[torch.Tensor]
    out: Path
    """the runs"""
    stdout: str
    stderr: str


def flags_of(settings: dict[str, Any]) -> list[str]:
    return [word for name, value in settings.items() for word in (f"--{name.replace('__', '.')}", str(value))]


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    """Two processes of this Python; test_launcher.py starts them by torchrun."""
    folder = tmp_path_factory.mktemp("launched")
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(2, 3, 4, 5, generator=generator), 3 + 2 * torch.randn(1, 3, 4, 5, generator=generator)]
    torch.save(parts, folder / "parts")
    words = ["run", "emoji 15-5 overlap", *small_flags(folder / "runs"), *flags_of(RUN)]
    torch.save([[*words, *flags_of(own)] for own in RUNS], folder / "words")
    (folder / "script.py").write_text(SCRIPT)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    results = [torch.load(folder / f"result.{rank}") for rank in range(2)]
    return Launched(results, parts, folder / "runs", done.stdout, done.stderr)


def test_a_process_ends_as_its_program_does(launched: Launched) -> None:
    """Not by SIGABRT, however the program ends and whatever the group's threads still hold."""
    expected = [*[(0,)] * (CLEAN - 1), *ENDINGS.values()]
    for result in launched.results:
        codes = [code for code, _ in result["ends"]]
        assert all(code in possible for code, possible in zip(codes, expected, strict=True)), result["ends"]
        assert [stderr for _, stderr in result["ends"] if "terminate called" in stderr] == []
        assert [stderr for code, stderr in result["ends"] if code == 0 and stderr] == []
    assert "terminate called" not in launched.stderr


def test_inplace_abn_is_refused_where_it_cannot_synchronise(launched: Launched) -> None:
    inplace_abn()
    for result in launched.results:
        assert "inplace-abn synchronises its statistics on GPUs only" in result["synced"]["refused"]


@pytest.mark.parametrize("form", ["synced", "by_kernels"])
def test_statistics_are_those_of_all_processes(launched: Launched, form: str) -> None:
    """One layer that sees all parts is the truth."""
    from plopkit.model.abn import ABN

    parts, synced = launched.parts, [result[form] for result in launched.results]
    layer = ABN(3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.5, -0.5, 0.1]))
        layer.bias.copy_(torch.tensor([0.3, -0.2, 0.0]))
    x = torch.cat(parts).requires_grad_()
    y = layer(x)
    (y * torch.linspace(-1, 1, y[0].numel()).view_as(y[0])).sum().backward()

    def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)

    close(torch.cat([result["y"] for result in synced]), y.detach())
    assert x.grad is not None and layer.weight.grad is not None and layer.bias.grad is not None
    close(torch.cat([result["x"] for result in synced]), x.grad)
    for result in synced:
        close(result["mean"], layer.running_mean)
        close(result["var"], layer.running_var)
        close(2 * result["weight"], layer.weight.grad)  # DistributedDataParallel averages over the processes
        close(2 * result["bias"], layer.bias.grad)
    alone = ABN(3)
    alone.load_state_dict(layer.state_dict())
    assert not torch.allclose(alone(parts[0]), synced[0]["y"], atol=1e-2)  # what one part alone would give


@pytest.mark.parametrize("micro_batch", MICRO_BATCHES)
def test_two_processes_step_as_one_does(launched: Launched, micro_batch: int | None) -> None:
    """Four images and three, whole or in parts of two: every image counts the same, and all processes agree."""
    first, second = (result["changes"][MICRO_BATCHES.index(micro_batch)] for result in launched.results)
    assert torch.equal(first, second)
    # In parts, the images 0 2 and 1 3 go through batch norm together, then 4 6 and 5.
    alone = one_step(0, 1, None) if micro_batch is None else one_step(0, 1, 4, (0, 2, 1, 3, 4, 6, 5))
    assert (first - alone).norm() < 1e-2 * alone.norm()


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_train_as_one_does(launched: Launched, tmp_path: Path, method: str) -> None:
    """Same images, same thresholds, same losses; one process writes. The last digits differ by the order of sums."""
    from plopkit.runs.experiment import run

    alone = run(small(tmp_path / "one", method=method, **RUN), progress=False)
    assert launched.stdout.count("results, pictures and checkpoints:") == len(RUNS)
    (folder,) = [path for path in launched.out.iterdir() if f"_{method}_" in path.name]
    assert folder.name == alone.path.name
    assert contents(folder).keys() == contents(alone.path).keys()
    one, two = (pd.read_csv(path / "ticks.csv") for path in (alone.path, folder))
    assert one["iteration"].tolist() == two["iteration"].tolist()
    first = one.groupby("step").head(1).index
    for name in (column for column in one if column.startswith("loss_")):
        np.testing.assert_allclose(two.loc[first, name], one.loc[first, name], rtol=2e-2, atol=1e-4)
    assert two.loc[first[0], "loss_ce"] == pytest.approx(one.loc[first[0], "loss_ce"], rel=1e-4)
    a, b = (pd.read_csv(path / "results.csv") for path in (alone.path, folder))
    assert a["pixels"].tolist() == b["pixels"].tolist()  # every validation image is counted once


def test_two_processes_have_the_memory_of_one(launched: Launched, tmp_path: Path) -> None:
    """The same images are kept and saved, and trained on at the same places with the same labels."""
    from plopkit.runs.experiment import run
    from plopkit.runs.folder import RunFolder

    one = run(small(tmp_path / "one", method="mib", **MEMORY, **RUN), progress=False)
    (path,) = [path for path in launched.out.iterdir() if "_mib_" in path.name]
    two = RunFolder(path)
    assert path.name == one.path.name and len(one.memory(0)) == 16
    assert two.memory(0).equals(one.memory(0)) and not len(two.memory(1))
    states = [(each.checkpoints / "step-0.state.safetensors").read_bytes() for each in (one, two)]
    assert states[0] == states[1]
    later = [each.ticks[each.ticks["step"] == 1] for each in (one, two)]
    assert len(later[0]) == len(later[1]) > 0
    for name in ("loss_ce", "loss_kd"):
        first, second = (rows[name].iloc[0] for rows in later)
        assert second == pytest.approx(first, rel=2e-2)
