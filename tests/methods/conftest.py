"""A batch for every method."""

from collections.abc import Callable

import pytest
import torch
from batches import Case, later_step
from drawing import draw

from plopkit.methods import Method, MiB
from plopkit.model.segmenter import Segmenter
from plopkit.scenario import IGNORE


@pytest.fixture
def case(tiny_net: Callable[..., Segmenter]) -> Callable[..., Case]:
    """`case(n_new, method, noise)`: a net of 6 old channels, grown by the method, its parameters changed by noise.

    The teacher is of the form that the method builds in step 0.
    """

    def make(n_new: int = 2, method: Method | None = None, noise: float = 0.02) -> Case:
        n_old = 6
        step = later_step(n_old, n_new)
        method, tiny = method or MiB(), tiny_net(n_old)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(n_new)
            teacher = method.first_step().build(tiny.encoder, tiny.decoder, n_old)
            if (teacher.classifier.kind, teacher.decoder.width) == (tiny.classifier.kind, tiny.decoder.width):
                teacher.classifier.load_state_dict(tiny.classifier.state_dict())
            teacher = teacher.frozen()
            net = method.begin_step(teacher, step).requires_grad_(True)
        for index, parameter in enumerate(net.parameters()):
            parameter.data += noise * draw(index, *parameter.shape)
        target = torch.zeros(2, 64, 64, dtype=torch.int64)
        target[0, 10:40, 10:40] = n_old
        target[1, :20] = n_old + n_new - 1
        target[:, 40:44] = IGNORE
        return Case(teacher, net, draw(99, 2, 3, 64, 64), target, step)

    return make
