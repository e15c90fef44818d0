"""A run, from settings to a folder of results; the same settings give the same folder, resumed or read back."""

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import asdict
from functools import cached_property
from typing import Any, NamedTuple, Self

from accelerate import Accelerator
from torch import Tensor

from plopkit.compute import make_accelerator, summed
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.methods.base import Batches, Method, State, StepContext, joined_state, trainer_of
from plopkit.model.folded import folded
from plopkit.model.layout import laid_out
from plopkit.model.segmenter import Segmenter, make_decoder, make_encoder
from plopkit.presets import method_of, open_scenario, settle
from plopkit.runs.artifacts import draw_pictures, write_examples
from plopkit.runs.books import Books
from plopkit.runs.checkpoints import StepStore, Ticks
from plopkit.runs.dry_run import dry_run
from plopkit.runs.folder import RunFolder, check_room, open_folder
from plopkit.runs.machine import explaining_resources
from plopkit.runs.progress import Bars, Progress, no_progress
from plopkit.runs.results import step_rows
from plopkit.scenario import Scenario, Step
from plopkit.settings import Settings, digest
from plopkit.support.seeding import seeded
from plopkit.ticks import Tick
from plopkit.trainer import Training, batches, evaluate, fit


def run(settings: Settings, progress: bool = True) -> RunFolder:
    """Train and evaluate every step that is not done yet, draw the pictures, and return the finished run's folder.

    Errors in settings and data are reported before anything is written; a run stopped earlier resumes after its last
    finished epoch.

    Args:
        settings: settings of the run (`plopkit.configure`).
        progress: show progress bars.

    Raises:
        ValueError, FileNotFoundError, OSError: where settings, data or disk do not allow the run.
        FloatingPointError: where a loss becomes infinite or NaN.

    Example:
        >>> folder = run(configure("emoji 15-5 overlap", "plop", "smoke"))
        >>> folder.summary
    """
    return Experiment.open(settings).run(progress)


class Begun(NamedTuple):
    """A step about to be trained."""

    training: Training
    ticks: Iterator[Tick]
    """drawing one runs one iteration"""
    context: StepContext


