"""The nearest prototype: means over all pixels of a class, the classifier that they make, what a step adds."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from batches import later_step
from comparing import close
from drawing import draw
from torch import Tensor

from plopkit.methods import NearestPrototype, StepContext
from plopkit.methods.prototypes import set_prototypes
from plopkit.model.classifiers import Classifier
from plopkit.model.decoder import ASPP
from plopkit.model.encoders import Encoder
from plopkit.model.segmenter import Segmenter
from plopkit.prototypes import class_sums
from plopkit.scenario import IGNORE, Step
from plopkit.settings import Optim

FIRST = Step(0, "overlap", (0, 1, 2), (), (3, 4))


@pytest.fixture(scope="module")
def start() -> Segmenter:
    torch.manual_seed(0)
    encoder = Encoder("test_efficientnet")
    return NearestPrototype().build(encoder, ASPP(encoder.channels[-1], 8, (1,)), 3)


def batches(seed: int, labels: tuple[int, ...]) -> list[tuple[Tensor, Tensor]]:
    """Two batches whose targets have these labels, in blocks, and ignored pixels."""
    made = []
    for index in range(2):
        blocks = torch.randint(len(labels), (2, 8, 8), generator=torch.Generator().manual_seed(seed + index))
        target = torch.tensor(labels)[blocks].repeat_interleave(8, 1).repeat_interleave(8, 2)
        target[:, :5] = IGNORE
        made.append((draw(seed + index, 2, 3, 64, 64), target))
    return made


def ended(method: NearestPrototype, net: Segmenter, step: Step, data: Any, state: dict[str, Tensor]) -> Any:
    return method.end_step(copy.deepcopy(net), StepContext(step, batches=lambda: data, state=state))


def test_sums_are_those_of_a_plain_loop_over_pixels() -> None:
    features, (_, target) = draw(0, 2, 5, 4, 4), batches(3, (0, 1, 2))[0]
    large = F.interpolate(features, (64, 64), mode="bilinear", align_corners=True)
    sums, counts = class_sums(features, target, 0, 4)
    for label in range(4):
        pixels = large.movedim(1, 3)[target == label]
        close(sums[label], pixels.sum(0), atol=1e-3)
        assert counts[label] == len(pixels)


@pytest.mark.parametrize("cosine", [True, False])
def test_the_largest_logit_is_the_nearest_prototype(cosine: bool) -> None:
    means, x = draw(0, 5, 7), draw(1, 2, 7, 6, 6)
    classifier = Classifier(7, (3, 2))
    known = torch.tensor([True, True, False, True, True])
    set_prototypes(classifier, means, known, cosine, temperature=0.3)
    pixels = x.movedim(1, 3)[..., None, :]
    if cosine:
        distances = 1 - F.cosine_similarity(pixels, means, dim=4)
        logits = classifier(F.normalize(x, dim=1))
    else:
        distances = (pixels - means).square().sum(4)
        logits = classifier(x)
    distances[..., ~known] = torch.inf
    assert torch.equal(logits.argmax(1), distances.argmin(3))


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_a_step_adds_its_classes_and_leaves_the_others(distance: str) -> None:
    method = NearestPrototype(distance=distance)
    torch.manual_seed(0)
    encoder = Encoder("test_efficientnet")
    net = method.build(encoder, ASPP(encoder.channels[-1], 8, (1,)), 3)
    first, state = ended(method, net, FIRST, batches(0, (0, 1, 2)), {})
    later = later_step(3, 2)
    grown = method.begin_step(first, later)
    second, after = ended(method, grown, later, batches(9, (0, 3, 4)), state)
    assert (state["counts"] > 0).all() and state["counts"].sum() == 2 * 2 * 59 * 64
    assert torch.equal(after["counts"][:3], state["counts"]) and torch.equal(after["sums"][:3], state["sums"])
    assert (after["counts"][3:] > 0).all()
    assert torch.equal(second.classifier[0].weight, first.classifier[0].weight)  # the background's as well
    same = {name: tensor for name, tensor in net.state_dict().items() if name.startswith("encoder.")}
    assert all(torch.equal(tensor, second.state_dict()[name]) for name, tensor in same.items())  # norms' statistics too


def test_a_class_without_a_pixel_is_named_and_never_predicted(
    start: Segmenter, capsys: pytest.CaptureFixture[str]
) -> None:
    net, state = ended(NearestPrototype(), start, FIRST, batches(0, (0, 2)), {})
    assert "step 0: its batches show no pixel of the labels [1], which are never predicted" in capsys.readouterr().err
    assert state["counts"][1] == 0 and 1 not in net(draw(3, 2, 3, 64, 64)).logits.argmax(1)
    ended(NearestPrototype(), start, FIRST, batches(0, (0, 1, 2)), {})
    assert not capsys.readouterr().err


def test_where_targets_show_all_classes_every_label_counts(start: Segmenter) -> None:
    method, step = NearestPrototype(), Step(1, "domain", (), (0, 1, 2), ())
    _, state = ended(method, start, FIRST, data := batches(0, (0, 1, 2)), {})
    _, after = ended(method, start, step, data, state)
    close(after["sums"], 2 * state["sums"])
    assert torch.equal(after["counts"], 2 * state["counts"])


def test_it_trains_nothing_and_goes_on_from_its_own_net_only(start: Segmenter) -> None:
    method, step = NearestPrototype(), later_step(3, 2)
    assert method.schedule(Optim(), step).epochs_of(10) == 0 == method.schedule(Optim(), FIRST).epochs_of(10)
    assert method.teacher(start, step) is None
    assert not any(p.requires_grad for p in method.begin_step(start, step).encoder.parameters())
    other = Segmenter(Encoder("test_efficientnet"), (3,), width=8, dilations=(1,))
    for net in (other, NearestPrototype(distance="euclidean").build(other.encoder, other.decoder, 3)):
        with pytest.raises(ValueError, match=r"distance cosine continues a net without a decoder, which"):
            method.begin_step(net, step)
        with pytest.raises(ValueError, match=r"distance cosine continues a net without a decoder, which"):
            ended(method, net, FIRST, batches(0, (0, 1, 2)), {})
