"""What a method is, and the two without a defence: fine-tuning and joint training."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from plopkit.losses import cross_entropy
from plopkit.model.segmenter import Output, Segmenter
from plopkit.scenario import Step

Batches = Iterable[tuple[Tensor, Tensor]]
"""Images (B, 3, H, W) and targets (B, H, W) on the net's device."""


Memory = dict[str, dict[str, Tensor]]
"""What a watcher hands on: tensors by kind, then by the parameter's name."""


class Watcher(ABC):
    """What a method remembers of the parameters while a step is trained, and how it holds them."""

    @abstractmethod
    def update(self, net: nn.Module) -> None:
        """Look at the gradients of the losses; called in every iteration, before ``pull``."""

    @abstractmethod
    def pull(self, net: nn.Module) -> Tensor | None:
        """Add the gradient of the penalty to the parameters' gradients; give the penalty's value.

        None where there is no penalty yet.
        """

    @abstractmethod
    def memory(self, net: nn.Module) -> Memory:
        """For the watcher of the next step, at the end of this one."""

    @abstractmethod
    def state(self) -> Memory:
        """All that changes, so that a stopped step goes on to the same numbers."""

    @abstractmethod
    def restore(self, state: Memory) -> None:
        """Undo ``state``."""


class Method(BaseModel, ABC):
    """A way to learn new classes. A frozen value: its fields are its hyper-parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str]
    title: ClassVar[str]
    """Its name in plots and tables."""
    source: ClassVar[str]
    """The paper."""
    needs_teacher: ClassVar[bool] = True
    """Does ``losses`` look at the frozen net of the step before?"""
    balanced: ClassVar[bool] = True
    """Do new channels begin as shares of the background (MiB, eq. 10)? Otherwise at random."""
    rehearses: ClassVar[bool] = False
    """Does it see every image and label so far, at step 0's learning rate? No method of continual learning does."""

    own_first_step: ClassVar[bool] = False
    """Is step 0 trained with it, too? Otherwise step 0 is plain cross-entropy and shared by all methods."""

    @classmethod
    def about(cls) -> str:
        """What it does, in a line: the first of its documentation."""
        return (cls.__doc__ or "").strip().splitlines()[0]

    def prepare(
        self,
        teacher: Segmenter,
        loader: Batches,
        step: Step,
        reduce: Callable[[Tensor], Tensor] | None = None,
    ) -> Any:
        """Called once before a later step is trained; what it returns is handed to ``losses``.

        loader gives a training epoch's batches; reduce sums counts over processes.
        """
        return None

    def watcher(self, net: nn.Module, memory: Memory | None) -> Watcher | None:
        """What watches ``net``'s parameters in a step that begins with them; ``memory`` is that of the last step."""
        return None

    @abstractmethod
    def losses(self, out: Output, old: Output | None, target: Tensor, step: Step, prepared: Any) -> dict[str, Tensor]:
        """The terms by name, scalars that the loop adds up. ``old`` is the teacher's output, None without one.

        A term is a mean over the images, each counting the same: so parts of a batch, and processes, add up to it.
        """


class FineTuning(Method):
    """Cross-entropy on the new labels, nothing else: it forgets."""

    name = "ft"
    title = "fine-tuning"
    source = "baseline"
    needs_teacher = False
    balanced = False

    def losses(self, out: Output, old: Output | None, target: Tensor, step: Step, prepared: Any) -> dict[str, Tensor]:
        return {"ce": cross_entropy(out.logits, target).mean()}


class Joint(FineTuning):
    """All images and labels so far at once: the upper bound, not a method of continual learning."""

    name = "joint"
    title = "joint training"
    source = "upper bound"
    rehearses = True
