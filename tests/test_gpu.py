"""What only a GPU can show: the loop waits for nothing, and numbers, precisions, compiled nets and resuming are right.

Skipped where there is no GPU, or failed if PLOPKIT_REQUIRED names gpu. tests/test_ticks.py counts the loop's waits on a
CPU that passes for a GPU.
"""

import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from batches import WITHOUT_WAITS, begun, prepared_by
from encoder_cases import CASES
from interrupted import resumed
from required import inplace_abn, missing
from small_runs import TWO_EPOCHS, small, small_flags, ticks_until
from torch import Tensor

from plopkit import pod
from plopkit.backward import value_of
from plopkit.compute import make_accelerator
from plopkit.methods import METHODS, Batch, StepContext
from plopkit.model import synchronised
from plopkit.model.norms import norm_of
from plopkit.model.segmenter import Segmenter
from plopkit.model.synchronised import Running
from plopkit.pseudo import pseudo_label, released_thresholds
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.folder import RunFolder
from plopkit.scenario import Scenario
from plopkit.settings import Optim
from plopkit.trainer import Training, fit, teacher_output

Nets = Callable[..., Segmenter]
SCENARIO = Scenario.parse("emoji 15-5 overlap")
SECOND = SCENARIO.steps[1]
EXACT = {"compute__cpu": False, "compute__tf32": False, "compute__search": False}
"""Settings with which a GPU computes in float32 as a CPU does."""


@pytest.fixture(autouse=True)
def _gpu() -> Iterator[None]:
    if not torch.cuda.is_available():
        missing("gpu", "there is no NVIDIA GPU")
    yield
    on_waiting("default")


def on_waiting(mode: str) -> None:
    """What torch does where the host would wait for the GPU: "default" or "error"."""
    with warnings.catch_warnings(action="ignore"):  # that this is a prototype
        torch.cuda.set_sync_debug_mode(mode)


def accelerator_of(folder: Path, precision: str = "fp32", **settings: Any) -> Accelerator:
    return make_accelerator(small(folder, compute__precision=precision, **(EXACT | settings)))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("name", WITHOUT_WAITS)
def test_the_loop_waits_for_nothing(name: str, precision: str, tiny_net: Nets, tmp_path: Path) -> None:
    """torch raises where the host would wait for the GPU; a loss is read through an event, which is no such wait."""
    accelerator = accelerator_of(tmp_path, precision)
    method = METHODS[name]()
    before, teacher, net = (part and part.cuda() for part in begun(method, tiny_net(16), SCENARIO))
    assert before is not None and net is not None
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 64, 64, generator=generator).pin_memory()
    targets = torch.randint(16, 21, (4, 64, 64), generator=generator).pin_memory()
    batches = [(images, targets)] * 3
    regularizer = method.regularizer(net, {})
    if regularizer is not None:  # one that has learnt importances
        regularizer = method.regularizer(net, regularizer.final_state(net))
    training = Training(net, Optim(epochs_later=2, epochs=2, batch=4), SECOND, method, regularizer)
    on_device = [(image.cuda(), target.cuda()) for image, target in batches]
    prepared = prepared_by(method, teacher or before, on_device, SECOND)
    ticks = fit(training, batches, method, SECOND, accelerator, teacher, prepared)
    found = [next(ticks)]  # libraries may wait while they start
    # A scaler of half precision and a regularizer share one look at the gradients, which a test of compute.py counts.
    on_waiting("default" if precision == "fp16" and regularizer else "error")
    found += ticks
    on_waiting("default")
    assert [tick.iteration for tick in found] == list(range(6))


def test_the_check_for_waits_can_fail() -> None:
    on_waiting("error")
    with pytest.raises(RuntimeError, match="synchroniz"):
        torch.ones(3, device="cuda").sum().item()


