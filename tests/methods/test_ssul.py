"""SSUL: the released targets, loss, prediction, heads and training; saliency maps; what a later step trains."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from batches import Case, later_step, terms_of
from binary_nets import filled_head
from comparing import close
from released import later_case, numbers_of
from small_runs import TWO_EPOCHS, small, ticks_until
from torch import Tensor, nn

from plopkit.losses import binary_cross_entropy
from plopkit.methods import SSUL
from plopkit.model.segmenter import Output, Segmenter
from plopkit.model.unknown import WithUnknown
from plopkit.model.upsampling import upsample
from plopkit.optimizer import make_optimizer, poly, set_lr
from plopkit.runs.experiment import Experiment, run
from plopkit.scenario import IGNORE, N_IDS, Step
from plopkit.settings import Optim
from plopkit.unknown import salient_id, scores, with_pseudo_labels, with_unknown

CASES = ("voc_15_5", "voc_15_1_step2", "voc_15_1_step0", "ade_100_5")
every_case = pytest.mark.parametrize("case", CASES)


def step_of(numbers: dict[str, Tensor]) -> Step:
    """The step of a case; step 0's new classes include the background there."""
    new, n_seen = numbers["new_classes"].tolist(), int(numbers["n_seen_with_background"])
    future = tuple(range(n_seen, 151 if n_seen > 21 else 21))
    if "logits_old" not in numbers:
        return Step(0, "overlap", tuple(range(n_seen)), (), future)
    return replace(later_step(n_seen - len(new), len(new)), future=future)


def target_of(numbers: dict[str, Tensor], maps: bool) -> Tensor:
    """The target that plopkit's data path makes of a case's labels, with or without saliency maps."""
    step = step_of(numbers)
    presence = np.ones((1, N_IDS), bool)
    (group,) = SSUL().images(step, presence, {}).groups
    assert group.salient is not None
    plain, salient = (torch.from_numpy(table.astype(np.int64)) for table in (group.lookup, group.salient))
    labels = numbers["labels_full"].long()
    return torch.where(numbers["saliency"] != 0, salient[labels], plain[labels]) if maps else salient[labels]


def back(target: Tensor, n_seen: int) -> Tensor:
    """The target of plopkit's data path that `with_unknown` turns into this one."""
    return torch.where(target == IGNORE, IGNORE, torch.where(target == 0, salient_id(n_seen), target.long() - 1))


@every_case
def test_the_targets_are_the_released_ones(case: str) -> None:
    numbers = later_case("ssul", case)
    n_seen = int(numbers["n_seen_with_background"])
    found = with_unknown(target_of(numbers, maps=not case.startswith("ade")), n_seen)
    assert torch.equal(found, numbers["target_train"].long())
    if "logits_old" in numbers:
        pseudo = with_pseudo_labels(found, numbers["logits_old"])
        assert torch.equal(pseudo, numbers["pseudo_target"].long()) and not torch.equal(pseudo, found)


@every_case
def test_the_loss_and_the_prediction_are_the_released_ones(case: str) -> None:
    numbers = later_case("ssul", case)
    logits, n_seen = numbers["logits"].requires_grad_(), int(numbers["n_seen_with_background"])
    target = numbers["pseudo_target" if "pseudo_target" in numbers else "target_train"].long()
    close(binary_cross_entropy(logits, target), numbers["bce_per_pixel"], atol=1e-4)
    old = None
    if "logits_old" in numbers:
        old = Output(scores(numbers["logits_old"]), numbers["logits_old"], aux=numbers["logits_old"])
    out = Output(scores(logits), logits, aux=logits)
    found = terms_of(SSUL(), out, old, back(numbers["target_train"], n_seen), step_of(numbers))
    assert list(found) == ["bce"]
    close(found["bce"], numbers["bce_mean"])
    found["bce"].backward()
    close(logits.grad, numbers["bce_mean_gradient"], atol=1e-7)
    assert torch.equal(SSUL().predict(out.logits.detach()), numbers["prediction"].long())


def test_the_scores_softmax_is_each_ones_share() -> None:
    logits = torch.randn(2, 6, 3, 4, generator=torch.Generator().manual_seed(0))
    sigmoid = logits.sigmoid()
    sums = torch.cat([sigmoid[:, :1] + sigmoid[:, 1:2], sigmoid[:, 2:]], 1)
    close(scores(logits).exp(), sums)
    close(scores(logits).softmax(1), sums / sums.sum(1, keepdim=True))


