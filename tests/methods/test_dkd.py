"""DKD: the released terms with their gradients, its classifiers, what a later step trains, and its decision."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from batches import Case, later_step, terms_of
from comparing import close
from drawing import draw
from released import later_case, numbers_of
from required import inplace_abn
from small_runs import TWO_EPOCHS, small, ticks_until
from torch import Tensor, nn

from plopkit.binary import multiple_binary_cross_entropy
from plopkit.methods import DKD, SSUL, STAR, Method
from plopkit.model.decoder import ASPP
from plopkit.model.encoders import Encoder
from plopkit.model.norms import norm_names, norm_of
from plopkit.model.segmenter import Segmenter
from plopkit.model.sigmoid import SigmoidClassifier, classifier_of, decomposed_output
from plopkit.optimizer import poly
from plopkit.runs.experiment import Experiment, run
from plopkit.scenario import IGNORE, Step

CASES = pytest.mark.parametrize("case", ["voc_15_5", "voc_15_1_step2", "voc_15_1_step0", "ade_100_10_step1"])
TERMS = ("mbce", "ac", "kd", "dkd_pos", "dkd_neg")


def made_of(numbers: dict[str, Tensor], kind: str = "") -> SigmoidClassifier:
    """The classifiers of a case: of the net, or of the teacher ("_old")."""
    weights, biases = (
        [numbers[name] for i in range(9) if (name := f"{part}{kind}_{i}") in numbers] for part in ("weight", "bias")
    )
    return classifier_of(weights, biases)


@CASES
def test_the_terms_and_their_gradients_are_the_released_ones(case: str) -> None:
    numbers = later_case("dkd", case)
    classifier, labels = made_of(numbers), numbers["labels"].long()
    features = numbers["features"].requires_grad_()
    out = decomposed_output(classifier, features, labels.shape[1:])
    close(torch.cat([out.aux.auxiliary, out.small[:, 1:]], 1), numbers["logits_small"])
    close(out.logits[:, 1:], numbers["logits"][:, 1:])
    close(out.aux.positive, numbers["positive_small"])
    close(out.aux.negative, numbers["negative_small"])
    old, n_old = None, 1
    if "features_old" in numbers:
        old = decomposed_output(made_of(numbers, "_old"), numbers["features_old"], labels.shape[1:])
        n_old = old.logits.shape[1]
    n_all, every = out.logits.shape[1], tuple(range(out.logits.shape[1]))
    step = later_step(n_old, n_all - n_old) if old else Step(0, "overlap", every, (), ())
    method = DKD(positive_first=35, positive=35) if case.startswith("ade") else DKD()
    found = terms_of(method, out, old, labels, step)
    weights = dict(zip(TERMS, (1, method.auxiliary, method.kd, method.dkd_positive, method.dkd_negative), strict=True))
    assert list(found) == [*TERMS] if old else ["mbce", "ac"]
    for name, value in found.items():
        torch.testing.assert_close(value.detach() / weights[name], numbers[f"loss_{name}"], rtol=1e-5, atol=1e-5)
    total = torch.stack(list(found.values())).sum()
    close(total, numbers["total"])
    total.backward()
    close(features.grad, numbers["gradient_features"])
    for index, part in enumerate(classifier):
        close(part.weight.grad[..., 0, 0], numbers[f"gradient_weight_{index}"])
        close(part.bias.grad, numbers[f"gradient_bias_{index}"])
    assert torch.equal(method.predict(out.logits), numbers["prediction"].long())


@CASES
def test_the_cross_entropy_per_class_and_pixel(case: str) -> None:
    numbers = later_case("dkd", case)
    labels, expected = numbers["labels"].long(), numbers["mbce_per_pixel"]
    positive = 35 if case.startswith("ade") else 2 if case.endswith("step0") else 1
    logits = torch.cat([torch.zeros_like(numbers["logits"][:, :1]), numbers["logits"][:, 1:]], 1)
    n_old = logits.shape[1] - expected.shape[1]
    close(multiple_binary_cross_entropy(logits, labels, n_old, positive)[:1], expected.sum(1), atol=1e-4)


@pytest.mark.parametrize("case", ["voc_15_5", "voc_15_1_step2", "ade_100_10_step1"])
def test_new_classifiers_are_copies_of_the_auxiliary_one(case: str) -> None:
    numbers = later_case("dkd", case)
    classifier = made_of(numbers)
    weight, bias = numbers["weight_new_after_initialisation"], numbers["bias_new_after_initialisation"]
    classifier.pop(-1)
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    classifier.grow(len(weight))
    assert torch.equal(classifier[-1].weight[..., 0, 0], weight) and torch.equal(classifier[-1].bias, bias)
    assert all(torch.equal(classifier.state_dict()[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("case", ["lr_a", "lr_b"])
def test_learning_rates_with_and_without_warm_up(case: str) -> None:
    numbers = numbers_of("later/dkd")
    for kind, warmup in (("poly", 0.0), ("warm_poly", 0.2)):
        expected = numbers[f"{case}/{kind}"][:, 0]
        found = [
            poly(0.001 if case == "lr_a" else 0.00025, i, len(expected), 0.9, warmup) for i in range(len(expected))
        ]
        assert found == pytest.approx(expected.tolist(), rel=1e-9)


def test_what_a_later_step_trains(case: Callable[..., Case]) -> None:
    made = case(2, DKD())
    net = DKD(head_lr=7).begin_step(made.teacher.requires_grad_(True), made.step).train()
    body, head, new = DKD(head_lr=7).parameter_groups(net, made.step)
    assert [(g["lr_scale"], g.get("weight_decay")) for g in (body, head, new)] == [(1, 0), (7, 0), (7, None)]
    names = {id(p): name for name, p in net.named_parameters()}
    assert {names[id(p)] for p in new["params"]} == {"classifier.2.weight", "classifier.2.bias"}
    trained = {names[id(p)] for g in (body, head, new) for p in g["params"]}
    norms = {n for n, m in net.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    assert set(names.values()) - trained == {f"{n}.{part}" for n in norms for part in ("weight", "bias")}
    assert not any(m.training for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm | nn.Dropout))
    assert torch.equal(net(made.image).logits, net(made.image).logits)  # without dropout
    assert all(p.requires_grad for p in DKD().build(net.encoder, net.decoder, 3).decoder.parameters())


def test_step_0_is_the_same_for_all_weights_of_distillation() -> None:
    assert DKD(kd=1, dkd_positive=2, dkd_negative=3, positive=4).first_step() == DKD() == DKD().first_step()
    assert DKD(positive_first=3).first_step() != DKD()


def test_the_background_is_where_no_sigmoid_exceeds_one_half() -> None:
    classifier = SigmoidClassifier(4, (3, 2), auxiliary=True)
    for index, parameter in enumerate(classifier.parameters()):
        parameter.data = draw(index, *parameter.shape) - (2 if parameter.ndim == 1 else 0)
    logits = classifier(torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0)))
    sigmoid = logits[:, 1:].sigmoid()
    expected = torch.where(sigmoid.amax(1) > 0.5, sigmoid.argmax(1) + 1, 0)
    assert torch.equal(DKD().predict(logits), expected) and {0, 1} <= set(expected.unique().tolist())
    assert classifier.classes == (3, 2) and [part.out_channels for part in classifier] == [1, 2, 2]


def test_a_net_of_another_kind_is_refused(tiny_net: Callable[..., Segmenter]) -> None:
    with pytest.raises(ValueError, match=r"DKD continues a net of its own kind, .* not a 'segmenter'"):
        DKD().begin_step(tiny_net(6), later_step(6, 2))


def test_ignored_pixels_are_negatives_as_released(case: Callable[..., Case]) -> None:
    made = case(2, DKD())
    out = made.outputs()[0]
    background, ignored = torch.zeros_like(made.target), torch.full_like(made.target, IGNORE)
    values = [terms_of(DKD(), out, None, target, made.step)["mbce"] for target in (background, ignored)]
    assert torch.equal(*values)


def test_an_interrupted_run_gives_the_same_bytes(tmp_path: Path, no_pictures: Any) -> None:
    def settings(name: str) -> Any:
        return small(tmp_path / name, method="dkd", compute__save_minutes=0, **TWO_EPOCHS)

    expected = run(settings("straight"), progress=False)
    for place in [(0, 0, 1), (1, 1, 2)]:
        ticks_until(
            Experiment.open(settings("stopped")), lambda tick, p=place: (tick.step, tick.epoch, tick.iteration) == p
        )
    resumed = run(settings("stopped"), progress=False)
    for name in ["checkpoints/step-0.safetensors", "checkpoints/step-1.safetensors", "results.csv"]:
        assert (resumed.path / name).read_bytes() == (expected.path / name).read_bytes()
    before, after = expected.net(0).state_dict(), expected.net(1).state_dict()
    still = [name for name in before if "running" in name or ".bn" in name or "norm" in name]
    assert still and all(torch.equal(before[name], after[name]) for name in still)
    assert not torch.equal(before["decoder.last.conv.weight"], after["decoder.last.conv.weight"])


@pytest.mark.parametrize("kind", ["abn", "iabn"])
@pytest.mark.parametrize("method", [DKD, SSUL, STAR])
def test_the_encoders_norms_have_the_momentum_of_the_settings(method: type[Method], kind: str) -> None:
    if kind == "iabn":
        inplace_abn()
    encoder = Encoder("resnet18", norm=kind)
    decoder = ASPP(encoder.channels[-1], 8, (1, 2), None, norm_of(kind))
    net = method(norm_momentum=0.03).build(encoder, decoder, 6)
    momenta = {name: net.get_submodule(name).momentum for name in norm_names(net)}
    assert {momentum for name, momentum in momenta.items() if name.startswith("encoder.")} == {0.03}
    assert {momentum for name, momentum in momenta.items() if name.startswith("decoder.")} == {0.1}
