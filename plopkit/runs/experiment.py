"""A run, from settings to a folder of results; the same settings give the same folder, resumed or read back."""

import contextlib
from collections.abc import Generator, Iterator
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
from plopkit.runs.artifacts import draw_pictures, remove_later_examples, write_examples
from plopkit.runs.books import Books
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.dry_run import dry_run
from plopkit.runs.folder import RunFolder
from plopkit.runs.machine import explaining_resources
from plopkit.runs.mending import find_repairs, is_untouched, missing_examples
from plopkit.runs.opening import check_room, open_folder
from plopkit.runs.progress import Bars, Progress, no_progress
from plopkit.runs.results import step_rows
from plopkit.runs.saving import Saver, trained
from plopkit.runs.sharing import sole_trainer
from plopkit.scenario import Scenario, Step
from plopkit.settings import Settings, digest
from plopkit.support.bars import notice
from plopkit.support.files import remove_partial_files
from plopkit.support.seals import DamagedError
from plopkit.support.seeding import all_seeded, seeded
from plopkit.support.signals import terminating
from plopkit.ticks import Tick
from plopkit.trainer import batches, evaluate, fit
from plopkit.training import Training

PREPARE, END_STEP = 1, 3
"""Numbers of the random numbers that these verbs draw, among those of a step (`trainer.FIT` is 2)."""

STEP_0 = ".step0"
"""Where the steps 0 are that several runs share, below `Settings.out`."""