def test_the_parts_of_a_loss_are_those_of_a_cpu() -> None:
    generator = torch.Generator().manual_seed(0)
    old, new = (torch.randn(2, 24, 32, 32, generator=generator) for _ in range(2))
    logits = 3 * torch.randn(2, 16, 64, 64, generator=generator)
    target = torch.where(torch.rand(2, 64, 64, generator=generator) < 0.8, 0, 18)

    def on(device: str) -> list[Tensor]:
        channels_last = new.to(device, memory_format=torch.channels_last).requires_grad_()
        distance = pod.pod_distance(channels_last, old.to(device))
        distance.backward()
        limits = released_thresholds([(logits.to(device), target.to(device))], 16, 21)
        found = pseudo_label(logits.to(device), target.to(device), 16, limits)
        assert channels_last.grad is not None
        return [distance.detach(), channels_last.grad, limits.values, *found]

    for found, expected in zip(on("cuda"), on("cpu"), strict=True):
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "prototypes"])
def test_the_terms_of_every_method_are_those_of_a_cpu(
    name: str, tiny_net: Nets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accelerator_of(tmp_path)  # no TF32
    method = METHODS[name]()
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(4, 3, 64, 64, generator=generator)
    target = torch.randint(15, 21, (4, 64, 64), generator=generator)
    target[target == 15] = 0
    randn = torch.randn

    def drawn_alike(*shape: int, device: Any = None, generator: Any = None) -> Tensor:
        return randn(*shape, generator=generator or torch.Generator().manual_seed(0)).to(device)

    monkeypatch.setattr(torch, "randn", drawn_alike)

    def on(device: str) -> dict[str, Tensor]:
        torch.manual_seed(0)
        before, teacher, net = begun(method, tiny_net(16), SCENARIO)
        with torch.no_grad():  # away from the teacher, from which RCIL's net differs by rounding alone
            for parameter in net.parameters():
                parameter += 0.05 * parameter.square().mean().sqrt() * drawn_alike(*parameter.shape)
        before, teacher, net = (part and part.to(device).eval() for part in (before, teacher, net))
        assert before is not None and net is not None
        data = image.to(device), target.to(device)
        prepared = prepared_by(method, teacher or before, [data], SECOND)
        out, old = net(data[0]), teacher_output(teacher, data[0])
        terms = method.losses(Batch(out, old, data[1], net, StepContext(SECOND, teacher), prepared))
        values = {name: value_of(term) for name, term in terms.items()}
        torch.stack(list(values.values())).sum().backward()
        gradients = {name: parameter.grad for name, parameter in net.named_parameters() if parameter.grad is not None}
        return {name: value.detach().cpu() for name, value in (values | gradients).items()}

    expected, found = on("cpu"), on("cuda")
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(
            found[key], value, rtol=1e-3, atol=1e-3 * value.abs().max().item() + 1e-7, msg=f"{key}: {{}}".format
        )


def test_the_first_losses_are_those_of_a_cpu(tmp_path: Path) -> None:
    losses = {}
    for name, settings in (("cpu", {}), ("cuda", EXACT)):
        ticks = Experiment.open(small(tmp_path / name, **settings)).ticks()
        losses[name] = [next(ticks).total for _ in range(3)]
        ticks.close()
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=2e-3)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_and_is_near(precision: str, tmp_path: Path) -> None:
    exact = run(small(tmp_path / "fp32", **EXACT), progress=False).ticks
    half = run(small(tmp_path / "half", compute__cpu=False, compute__precision=precision), progress=False).ticks
    columns = [name for name in exact if name.startswith("loss_")]
    first = [table.groupby("step")[columns].first().iloc[0].dropna() for table in (exact, half)]
    assert first[1].to_dict() == pytest.approx(first[0].to_dict(), rel=0.03)
    assert len(half) == len(exact)


