"""DFT*: frozen but for the new classifiers, with a softmax over the channels of all steps."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from batches import Case, later_step, terms_of
from comparing import close
from small_runs import small

import plopkit
from plopkit.methods import DFT, FineTuning
from plopkit.model import Output, Reserved
from plopkit.presets import open_scenario
from plopkit.runs.step_0 import step_0_source
from plopkit.scenario import IGNORE, WIDE_IGNORE, Scenario


def test_a_step_trains_the_classifiers_of_its_classes_and_of_those_to_come(tmp_path: Path) -> None:
    settings = small(tmp_path, "emoji 10-5 overlap", "dft")
    folder = plopkit.run(settings, progress=False)
    before, after, last = (folder.net(index) for index in (0, 1, 2))
    assert isinstance(before, Reserved)
    assert [(net.classes, net.reserved) for net in (before, after, last)] == [
        ((11,), (5, 5)),
        ((11, 5), (5,)),
        ((11, 5, 5), ()),
    ]
    old, new = before.state_dict(), after.state_dict()
    names = {"reserve.0": "classifier.1", "reserve.1": "reserve.0"}
    moved = []
    for name, tensor in old.items():
        part, _, parameter = name.rpartition(".")
        if not torch.equal(tensor, new[f"{names.get(part, part)}.{parameter}"]):
            moved.append(part)
    assert sorted(set(moved)) == ["reserve.0", "reserve.1"]  # neither weights nor norms' statistics


def test_the_softmax_is_over_the_channels_of_all_steps(case: Callable[..., Case]) -> None:
    made = case(2, DFT())
    everything = torch.randn(2, 11, 64, 64, generator=torch.Generator().manual_seed(0))
    out = Output(everything[:, :8], everything[:, :8], aux=everything)
    expected = F.cross_entropy(everything, made.target, ignore_index=IGNORE, reduction="sum") / made.target.numel()
    close(terms_of(DFT(), out, None, made.target, made.step)["ce"], expected)
    without = terms_of(DFT(), out._replace(aux=None), None, made.target, made.step)["ce"]
    close(without, terms_of(FineTuning(), out, None, made.target, made.step)["ce"])


def test_ignored_pixels_stay_ignored_where_all_channels_are_more_than_255() -> None:
    everything = torch.randn(1, 300, 2, 2, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([[[0, IGNORE], [249, 3]]])
    out = Output(everything[:, :250], everything[:, :250], aux=everything)
    wide = target.masked_fill(target == IGNORE, WIDE_IGNORE)
    expected = F.cross_entropy(everything, wide, ignore_index=WIDE_IGNORE, reduction="sum") / 4
    close(terms_of(DFT(), out, None, target, later_step(240, 10))["ce"], expected)


def test_a_net_without_reserved_classifiers_gets_a_new_one(case: Callable[..., Case]) -> None:
    made = case()
    begun = DFT().begin_step(made.teacher, made.step)
    assert begun.classes == (6, 2)
    assert {name for name, p in begun.named_parameters() if p.requires_grad} == {
        "classifier.1.weight",
        "classifier.1.bias",
    }
    assert not any(module.training for module in begun.train().encoder.modules())


@pytest.mark.parametrize("task", ["15-1", "15-5"])
def test_step_0_depends_on_the_steps_to_come(tmp_path: Path, task: str) -> None:
    def source(method: str, task: str) -> str:
        settings = small(tmp_path, f"emoji {task} overlap", method)
        scenario: Scenario = open_scenario(settings)
        return step_0_source(settings, scenario, plopkit.METHODS[method](), "")

    assert source("ft", task) == source("plop", "15-5")
    assert source("dft", task) != source("ft", task)
    assert (source("dft", task) == source("dft", "15-5")) == (task == "15-5")
