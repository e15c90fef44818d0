"""A run, from settings to a folder of results; the same settings give the same folder, resumed or read back."""

import contextlib
from collections.abc import Generator, Iterator
from functools import cached_property
from typing import Self

import numpy as np
from accelerate import Accelerator

from plopkit.compute import make_accelerator
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.methods.base import State
from plopkit.methods.remembering import check_memory
from plopkit.model.layout import laid_out
from plopkit.model.segmenter import Segmenter
from plopkit.presets import method_of, open_scenario, settle
from plopkit.runs.artifacts import draw_pictures, remove_later_examples, write_examples
from plopkit.runs.books import Books
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.domains import domain_rows
from plopkit.runs.dry_run import dry_run
from plopkit.runs.evaluation import counts_by_domain
from plopkit.runs.fitting import in_one_line, limit_threads, with_fitting_workers
from plopkit.runs.folder import RunFolder, check_places
from plopkit.runs.given import open_given
from plopkit.runs.growth import grown_settings
from plopkit.runs.images import images_text
from plopkit.runs.logbook import Logbook
from plopkit.runs.machine import explaining_resources
from plopkit.runs.mending import mended, missing_examples
from plopkit.runs.opening import check_room, open_folder
from plopkit.runs.origin import Origins, current
from plopkit.runs.progress import Bars, Progress, no_progress
from plopkit.runs.results import step_rows
from plopkit.runs.sharing import failing_together
from plopkit.runs.sources import sources_of
from plopkit.runs.start import with_start
from plopkit.runs.step_training import StepTrainer
from plopkit.runs.steps import Steps, first_net, work_left
from plopkit.runs.time_left import TimeLeft
from plopkit.runs.trackers import check_packages
from plopkit.runs.written import folder_of, note_folder
from plopkit.scenario import Scenario, Step
from plopkit.settings import Settings
from plopkit.support.bars import notice
from plopkit.support.signals import terminating
from plopkit.ticks import Tick


def run(settings: Settings, progress: bool = True, force: bool = False) -> RunFolder:
    """Train and evaluate every step that is not done yet, draw the pictures, and return the finished run's folder.

    Errors in settings and data are reported before anything is written; a run stopped earlier resumes where it was
    saved last. An interrupt, SIGTERM and SIGHUP end it after the iteration under way, which is saved.

    Args:
        settings: settings of the run (`plopkit.configure`).
        progress: show progress bars.
        force: go on with what is there, although the method's source has changed since, or torch, the kind of device or
            the number of processes of an unfinished run.

    Raises:
        ChangedError: where that is so without `force`.
        ValueError, FileNotFoundError, OSError: where settings, data or disk do not allow the run.
        FloatingPointError: where a loss becomes infinite or NaN.

    Example:
        >>> folder = run(configure("emoji 15-5 overlap", "plop", "smoke"))
        >>> folder.summary
    """
    return Experiment.open(settings, force=force).run(progress)


