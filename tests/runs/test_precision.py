"""Verbs of a method that let nets see images outside the training loop compute in the precision of the loop."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from drawing import draw
from small_runs import small
from torch import Tensor

from plopkit.catalogue import METHODS
from plopkit.methods import Batch, Method, MiB, State, StepContext
from plopkit.model.segmenter import Output, Segmenter
from plopkit.prototypes import class_sums
from plopkit.replay import kept_of
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.time_left import Costs
from plopkit.scenario import Step

pytestmark = pytest.mark.usefixtures("no_pictures")

SEEN: dict[str, list[tuple[int, bool]]] = defaultdict(list)
"""By verb and net, the step and whether its outputs were numbers of half precision."""


def is_half(maps: Tensor) -> bool:
    """Whether all are numbers of half precision, be they in single precision by now."""
    return torch.equal(maps.bfloat16().float(), maps.float())


class Watching(Method):
    """MiB that notes what its verbs see."""

    name, title, source, allows_memory = "toy-watching", "watching", "a test", True

    def prepare(self, context: StepContext) -> Tensor:
        assert context.teacher is not None
        image = next(iter(context.batches()))[0]
        note("prepare, the teacher", context.step, context.teacher, image)
        return context.teacher(image).logits

    def losses(self, batch: Batch) -> Mapping[str, Any]:
        assert batch.old is not None
        SEEN["losses, the teacher"].append((batch.context.step.index, is_half(batch.old.small)))
        if batch.prepared is not None and len(SEEN["losses, the teacher"]) == 1:
            SEEN["losses, as in prepare"].append((1, torch.equal(batch.old.logits, batch.prepared)))
        return MiB().losses(batch)

    @torch.no_grad()
    def end_step(self, net: Segmenter, context: StepContext) -> tuple[Segmenter, State]:
        image = next(iter(context.batches()))[0]
        note("end_step, the net", context.step, net, image)
        if context.before is not None:
            assert context.teacher is not None
            note("end_step, the teacher", context.step, context.teacher, image)
            note("end_step, the net before", context.step, context.before(), image)
        return net, {}

    def candidate_target(self, out: Output, target: Tensor, step: Step) -> Tensor:
        SEEN["candidate_target"].append((step.index, is_half(out.small)))
        return target


@torch.no_grad()
def note(verb: str, step: Step, net: Segmenter, image: Tensor) -> None:
    """By the parts of a net, which Accelerate does not wrap as it does the whole."""
    SEEN[verb].append((step.index, is_half(net.classify(net.decode(net.encode(image)[1])))))


@pytest.fixture
def watching() -> Iterator[str]:
    SEEN.clear()
    METHODS["toy-watching"] = Watching
    yield "toy-watching"
    del METHODS["toy-watching"]


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_all_verbs_see_what_training_sees(
    watching: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.setattr("plopkit.runs.experiment.dry_run", lambda *given: Costs(0.0, 0.0, 0.0))  # blank images
    precise = {"compute__precision": precision, "memory__images": 22}
    run(small(tmp_path, "emoji 10-5 overlap", watching, **precise), progress=False)
    half = precision == "bf16"
    later = {1: half, 2: half}
    assert {verb: dict(noted) for verb, noted in SEEN.items()} == {
        "prepare, the teacher": later,
        "losses, the teacher": later,
        "losses, as in prepare": {1: True},
        "end_step, the net": {0: half} | later,
        "end_step, the teacher": later,
        "end_step, the net before": later,
        "candidate_target": {1: half},
    }


def test_what_is_summed_up_is_summed_in_single_precision() -> None:
    """Of the same features, whatever the net computes in."""
    features, labels = draw(0, 2, 8, 4, 4), torch.randint(4, (2, 64, 64), generator=torch.Generator().manual_seed(1))
    expected = [*class_sums(features, labels, 0, 4), *kept_of([(features, labels)], 1, 4)]
    with torch.autocast("cpu", torch.bfloat16):
        found = [*class_sums(features, labels, 0, 4), *kept_of([(features, labels)], 1, 4)]
    assert all(map(torch.equal, found, expected))


class Noting(MiB):
    """MiB that notes in which verbs autocast is on."""

    name, title, source = "toy-noting", "noting", "a test"

    def begin_step(self, before: Segmenter, step: Step) -> Segmenter:
        note_autocast("begin_step")
        return super().begin_step(before, step)

    def prepare(self, context: StepContext) -> None:
        note_autocast("prepare")

    def losses(self, batch: Batch) -> Mapping[str, Any]:
        note_autocast("losses")
        return super().losses(batch)

    def end_step(self, net: Segmenter, context: StepContext) -> tuple[Segmenter, State]:
        note_autocast("end_step")
        return super().end_step(net, context)

    def predict(self, logits: Tensor) -> Tensor:
        note_autocast("predict")
        return super().predict(logits)


AUTOCAST: set[tuple[str, bool]] = set()


def note_autocast(verb: str) -> None:
    AUTOCAST.add((verb, torch.is_autocast_enabled("cpu")))


def test_the_dry_run_computes_as_the_run_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "toy-noting", Noting)
    expected = {("begin_step", False), ("prepare", True), ("losses", False), ("end_step", True), ("predict", False)}
    AUTOCAST.clear()
    experiment = Experiment.open(small(tmp_path, "emoji 15-5 overlap", "toy-noting", compute__precision="bf16"))
    assert expected == AUTOCAST
    AUTOCAST.clear()
    experiment.run(progress=False)
    assert expected == AUTOCAST
