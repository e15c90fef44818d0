"""Data sets of more than 255 labels: masks of 16 bits, in which 255 is a label and 65535 is ignored."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from picture_files import save_mask
from wide_folder import N, stripes, write_wide_folder

from plopkit.confusion import confusion
from plopkit.datasets.check import classes_table, hidden_table
from plopkit.datasets.counts import pixels, presence
from plopkit.datasets.folder import folder
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.datasets.steps import Selection, StepDataset, eval_loader
from plopkit.datasets.transforms import eval_transform, to_device, train_transform
from plopkit.losses import binary_cross_entropy, cross_entropy, unbiased_cross_entropy
from plopkit.pseudo import median_thresholds, pseudo_label
from plopkit.scenario import WIDE_IGNORE, Scenario, ignored_id, table_width
from plopkit.settings import Data, Optim, Settings

SCENARIO = Scenario.parse("folder 254-45 overlap", N)
FIRST, SECOND = SCENARIO.steps  # 255 channels and 300


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_wide_folder(tmp_path / "wide")


def test_masks_labels_and_tables(root: Path, tmp_path: Path) -> None:
    source = folder(root, "train")
    table, counts = presence(source, tmp_path / "cache"), pixels(source, tmp_path / "cache")
    assert table.shape == counts.shape == (8, table_width(N)) == (8, N + 1)
    for index in range(8):
        mask = source.read(index).mask
        assert mask.dtype == torch.uint16 and np.array_equal(mask.numpy(), stripes(index))
        assert source.labels(index) == set(stripes(index)[0].tolist())
        assert counts[index, :N].tolist() == [int((stripes(index) == label).sum()) for label in range(N)]
        assert counts[index, N] == 30 * 8  # ignored
    assert np.array_equal(table, counts > 0)
    assert np.array_equal(presence(source, tmp_path / "cache"), table)
    assert FIRST.trains_on(table).all() and SECOND.trains_on(table).all()
    rows = classes_table(SCENARIO, source.classes, counts, counts).set_index(["step", "label"])
    assert rows.loc[(1, 255), "training pixels"] == 8 * 30 * 8
    shares = hidden_table(SCENARIO, counts).loc[1]
    assert shares.to_dict() == {"background": pytest.approx(50), "old": pytest.approx(50), "future": 0}


def test_masks_of_the_wrong_kind_are_reported(root: Path) -> None:
    save_mask(root / "masks" / "train-1.png", np.zeros((30, 40), np.uint8))
    with pytest.raises(ValueError, match=r"train-1.png: a mask must be a PNG with one 16-bit channel .* is 'PNG L'"):
        folder(root, "train").read(1)
    save_mask(root / "masks" / "train-1.png", np.full((30, 40), N, np.uint16))
    with pytest.raises(ValueError, match=r"label 300 is outside the classes, .* 0 to 299; .*\(65535 marks ignored"):
        folder(root, "train").labels(1)
    for function in (presence, pixels):
        with pytest.raises(ValueError, match=r"train-1.png: label 300 is outside the classes"):
            function(folder(root, "train"))


@pytest.mark.parametrize("step", SCENARIO.steps, ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("labelled", ["new", "seen"])
def test_targets_equal_a_loop(step, labelled: str, root: Path) -> None:
    source = folder(root, "train")
    dataset = StepDataset(source, Selection.of([2, 0], step.lookup(labelled)), eval_transform(None))
    shown = step.new if labelled == "new" else step.seen
    ignored = ignored_id(step.n_seen)
    assert ignored == (WIDE_IGNORE if step.index else 255)
    for position, index in enumerate((2, 0)):
        _, target = dataset[position]
        assert target.dtype == (torch.uint16 if step.index else torch.uint8)
        for label, channel in zip(stripes(index)[0].tolist(), target[5].tolist(), strict=True):
            if label == WIDE_IGNORE:
                assert channel == ignored
            else:
                assert channel == (step.seen.index(label) if label in shown else 0)
    _, target = to_device(*next(iter(eval_loader(dataset, 2, workers=1))), torch.device("cpu"))
    assert torch.equal(target, torch.stack([dataset[position][1] for position in (0, 1)]).long())
    back = step.label_of[target.numpy()]
    assert set(back[0][0].tolist()) == {0, *{1 + 2, 255, 258} & set(shown), WIDE_IGNORE}


def test_a_crop_of_16_bits_takes_the_pixels_of_one_of_8_bits(root: Path) -> None:
    pair = folder(root, "train").read(3)
    order = pair.mask.long().unique()
    small = torch.searchsorted(order, pair.mask.long()).to(torch.uint8)
    for transform in (train_transform(32, (0.2, 1.0)), eval_transform(20)):
        for seed in range(4):
            wide, narrow = (transform(pair._replace(mask=mask), seed).mask for mask in (pair.mask, small))
            assert wide.dtype == torch.uint16
            assert torch.equal(wide.long(), order[narrow.long()])


def test_samples_of_a_step_and_its_loader(root: Path) -> None:
    settings = Settings(scenario="folder 254-45 overlap", data=Data(root=root, size=32), optim=Optim(batch=2))
    data = ScenarioData.open(settings)
    samples = data.samples(data.scenario.steps[1], 3)
    assert WIDE_IGNORE in samples.masks.unique() and {255, WIDE_IGNORE} <= set(samples.target.unique().tolist())
    images, target = next(iter(data.train_loader(data.scenario.steps[1])))
    assert (images.dtype, target.dtype) == (torch.uint8, torch.uint16)


def test_losses_ignore_65535_and_learn_255() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, N, 1, 4, generator=generator)
    target = torch.tensor([[[0, 255, 299, WIDE_IGNORE]]])
    expected = F.cross_entropy(logits, target.clamp(max=N - 1), reduction="none")
    expected[..., 3] = 0
    torch.testing.assert_close(cross_entropy(logits, target), expected)
    one_hot = F.one_hot(target.clamp(max=N - 1), N).movedim(-1, 1).float()
    binary = F.binary_cross_entropy_with_logits(logits, one_hot, reduction="none").sum(1)
    binary[..., 3] = 0
    torch.testing.assert_close(binary_cross_entropy(logits, target), binary)
    for n_old in (16, 100):  # 285 channels after merging, and 201
        p = logits.softmax(1)
        merged = torch.cat([p[:, :n_old].sum(1, keepdim=True), p[:, n_old:]], 1)
        unbiased = -torch.stack([merged[0, max(0, c - n_old + 1), 0, i].log() for i, c in enumerate((0, 255, 299))])
        result = unbiased_cross_entropy(logits, target, n_old)[0, 0]
        torch.testing.assert_close(result, torch.cat([unbiased, torch.zeros(1)]))


def test_confusion_and_pseudo_labels() -> None:
    target = torch.tensor([[[0, 255, 299, WIDE_IGNORE, 0]]])
    counts = confusion(torch.tensor([[[0, 255, 3, 4, 7]]]), target, N)
    assert counts.nonzero().tolist() == [[0, 0], [0, 7], [255, 255], [299, 3]]
    logits = torch.zeros(1, 280, 1, 5)
    logits[0, 270] = 9.0
    thresholds = median_thresholds([(logits, target)], 280, N, floor=0.9, ceiling=1.0)
    assert pseudo_label(logits, target, 280, thresholds).target.tolist() == [[[270, 270, 299, WIDE_IGNORE, 270]]]
    unsure = median_thresholds([(logits, target)], 280, N, ceiling=0.001)
    logits[0, 270] = 0.1
    assert pseudo_label(logits, target, 280, unsure).target.tolist() == [
        [[WIDE_IGNORE, WIDE_IGNORE, 299, WIDE_IGNORE, WIDE_IGNORE]]
    ]
