"""The two reference methods: fine-tuning (the lower bound) and joint training (the upper bound)."""

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from plopkit.datasets.steps import Selection
from plopkit.losses import cross_entropy
from plopkit.methods.base import Batch, Method, Schedule, State
from plopkit.model.segmenter import Segmenter
from plopkit.scenario import Step
from plopkit.settings import Optim


class WithoutTeacher(Method):
    """Cross-entropy alone: no teacher, and new channels begin at random. Not a method itself: it has no name."""

    def teacher(self, before: Segmenter, step: Step) -> None:
        return None

    def begin_step(self, before: Segmenter, step: Step) -> Segmenter:
        return before.grown(len(step.new), balanced=False)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"ce": cross_entropy(batch.out.logits, batch.target).mean()}


class FineTuning(WithoutTeacher):
    """Cross-entropy on the new labels, nothing else: it forgets."""

    name = "ft"
    title = "fine-tuning"
    source = "baseline"
    learns_domains = True
    allows_memory = True


class Joint(WithoutTeacher):
    """All images and labels so far at once: the upper bound, not a method of continual learning."""

    name = "joint"
    title = "joint training"
    source = "upper bound"
    learns_domains = True

    def schedule(self, optim: Optim, step: Step) -> Schedule:
        """Every step is trained as long and as fast as step 0."""
        return Schedule(optim.epochs, optim.lr)

    def images(self, step: Step, presence: Bool[np.ndarray, "N ids"], state: State) -> Selection:
        return Selection.all_seen(step, presence) if step.index else Selection.protocol(step, presence)
