"""A run, from settings to a folder of results; the same settings give the same folder, resumed or read back."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator

from plopkit import viz
from plopkit.compute import make_accelerator, summed
from plopkit.datasets.scenario_data import StepData
from plopkit.datasets.steps import Selection, eval_loader
from plopkit.datasets.transforms import picture
from plopkit.methods import FineTuning
from plopkit.model.segmenter import Segmenter, segmenter_of
from plopkit.presets import method_of, settle
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.folder import RunFolder, check_room, open_folder
from plopkit.runs.progress import Bars, Wrap, no_progress
from plopkit.runs.results import step_rows, summarise
from plopkit.scenario import Scenario, Step
from plopkit.settings import Settings, digest
from plopkit.support.files import write_arrays, write_table
from plopkit.support.seeding import seeded
from plopkit.trainer import Tick, Training, batches, evaluate, fit
from plopkit.viz.png import save

EXAMPLES = 6  # validation images whose predictions are kept after every step


def run(settings: Settings, progress: bool = True) -> RunFolder:
    """Train and evaluate every step that is not done yet, draw the pictures, and give the finished run's folder.

    Errors in settings and data come before anything is written; a run stopped later goes on from its last epoch.
    """
    return Experiment(settings).run(progress)


class Experiment:
    """One run, opened: its settings and data checked, its folder made. ``ticks`` trains it."""

    def __init__(self, settings: Settings, checkpoints: str = ""):
        """checkpoints: a digest of ready ones, soon put in the folder; nothing is checked for training then."""
        self.settings = settle(settings)
        self.method = method_of(self.settings)
        accelerator = make_accelerator(self.settings)  # refuses what this machine cannot do
        self.main = accelerator.is_main_process
        """Does this process write? With several, one does, and all train."""
        self.data = StepData.open(self.settings, trains=not checkpoints)
        self.scenario = self.data.scenario
        steps = len(self.scenario.steps)
        self.folder = RunFolder(self.settings.folder())
        if self.folder.evaluated() < steps:  # a finished run needs neither room nor weights
            net = first_net(self.settings, self.scenario)  # an unknown encoder shows itself here
            if not checkpoints:
                self._rehearse(net.to(accelerator.device), accelerator)
            copies = 3 if self.method.own_first_step else 1  # what a watcher keeps is as large as the net, or twice
            check_room(self.settings, 4 * sum(p.numel() for p in net.parameters()) * (steps + 4) * copies)
        if self.main:
            known = (self.data.train.fingerprint, self.data.val.fingerprint, checkpoints)
            open_folder(self.settings, " ".join(filter(None, known)) + "\n")

    def run(self, progress: bool = True) -> RunFolder:
        """All that is left, with progress bars."""
        with contextlib.closing(Bars(progress and self.main)) as bars:
            for tick in self.ticks(bars.wrap):
                bars.show(tick, len(self.scenario.steps))
        return self.folder

    def ticks(self, wrap: Wrap = no_progress) -> Iterator[Tick]:
        """Train and evaluate what is left, iteration by iteration. Who stops asking loses the current epoch only.

        ValueError where another process is at this run.
        """
        left = self.folder.evaluated() < len(self.scenario.steps)
        with self.folder.locked() if left and self.main else contextlib.nullcontext():
            yield from self._steps(wrap)

    def _steps(self, wrap: Wrap) -> Iterator[Tick]:
        for step in self.scenario.steps:
            accelerator = make_accelerator(self.settings)  # a new one frees what the last step's held
            store, kept = self._store(step), self._kept(step)
            train = not store.checkpoint.is_file() and not kept.checkpoint.is_file()
            judge = self.folder.evaluated() <= step.index
            accelerator.wait_for_everyone()  # all processes look before one writes
            if train:
                yield from self._train_step(step, kept, accelerator, wrap)
            if self.main and kept != store and not store.checkpoint.is_file():
                kept.copy_to(store)
            accelerator.wait_for_everyone()
            if judge:
                self._evaluate_step(step, accelerator, wrap)
            accelerator.wait_for_everyone()
        if self.main:
            self._draw()

    def net(self, index: int) -> Segmenter:
        """The net as it is after step ``index``, from the run's checkpoint."""
        return self.folder.net(index).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def retrain_step(self, index: int) -> tuple[Segmenter, Iterator[Tick]]:
        """Step ``index`` once more, to watch it: the net as the step begins with it, and its training, of which nothing
        is kept. Each tick drawn trains that net by one iteration, as the run did."""
        training, ticks = self._begin(self.scenario.steps[index], make_accelerator(self.settings), no_progress)
        return training.net, ticks

    def _rehearse(self, net: Segmenter, accelerator: Accelerator) -> None:
        """One blank batch through the method: what does not fit shows itself now, and not after hours of step 0."""
        s, method, step = self.settings, self.method, self.scenario.steps[:2][-1]
        device = next(net.parameters()).device
        images = torch.zeros(min(2, s.optim.batch), 3, s.data.size, s.data.size, device=device)
        target = torch.full((len(images), s.data.size, s.data.size), step.n_seen - 1, device=device)
        try:
            with seeded(s.seed), accelerator.autocast():
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
        training, ticks = self._begin(step, accelerator, wrap)
        done: list[dict[str, Any]] = []
        if (found := kept.load_epoch()) is not None:
            training.restore(found[0])
            if accelerator.scaler is not None:
                accelerator.scaler.load_state_dict(found[0]["scaler"])
            done = found[1]
        for tick in ticks:
            done.append(asdict(tick))
            if tick.epoch_done and self.main:
                scaler = accelerator.scaler.state_dict() if accelerator.scaler else {}
                kept.save_epoch(training.state() | {"scaler": scaler}, done)
            yield tick
        if self.main:
            memory = None if training.watcher is None else training.watcher.memory(training.net)
            kept.finish(training.net.state_dict(), done, {"classes": json.dumps(training.net.classes)}, memory)

    def _begin(self, step: Step, accelerator: Accelerator, wrap: Wrap) -> tuple[Training, Iterator[Tick]]:
        """A step about to be trained, from the checkpoint of the step before; each tick drawn trains it on."""
        s, method = self.settings, self.method if step.index or self.method.own_first_step else FineTuning()
        teacher = None
        if step.index == 0:
            net = first_net(s, self.scenario)
        else:
            before = self.net(step.index - 1)
            if method.needs_teacher:
                teacher = before.frozen().to(accelerator.device)
            with seeded(s.seed, step.index):
                net = before.grown(len(step.new), method.balanced)
        net = net.to(accelerator.device)
        if accelerator.num_processes > 1 and accelerator.device.type == "cuda":
            net.encoder.synchronise()
        memory = self._store(self.scenario.steps[step.index - 1]).memory() if step.index else None
        training = Training(net, s.optim, step, method.rehearses, method.watcher(net, memory))
        shard = (accelerator.process_index, accelerator.num_processes)
        everything = method.rehearses and step.index > 0
        selection = Selection.all_seen(step, self.data.presence[0]) if everything else None
        loader = self.data.train_loader(step, selection, shard)
        prepared = None
        if teacher is not None:
            seen = wrap(batches(loader, 0, accelerator), f"step {step.index}: the teacher's look", len(loader))
            with accelerator.autocast():  # the teacher answers as it will in training
                prepared = method.prepare(teacher, seen, step, reduce=lambda counts: summed(counts, accelerator))
        return training, fit(training, loader, method, step, accelerator, teacher, prepared, s.compute.micro_batch)

    def _evaluate_step(self, step: Step, accelerator: Accelerator, wrap: Wrap) -> None:
        """Write a step's rows. ``results.csv`` comes last: a step that stands in it is done."""
        net = self.net(step.index).to(accelerator.device)
        loader = self.data.eval_loader(step, (accelerator.process_index, accelerator.num_processes))
        counts = evaluate(net, wrap(loader, f"step {step.index}: evaluation", len(loader)), step.n_seen)
        counts = summed(counts.to(accelerator.device), accelerator).cpu()
        if not self.main:
            return
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
        label_of = self.scenario.steps[-1].label_of
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
        table = pd.DataFrame(rows, columns=None if rows else ["step"])  # a checkpoint from elsewhere brings none
        write_table(
            self.folder.path / "ticks.csv",
            table.drop(columns=["epoch_done", "epochs", "of", "losses"], errors="ignore"),
        )

    def _draw(self) -> None:
        s = self.settings
        title = f"{s.scenario}, {self.method.title}, seed {s.seed}"
        figures = {
            "curves.png": lambda: viz.forgetting_curves(self.folder.summary, title),
            "losses.png": lambda: viz.loss_curves(self.folder.ticks, title),
            "predictions.png": lambda: viz.strip(self.folder.examples, title),
        }
        if not len(self.folder.ticks):
            del figures["losses.png"]
        for name, draw in figures.items():
            if not (self.folder.pictures / name).is_file():
                save(draw(), self.folder.pictures / name)

    def _store(self, step: Step) -> StepStore:
        return StepStore(self.folder.checkpoints, step.index)

    def _kept(self, step: Step) -> StepStore:
        """Where a step is trained: step 0 in a folder that all runs share whose step 0 is the same.

        That is every method, but those that step 0 depends on, and every task that begins with the same classes.
        """
        if step.index:
            return self._store(step)
        own = [self.method.name, self.settings.hyper] if self.method.own_first_step else []
        begins = [self.scenario.dataset, step.protocol, step.new, sorted(step.future), *own]
        source = digest([self.settings.step0_identity(), begins, self.data.train.fingerprint])
        return StepStore(self.settings.out / ".step0" / source, 0)


def first_net(settings: Settings, scenario: Scenario) -> Segmenter:
    """The net of step 0, its new weights drawn from the seed."""
    with seeded(settings.seed):
        net = segmenter_of(settings.model, (scenario.steps[0].n_seen,))
    # Depthwise convolutions on a CPU, and half precision on a GPU, are several times faster so.
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
