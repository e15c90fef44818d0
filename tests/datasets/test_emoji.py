"""The built-in scenes: reproducible, all classes, exact masks, and compositions that training never shows."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from plopkit.datasets import emoji
from plopkit.datasets.counts import pixels, presence
from plopkit.datasets.emoji import EmojiScenes
from plopkit.scenario import IGNORE
from plopkit.support import resources

CLASSES = range(1, 21)


@pytest.fixture(scope="module")
def train() -> EmojiScenes:
    return EmojiScenes("train", 120, size=48)


@pytest.fixture(scope="module")
def val() -> EmojiScenes:
    return EmojiScenes("val", 60, size=48)


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The labels of each scene drawn from now on; in a mask, one may be hidden behind another."""
    scenes: list[list[int]] = []
    choose: Callable = emoji.choose_labels

    def recorded(*arguments: object) -> list[int]:
        scenes.append(choose(*arguments))
        return scenes[-1]

    monkeypatch.setattr(emoji, "choose_labels", recorded)
    return scenes


def images(scenes: EmojiScenes) -> torch.Tensor:
    return torch.stack([scenes.read(index).image for index in range(len(scenes))])


def masks(scenes: EmojiScenes) -> torch.Tensor:
    return torch.stack([scenes.read(index).mask for index in range(len(scenes))])


def may_meet_in_training(labels: list[int]) -> bool:
    """Whether no two labels add up to a multiple of five."""
    return not any((a + b) % 5 == 0 for a in labels for b in labels if a < b)


def test_a_bounded_part_of_the_scenes_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = EmojiScenes("train", 6, size=32)
    drawn: list[int] = []
    draw: Callable = emoji.draw_scene
    monkeypatch.setattr(emoji, "KEPT_BYTES", 3 * 4 * 32**2 + 1)
    monkeypatch.setattr(emoji, "draw_scene", lambda rng, *args: (drawn.append(1), draw(rng, *args))[1])
    scenes = EmojiScenes("train", 6, size=32)
    for index in (5, 1, 0, 2, 3, 4):
        scenes.read(index)
    assert len(drawn) == 6
    assert torch.equal(images(scenes), images(expected)) and torch.equal(masks(scenes), masks(expected))
    drawn.clear()
    for index in range(6):
        assert torch.equal(scenes.read(index).image, expected.read(index).image)
    assert len(drawn) == 3  # 2, 3 and 4 were read when there was no room


def test_the_same_seed_gives_the_same_bytes(train: EmojiScenes) -> None:
    again = EmojiScenes("train", 6, size=48)
    assert torch.equal(images(again), images(train)[:6])
    assert torch.equal(masks(again), masks(train)[:6])
    assert images(again).float().std() > 20


@pytest.mark.parametrize("change", [{"seed": 1}, {"split": "val"}])
def test_another_seed_or_split_gives_other_scenes(change: dict, train: EmojiScenes) -> None:
    other = EmojiScenes(**({"split": "train", "count": 6, "size": 48} | change))
    assert other.fingerprint != EmojiScenes("train", 6, size=48).fingerprint
    for index in range(6):
        assert not torch.equal(images(other)[index], images(train)[index])


