"""A run, from settings to a folder of results; the same settings give the same folder, resumed or read back."""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor
from tqdm.auto import tqdm

from plopkit import viz
from plopkit.datasets.steps import eval_loader
from plopkit.datasets.transforms import picture
from plopkit.methods import FineTuning
from plopkit.model.encoders import Encoder
from plopkit.model.segmenter import Segmenter
from plopkit.presets import method_of, settle
from plopkit.results import step_rows, summarise
from plopkit.runfolder import RunFolder, StepStore, check_room, open_folder, replacing, write_arrays, write_table
from plopkit.scenario import Scenario, Step
from plopkit.settings import Compute, Settings, digest
from plopkit.stepdata import StepData, seed_of
from plopkit.trainer import Tick, Training, batches, evaluate, fit

EXAMPLES = 6  # validation images whose predictions are kept after every step


def run(settings: Settings, progress: bool = True) -> RunFolder:
    """Train and evaluate every step that is not done yet, draw the pictures, and give the finished run's folder.

    Errors in settings and data come before anything is written; a run stopped later goes on from its last epoch.
    """
    return Experiment(settings).run(progress)


Wrap = Callable[[Iterable[Any], str, int], Iterable[Any]]
"""(items, description, their number) -> the same items, with a progress bar."""


def _unwatched(items: Iterable[Any], description: str, total: int) -> Iterable[Any]:
    return items