def run(settings: Settings, progress: bool = True) -> RunFolder:
    """Train and evaluate every step that is not done yet, draw the pictures, and return the finished run's folder.

    Errors in settings and data are reported before anything is written; a run stopped earlier resumes where it was
    saved last. An interrupt, SIGTERM and SIGHUP end it after the iteration under way, which is saved.

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
        self._saver: Saver | None = None

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
        with contextlib.ExitStack() as stack:
            stack.enter_context(terminating())
            bars = stack.enter_context(contextlib.closing(Bars(progress and self.main)))
            for tick in stack.enter_context(contextlib.closing(self.ticks(bars.wrap))):  # closing saves the training
                bars.show(tick, len(self.scenario.steps))
        return self.folder

    def save(self) -> None:
        """Save the training of the step under way, if there is one; between two ticks."""
        if self._saver is not None:
            self._saver.save()

    @explaining_resources
    def ticks(self, progress: Progress = no_progress) -> Generator[Tick]:
        """Train and evaluate what is left, iteration by iteration.

        If you stop iterating, the training is saved when the generator is closed.

        Raises:
            ValueError: where another process is working on this run.
        """
        self.data  # noqa: B018  (opens the run)
        accelerator = make_accelerator(self.settings)
        steps = self.scenario.steps
        with self._mended() if self.main else contextlib.nullcontext():
            accelerator.wait_for_everyone()
            n_evaluated = self.folder.evaluated()  # once, as reading takes longer with every step
            books = Books(self.folder, lambda index: self._store(steps[index]).ticks())
            new = False
            for step in steps:
                new = yield from self._do_step(step, n_evaluated <= step.index, new, books, progress)
            if self.main:
                for index in missing_examples(self.folder, len(steps)):
                    net = self.net(index).to(accelerator.device)
                    write_examples(self.folder, self.data, steps[index], net, self.method.predict)
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
        if not self._seems_finished():  # a finished run needs neither disk space nor weights
            net = first_net(self.settings, self.scenario, self.method.first_step())  # checks the encoder's name
            if not checkpoints:
                dry_run(self.settings, self.method, net.to(accelerator.device), data, accelerator)
            copies = 1 if self.method.regularizer(net, {}) is None else 3  # its state is as large as the net, or twice
            check_room(self.settings, 4 * sum(p.numel() for p in net.parameters()) * (len(steps) + 4) * copies)
        if self.main:
            sources = (data.train.fingerprint, data.val.fingerprint, checkpoints)
            open_folder(self.settings, " ".join(filter(None, sources)) + "\n")
        self._data = data

    def _seems_finished(self) -> bool:
        """Whether all steps have checkpoints and results; a closer look needs the folder's lock."""
        try:
            stores = map(self._store, self.scenario.steps)
            return self.folder.evaluated() == len(self.scenario.steps) and all(s.checkpoint.is_file() for s in stores)
        except ValueError:
            return False

    @contextlib.contextmanager
    def _mended(self) -> Iterator[None]:
        """Lock the folder and remove what is damaged in it, so that it is made again. An untouched one stays unlocked.

        Raises:
            ValueError: where another process is working on this run.
        """
        n_steps = len(self.scenario.steps)
        remove_partial_files(self.settings.out, below=False)
        remove_partial_files(self.settings.out / STEP_0)
        if is_untouched(self.folder, n_steps):
            yield
            return
        with self.folder.locked():
            for repair in list(find_repairs(self.folder, n_steps)):
                if repair.notice:
                    notice(repair.notice)
                repair.do()
            yield

    def _do_step(
        self, step: Step, needs_evaluation: bool, after_training: bool, books: Books, progress: Progress
    ) -> Generator[Tick, None, bool]:
        """Train and evaluate a step, unless that is already done; returns whether it was trained.

        Args:
            step: the step.
            needs_evaluation: whether it has no results.
            after_training: whether the step before has been trained just now.
            books: the run's tables.
            progress: shows the passes over the images.
        """
        accelerator = make_accelerator(self.settings)  # a new one frees what the last step's held
        store = self._store(step)
        if self.main and after_training:
            self._check_store(store, self._before(step))
        accelerator.wait_for_everyone()
        needs_training = not store.checkpoint.is_file()
        accelerator.wait_for_everyone()  # all processes look before one writes
        if needs_training:
            yield from self._train_step(step, accelerator, progress)
        elif needs_evaluation and self.main:
            store.training.discard()  # a process killed right after its checkpoint has left it
        accelerator.wait_for_everyone()
        if needs_evaluation:
            self._evaluate_step(step, books, accelerator, progress)
        accelerator.wait_for_everyone()
        return needs_training

    def _check_store(self, store: StepStore, before: str | None = None) -> None:
        """Remove a finished step that cannot be used."""
        if problem := store.problem(before):
            notice(f"{problem[0]}: {problem[1]}; step {store.index} is trained again")
            store.discard()

    def _before(self, step: Step) -> str | None:
        """The `identity` of the checkpoint that a step is trained from."""
        return self._store(self.scenario.steps[step.index - 1]).identity() if step.index else None

    def _train_step(self, step: Step, accelerator: Accelerator, progress: Progress) -> Iterator[Tick]:
        """Train one step, from where it was saved last, to its checkpoint."""
        shared = self._shared_store(step)
        if shared == self._store(step):
            yield from self._train_alone(step, shared, accelerator, progress)
        else:
            with sole_trainer(shared.folder, accelerator):
                if self.main:
                    self._check_store(shared)
                accelerator.wait_for_everyone()
                yield from self._train_alone(step, shared, accelerator, progress)

    def _train_alone(
        self, step: Step, shared: StepStore, accelerator: Accelerator, progress: Progress
    ) -> Iterator[Tick]:
        """Train one step where no other process does."""
        store = self._store(step)
        if shared.checkpoint.is_file():  # another run has trained step 0
            net = laid_out(shared.net(self.settings.model)).to(accelerator.device)
            done, gathered = shared.ticks(), shared.state()
            accelerator.wait_for_everyone()
            if self.main:
                shared.training.discard()
            context, _ = self._context(trainer_of(self.method, step), step, accelerator, None, {}, progress)
        else:
            training, ticks, context = self._begin_step(step, accelerator, progress)
            self._saver = Saver(training, shared, accelerator, self.settings.compute.save_minutes)
            self._saver.restore()
            try:
                done = yield from trained(self._saver, ticks, accelerator)
            except FloatingPointError as error:
                raise self._explained(error, step, shared) from error
            finally:
                self._saver = None
            net = training.net
            gathered = {} if training.regularizer is None else training.regularizer.final_state(net)
            if self.main and shared != store:
                shared.finish(net, done, joined_state({}, gathered))
        with all_seeded(accelerator.device, self.settings.seed, step.index, END_STEP):
            net, ended = self.method.end_step(net, context)
        if self.main:
            store.finish(net, done, joined_state(ended, gathered), self._before(step))

    def _explained(self, error: FloatingPointError, step: Step, store: StepStore) -> FloatingPointError:
        """An error that names the file it comes from, where one without a seal holds numbers that are not finite."""
        stores = [store, *([self._store(self.scenario.steps[step.index - 1])] if step.index else [])]
        path = next(filter(None, (each.not_finite() for each in stores)), None)
        if path is None:
            return error
        problem = str(error).partition(";")[0]
        return FloatingPointError(
            f"{path}: holds numbers that are not finite, and so {problem}; delete it and run the command of this run "
            "again: what it held is computed again"
        )

    def _begin_step(self, step: Step, accelerator: Accelerator, progress: Progress) -> Begun:
        """A step about to be trained, from the checkpoint of the step before."""
        s, method = self.settings, trainer_of(self.method, step)
        state: State = self._state_before(step) if step.index else {}
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
        drawing = all_seeded(accelerator.device, s.seed, step.index, PREPARE)
        with drawing, accelerator.autocast():  # the teacher computes as it will in training
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
            s.seed,
        )
        return Begun(training, ticks, context)

    def _state_before(self, step: Step) -> State:
        """The method's state after the step before."""
        store = self._store(self.scenario.steps[step.index - 1])
        state = store.state()
        # A checkpoint of plopkit 0.1 does not say whether there is a state.
        if not state and store.recipe() is None and self.method.regularizer(self.net(step.index - 1), {}) is not None:
            raise DamagedError(
                store.earlier_state_file,
                f"missing, and {self.method.title} needs it",
                f"put it back, or delete {store.checkpoint.name}: then step {store.index} is trained again",
            )
        return state

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
        remove_later_examples(self.folder, step.index)
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
        return StepStore(self.settings.out / STEP_0 / source, 0)


def first_net(settings: Settings, scenario: Scenario, method: Method) -> Segmenter:
    """The net of step 0, its new weights drawn from the seed."""
    with seeded(settings.seed):
        encoder = make_encoder(settings.model)
        net = method.build(encoder, make_decoder(settings.model, encoder), scenario.steps[0].n_seen)
    return laid_out(net)