def test_a_new_head_is_a_copy_of_the_unknowns_and_trains_as_released() -> None:
    numbers = later_case("ssul", "head_small")
    net = filled_head((1, 1, 3))
    with torch.no_grad():
        close(net.classifier(net.decoder(numbers["input"])), numbers["logits_before"], atol=1e-4)
    method = SSUL(dropout=0)
    begun = method.begin_step(net, later_step(4, 2))
    with torch.no_grad():
        close(begun.classifier(begun.decoder(numbers["input"])), numbers["logits_after_transfer"], atol=1e-4)
    optimizer = make_optimizer(begun, Optim(), 0.01, method.parameter_groups(begun, later_step(4, 2)))
    teacher, inputs = net.frozen(), numbers["train_inputs"]
    begun.train()
    for index, (features, target) in enumerate(zip(inputs, numbers["train_targets"].long(), strict=True)):
        set_lr(optimizer, poly(0.01, index, len(inputs)), method.schedule(Optim(), later_step(4, 2)).floor)
        assert [g["lr"] for g in optimizer.param_groups] == pytest.approx(numbers["train_lrs"][index].tolist())
        logits, old = (upsample(n.classifier(n.decoder(features)), target.shape[1:]) for n in (begun, teacher))
        outputs = (Output(scores(each), each, aux=each) for each in (logits, old))
        loss = terms_of(method, *outputs, back(target, 6), later_step(4, 2))["bce"]
        assert loss.item() == pytest.approx(numbers["train_losses"][index].item(), rel=1e-4)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    begun.eval()
    with torch.no_grad():
        close(begun.classifier(begun.decoder(numbers["input"])), numbers["logits_after_training"], atol=1e-3)


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_the_dropout_of_the_settings_holds_for_a_given_net(rate: float) -> None:
    given = filled_head((1, 1, 3))
    begun = SSUL(dropout=rate).begin_step(given, later_step(4, 2)).train()
    rates = [module.p for module in begun.decoder.modules() if isinstance(module, nn.Dropout) and module.training]
    assert rates == [rate] or (rate == 0 and not rates)
    again = Segmenter.from_recipe(begun.recipe())
    assert [module.p for module in again.decoder.modules() if isinstance(module, nn.Dropout)] in (rates, [])


def test_learning_rates_have_a_floor_without_warm_up() -> None:
    numbers, step = numbers_of("later/ssul"), later_step(16, 5)
    parameter = nn.Parameter(torch.zeros(1))
    groups = [{"params": [parameter], "lr_scale": SSUL().background_lr}]
    optimizer = torch.optim.SGD(groups, 1.0)
    for case in ("lr_a", "lr_b"):
        for kind, warmup in (("poly", 0.0), ("warm_poly", 0.1)):
            optim = Optim(warmup=warmup)
            expected = numbers[f"{case}/{kind}"][:, 2].tolist()
            base, found = numbers[f"{case}/poly"][0, 0].item(), []
            for index in range(len(expected)):
                rate = poly(base, index, len(expected), 0.9, warmup)
                set_lr(optimizer, rate, SSUL().schedule(optim, step).floor)
                found.append(optimizer.param_groups[0]["lr"])
            assert found == pytest.approx(expected, rel=1e-9)


def test_what_a_later_step_trains(case: Callable[..., Case]) -> None:
    made = case(2, SSUL())
    net = SSUL().begin_step(made.teacher.requires_grad_(True), made.step).train()
    names = {id(p): name for name, p in net.named_parameters()}
    found = [{names[id(p)] for p in g["params"]} for g in SSUL().parameter_groups(net, made.step)]
    ends = ("0.weight", "2.weight", "2.bias")
    assert found == [{f"classifier.{head}.{end}" for end in ends} for head in (3, 0, 1)]
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert norms and not any(m.training for m in norms)
    assert [m.training for m in net.modules() if isinstance(m, nn.Dropout)] == [True]
    assert net.rebuilt().classes == net.classes == (6, 2)
    assert isinstance(net, WithUnknown) and net(made.image).logits.shape[1] == 8


def test_what_cannot_be_continued_or_marked_is_refused(tiny_net: Callable[..., Segmenter]) -> None:
    with pytest.raises(ValueError, match=r"SSUL continues a net of its own kind, .* not a 'segmenter'"):
        SSUL().begin_step(tiny_net(6), later_step(6, 2))
    assert [salient_id(n) for n in (2, 254, 255, 256)] == [254, 254, 254, 65534]
    with pytest.raises(ValueError, match="needs the target 254 for what is unknown, and step 1 has that channel"):
        SSUL().images(later_step(250, 5), np.ones((1, N_IDS), bool), {})


def test_step_0_is_the_same_for_all_thresholds() -> None:
    assert SSUL(threshold=0.5, background_lr=1).first_step() == SSUL() == SSUL().first_step()


def test_an_interrupted_run_gives_the_same_bytes(tmp_path: Path, no_pictures: Any) -> None:
    def settings(name: str) -> Any:
        return small(tmp_path / name, method="ssul", compute__save_minutes=0, **TWO_EPOCHS)

    expected = run(settings("straight"), progress=False)
    ticks_until(Experiment.open(settings("stopped")), lambda tick: (tick.step, tick.epoch, tick.iteration) == (1, 1, 2))
    resumed = run(settings("stopped"), progress=False)
    for name in ["checkpoints/step-1.safetensors", "results.csv"]:
        assert (resumed.path / name).read_bytes() == (expected.path / name).read_bytes()
    before, after = expected.net(0).state_dict(), expected.net(1).state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all(name.startswith(("classifier.0.", "classifier.1.")) for name in moved)