class Experiment:
    """One run, opened: its settings and data checked, its folder made. ``ticks`` trains it."""

    def __init__(self, settings: Settings):
        self.settings = settle(settings)
        self.method = method_of(self.settings)
        make_accelerator(self.settings.compute)  # refuses what this machine cannot do
        self.data = StepData.open(self.settings)
        self.scenario = self.data.scenario
        steps = len(self.scenario.steps)
        if RunFolder(self.settings.folder()).evaluated() < steps:  # a finished run needs neither room nor weights
            net = first_net(self.settings, self.scenario)  # an unknown encoder shows itself here
            self._rehearse(net)
            check_room(self.settings, 4 * sum(p.numel() for p in net.parameters()) * (steps + 4))
        self.folder = open_folder(self.settings, f"{self.data.train.fingerprint} {self.data.val.fingerprint}\n")

    def run(self, progress: bool = True) -> RunFolder:
        """All that is left, with progress bars."""
        with contextlib.closing(_Bars(progress)) as bars:
            for tick in self.ticks(bars.wrap):
                bars.show(tick, len(self.scenario.steps))
        return self.folder

    def ticks(self, wrap: Wrap = _unwatched) -> Iterator[Tick]:
        """Train and evaluate what is left, iteration by iteration. Who stops asking loses the current epoch only."""
        for step in self.scenario.steps:
            accelerator = make_accelerator(self.settings.compute)  # a new one frees what the last step's held
            store = self._store(step)
            if not store.checkpoint.is_file():
                kept = self._kept(step)
                if not kept.checkpoint.is_file():
                    yield from self._train_step(step, kept, accelerator, wrap)
                if kept != store:
                    kept.copy_to(store)
            if self.folder.evaluated() <= step.index:
                self._evaluate_step(step, accelerator, wrap)
        self._draw()

    def net(self, index: int) -> Segmenter:
        """The net as it is after step ``index``, from the run's checkpoint."""
        model = self.settings.model.model_copy(update={"weights": "none"})  # the checkpoint brings them all
        net = first_net(self.settings.model_copy(update={"model": model}), self.scenario)
        for step in self.scenario.steps[1 : index + 1]:
            net = net.grown(len(step.new))
        net.load_state_dict(self._store(self.scenario.steps[index]).weights())
        return net

    def _rehearse(self, net: Segmenter) -> None:
        """One blank batch through the method: what does not fit shows itself now, and not after hours of step 0."""
        s, method, step = self.settings, self.method, self.scenario.steps[:2][-1]
        images = torch.zeros(min(2, s.optim.batch), 3, s.data.size, s.data.size)
        target = torch.full((len(images), s.data.size, s.data.size), step.n_seen - 1)
        try:
            with seeded(s.seed):
                if step.index == 0 or not method.needs_teacher:
                    net(images)
                else:
                    teacher, student = net.frozen(), net.grown(len(step.new), method.balanced)
                    prepared = method.prepare(teacher, [(images, target)], step)
                    method.losses(student(images), teacher(images), target, step, prepared)
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"a batch of {s.optim.batch} images of {s.data.size} pixels does not go through {method.title}: "
                f"{error}; change data.size, optim.batch, model.output_stride or a hyper-parameter"
            ) from error

    def _train_step(self, step: Step, kept: StepStore, accelerator: Accelerator, wrap: Wrap) -> Iterator[Tick]:
        """Train one step to its checkpoint, going on from its last finished epoch."""
        s, method = self.settings, self.method if step.index else FineTuning()
        teacher = None
        if step.index == 0:
            net = first_net(s, self.scenario)
        else:
            before = self.net(step.index - 1)
            teacher = before.frozen().to(accelerator.device) if method.needs_teacher else None
            with seeded(s.seed, step.index):
                net = before.grown(len(step.new), method.balanced)
        training = Training(net.to(accelerator.device), s.optim, step, as_first=method.rehearses)
        done: list[dict[str, Any]] = []
        if (found := kept.load_epoch()) is not None:
            training.restore(found[0])
            if accelerator.scaler is not None:
                accelerator.scaler.load_state_dict(found[0]["scaler"])
            done = found[1]
        loader = self.data.train_loader(step, rehearse=method.rehearses and step.index > 0)
        prepared = None
        if teacher is not None:
            seen = wrap(batches(loader, 0, accelerator), f"step {step.index}: the teacher's look", len(loader))
            prepared = method.prepare(teacher, seen, step, reduce=lambda counts: _summed(counts, accelerator))
        for tick in fit(training, loader, method, step, accelerator, teacher, prepared):
            done.append(asdict(tick))
            if tick.epoch_done:
                scaler = accelerator.scaler.state_dict() if accelerator.scaler else {}
                kept.save_epoch(training.state() | {"scaler": scaler}, done)
            yield tick
        kept.finish(training.net.state_dict(), done, {"classes": json.dumps(training.net.classes)})

    def _evaluate_step(self, step: Step, accelerator: Accelerator, wrap: Wrap) -> None:
        """Write a step's rows. ``results.csv`` comes last: a step that stands in it is done."""
        net = self.net(step.index).to(accelerator.device)
        loader = self.data.eval_loader(step)
        counts = evaluate(net, wrap(loader, f"step {step.index}: evaluation", len(loader)), step.n_seen)
        s = self.settings
        rows = step_rows(self.scenario, s.method, s.seed, step, counts.numpy(), self.data.val.classes)
        if step.index:
            rows = pd.concat([self.folder.results, rows], ignore_index=True)
        self._write_examples(step, net)
        self._write_ticks(step)
        write_table(self.folder.path / "summary.csv", summarise(rows))
        write_table(self.folder.path / "results.csv", rows)

    def _write_examples(self, step: Step, net: Segmenter) -> None:
        """Predictions, as labels, on a few validation images, beside those of the steps before."""
        samples = self.data.examples(EXAMPLES)
        label_of = np.full(256, 255, np.uint8)
        label_of[: self.scenario.n_labels] = self.scenario.order
        image, target = next(iter(eval_loader(samples, len(samples))))
        with torch.no_grad():
            channels = net.eval()(image.to(next(net.parameters()).device)).logits.argmax(1).cpu().numpy()
        now = label_of[channels][None]
        write_arrays(
            self.folder.path / "examples.npz",
            images=np.stack([picture(one).numpy() for one in image]),
            masks=label_of[target.numpy()],
            predictions=np.concatenate([self.folder.examples["predictions"][: step.index], now]) if step.index else now,
            stems=np.array([self.data.val.stems[i] for i in samples.indices]),
            names=np.array(self.data.val.classes),
            credit=np.array(self.data.val.credit),
        )

    def _write_ticks(self, step: Step) -> None:
        ticks = [tick for index in range(step.index + 1) for tick in self._store(self.scenario.steps[index]).ticks()]
        rows = [tick | {f"loss_{name}": value for name, value in tick["losses"].items()} for tick in ticks]
        write_table(
            self.folder.path / "ticks.csv", pd.DataFrame(rows).drop(columns=["epoch_done", "epochs", "of", "losses"])
        )

    def _draw(self) -> None:
        s = self.settings
        title = f"{s.scenario}, {self.method.title}, seed {s.seed}"
        figures = {
            "curves.png": lambda: viz.forgetting_curves(self.folder.summary, title),
            "losses.png": lambda: viz.loss_curves(self.folder.ticks, title),
            "predictions.png": lambda: viz.strip(self.folder.examples, title),
        }
        for name, draw in figures.items():
            if not (self.folder.pictures / name).is_file():
                with replacing(self.folder.pictures / name) as part:
                    draw().savefig(part, dpi=130, format="png")

    def _store(self, step: Step) -> StepStore:
        return StepStore(self.folder.checkpoints, step.index)

    def _kept(self, step: Step) -> StepStore:
        """Where a step is trained: step 0 in a folder that every method with the same other settings shares."""
        source = digest([self.settings.step0_fingerprint(), self.data.train.fingerprint])
        shared: Path = self.settings.out / ".step0" / source
        return self._store(step) if step.index else StepStore(shared, 0)


