"""What a method's verbs are given, made from its parts."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from plopkit.methods.base import Batch, Method, StepContext, own_share
from plopkit.model.segmenter import Output, Segmenter
from plopkit.scenario import Step


def terms_of(
    method: Method, out: Output, old: Output | None, target: Tensor, step: Step, prepared: Any = None, net: Any = None
) -> dict[str, Any]:
    """A method's loss terms on one batch."""
    return dict(method.losses(Batch(out, old, target, net, StepContext(step), prepared)))


def prepared_by(
    method: Method,
    teacher: Segmenter | None,
    batches: Iterable[tuple[Tensor, Tensor]],
    step: Step,
    reduce: Callable[[Tensor], Tensor] = own_share,
) -> Any:
    """What a method prepares from a teacher and training batches."""
    return method.prepare(StepContext(step, teacher, lambda: batches, {}, reduce))
