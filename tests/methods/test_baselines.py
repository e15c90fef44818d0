"""Fine-tuning and joint training."""

from collections.abc import Callable

import numpy as np
import torch.nn.functional as F
from batches import Case, terms_of
from comparing import close

from plopkit.methods import FineTuning, Joint, Schedule
from plopkit.scenario import IGNORE, N_IDS
from plopkit.settings import Optim


def test_both_are_cross_entropy_on_different_images(case: Callable[..., Case]) -> None:
    made = case()
    out, _ = made.outputs()
    expected = F.cross_entropy(out.logits, made.target, ignore_index=IGNORE, reduction="sum") / made.target.numel()
    for method in (FineTuning(), Joint()):
        losses = terms_of(method, out, None, made.target, made.step, None)
        assert list(losses) == ["ce"]
        close(losses["ce"], expected)
    assert FineTuning().teacher(made.teacher, made.step) is None
    presence = np.eye(N_IDS, dtype=bool)[:9]
    assert FineTuning().images(made.step, presence, {}).indices.tolist() == [6, 7]
    assert Joint().images(made.step, presence, {}).indices.tolist() == [1, 2, 3, 4, 5, 6, 7]
    optim = Optim(epochs=2, epochs_later=3, lr=0.5, lr_later=0.25, min_iterations=70)
    assert FineTuning().schedule(optim, made.step) == Schedule(3, 0.25, 70)
    assert Joint().schedule(optim, made.step) == Schedule(2, 0.5)