@pytest.mark.parametrize("compile", ["yes", "graphs"])
def test_a_compiled_net_computes_the_same(compile: str, tmp_path: Path) -> None:
    """In a process without the tests' checks of shapes, which torch cannot compile."""
    exact = ["--compute.no-cpu", "--compute.no-tf32", "--compute.no-search", "--name", "it", "--quiet"]

    def trained(compile: str) -> RunFolder:
        out = tmp_path / compile
        command = [sys.executable, "-m", "plopkit", "run", "emoji 15-5 overlap", *small_flags(out), *exact]
        done = subprocess.run([*command, "--compute.compile", compile], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return RunFolder(out / "it")

    plain, other = trained("no"), trained(compile)
    columns = [name for name in plain.ticks if name.startswith("loss_")]
    first = [folder.ticks.groupby("step")[columns].first().loc[0].dropna().to_dict() for folder in (plain, other)]
    assert first[1] == pytest.approx(first[0], rel=1e-3)
    assert other.summary["step"].tolist() == plain.summary["step"].tolist() == [0, 1]
    assert other.summary["all"].between(0, 100).all()


def test_a_run_is_resumed_where_it_was(tmp_path: Path) -> None:
    def losses(folder: str, *stops: tuple[int, int]) -> dict[tuple[int, int], float]:
        settings = small(tmp_path / folder, **EXACT, **TWO_EPOCHS)
        found: dict[tuple[int, int], float] = {}
        for stop in (*stops, None):

            def seen(tick: Any, stop: Any = stop) -> bool:
                found[tick.step, tick.iteration] = tick.total
                return (tick.step, tick.epoch) == stop and tick.epoch_done

            ticks_until(Experiment.open(settings), seen)
        return found

    straight, resumed = losses("straight"), losses("resumed", (0, 0), (1, 0))
    assert resumed.keys() == straight.keys()
    half = max(iteration for step, iteration in straight if step == 0) // 2 + 1
    assert resumed[0, half] == pytest.approx(straight[0, half], rel=1e-2)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize(("method", "encoder", "decoder", "frozen"), CASES)
def test_every_method_resumes_with_a_transformer(
    method: str, encoder: str, decoder: str, frozen: bool, precision: str, tmp_path: Path
) -> None:
    """All iterations and steps are there. Bytes are not the same: a GPU may add up in another order."""
    model = {"model__encoder": encoder, "model__decoder": decoder, "model__frozen": frozen}
    run = resumed(tmp_path, method, **model, **EXACT, compute__precision=precision, optim__epochs_later=2)
    # A tick comes while the next iteration is under way, which was saved with it.
    assert run.trained_after == run.trained[2:]
    assert run.trained_after or method == "prototypes"
    straight, stopped = (RunFolder(next(tmp_path.glob(f"{inside}*/results.csv")).parent) for inside in ("", "stopped/"))
    places = [folder.ticks.filter(["step", "epoch", "iteration"]).to_numpy().tolist() for folder in (straight, stopped)]
    assert places[0] == places[1]
    assert straight.summary["step"].tolist() == stopped.summary["step"].tolist() == [0, 1]


def test_batch_norm_of_two_processes_is_that_of_all_their_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads pass for processes: one GPU cannot hold two of NCCL's."""
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn(5, 8, 6, 7, generator=generator).cuda()
    weight = torch.randn(5, 8, 6, 7, generator=generator).cuda()
    scale, bias = torch.rand(8, generator=generator).cuda(), torch.rand(8, generator=generator).cuda()
    meeting, given = threading.Barrier(2), {}

    def together(tensor: Tensor) -> list[Tensor]:
        given[threading.current_thread().name] = tensor.clone()
        meeting.wait()
        both = [given["0"], given["1"]]
        meeting.wait()
        return both

    def all_gather(out: list[Tensor], tensor: Tensor) -> None:
        for place, value in zip(out, together(tensor), strict=True):
            place.copy_(value)

    def all_reduce(tensor: Tensor) -> None:
        tensor.copy_(torch.stack(together(tensor)).sum(0))

    monkeypatch.setattr(synchronised, "processes", lambda: 2)
    monkeypatch.setattr(synchronised.distributed, "all_gather", all_gather)
    monkeypatch.setattr(synchronised.distributed, "all_reduce", all_reduce)
    found: dict[str, list[Tensor]] = {}

    def process(name: str, part: slice) -> None:
        running = Running(torch.zeros(8).cuda(), torch.ones(8).cuda(), 0.1)
        x = whole[part].clone(memory_format=torch.channels_last).requires_grad_()
        y = synchronised.synchronised(x, scale, bias, running, 1e-5)
        # Called by itself: autograd has one thread for each device, where a process would wait for the other for ever.
        gradient, *_ = synchronised._Kernels.backward(y.grad_fn, weight[part])
        assert gradient is not None
        found[name] = [y.detach(), gradient, running.mean, running.var]

    threads = [
        threading.Thread(target=process, args=(name, part), name=name)
        for name, part in (("0", slice(0, 2)), ("1", slice(2, 5)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    mean, var = torch.zeros(8).cuda(), torch.ones(8).cuda()
    x = whole.clone().requires_grad_()
    y = torch.nn.functional.batch_norm(x, mean, var, scale, bias, True, 0.1, 1e-5)
    (y * weight).sum().backward()
    assert x.grad is not None
    for index, expected in enumerate((y.detach(), x.grad)):
        torch.testing.assert_close(torch.cat([found["0"][index], found["1"][index]]), expected, rtol=1e-4, atol=1e-5)
    for name in ("0", "1"):
        torch.testing.assert_close(found[name][2:], [mean, var], rtol=1e-4, atol=1e-6)


def test_inplace_abn_computes_what_abn_computes() -> None:
    inplace_abn()
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(4, 8, 16, 16, generator=generator).cuda()
    found = []
    for name in ("abn", "iabn"):
        layer = norm_of(name)(8, "leaky_relu").cuda()
        x = image.clone().requires_grad_()
        y = layer(x.clone())
        (y * torch.linspace(-1, 1, y.numel(), device="cuda").view_as(y)).sum().backward()
        assert x.grad is not None
        found.append([y.detach(), x.grad, layer.running_mean, layer.running_var])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