class Experiment:
    """One run. `Experiment.open` checks its settings and data and makes its folder; `ticks` trains it.

    The constructor touches no files; members that need the data open the run on first use.

    Args:
        settings: settings of the run.
        force: go on with what is there, whatever made it; see `run`.
    """

    def __init__(self, settings: Settings, force: bool = False):
        self.force = force
        self.settings = with_start(settle(settings))
        self.method = method_of(self.settings)
        self.folder = folder_of(self.settings)
        self.main = True
        """Whether this process writes files. All processes train; only the main one writes."""
        self.time_left: TimeLeft | None = None
        """How long the run still takes; None where nothing is left to train."""
        self.first_line = ""
        """What the run takes of the machine, and for how long; empty where nothing is left to train."""
        self._trainer: StepTrainer | None = None
        self._origins: Origins | None = None

    @classmethod
    def open(cls, settings: Settings, checkpoints: str = "", force: bool = False) -> Self:
        """Check settings, data, net and disk, and make or open the run's folder.

        Args:
            settings: settings of the run.
            checkpoints: a digest of finished checkpoints that will be put into the folder; nothing is checked for
                training then.
            force: go on with what is there, whatever made it; see `run`.

        Raises:
            ChangedError: where that is needed.
            ValueError, FileNotFoundError, OSError: where the run is not possible; nothing has been written.
        """
        experiment = cls(settings, force)
        experiment._open(checkpoints)
        return experiment

    @cached_property
    def scenario(self) -> Scenario:
        """The settings' scenario as a value."""
        return open_scenario(self.settings)

    @property
    def data(self) -> ScenarioData:
        """The scenario's images; opens the run."""
        return self._opened.steps.data

    def run(self, progress: bool = True) -> RunFolder:
        """Do all that is left, with progress bars."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(terminating())
            bars = stack.enter_context(contextlib.closing(Bars(progress and self.main)))
            self._opened  # noqa: B018  (checks everything first)
            if bars.shown and self.first_line:
                notice(self.first_line)
            for tick in stack.enter_context(contextlib.closing(self.ticks(bars.wrap))):  # closing saves the training
                bars.show(tick, len(self.scenario.steps), self.time_left)
        return self.folder

    def save(self) -> None:
        """Save the training of the step under way, if there is one; between two ticks."""
        if self._trainer is not None:
            self._trainer.save()

    @explaining_resources
    def ticks(self, progress: Progress = no_progress) -> Generator[Tick]:
        """Train and evaluate what is left, iteration by iteration.

        If you stop iterating, the training is saved when the generator is closed.

        Raises:
            ValueError: where another process is working on this run.
        """
        store = self._opened.steps.store
        accelerator = make_accelerator(self.settings)
        steps = self.scenario.steps
        with mended(self.folder, len(steps), self.settings.out) if self.main else contextlib.nullcontext():
            if self._origins is not None:
                self._origins.adopt()
            accelerator.wait_for_everyone()
            n_evaluated = self.folder.evaluated()  # once, as reading takes longer with every step
            books = Books(self.folder, lambda index: store(steps[index]).ticks())
            new = False
            with self._logging() as log:
                for step in steps:
                    new = yield from self._do_step(step, n_evaluated <= step.index, new, books, progress, log)
                    if log is not None:
                        log.add_step(step.index, store(step).ticks())
            if self.main:
                for index in missing_examples(self.folder, len(steps)):
                    net = self.net(index).to(accelerator.device)
                    write_examples(self.folder, self.data, steps[index], net, self.method.predict)
                draw_pictures(self.folder, self._title)

    @property
    def _title(self) -> str:
        """The title of the run's pictures."""
        return f"{self.scenario}, {self.method.title}, seed {self.settings.seed}"

    @contextlib.contextmanager
    def _logging(self) -> Iterator[Logbook | None]:
        """The run's log, closed at the end; None where there is none, as in all processes but the main one."""
        if not (self.main and self.settings.log):
            yield None
            return
        with self.folder.locked(), contextlib.closing(Logbook(self.settings, self.folder, self._title)) as log:
            yield log

    def net(self, index: int) -> Segmenter:
        """The net as it is after step ``index``, from the run's checkpoint."""
        return laid_out(self.folder.net(index))

    def retrain_step(self, index: int) -> tuple[Segmenter, Iterator[Tick]]:
        """Train step ``index`` once more, to watch it; nothing of it is kept.

        Returns:
            The net with which the step begins, and its ticks: each one drawn trains that net by an iteration, as in the
            run.
        """
        begun = self._opened.steps.begin(self.scenario.steps[index], make_accelerator(self.settings), no_progress)
        return begun.training.net, begun.ticks

    again = retrain_step  # its name in plopkit 0.1

    @property
    def _opened(self) -> StepTrainer:
        if self._trainer is None:
            self._open()
        assert self._trainer is not None
        return self._trainer

    def _open(self, checkpoints: str = "") -> None:
        accelerator = make_accelerator(self.settings)  # refuses what this machine cannot do
        self.main = accelerator.is_main_process
        limit_threads()
        check_packages(self.settings.log)
        own, self.folder = self.settings, RunFolder(self.settings.folder())
        check_places(self.folder.path)
        given = open_given(self.settings, self.scenario, self.method, self.folder)
        n_given = 0 if given is None else len(given)
        data = ScenarioData.open(
            with_fitting_workers(self.settings), self.scenario, trains=not checkpoints, n_given=n_given
        )
        costs, memory = None, []
        if not checkpoints and (grown := grown_settings(self.settings, self.method, data)) is not None:
            self.settings, self.folder = grown, RunFolder(grown.folder())
            given = open_given(self.settings, self.scenario, self.method, self.folder)
            n_given = 0 if given is None else len(given)
        steps = self.scenario.steps
        if not self._seems_finished():  # a finished run needs neither disk space nor weights
            state: State = {}
            if given is None:
                net = first_net(self.settings, self.scenario, self.method.first_step())  # checks the encoder's name
            else:
                net, state = given.check(data)
                self.settings = self.settings.model_copy(update={"model": given.model()})
            if not checkpoints:
                start = n_given, state
                memory = check_memory(data, *start) if self.settings.memory.is_kept else []
                costs = dry_run(self.settings, self.method, net.to(accelerator.device), data, accelerator, start)
            copies = 1 if self.method.regularizer(net, {}) is None else 3  # its state is as large as the net, or twice
            check_room(self.settings, 4 * sum(p.numel() for p in net.parameters()) * (len(steps) + 4) * copies)
        with failing_together(accelerator):
            if self.main:
                ends = [checkpoints] if checkpoints else []
                now = " ".join([data.train_fingerprint, data.val.fingerprint, *ends])
                earlier = " ".join([data.train.earlier_fingerprint, data.val.earlier_fingerprint, *ends])
                open_folder(self.settings, f"{now}\n", f"{earlier}\n", images_text(data.train, data.val))
                note_folder(own, self.folder.path)
                if not checkpoints:
                    self._origins = self._compared_origins(accelerator)
        steps_on_disk = Steps(self.settings, self.scenario, self.method, self.folder, data, given)
        self._trainer = StepTrainer(steps_on_disk, self.main, self._origins)
        if costs is not None and (work := work_left(steps_on_disk, memory)):
            self.time_left = TimeLeft(work, costs)
            self.first_line = in_one_line(self.settings, accelerator, self.time_left)

    def _compared_origins(self, accelerator: Accelerator) -> Origins:
        """What made the run, compared with what would go on with it; `ChangedError` where that needs `force`."""
        first = type(self.method.first_step())
        sources = sources_of(type(self.method), first)
        now = current(self.settings, accelerator, sources)
        origins = Origins(self.folder.origin_file, now, sources, sources_of(first), self.force)
        begun = self.folder.results_file.is_file() or any(self.folder.checkpoints.glob("step-*"))
        origins.check(begun, self._seems_finished())
        return origins

    def _seems_finished(self) -> bool:
        """Whether all steps have checkpoints and results; a closer look needs the folder's lock."""
        try:
            stores = [StepStore(self.folder.checkpoints, step.index) for step in self.scenario.steps]
            return self.folder.evaluated() == len(stores) and all(store.checkpoint.is_file() for store in stores)
        except ValueError:
            return False

    def _do_step(
        self,
        step: Step,
        needs_evaluation: bool,
        after_training: bool,
        books: Books,
        progress: Progress,
        log: Logbook | None = None,
    ) -> Generator[Tick, None, bool]:
        """Train and evaluate a step, unless that is already done; returns whether it was trained.

        Args:
            step: the step.
            needs_evaluation: whether it has no results.
            after_training: whether the step before has been trained just now.
            books: the run's tables.
            progress: shows the passes over the images.
            log: the run's log, if there is one.
        """
        accelerator = make_accelerator(self.settings)  # a new one frees what the last step's held
        trainer = self._opened
        store = trainer.steps.store(step)
        if self.main and after_training:
            trainer.check(store, trainer.steps.identity_before(step))
        accelerator.wait_for_everyone()
        needs_training = not store.checkpoint.is_file()
        accelerator.wait_for_everyone()  # all processes look before one writes
        if needs_training:
            with contextlib.closing(trainer.train(step, accelerator, progress)) as ticks:
                for tick in ticks:
                    if self.time_left is not None:
                        self.time_left.add(tick)
                    if log is not None:
                        log.add_tick(tick, trainer.done, accelerator)
                    yield tick
        elif needs_evaluation and self.main:
            store.training.discard()  # a process killed right after its checkpoint has left it
        accelerator.wait_for_everyone()
        if needs_evaluation:
            self._evaluate_step(step, books, accelerator, progress)
        accelerator.wait_for_everyone()
        return needs_training

    def _evaluate_step(self, step: Step, books: Books, accelerator: Accelerator, progress: Progress) -> None:
        """Evaluate a step's net, and write its examples and its rows."""
        net = self.net(step.index).to(accelerator.device)
        counts = counts_by_domain(net, self.data, step, self.method.predict, accelerator, progress)
        if not self.main:
            return
        run, names = (self.scenario, self.settings.method, self.settings.seed, step), self.data.val.classes
        rows = step_rows(*run, np.sum(list(counts.values()), axis=0), names)
        by_domain = domain_rows(*run, counts, names) if step.seen_domains else None
        remove_later_examples(self.folder, step.index)
        write_examples(self.folder, self.data, step, net, self.method.predict)
        books.add(step.index, rows, step is self.scenario.steps[-1], by_domain)
