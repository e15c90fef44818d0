"""What does not fit is reported before anything is trained or written."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_encoders  # noqa: F401  (makes them known)
import torch
from small_runs import small
from torch import nn

from plopkit.catalogue import METHODS
from plopkit.datasets.steps import Selection
from plopkit.methods import EWC, FineTuning, Method
from plopkit.runs.experiment import Experiment


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hyper": {"scales": (9,)}}, "of 64 pixels does not go through PLOP: scale 9 does not fit"),
        ({"optim__batch": 1}, "a batch of 1 images of 64 pixels does not go through PLOP"),
        ({"model__encoder": "resnt18"}, "no encoder 'resnt18'"),
        (
            {"data__scenes": 12},
            "emoji 15-5 overlap, step 1: this step has 4 training images, fewer than one batch of 8",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Experiment.open(small(tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()


def test_a_step_without_validation_images_is_refused(folder_root: Callable[..., Path], tmp_path: Path) -> None:
    root = folder_root(train=20, val=1, classes=6, size=(64, 64))  # its labels are 1 and 2
    settings = small(tmp_path / "out", "folder 1-1 overlap order=3,1,2,4,5", data__root=root, optim__batch=2)
    with pytest.raises(ValueError, match=r"step 0: no validation image contains any of the labels seen so far, \(3,\)"):
        Experiment.open(settings)
    assert not (tmp_path / "out").exists()


def ended_with(change: Callable[[Any], Any]) -> Callable[..., Any]:
    """An `end_step` that changes the net and leaves no state."""

    def end_step(self: Method, net: Any, context: Any) -> Any:
        change(net)
        return net, {}

    return end_step


@pytest.mark.parametrize(
    ("verbs", "message"),
    [
        ({"losses": lambda self, batch: {}}, "does not go through toy: its losses give no term"),
        ({"losses": lambda self, batch: {"ce": batch.out.logits.mean((1, 2, 3))}}, r"'ce' is a tensor .* not of shape"),
        ({"parameter_groups": lambda self, net, step: []}, "nothing to train"),
        (
            {"begin_step": lambda self, before, step: before.grown(2)},
            "step 1 begins with a net of 18 channels",
        ),
        (
            {"end_step": ended_with(lambda net: net.classifier.grow(1))},
            "step 0 ends with a net of 17 channels",
        ),
        (
            {"end_step": ended_with(lambda net: net.add_module("extra", nn.Linear(2, 2)))},
            r"such as extra\.bias, are not as its recipe says",
        ),
        ({"end_step": lambda self, net, context: (net, {"count": 3})}, "the state 'count' is a tensor, not int"),
        ({"predict": lambda self, logits: logits.sigmoid() > 0.5}, r"predict gives \(2, 16, 64, 64\) for images of"),
        (
            {"images": lambda self, step, presence, state: Selection.of(np.arange(90), step.lookup("seen"))},
            "image 40 is selected, and there are 40, numbered from 0",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_method_that_breaks_a_rule_is_refused(
    verbs: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type("Toy", (FineTuning,), {"__module__": __name__, "name": "toy", "title": "toy", **verbs})
    own = {"first_step": lambda self: self}
    kind = type("Toy", (kind,), {"__module__": __name__, **own})
    monkeypatch.setitem(METHODS, "toy", kind)
    with pytest.raises(ValueError, match=message):
        Experiment.open(small(tmp_path / "out", method="toy"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("error", [AssertionError("Input height (64) doesn't match model (224)."), KeyError("a")])
def test_an_encoder_that_asserts_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def forward(self: Any, image: torch.Tensor) -> Any:
        raise error

    monkeypatch.setattr("plopkit.model.encoders.Encoder.forward", forward)
    message = rf"'test_efficientnet' does not take images of 64 pixels \({type(error).__name__}: .*change data\.size"
    with pytest.raises(ValueError, match=message):
        Experiment.open(small(tmp_path / "out"))


def test_the_size_that_an_encoder_takes_is_named(tmp_path: Path) -> None:
    settings = small(tmp_path / "out", model__encoder="tiny_cait", model__stages=None)
    message = r"^the encoder 'tiny_cait' takes no images of 64 x 64 pixels \(.*\); it was made for 224 x 224; give data"
    with pytest.raises(ValueError, match=message):
        Experiment.open(settings)


class Twice(EWC):
    """Names a tensor as its regularizer does."""

    name = "toy-twice"

    def end_step(self, net: Any, context: Any) -> Any:
        return net, {"fisher/decoder.norm.weight": torch.zeros(1)}


def test_a_state_named_by_both_regularizer_and_end_step_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "toy-twice", Twice)
    with pytest.raises(ValueError, match=r"both give a state 'fisher/decoder\.norm\.weight'; rename one"):
        Experiment.open(small(tmp_path / "out", method="toy-twice"))
    assert not (tmp_path / "out").exists()
