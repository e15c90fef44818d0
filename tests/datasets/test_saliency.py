"""Saliency maps: read, checked, and carried through crop and flip with the mask."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_folders import OLD, write_folder

from plopkit.datasets.saliency import SALIENT, SaliencyMaps, salient_table
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.datasets.source import Pair
from plopkit.datasets.steps import Selection, StepDataset
from plopkit.datasets.transforms import Transform, train_transform
from plopkit.methods import SSUL, SSULM
from plopkit.presets import configure
from plopkit.scenario import Step
from plopkit.unknown import salient_id

PATTERN = np.arange(72 * 80).reshape(72, 80) % 3 == 0
"""Which pixels of each picture are salient."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of data with maps in `maps`."""
    write_folder(tmp_path / "data", OLD)
    (tmp_path / "data" / "maps").mkdir()
    for stem in OLD["train"]:
        Image.fromarray((PATTERN * 200).astype(np.uint8)).save(tmp_path / "data" / "maps" / f"{stem}.png")
    return tmp_path / "data"


def opened(root: Path, **overrides: object) -> tuple[ScenarioData, Step]:
    """The data with their maps, and step 0."""
    chosen = {"data.root": root, "data.saliency": root / "maps", "optim.batch": 2} | overrides
    data = ScenarioData.open(configure("folder 2-1 overlap", "ssul", "smoke", chosen), n_given=3)
    return data, data.scenario.steps[0]


def test_salient_background_has_its_own_target(root: Path) -> None:
    data, step = opened(root)
    number = salient_id(step.n_seen)
    selection = SSUL().images(step, data.presence[0], {})
    plain = StepDataset(data.train, Selection.protocol(step, data.presence[0]), Transform())
    marked = StepDataset(data.train, selection, Transform(), data.saliency)
    unmapped = StepDataset(data.train, selection, Transform())
    pattern = torch.from_numpy(PATTERN)
    for index in range(len(plain)):
        expected = plain[index][1]
        assert (expected == 0).any() and (expected == 1).any()
        everything = expected.masked_fill(expected == 0, number)
        assert torch.equal(unmapped[index][1], everything)
        assert torch.equal(marked[index][1], torch.where(pattern, everything, expected))
        assert marked[index][1].dtype == torch.uint8


def test_maps_count_for_memory_images_in_repaired_targets_only(root: Path) -> None:
    data, _ = opened(root)
    step = data.scenario.steps[1]
    unknown, pattern = salient_id(step.n_seen), torch.from_numpy(PATTERN)
    kept = Selection.of([0, 1], step.lookup("seen"))
    plain = StepDataset(data.train, kept, Transform())
    own = SSULM().images(step, data.presence[0], {})
    for targets in ("released", "repaired"):
        memory = SSULM(targets=targets).memory_images(kept, step)
        marked = StepDataset(data.train, memory + own, Transform(), data.saliency)
        for index in range(len(plain)):
            expected = plain[index][1].long()
            assert (expected == 0).any() and (expected > 0).any()
            if targets == "released":  # the background is unknown everywhere, class c is c - 1
                right = torch.where(expected == 0, unknown, torch.where(expected == 255, 255, expected - 1))
            else:
                right = expected.masked_fill((expected == 0) & pattern, unknown)
            assert torch.equal(marked[index][1].long(), right)


def test_the_mark_is_cropped_and_flipped_with_the_mask(root: Path) -> None:
    data, step = opened(root)
    selection = SSUL().images(step, data.presence[0], {})
    crop = train_transform(32, (0.5, 1.0))
    plain, marked = (StepDataset(data.train, selection, crop, maps) for maps in (None, data.saliency))
    pair = data.train.read(0)
    as_mask = Pair(pair.image, torch.from_numpy(PATTERN.astype(np.uint8)))
    for seed in range(5):
        where = crop(as_mask, seed).mask.bool()
        found, everything = marked[0, seed][1], plain[0, seed][1]
        assert where.any() and not where.all()
        background = everything == salient_id(step.n_seen)
        assert torch.equal(found == salient_id(step.n_seen), background & where)
        assert torch.equal(found == 0, background & ~where)


def test_methods_without_saliency_see_the_plain_masks(root: Path) -> None:
    data, step = opened(root)
    plain = Selection.protocol(step, data.presence[0])
    assert torch.equal(
        StepDataset(data.train, plain, Transform(), data.saliency)[0][1],
        StepDataset(data.train, plain, Transform())[0][1],
    )


def test_the_maps_are_part_of_what_the_data_are(root: Path) -> None:
    before = opened(root)[0].train_fingerprint
    settings = opened(root)[0].settings
    assert settings.identity()["data"]["saliency"] is True
    assert before != opened(root, **{"data.saliency": None})[0].train_fingerprint
    Image.fromarray(np.zeros((72, 80), np.uint8)).save(root / "maps" / "old0.png")
    assert opened(root)[0].train_fingerprint != before


def test_errors_name_the_map(root: Path) -> None:
    data, _ = opened(root)
    assert data.saliency is not None
    Image.fromarray(np.zeros((70, 80), np.uint8)).save(root / "maps" / "old0.png")
    with pytest.raises(ValueError, match=r"old0.png: a saliency map of 80 x 70 pixels for an image of 80 x 72"):
        data.saliency.marked(0, data.train.read(0))
    (root / "maps" / "old1.png").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"old1.png: no such saliency map; .* each of the 6 training images, and 1"
    ):
        opened(root)
    with pytest.raises(ValueError, match="at most 255 labels"):
        salient_table(np.zeros(2**16, np.uint16), np.zeros(2**16, np.uint16))
    assert salient_table(np.arange(256), np.arange(256)[::-1])[[3, SALIENT + 3]].tolist() == [3, 252]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a png", "old3.png: not a readable image"),
        ((70, 80), "old3.png: a saliency map of 80 x 70 pixels for an image of 80 x 72"),
        (None, "old3.png: damaged or truncated"),
    ],
)
def test_every_map_is_checked_before_anything_is_trained(
    root: Path, content: bytes | tuple[int, int] | None, message: str
) -> None:
    path = root / "maps" / "old3.png"
    right = path.read_bytes()
    if isinstance(content, tuple):
        Image.fromarray(np.zeros(content, np.uint8)).save(path)
    else:
        path.write_bytes(right[: len(right) // 2] if content is None else content)
    for _ in range(2):  # an error is not noted as done
        with pytest.raises(ValueError, match=message):
            opened(root)
    path.write_bytes(right)
    opened(root)


def test_maps_that_were_checked_are_not_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    marked = SaliencyMaps.marked

    def spying(self: SaliencyMaps, index: int, pair: Pair) -> Pair:
        read.append(index)
        return marked(self, index, pair)

    monkeypatch.setattr(SaliencyMaps, "marked", spying)
    for _ in range(2):
        opened(root)
        assert sorted(read) == [0, 1, 2, 3, 4, 5]
    Image.fromarray(np.zeros((72, 80), np.uint8)).save(root / "maps" / "old0.png")
    opened(root)
    assert len(read) == 12


def test_a_method_that_makes_no_use_of_maps_is_refused(root: Path) -> None:
    message = r"PLOP \(plop\) makes no use of saliency maps; leave out data\.saliency, or choose ssul, ssul-m"
    with pytest.raises(ValueError, match=message):
        configure("emoji 15-5 overlap", "plop", overrides={"data.saliency": root})
