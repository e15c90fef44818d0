"""Training in several processes: statistics over all of them, and a run that equals that of one process."""

import inspect
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from required import inplace_abn
from small_runs import contents, small, small_flags

SYNC = """
import importlib.util, sys, torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
sys.path.insert(0, sys.argv[1])
from plopkit.model.norms import norm_of

distributed.init_process_group("gloo")
rank = distributed.get_rank()
layer = norm_of("abn")(3, "leaky_relu")
with torch.no_grad():
    layer.weight.copy_(torch.tensor([1.5, -0.5, 0.1]))
    layer.bias.copy_(torch.tensor([0.3, -0.2, 0.0]))
x = torch.load(sys.argv[2])[rank].clone().requires_grad_()
wrapped = DistributedDataParallel(layer)
y = wrapped(x.clone())
(y * torch.linspace(-1, 1, y[0].numel()).view_as(y[0])).sum().backward()
kept = {"y": y.detach(), "x": x.grad, "mean": layer.running_mean, "var": layer.running_var}
kept |= {"weight": layer.weight.grad, "bias": layer.bias.grad}
if importlib.util.find_spec("inplace_abn"):
    try:
        norm_of("iabn")(3, "leaky_relu")(x.detach().clone())
    except ValueError as error:
        kept["refused"] = str(error)
torch.save(kept, f"{sys.argv[3]}.{rank}")
distributed.destroy_process_group()
"""


def launch(arguments: list[str], folder: Path) -> str:
    """Two processes of this Python; what they printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-addr", "127.0.0.1", "--master-port", str(port), *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[torch.Tensor], list[dict[str, Any]]]:
    """Each process has a part, of another size and mean than the other's; what each found."""
    folder = tmp_path_factory.mktemp("synced")
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(2, 3, 4, 5, generator=generator), 3 + 2 * torch.randn(1, 3, 4, 5, generator=generator)]
    torch.save(parts, folder / "parts")
    (folder / "sync.py").write_text(SYNC)
    launch(["sync.py", str(Path(__file__).parents[1]), "parts", "found"], folder)
    return parts, [torch.load(folder / f"found.{rank}") for rank in range(2)]


def test_inplace_abn_does_not_go_unsynchronised(synced: tuple[list[torch.Tensor], list[dict[str, Any]]]) -> None:
    inplace_abn()
    for found in synced[1]:
        assert "inplace-abn synchronises its statistics on GPUs only" in found["refused"]


def test_statistics_are_those_of_all_processes(synced: tuple[list[torch.Tensor], list[dict[str, Any]]]) -> None:
    """One layer that sees all parts is the truth."""
    from plopkit.model.abn import ABN

    parts, found = synced
    layer = ABN(3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.5, -0.5, 0.1]))
        layer.bias.copy_(torch.tensor([0.3, -0.2, 0.0]))
    x = torch.cat(parts).requires_grad_()
    y = layer(x)
    (y * torch.linspace(-1, 1, y[0].numel()).view_as(y[0])).sum().backward()

    def close(one: torch.Tensor, other: torch.Tensor) -> None:
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)

    close(torch.cat([f["y"] for f in found]), y.detach())
    assert x.grad is not None and layer.weight.grad is not None and layer.bias.grad is not None
    close(torch.cat([f["x"] for f in found]), x.grad)
    for f in found:
        close(f["mean"], layer.running_mean)
        close(f["var"], layer.running_var)
        close(2 * f["weight"], layer.weight.grad)  # DistributedDataParallel averages over the processes
        close(2 * f["bias"], layer.bias.grad)
    alone = ABN(3)
    alone.load_state_dict(layer.state_dict())
    assert not torch.allclose(alone(parts[0]), found[0]["y"], atol=1e-2)  # not what a layer of its own would give


def one_step(number: int, of: int, micro_batch: int | None, order: tuple[int, ...] = tuple(range(7))) -> torch.Tensor:
    """How one iteration on this process's part of seven images changes the net."""
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
    mine = list(order)[number::of]
    training = Training(net, Optim(name="sgd", lr_later=1e-3, epochs_later=1, batch=7), step)
    before = torch.cat([p.detach().flatten() for p in net.parameters()])
    list(fit(training, [(images[mine], targets[mine])], MiB(), step, Accelerator(cpu=True), teacher, None, micro_batch))
    return torch.cat([p.detach().flatten() for p in net.parameters()]) - before


@pytest.fixture(scope="module")
def shared_out(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of two methods' runs, trained by two processes one after the other, and what was printed.

    Beside it, what ``one_step`` gave each process.
    """
    folder = tmp_path_factory.mktemp("shared")
    flags = ["--model.encoder", "resnet18", "--optim.name", "sgd", "--optim.lr", "0.01", "--model.width", "32"]
    flags += ["--optim.batch", "7"]  # four images and three
    words = ["run", "emoji 15-5 overlap", *small_flags(folder / "two"), *flags, "--method"]
    lines = ["from plopkit.cli import main", *(f"assert main({[*words, method]}) == 0" for method in ("plop", "ewc"))]
    lines += [inspect.getsource(one_step), "import os, torch", "rank = int(os.environ['RANK'])"]
    lines += ["torch.save([one_step(rank, 2, micro) for micro in (None, 2)], f'change.{rank}')"]
    (folder / "both.py").write_text("\n".join(["from __future__ import annotations", *lines]))
    return folder / "two", launch(["both.py"], folder)


@pytest.mark.parametrize("micro_batch", [None, 2])
def test_two_processes_step_as_one_does(shared_out: tuple[Path, str], micro_batch: int | None) -> None:
    """Four images and three, whole or in parts of two: every image counts the same, and all processes agree."""
    place = 0 if micro_batch is None else 1
    first, second = (torch.load(shared_out[0].parent / f"change.{rank}")[place] for rank in range(2))
    assert torch.equal(first, second)
    # In parts, the images 0 2 and 1 3 go through batch norm together, then 4 6 and 5.
    alone = one_step(0, 1, None) if micro_batch is None else one_step(0, 1, 4, (0, 2, 1, 3, 4, 6, 5))
    assert (first - alone).norm() < 1e-2 * alone.norm()


@pytest.mark.parametrize("method", ["plop", "ewc"])
def test_two_processes_train_as_one_does(shared_out: tuple[Path, str], tmp_path: Path, method: str) -> None:
    """Same images, same thresholds, same losses; one writes. The last digits differ by the order of sums."""
    from plopkit.runs.experiment import run

    more = {"model__encoder": "resnet18", "optim__name": "sgd", "optim__lr": 0.01, "model__width": 32}
    alone = run(small(tmp_path / "one", method=method, optim__batch=7, **more), progress=False)
    out, told = shared_out
    assert told.count("results, pictures and checkpoints:") == 2
    (folder,) = [path for path in out.iterdir() if f"_{method}_" in path.name]
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
