"""Why a step cannot be trained, in words."""

import numpy as np
import pytest

from plopkit.datasets.lacking import too_few_images
from plopkit.datasets.source import Source
from plopkit.scenario import N_IDS, Scenario


class Listed(Source):
    classes = ("background", "cat", "dog", "hen", "cow")
    stems = ("a", "b", "c")
    fingerprint = "listed"
    listing = "/data/train.txt"

    def read(self, index):
        raise NotImplementedError

    def labels(self, index):
        raise NotImplementedError


def presence_of(*images: tuple[int, ...]) -> np.ndarray:
    table = np.zeros((len(images), N_IDS), bool)
    for row, labels in zip(table, images, strict=True):
        row[list(labels)] = True
    return table


@pytest.mark.parametrize(
    ("protocol", "index", "n_images", "images", "words"),
    [
        (
            "overlap",
            0,
            0,
            [(0, 3), (0, 4), (0,)],
            "none of the 3 training images listed in /data/train.txt is of its classes (no image shows cat, dog); add "
            "such images, or where a net has learnt these classes already, begin with it in place of training step 0: ",
        ),
        (
            "overlap",
            1,
            0,
            [(0, 1), (0, 2), (0,)],
            "none of the 3 training images listed in /data/train.txt is of its classes (no image shows hen, cow); add "
            "such images, or choose another task",
        ),
        (
            "overlap",
            0,
            2,
            [(0, 1), (0, 1), (0, 3)],
            "this step has 2 training images, fewer than one batch of 4; lower optim.batch, or add images to the data "
            "set (no image shows dog)",
        ),
        (
            "disjoint",
            0,
            0,
            [(0, 1, 3), (0, 2, 4), (0, 4)],
            "the protocol disjoint takes none of the 2 training images of its classes (each also shows a class of a "
            "later step; overlap would take them); add other images",
        ),
    ],
)
def test_the_message_names_what_helps(protocol: str, index: int, n_images: int, images, words: str) -> None:
    step = Scenario.parse(f"folder 2-2 {protocol}", 5).steps[index]
    message = too_few_images(step, n_images, 4, presence_of(*images), Listed())
    assert message.startswith(words)
    assert ("optim.batch" in message) == bool(n_images) and ("--from" in message) == ("or where a net" in words)
