"""A step of a run, trained to its checkpoint, from where it was saved last; step 0 once for all runs that share it."""

from collections.abc import Generator, Iterator

from accelerate import Accelerator

from plopkit.methods.base import joined_state, trainer_of
from plopkit.model.layout import laid_out
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.origin import NAME as ORIGIN
from plopkit.runs.origin import Origins
from plopkit.runs.progress import Progress
from plopkit.runs.saving import Saver, trained
from plopkit.runs.sharing import sole_trainer
from plopkit.runs.step_files import Ticks
from plopkit.runs.steps import Steps
from plopkit.scenario import Step
from plopkit.support.bars import notice
from plopkit.ticks import Tick


class StepTrainer:
    """Trains steps of a run, one after the other.

    Args:
        steps: the run's steps.
        main: whether this process writes files.
        origins: writes down what made each step; None in all processes but the main one, and where nothing is trained.
    """

    def __init__(self, steps: Steps, main: bool, origins: Origins | None = None):
        self.steps, self.main, self.origins = steps, main, origins
        self._saver: Saver | None = None

    @property
    def done(self) -> Ticks:
        """The ticks of the step under way, those before it was continued included."""
        return [] if self._saver is None else self._saver.done

    def save(self) -> None:
        """Save the training of the step under way, if there is one; between two ticks."""
        if self._saver is not None:
            self._saver.save()

    def check(self, store: StepStore, before: str | None = None) -> None:
        """Remove a finished step that cannot be used."""
        if problem := store.problem(before):
            notice(f"{problem[0]}: {problem[1]}; step {store.index} is trained again")
            store.discard()

    def train(self, step: Step, accelerator: Accelerator, progress: Progress) -> Generator[Tick]:
        """Train one step, from where it was saved last, to its checkpoint; a step that is given is put there."""
        if self.steps.given is not None and step.index < len(self.steps.given):
            self._place(step, accelerator, progress)
            return
        shared = self.steps.shared_store(step)
        if shared == self.steps.store(step):
            yield from self._train_alone(step, shared, accelerator, progress)
        else:
            with sole_trainer(shared.folder, accelerator):
                if self.main:
                    self.check(shared)
                accelerator.wait_for_everyone()
                yield from self._train_alone(step, shared, accelerator, progress)

    def _place(self, step: Step, accelerator: Accelerator, progress: Progress) -> None:
        """Put a step that is given into the run's folder, with the state that the method needs after it."""
        steps, given = self.steps, self.steps.given
        assert given is not None
        net, state = given.net(step.index), given.state(step.index)
        if step.index == len(given) - 1 and given.lacks_state:
            net, ended = steps.end_of_given(step, net, accelerator, progress)
            state = joined_state(ended, state)
        state = state | steps.memory_of_given(step, state)
        if self.main:
            store = steps.store(step)
            store.discard()
            given.place(store, net, state, steps.identity_before(step), steps.names(step))

    def _train_alone(
        self, step: Step, shared: StepStore, accelerator: Accelerator, progress: Progress
    ) -> Iterator[Tick]:
        """Train one step where no other process does."""
        store = self.steps.store(step)
        if shared.checkpoint.is_file():  # another run has trained step 0
            net = laid_out(shared.net(self.steps.settings.model)).to(accelerator.device)
            done, gathered = shared.ticks(), shared.state()
            accelerator.wait_for_everyone()
            if self.main:
                shared.training.discard()
            if self.origins is not None:
                self.origins.take(shared.folder / ORIGIN)
            context, _ = self.steps.context(trainer_of(self.steps.method, step), step, accelerator, None, {}, progress)
        else:
            training, ticks, context = self.steps.begin(step, accelerator, progress)
            self._saver = Saver(training, shared, accelerator, self.steps.settings.compute.save_minutes)
            self._saver.restore()
            try:
                if self.origins is not None:
                    shared_record = None if shared == store else shared.folder / ORIGIN
                    self.origins.begin(step.index, bool(self._saver.done), shared_record)
                done = yield from trained(self._saver, ticks, accelerator)
            except FloatingPointError as error:
                raise self._explained(error, step, shared) from error
            finally:
                self._saver = None
            net = training.net
            gathered = {} if training.regularizer is None else training.regularizer.final_state(net)
            if self.main and shared != store:
                shared.finish(net, done, joined_state({}, gathered), names=self.steps.names(step))
        net, state = self.steps.end(step, net, accelerator, context, gathered)
        if self.main:
            before = self.steps.identity_before(step)
            store.finish(net, done, state, before, self.steps.names(step))

    def _explained(self, error: FloatingPointError, step: Step, store: StepStore) -> FloatingPointError:
        """An error that names the file it comes from, where one without a seal holds numbers that are not finite."""
        stores = [store, *([self.steps.store(self.steps.scenario.steps[step.index - 1])] if step.index else [])]
        path = next(filter(None, (each.not_finite() for each in stores)), None)
        if path is None:
            return error
        problem = str(error).partition(";")[0]
        return FloatingPointError(
            f"{path}: holds numbers that are not finite, and so {problem}; delete it and run the command of this run "
            "again: what it held is computed again"
        )
