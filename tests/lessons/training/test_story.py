"""The first picture: the image that shows what one method has lost and another has kept, and the names on it."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.text import Text
from torch import nn

from plopkit.lessons import say
from plopkit.lessons.training import FATES, Example, fates, leading, objects_shown, story, telling_example
from plopkit.lessons.training.figures import middle
from plopkit.runs.experiment import Experiment
from plopkit.scenario import Scenario
from plopkit.viz.png import pixels

STEP = Scenario.parse("emoji 15-5 overlap").steps[-1]
OLD, NEW, SIDE = 3, 17, 16


def image_of(*halves: int) -> np.ndarray:
    """A target with one channel above and another below."""
    return np.repeat(halves, SIDE // 2)[:, None].repeat(SIDE, 1).astype(np.uint8)


class Says(nn.Module):
    """A net that predicts these channels, image by image."""

    def __init__(self, *answers: np.ndarray):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.answers = answers

    def forward(self, image: torch.Tensor) -> Any:
        numbers = [int(picture[0, 0, 0] > 0) for picture in image]
        channels = torch.tensor(np.stack([self.answers[number] for number in numbers])).long()
        return SimpleNamespace(logits=nn.functional.one_hot(channels, STEP.n_seen).movedim(3, 1).float())


class Finished(Experiment):
    """As much of a finished run as is needed; its images are black, then white."""

    data = scenario = None

    def __init__(self, answers: list[np.ndarray], targets: list[np.ndarray]):
        self.answers = answers
        self.targets = targets
        self.data = SimpleNamespace(eval_loader=self.eval_loader)
        self.scenario = SimpleNamespace(steps=[STEP])
        self.method = SimpleNamespace(predict=lambda logits: logits.argmax(1))

    def net(self, index: int) -> Any:
        return Says(*self.answers)

    def eval_loader(self, step: object) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for number, target in enumerate(self.targets):
            picture = torch.full((1, 3, SIDE, SIDE), 255 * number, dtype=torch.uint8)
            yield picture, torch.tensor(target[None])


def test_the_image_shows_what_is_lost_and_what_is_kept() -> None:
    both, only_new = image_of(OLD, NEW), image_of(0, NEW)
    for truth, place in (([only_new, both], 1), ([both, only_new], 0)):
        ft = Finished([image_of(0, NEW)] * 2, truth)
        plop = Finished(truth, truth)
        example = telling_example({"ft": ft, "plop": plop})
        assert (example.picture == 255 * place).all()
        assert example.old == {"ft": 0.0, "plop": 1.0} and example.new == {"ft": 1.0, "plop": 1.0}
        assert set(np.unique(example.truth)) == {STEP.seen[OLD], STEP.seen[NEW]}
        assert set(np.unique(example.predictions["ft"])) == {0, STEP.seen[NEW]}


def test_a_fine_tuned_net_that_knows_nothing_shows_less() -> None:
    truth = [image_of(OLD, NEW)] * 2
    ft = Finished([image_of(0, 0), image_of(0, NEW)], truth)
    plop = Finished(truth, truth)
    assert (telling_example({"ft": ft, "plop": plop}).picture == 255).all()


def test_what_becomes_of_old_objects() -> None:
    truth = STEP.label_of[image_of(OLD, NEW)]
    called = truth.copy()
    called[0], called[1], called[2] = 0, STEP.seen[NEW], STEP.seen[OLD + 1]
    example = Example(np.zeros((3, SIDE, SIDE), np.uint8), truth, {"ft": called}, {}, {})
    assert fates(example, "ft", STEP).to_dict() == dict(zip(FATES, (5 / 8, 1 / 8, 1 / 8, 1 / 8), strict=True))


def test_where_no_image_has_both_it_is_the_first() -> None:
    truth = [image_of(0, OLD), image_of(0, NEW)]
    run = Finished(truth, truth)
    example = telling_example({"ft": run, "plop": run})
    assert (example.picture == 0).all() and example.new == {"ft": 0.0, "plop": 0.0}


@pytest.mark.usefixtures("no_pyplot")
def test_the_objects_have_their_names_on_them() -> None:
    names = [f"class {label}" for label in range(21)]
    truth = STEP.label_of[image_of(OLD, NEW)]
    lost = STEP.label_of[image_of(0, NEW)]
    example = Example(np.zeros((3, SIDE, SIDE), np.uint8), truth, {"ft": lost, "plop": truth}, {}, {})
    figure = story(example, ["fine-tuning", "PLOP"], names, "a title", "a credit")
    pixels(figure)
    written = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    both, new = ["class 3", "class 17"], ["class 17"]
    assert written == [[], both, new, both]
    assert [axis.get_title() for axis in figure.axes] == ["image", "truth", "fine-tuning", "PLOP"]
    assert "a credit" in [text.get_text() for text in figure.findobj(Text)]
    assert "fine-tuning class 17 50 %, PLOP class 3 50 % and class 17 50 %." in figure.alt


def test_every_class_of_the_truth_is_said_also_what_is_too_small_for_its_name() -> None:
    names = [f"class {label}" for label in range(21)]
    truth = np.kron(STEP.label_of[image_of(OLD, NEW)], np.ones((2, 2), np.uint8))
    assert objects_shown(truth, names, STEP) == "class 3 (old) and class 17 (new)"
    truth[0, :3], truth[-1, :2] = 18, 255
    assert objects_shown(truth, names, STEP) == "class 3 (old) and class 17 (new); too small for a name: class 18 (new)"
    example = Example(np.zeros((3, *truth.shape), np.uint8), truth, {}, {}, {})
    written = [text.get_text() for text in story(example, [], names, "a title").axes[1].texts]
    assert written == ["class 3", "class 17"]
    assert objects_shown(np.zeros((4, 4), np.uint8), names, STEP) == "no object"


def test_a_name_is_written_inside_its_object() -> None:
    where = np.zeros((20, 30), bool)
    where[:, 2:5] = where[15:, :] = True
    where[0, 29] = True
    row, column = middle(where)
    assert where[row, column] and row >= 15


def test_what_lesson_00_says_of_two_methods_is_said_with_a_third_as_well() -> None:
    """As its last section proposes."""
    (path,) = (Path(__file__).resolve().parents[3] / "notebooks").glob("00_*.ipynb")
    cells = {cell.id: cell.source for cell in nbformat.read(path, as_version=4).cells}
    shares = {"ft": 0.0, "plop": 0.5, "mib": 0.4}
    example = SimpleNamespace(old=shares, new=shares)
    summary = pd.DataFrame({"method": list(shares), "old_nobg": [60.0, 60, 60], "new": [50.0, 20, 30]})
    after = summary.set_index("method")
    question = SimpleNamespace(then=lambda make: make())
    known = {"say": say, "example": example, "summary": summary, "after": after, "runs": shares, "question": question}
    for name in ("cell-07-said", "cell-11-said"):
        exec(cells[name], known)


def test_who_leads() -> None:
    assert leading(pd.Series({"ft": 52.5, "plop": 17.4})) == "ft"
    assert leading(pd.Series({"ft": 17.0, "plop": 17.4})) is None
    assert leading(pd.Series({"ft": np.nan, "plop": np.nan})) is None
    assert leading(pd.Series({"ft": np.nan, "plop": 1.0})) == "plop"
