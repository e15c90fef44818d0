"""The domains of the emoji scenes: the same arguments give the same bytes, and no other protocol's scene changes."""

import hashlib

import numpy as np
import pytest
import torch

from plopkit.datasets import open_for
from plopkit.datasets.emoji import EmojiScenes
from plopkit.datasets.emoji_styles import STYLES, styled
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.presets import configure
from plopkit.scenario import Scenario
from plopkit.settings import Data

DOMAINS = ("day", "night", "paper", "rain")


def digest(scenes: EmojiScenes, index: int) -> str:
    image, mask = scenes.read(index)
    return hashlib.sha256(image.numpy().tobytes() + mask.numpy().tobytes()).hexdigest()[:12]


def test_the_same_arguments_give_the_same_bytes() -> None:
    one, other = (EmojiScenes("train", 12, 48, 0, DOMAINS) for _ in range(2))
    assert [digest(one, i) for i in range(12)] == [digest(other, i) for i in reversed(range(12))][::-1]
    assert len({digest(one, i) for i in range(12)}) == 12
    assert digest(EmojiScenes("train", 12, 48, 1, DOMAINS), 3) != digest(one, 3)
    assert one.fingerprint == other.fingerprint != EmojiScenes("train", 12, 48, 0).fingerprint


def test_the_scenes_of_other_protocols_stay() -> None:
    plain = EmojiScenes("train", 8, 48)
    assert plain.fingerprint == "emoji-1-train-8-48-0" and plain.domains == ()
    assert [plain.labels(index) & {1 + index} for index in range(3)] == [{1}, {2}, {3}]


def test_the_domains_take_turns_and_each_has_every_class_first() -> None:
    scenes = EmojiScenes("val", 83, 48, 0, DOMAINS)
    assert scenes.domains == tuple(DOMAINS[index % 4] for index in range(83))
    for place in range(4):
        first = [1 + index // 4 % 20 for index in range(83) if index % 4 == place]
        assert set(first) == set(range(1, 21))


def test_day_is_the_scene_as_it_is_drawn_and_a_style_leaves_the_mask() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 40, 3), np.uint8)
    assert np.array_equal(styled(image, "day", rng), image)
    for domain in STYLES:
        changed = styled(image, domain, np.random.default_rng(1))
        assert changed.shape == image.shape and changed.dtype == np.uint8
    plain = EmojiScenes("train", 1, 48)
    for domain in DOMAINS:  # one domain alone: the scenes are those of the other protocols
        own = EmojiScenes("train", 1, 48, 0, (domain,))
        assert torch.equal(own.read(0).mask, plain.read(0).mask)
        assert torch.equal(own.read(0).image, plain.read(0).image) == (domain == "day")


def test_the_styles_change_what_a_net_sees() -> None:
    """Brightness and colour: what statistics of batches would notice."""
    brightness, colour = {}, {}
    for domain in DOMAINS:
        scenes = EmojiScenes("train", 20, 48, 0, (domain,))
        images = np.stack([scenes.read(index).image.numpy() for index in range(20)]).astype(float)
        brightness[domain] = images.mean()
        colour[domain] = (images.max(1) - images.min(1)).mean()
    assert brightness["night"] < 0.75 * brightness["day"]
    assert max(colour["paper"], colour["rain"]) < 0.75 * colour["day"]


def test_an_unknown_domain_is_refused() -> None:
    with pytest.raises(ValueError, match="no domain 'snow'; possible: day, night, paper, rain"):
        EmojiScenes("train", 8, 48, 0, ("day", "snow"))


def test_the_steps_of_a_scenario() -> None:
    scenario = Scenario.parse("emoji 2-1 domain")
    source = open_for(scenario, "train", Data(scenes=12, val_scenes=6, size=48))
    assert source.domains == DOMAINS * 3
    settings = configure("emoji 2-1 domain", "ft", "smoke", {"data.scenes": 40, "data.val_scenes": 17})
    data = ScenarioData.open(settings)
    first, second, third = data.scenario.steps
    assert [len(data.train_loader(step).dataset) for step in (first, second, third)] == [20, 10, 10]
    assert [len(data.eval_loader(step).dataset) for step in (first, second, third)] == [9, 13, 17]
    assert [data.val.domains[i] for i in data.eval_loader(second, domain="night").dataset.indices] == ["night"] * 4
    assert {data.val.domains[index] for index in data.examples(6).indices} == set(DOMAINS)
    assert data.table()["new domains"].tolist() == ["day, night", "paper", "rain"]
    assert len(data.samples(second, 3).images) == 3


def test_a_step_needs_validation_images_of_any_domain_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = configure("emoji 2-1 domain", "ft", "smoke", {"data.scenes": 40, "data.val_scenes": 3})
    data = ScenarioData.open(settings)
    last = data.scenario.steps[2]
    assert [len(data.eval_loader(last, domain=domain).dataset) for domain in DOMAINS] == [1, 1, 1, 0]
    monkeypatch.setattr(data.val, "domains", ("rain",) * 3)
    with pytest.raises(ValueError, match=r"step 0: no validation image comes from any of the domains.*, day, night;"):
        ScenarioData.open(settings)
