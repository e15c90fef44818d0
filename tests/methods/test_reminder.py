"""REMINDER: its state, and its terms next to PLOP's."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from batches import Case, prepared_by, state_before, terms_of
from comparing import close
from small_runs import small
from torch import Tensor

from plopkit.methods import PLOP, Reminder, StepContext
from plopkit.prototypes import class_similarity_distillation, prototypes
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.experiment import run
from plopkit.scenario import Step


def batches_of(made: Case, target: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(made.image, target), (made.image[:1].flip(3), target[:1])]


def test_prototypes_are_those_of_the_net_in_evaluation_mode(case: Callable[..., Case]) -> None:
    made = case(2)
    known = torch.randn(6, 16, generator=torch.Generator().manual_seed(0))
    seen = batches_of(made, made.target)
    net = made.net.train()
    statistics = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    reduced: list[Tensor] = []

    def twice(counts: Tensor) -> Tensor:  # as if another process had the same batches
        reduced.append(counts)
        return 2 * counts

    left, state = Reminder().end_step(net, StepContext(made.step, None, lambda: seen, {"prototypes": known}, twice))
    assert left is net and net.training and len(reduced) == 2
    assert all(torch.equal(statistics[name], tensor) for name, tensor in net.state_dict().items())
    with torch.no_grad():
        maps = [net.eval()(image).head for image, _ in seen]
    expected, counts = prototypes(zip(maps, (target for _, target in seen), strict=True), 6, 8)
    assert counts.tolist() == [2, 0, 0, 0, 0, 0, 2, 1]
    assert list(state) == ["prototypes"]
    assert torch.equal(state["prototypes"][:6], known)
    close(state["prototypes"][6:], expected[6:])


def test_the_background_has_a_prototype_from_step_0_on(case: Callable[..., Case]) -> None:
    made = case(2)
    target = made.target.clamp(max=5)  # ignored pixels are of class 5
    first = Step(0, "overlap", tuple(range(6)), (), (6, 7))
    _, state = Reminder().end_step(made.teacher, StepContext(first, batches=lambda: [(made.image, target)]))
    assert state["prototypes"].shape == (6, 16)
    assert state["prototypes"].any(dim=1).tolist() == [True, False, False, False, False, True]


def test_the_terms_are_plops_and_the_distillation(case: Callable[..., Case]) -> None:
    made, method = case(2), Reminder(csw=2.0, delta=1.0, temperature=2.0)
    batches = [(made.image, made.target)]
    prepared = prepared_by(method, made.teacher, batches, made.step)
    out, old = made.outputs()
    found = terms_of(method, out, old, made.target, made.step, prepared)
    assert list(found) == ["ce", "pod", "csw"]
    thresholds = prepared_by(PLOP(), made.teacher, batches, made.step)
    expected = terms_of(PLOP(), out, old, made.target, made.step, thresholds)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    known = state_before(method, made.teacher, batches, made.step)["prototypes"]
    assert torch.equal(prepared.prototypes, known)
    total, count = class_similarity_distillation(
        out.head, out.logits, old.logits, made.target, known, delta=1.0, temperature=2.0
    )
    close(found["csw"], 2 * total / count)


def test_the_state_grows_with_every_step_of_a_run(tmp_path: Path, no_pictures: Any) -> None:
    folder = run(small(tmp_path, "emoji 10-5 overlap", "reminder"), progress=False)
    states = [StepStore(folder.checkpoints, index).state()["prototypes"] for index in range(3)]
    assert [len(state) for state in states] == [11, 16, 21]
    for before, after in itertools.pairwise(states):
        assert torch.equal(after[: len(before)], before)
    begins = (0, 11, 16)  # not every class is in a crop
    assert states[0][0].any() and all(state[begin:].any() for state, begin in zip(states, begins, strict=True))