class Experiment:
    """One run. `Experiment.open` checks its settings and data and makes its folder; `ticks` trains it.

    The constructor touches no files; members that need the data open the run on first use.

    Args:
        settings: settings of the run.
    """

    def __init__(self, settings: Settings):
        self.settings = settle(settings)
        self.method = method_of(self.settings)
        self.folder = RunFolder(self.settings.folder())
        self.main = True
        """Whether this process writes files. All processes train; only the main one writes."""
        self._data: ScenarioData | None = None

    @classmethod
    def open(cls, settings: Settings, checkpoints: str = "") -> Self:
        """Check settings, data, net and disk, and make or open the run's folder.

        Args:
            settings: settings of the run.
            checkpoints: a digest of finished checkpoints that will be put into the folder; nothing is checked for
                training then.

        Raises:
            ValueError, FileNotFoundError, OSError: where the run is not possible; nothing has been written.
        """
        experiment = cls(settings)
        experiment._open(checkpoints)
        return experiment

    @cached_property
    def scenario(self) -> Scenario:
        """The settings' scenario as a value."""
        return open_scenario(self.settings)

    @property
    def data(self) -> ScenarioData:
        """The scenario's images; opens the run."""
        if self._data is None:
            self._open()
        assert self._data is not None
        return self._data

    def run(self, progress: bool = True) -> RunFolder:
        """Do all that is left, with progress bars."""
        with contextlib.closing(Bars(progress and self.main)) as bars:
            for tick in self.ticks(bars.wrap):
                bars.show(tick, len(self.scenario.steps))
        return self.folder

    @explaining_resources
    def ticks(self, progress: Progress = no_progress) -> Iterator[Tick]:
        """Train and evaluate what is left, iteration by iteration.

        If you stop iterating, only the current epoch is lost.

        Raises:
            ValueError: where another process is working on this run.
        """
        self.data  # noqa: B018  (opens the run)
        unfinished = self.folder.evaluated() < len(self.scenario.steps)
        with self.folder.locked() if unfinished and self.main else contextlib.nullcontext():
            n_evaluated = self.folder.evaluated()  # once, as reading takes longer with every step
            books = Books(self.folder, lambda index: self._store(self.scenario.steps[index]).ticks())
            for step in self.scenario.steps:
                yield from self._do_step(step, n_evaluated <= step.index, books, progress)
            if self.main:
                draw_pictures(self.folder, f"{self.scenario}, {self.method.title}, seed {self.settings.seed}")

    def net(self, index: int) -> Segmenter:
        """The net as it is after step ``index``, from the run's checkpoint."""
        return laid_out(self.folder.net(index))

    def retrain_step(self, index: int) -> tuple[Segmenter, Iterator[Tick]]:
        """Train step ``index`` once more, to watch it; nothing of it is kept.

        Returns:
            The net with which the step begins, and its ticks: each one drawn trains that net by an iteration, as in the
            run.
        """
        self.data  # noqa: B018  (opens the run)
        begun = self._begin_step(self.scenario.steps[index], make_accelerator(self.settings), no_progress)
        return begun.training.net, begun.ticks

    again = retrain_step  # its name in plopkit 0.1

    def _open(self, checkpoints: str = "") -> None:
        accelerator = make_accelerator(self.settings)  # refuses what this machine cannot do
        self.main = accelerator.is_main_process
        data = ScenarioData.open(self.settings, self.scenario, trains=not checkpoints)
        steps = self.scenario.steps
        if self.folder.evaluated() < len(steps):  # a finished run needs neither disk space nor weights
            net = first_net(self.settings, self.scenario, self.method.first_step())  # checks the encoder's name
            if not checkpoints:
                dry_run(self.settings, self.method, net.to(accelerator.device), data, accelerator)
            copies = 1 if self.method.regularizer(net, {}) is None else 3  # its state is as large as the net, or twice
            check_room(self.settings, 4 * sum(p.numel() for p in net.parameters()) * (len(steps) + 4) * copies)
        if self.main:
            sources = (data.train.fingerprint, data.val.fingerprint, checkpoints)
            open_folder(self.settings, " ".join(filter(None, sources)) + "\n")
        self._data = data

    def _do_step(self, step: Step, needs_evaluation: bool, books: Books, progress: Progress) -> Iterator[Tick]:
        """Train and evaluate a step, unless that is already done."""
        accelerator = make_accelerator(self.settings)  # a new one frees what the last step's held
        store = self._store(step)
        needs_training = not store.checkpoint.is_file()
        accelerator.wait_for_everyone()  # all processes look before one writes
        if needs_training:
            yield from self._train_step(step, accelerator, progress)
        elif needs_evaluation and self.main:
            store.discard_training()  # a process killed right after its checkpoint has left it
        accelerator.wait_for_everyone()
        if needs_evaluation:
            self._evaluate_step(step, books, accelerator, progress)
        accelerator.wait_for_everyone()

    def _train_step(self, step: Step, accelerator: Accelerator, progress: Progress) -> Iterator[Tick]:
        """Train one step, from its last finished epoch, to its checkpoint."""
        store, shared = self._store(step), self._shared_store(step)
        if shared.checkpoint.is_file():  # another run has trained step 0
            net = laid_out(shared.net(self.settings.model)).to(accelerator.device)
            done, gathered = shared.ticks(), shared.state()
            if self.main:
                shared.discard_training()
            context, _ = self._context(trainer_of(self.method, step), step, accelerator, None, {}, progress)
        else:
            training, ticks, context = self._begin_step(step, accelerator, progress)
            done = yield from self._train(training, ticks, shared, accelerator)
            net = training.net
            gathered = {} if training.regularizer is None else training.regularizer.final_state(net)
            if self.main and shared != store:
                shared.finish(net, done, joined_state({}, gathered))
        net, ended = self.method.end_step(net, context)
        if self.main:
            store.finish(net, done, joined_state(ended, gathered))

    def _train(
        self, training: Training, ticks: Iterator[Tick], store: StepStore, accelerator: Accelerator
    ) -> Generator[Tick, None, Ticks]:
        """Draw all ticks, saving the training after every epoch; returns them as plain values."""
        done: Ticks = []
        if (saved := store.load_epoch()) is not None:
            training.restore(saved[0])
            if accelerator.scaler is not None:
                accelerator.scaler.load_state_dict(saved[0]["scaler"])
            done = saved[1]
        n_saved = len(done)
        for tick in ticks:
            done.append(asdict(tick))
            if tick.epoch_done and self.main:
                scaler = accelerator.scaler.state_dict() if accelerator.scaler else {}
                store.save_epoch(training.state() | {"scaler": scaler}, done[n_saved:])
                n_saved = len(done)
            yield tick
        return done

    def _begin_step(self, step: Step, accelerator: Accelerator, progress: Progress) -> Begun:
        """A step about to be trained, from the checkpoint of the step before."""
        s, method = self.settings, trainer_of(self.method, step)
        state: State = self._store(self.scenario.steps[step.index - 1]).state() if step.index else {}
        teacher = None
        if step.index == 0:
            net = first_net(s, self.scenario, method)
        else:
            before = self.net(step.index - 1)
            teacher = method.teacher(before, step)
            with seeded(s.seed, step.index):
                net = method.begin_step(before, step)
        net, teacher = net.to(accelerator.device), teacher and folded(teacher.to(accelerator.device))
        if accelerator.num_processes > 1 and accelerator.device.type == "cuda":
            net.encoder.synchronise()
        training = Training(net, s.optim, step, method, method.regularizer(net, state))
        context, loader = self._context(method, step, accelerator, teacher, state, progress)
        with accelerator.autocast():  # the teacher computes as it will in training
            prepared = method.prepare(context) if step.index else None
        ticks = fit(
            training,
            loader,
            method,
            step,
            accelerator,
            teacher,
            prepared,
            s.compute.micro_batch,
            context,
            s.compute.compile,
        )
        return Begun(training, ticks, context)

    def _context(
        self,
        method: Method,
        step: Step,
        accelerator: Accelerator,
        teacher: Segmenter | None,
        state: State,
        progress: Progress,
    ) -> tuple[StepContext, Any]:
        """What a method knows of a step, and the loader of the step's batches."""
        selection = method.images(step, self.data.presence[0], state)
        shard = (accelerator.process_index, accelerator.num_processes)
        loader = self.data.train_loader(step, selection, shard)

        def one_epoch() -> Batches:
            return progress(batches(loader, 0, accelerator), f"step {step.index}: a pass over the images", len(loader))

        def reduce(counts: Tensor) -> Tensor:
            return summed(counts, accelerator)

        def before() -> Segmenter:
            return self.net(step.index - 1).eval().to(accelerator.device)

        context = StepContext(step, teacher, one_epoch, state, reduce, selection, before if step.index else None)
        return context, loader

    def _evaluate_step(self, step: Step, books: Books, accelerator: Accelerator, progress: Progress) -> None:
        """Evaluate a step's net, and write its examples and its rows."""
        net = self.net(step.index).to(accelerator.device)
        loader = self.data.eval_loader(step, (accelerator.process_index, accelerator.num_processes))
        watched = progress(loader, f"step {step.index}: evaluation", len(loader))
        counts = evaluate(net, watched, step.n_seen, self.method.predict)
        counts = summed(counts.to(accelerator.device), accelerator).cpu()
        if not self.main:
            return
        s = self.settings
        rows = step_rows(self.scenario, s.method, s.seed, step, counts.numpy(), self.data.val.classes)
        write_examples(self.folder, self.data, step, net, self.method.predict)
        books.add(step.index, rows, step is self.scenario.steps[-1])

    def _store(self, step: Step) -> StepStore:
        return StepStore(self.folder.checkpoints, step.index)

    def _shared_store(self, step: Step) -> StepStore:
        """Where a step is trained: step 0 in a folder shared by all runs whose step 0 is the same.

        That is every method with the same `Method.first_step`, and every task that begins with the same classes.
        """
        if step.index:
            return self._store(step)
        first = self.method.first_step()
        own = [] if self.method.shares_step_0 else [first.name, first.model_dump(mode="json")]
        begins = [self.scenario.dataset, step.protocol, step.new, sorted(step.future), *own]
        source = digest([self.settings.step0_identity(), begins, self.data.train.fingerprint])
        return StepStore(self.settings.out / ".step0" / source, 0)


def first_net(settings: Settings, scenario: Scenario, method: Method) -> Segmenter:
    """The net of step 0, its new weights drawn from the seed."""
    with seeded(settings.seed):
        encoder = make_encoder(settings.model)
        net = method.build(encoder, make_decoder(settings.model, encoder), scenario.steps[0].n_seen)
    return laid_out(net)