@pytest.mark.parametrize("library", ["numpy", "pillow"])
def test_another_version_of_a_library_makes_the_tables_again(
    library: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scenes = EmojiScenes("train", 2, size=32)
    fingerprint = scenes.fingerprint
    for table in (presence, pixels):
        table(scenes, tmp_path)
        table(scenes, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    version: Callable = emoji.version
    monkeypatch.setattr(emoji, "version", lambda name: "99.0" if name == library else version(name))
    for table in (presence, pixels):
        table(scenes, tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
    assert scenes.fingerprint == fingerprint  # finished runs stay readable


def test_the_graphics_are_those_of_this_version() -> None:
    """Other graphics give other scenes: they need another `emoji.VERSION`."""
    stems = sorted(stem for stems in emoji.GLYPHS.values() for stem in stems.split())
    folder = resources.path("twemoji/LICENSE").parent
    assert sorted(path.stem for path in folder.glob("*.png")) == stems
    digest = hashlib.sha256(b"".join((folder / f"{stem}.png").read_bytes() for stem in stems)).hexdigest()
    assert (emoji.VERSION, digest[:16]) == (1, "8fed996c6ba521e6")
    assert "CC-BY 4.0" in (folder / "LICENSE").read_text(encoding="utf-8")


def test_drawing_leaves_the_global_generators_alone() -> None:
    states = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    images(EmojiScenes("train", 2, size=32))
    assert np.array_equal(states[0], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(states[1], torch.get_rng_state())


def test_masks_contain_labels_and_a_border_between_them(train: EmojiScenes) -> None:
    assert images(train).shape == (120, 3, 48, 48)
    assert set(masks(train).unique().tolist()) <= {0, *CLASSES, IGNORE}
    right, below = ((masks(train)[:, :, :-1], masks(train)[:, :, 1:]), (masks(train)[:, :-1], masks(train)[:, 1:]))
    for a, b in (right, below):
        assert ((a == b) | (a == IGNORE) | (b == IGNORE)).all()
    assert (masks(train) == IGNORE).flatten(1).any(1).all()
    assert (masks(train) == 0).flatten(1).any(1).float().mean() > 0.9


def test_masks_cover_their_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emoji, "background", lambda rng, size: np.full((size, size, 3), 128.0))
    scenes = EmojiScenes("train", 40, size=64)
    drawn = (images(scenes).int() - 128).abs().amax(1) > 90
    assert drawn.float().mean() > 0.05
    assert (masks(scenes)[drawn] != 0).float().mean() > 0.99
    assert (masks(scenes)[~drawn] == 0).float().mean() > 0.5


def test_every_class_is_in_both_splits(train: EmojiScenes, val: EmojiScenes) -> None:
    for scenes in (train, val):
        labels = [scenes.labels(index) - {0, IGNORE} for index in range(len(scenes))]
        assert set().union(*labels) == set(CLASSES)
        assert all(labels)
        scenes_of = [sum(label in scene for scene in labels) for label in CLASSES]
        assert (
            min(scenes_of) >= len(scenes) // 20 - 1
        )  # each is the first of a twentieth of the scenes, and rarely hidden
    assert train.classes[0] == "background"
    assert len(train.classes) == 21


def test_labels_are_those_of_the_mask(train: EmojiScenes) -> None:
    for index in (0, 7):
        pair = train.read(index)
        assert train.labels(index) == set(pair.mask.unique().tolist())
        assert torch.equal(pair.image, images(train)[index])
    assert len(set(train.stems)) == len(train)


def test_training_never_shows_a_held_out_composition(train: EmojiScenes) -> None:
    several = 0
    for index in range(len(train)):
        labels = sorted(train.labels(index) - {0, IGNORE})
        assert may_meet_in_training(labels)
        several += len(labels) > 1
    assert several > len(train) / 4


def test_validation_shows_a_held_out_composition_in_every_scene_of_several_objects(chosen: list[list[int]]) -> None:
    scenes = EmojiScenes("val", 80, size=32)
    images(scenes)
    several = [labels for labels in chosen if len(labels) > 1]
    assert len(chosen) == 80
    assert len(several) > 20
    assert not any(map(may_meet_in_training, several))
    for index, labels in enumerate(chosen):
        assert scenes.labels(index) - {0, IGNORE} <= set(labels)


def test_every_class_is_part_of_a_held_out_composition() -> None:
    rng = np.random.default_rng(0)
    for first in CLASSES:
        for count in (1, 2, 3):
            for split in ("train", "val"):
                labels = emoji.choose_labels(rng, split, first, count)
                assert labels[0] == first
                assert len(set(labels)) == count
                assert may_meet_in_training(labels) == (split == "train" or count == 1)


def test_scenes_of_one_to_three_objects_are_in_both_splits(chosen: list[list[int]]) -> None:
    images(EmojiScenes("train", 40, size=16))
    images(EmojiScenes("val", 40, size=16))
    for scenes in (chosen[:40], chosen[40:]):
        assert {len(labels) for labels in scenes} == {1, 2, 3}


def test_glyphs_of_every_class_exist() -> None:
    assert len(emoji.GLYPHS) == 20
    for stems in emoji.GLYPHS.values():
        for stem in stems.split():
            glyph = np.asarray(emoji.glyph_image(stem))
            opaque = glyph[..., 3] >= 128
            assert opaque.mean() > 0.2
            assert opaque.any(0).sum() >= opaque.shape[1] - 2  # its empty margin is removed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("test", 1, 32), "'train' or 'val', not 'test'"),
        (("train", 0, 32), "at least 1 scene of at least 16 pixels, not 0 of 32"),
        (("val", 1, 15), "not 1 of 15"),
    ],
)
def test_bad_arguments_are_reported(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EmojiScenes(*arguments)
