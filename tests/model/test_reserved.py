"""A net with classifiers for the steps to come."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from comparing import close
from drawing import draw

from plopkit.model import Reserved, Segmenter
from plopkit.model.checkpoints import LAYOUTS, load_published, save_published
from plopkit.model.classifiers import Classifier
from plopkit.model.decoder import ASPP
from plopkit.model.encoders import Encoder
from plopkit.model.upsampling import upsample


@pytest.fixture
def net(tiny_net: Callable[..., Segmenter]) -> Reserved:
    """A net of six channels, with three and one to come."""
    plain = tiny_net(6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Reserved.from_parts(plain.encoder, plain.decoder, plain.classifier, (3, 1))


def test_all_classifiers_take_part_in_training_only(net: Reserved) -> None:
    image = draw(0, 2, 3, 64, 64)
    out = net.train()(image)
    assert out.logits.shape == (2, 6, 64, 64) and out.small.shape[1] == 6 and out.aux.shape == (2, 10, 64, 64)
    close(out.aux[:, :6], out.logits)
    close(out.aux[:, 6:9], upsample(net.reserve[0](out.head), (64, 64)))
    close(out.aux[:, 9:], upsample(net.reserve[1](out.head), (64, 64)))
    out.aux.sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    evaluated = net.eval()(image)
    assert evaluated.logits.shape[1] == 6 and evaluated.aux is None


def test_a_step_takes_the_next_classifier_as_it_is(net: Reserved) -> None:
    grown = net.grown(3)
    assert (grown.classes, grown.reserved, net.classes, net.reserved) == ((6, 3), (1,), (6,), (3, 1))
    assert torch.equal(grown.classifier[0].bias, net.classifier[0].bias)  # not lowered
    assert torch.equal(grown.classifier[1].weight, net.reserve[0].weight)
    assert torch.equal(grown.reserve[0].weight, net.reserve[1].weight)
    last = grown.grown(1)
    assert (last.classes, last.reserved) == ((6, 3, 1), ())
    assert last.train()(draw(0, 2, 3, 64, 64)).aux is None
    assert last.grown(2).classes == (6, 3, 1, 2)
    with pytest.raises(ValueError, match=re.escape("the next step was planned with 3 new channels, not 2")):
        net.grown(2)


def test_a_checkpoint_keeps_the_classifiers_to_come(net: Reserved) -> None:
    rebuilt = net.rebuilt()
    assert isinstance(rebuilt, Reserved) and rebuilt.reserved == (3, 1)
    assert all(map(torch.equal, rebuilt.state_dict().values(), net.state_dict().values()))


def test_an_exported_net_has_no_classifiers_to_come(tmp_path: Path) -> None:
    image = draw(0, 2, 3, 64, 64)
    encoder = Encoder("resnet18")
    net = Reserved.from_parts(encoder, ASPP(encoder.channels[-1], 16), Classifier(16, (4,)), (2, 1)).eval()
    for layout in LAYOUTS:
        path = tmp_path / f"{layout}.{'safetensors' if layout == 'plopkit' else 'pth'}"
        save_published(net, path, layout)
        read = load_published(path)
        assert (type(read), read.classes) == (Segmenter, (4,))
        close(read(image).logits, net(image).logits)
    assert net.reserved == (2, 1)