class _Bars:
    """tqdm bars: one per step that tells epoch, losses and time left, and one for each other long pass."""

    def __init__(self, shown: bool):
        self.shown = shown
        self.bar: tqdm | None = None
        self.step = -1

    def wrap(self, items: Iterable[Any], description: str, total: int) -> Iterable[Any]:
        self.close()
        return tqdm(items, description, total, leave=False, disable=not self.shown)

    def show(self, tick: Tick, steps: int) -> None:
        if self.bar is None or tick.step != self.step:
            self.close()
            self.bar = tqdm(total=tick.of, initial=tick.iteration, disable=not self.shown)
            self.step = tick.step
        self.bar.set_description(f"step {tick.step}/{steps - 1} epoch {tick.epoch + 1}/{tick.epochs}", refresh=False)
        told = " ".join(f"{name} {value:.3g}" for name, value in tick.losses.items())
        self.bar.set_postfix_str(told, refresh=False)
        self.bar.update()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def first_net(settings: Settings, scenario: Scenario) -> Segmenter:
    """The net of step 0, its new weights drawn from the seed."""
    m = settings.model
    with seeded(settings.seed):
        encoder = Encoder(m.encoder, m.output_stride, m.weights, m.stages)
        net = Segmenter(encoder, (scenario.steps[0].n_seen,), m.width, m.dilations, m.pool)
    # Depthwise convolutions on a CPU, and half precision on a GPU, are several times faster so.
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def make_accelerator(compute: Compute) -> Accelerator:
    """Accelerate's device and precision, which may change between runs; its global state forbids it."""
    AcceleratorState._reset_state(reset_partial_state=True)
    precision = "no" if compute.precision == "fp32" else compute.precision
    accelerator = Accelerator(mixed_precision=precision, cpu=compute.cpu)
    if precision == "fp16" and accelerator.device.type == "cpu":
        raise ValueError("compute.precision fp16 needs a GPU, and this run is on the CPU; use bf16 or fp32")
    if accelerator.num_processes > 1:
        raise ValueError(
            f"{accelerator.num_processes} processes: plopkit trains in one for now; start it without launch"
        )
    return accelerator


def _summed(counts: Tensor, accelerator: Accelerator) -> Tensor:
    """Over all processes."""
    return accelerator.reduce(counts, "sum") if accelerator.num_processes > 1 else counts


@contextlib.contextmanager
def seeded(*parts: int) -> Iterator[None]:
    """torch's generator with a seed of these numbers inside; as it was outside."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(*parts))
        yield
