"""What growing does to probabilities, against plain loops."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from drawing import draw

from plopkit.lessons.exercises import check
from plopkit.lessons.growing.measures import classifier_rows, largest_changes, mean_probabilities, overtaken
from plopkit.model.segmenter import Segmenter

N_OLD, N_NEW = 6, 4


def test_mean_probabilities_by_a_plain_loop() -> None:
    logits, where = 2 * draw(0, 2, N_OLD, 3, 4), draw(1, 2, 3, 4) > 0
    sums, count = [0.0] * N_OLD, 0
    for image in range(2):
        for y in range(3):
            for x in range(4):
                if where[image, y, x]:
                    powers = [math.exp(logits[image, c, y, x]) for c in range(N_OLD)]
                    sums = [s + p / sum(powers) for s, p in zip(sums, powers, strict=True)]
                    count += 1
    expected = torch.tensor([s / count for s in sums])
    torch.testing.assert_close(mean_probabilities(logits, where), expected)


def test_mean_probabilities_need_a_pixel() -> None:
    with pytest.raises(ValueError, match="no pixel is chosen"):
        mean_probabilities(draw(0, 1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.bool))


def shared_out(probabilities: torch.Tensor, n_new: int) -> torch.Tensor:
    """MiB's initialisation, eq. 10: the background and each new channel get p / (n_new + 1), the others keep p."""
    share = probabilities[..., :1] / (n_new + 1)
    return torch.cat([share, probabilities[..., 1:], share.expand(*share.shape[:-1], n_new)], -1)


@pytest.mark.parametrize("n_new", [1, N_NEW, 20])
def test_balanced_growth_shares_the_background(n_new: int, tiny_net: Callable[..., Segmenter]) -> None:
    net, images = tiny_net(N_OLD).eval(), draw(2, 2, 3, 64, 64)
    with torch.no_grad():
        old, new = (model(images).logits.softmax(1).movedim(1, -1) for model in (net, net.grown(n_new)))
    torch.testing.assert_close(new, shared_out(old, n_new))
    torch.testing.assert_close(new[..., 1:N_OLD], old[..., 1:])
    torch.testing.assert_close(shared_out(old, n_new).sum(-1), torch.ones(2, 64, 64))


def test_random_growth_does_not(tiny_net: Callable[..., Segmenter]) -> None:
    net, images = tiny_net(N_OLD).eval(), draw(2, 2, 3, 64, 64)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        old, new = (model(images).logits.softmax(1) for model in (net, net.grown(N_NEW, balanced=False)))
    assert (new[:, :N_OLD] <= 1.00001 * old).all()  # all channels lose probability to the new ones
    assert new[:, N_OLD:].sum(1).mean() > 0.001


def test_overtaken_pixels_are_those_where_a_grown_net_predicts_an_old_class(tiny_net: Callable[..., Segmenter]) -> None:
    net, images = tiny_net(N_OLD).eval(), draw(3, 2, 3, 64, 64)
    with torch.no_grad():
        old, new = net(images).logits, net.grown(N_NEW)(images).logits
    predicted = new.argmax(1)
    expected = (old.argmax(1) == 0) & (predicted > 0) & (predicted < N_OLD)
    assert 0 < expected.sum() < expected.numel() / 2
    assert torch.equal(overtaken(old, N_NEW), expected)
    assert check("02.2", expected.float().mean().item(), old_logits=old, n_new=N_NEW).right


def test_the_new_rows_repeat_the_backgrounds(tiny_net: Callable[..., Segmenter]) -> None:
    net = tiny_net(N_OLD)
    rows, before = classifier_rows(net.grown(N_NEW).classifier), classifier_rows(net.classifier)
    assert rows.shape == (N_OLD + N_NEW, 16 + 1)
    assert torch.equal(rows[1:N_OLD], before[1:])
    assert all(torch.equal(rows[0], rows[N_OLD + i]) for i in range(N_NEW))
    torch.testing.assert_close(rows[0, -1], before[0, -1] - math.log(N_NEW + 1))
    assert torch.equal(rows[0, :-1], before[0, :-1])


def test_exercise_02_1_divides_by_one_more_than_the_new_classes() -> None:
    assert check("02.1", 0.9 / 11, background=0.9, n_new=10).right
    assert check("02.1", 0.9 / 10, background=0.9, n_new=10).right is False


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (
            [90.0, 33.9, 70.0],
            "tree rises from 12.6 to 33.9 and cat falls from 80.0 to 70.0; the mean over all moves by 3.8 "
            "and hides that",
        ),
        ([90.0, 12.6, 70.0], "cat falls from 80.0 to 70.0; the mean over all moves by 3.3 and hides that"),
        ([80.0, 2.6, 70.0], "background falls from 90.0 to 80.0; the mean over all moves by 10.0 and shows it"),
        ([90.0, 12.6, float("nan")], "none changes"),
        ([95.0, float("nan"), 80.0], "background rises from 90.0 to 95.0; the mean over all moves by 2.5 and shows it"),
        ([float("nan")] * 3, "none changes"),
    ],
)
def test_what_is_said_of_single_classes_follows_from_their_numbers(after: list[float], said: str) -> None:
    before = np.array([90.0, 12.6, 80.0])
    assert largest_changes(before, np.array(after), ("background", "tree", "cat")) == said
