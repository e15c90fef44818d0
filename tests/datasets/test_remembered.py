"""The memory of a run: candidates, the choice, targets, and what is refused."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from plopkit.datasets.kept import KEY, Kept, from_state, to_state
from plopkit.datasets.remembered import candidates, choose, joined, lookup_of, planned, selected
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.datasets.steps import Selection, StepDataset
from plopkit.datasets.transforms import eval_transform
from plopkit.memory import one_class_off
from plopkit.presets import configure
from plopkit.scenario import IGNORE, N_IDS, Scenario, Step
from plopkit.settings import Memory


def opened(scenario: str = "emoji 10-5 overlap", **memory: object) -> ScenarioData:
    chosen = {f"memory.{name}": value for name, value in memory.items()}
    few = {"data.scenes": 60, "data.val_scenes": 20, "data.size": 64, "optim.batch": 2}
    return ScenarioData.open(configure(scenario, "mib", "smoke", few | chosen))


@pytest.fixture(scope="module")
def data() -> ScenarioData:
    return opened(images=24)


@pytest.mark.parametrize("scenario", ["emoji 10-5 overlap", "emoji 10-5 sequential", "emoji 10-5 partitioned"])
def test_candidates_are_the_images_of_a_step_with_the_classes_that_it_shows(scenario: str) -> None:
    data = opened(scenario)
    for step in data.scenario.steps:
        known = step.seen if "sequential" in scenario else step.new
        found = candidates(data, step)
        assert [each.name for each in found] == [
            name for name, used in zip(data.train.stems, step.trains_on(data.presence[0]), strict=True) if used
        ]
        for each in found:
            there = data.train.labels(data.train.stems.index(each.name))
            assert each.known == known and set(each.shows) == (there & set(known)) - {0}


def test_a_net_can_say_what_candidates_show(data: ScenarioData) -> None:
    step = data.scenario.steps[1]
    n = int(step.trains_on(data.presence[0]).sum())
    channels = np.zeros((n, step.n_seen), bool)
    channels[:, [0, 3]], channels[0, 12] = True, True
    found = candidates(data, step, channels)
    assert found[0].shows == (3, 12) and {each.shows for each in found[1:]} == {(3,)}
    assert {each.known for each in found} == {step.new}


def test_an_image_of_two_steps_is_one_candidate_known_by_both() -> None:
    before = [Kept("a", "d", 7, (0, 1), (1,)), Kept("b", "e", 8, (0, 1), (1,))]
    now = [Kept("c", "", 0, (2, 3), (3,)), Kept("a", "", 0, (2, 3), (2,))]
    assert joined(before, now) == [Kept("a", "d", 7, (0, 1, 2, 3), (1, 2)), before[1], now[0]]


@pytest.mark.parametrize("choice", ["balanced", "random"])
def test_a_memory_is_chosen_step_by_step_within_its_budget(choice: str) -> None:
    data = opened(images=24, mb=0.4, choice=choice)
    size = 4 * 64**2  # a scene as arrays
    kept = planned(data, data.settings.memory)
    assert [len(each) for each in kept] == [24, 24]
    for step, images in zip(data.scenario.steps, kept, strict=False):
        where = [data.train.stems.index(image.name) for image in images]
        earlier = [each.trains_on(data.presence[0]) for each in data.scenario.steps[: step.index + 1]]
        assert np.any(earlier, axis=0)[where].all()
        assert {image.size for image in images} == {size}
        assert len({image.digest for image in images}) == 24
        classes = [label for label in step.seen if label]
        shown = {label for image in images for label in image.shows}
        assert choice == "random" or shown == set(classes)
    assert planned(data, data.settings.memory) == kept
    few = planned(opened(mb=15 * size / 1e6, choice="random"), Memory(mb=15 * size / 1e6, choice="random"))
    assert [len(each) for each in few] == [15, 15]


def test_another_seed_keeps_other_images(data: ScenarioData) -> None:
    first = data.scenario.steps[0]
    for choice in ("balanced", "random"):
        memory = Memory(images=24, choice=choice)
        kept = [
            choose(candidates(data, first), each, memory, first)
            for each in (
                data,
                ScenarioData(data.settings.model_copy(update={"seed": 5}), data.scenario, data.train, data.val),
            )
        ]
        assert {each.name for each in kept[0]} != {each.name for each in kept[1]}


@pytest.mark.parametrize("labels", ["kept", "seen", "new"])
@pytest.mark.parametrize("text", ["voc 15-1 overlap", "voc 15-1 sequential", "voc 10-5 overlap order=random:3"])
def test_targets_of_memory_images_equal_a_loop(text: str, labels: str) -> None:
    steps = Scenario.parse(text).steps
    step, known = steps[2], steps[0].new + steps[1].new[:1]
    table = lookup_of(step, known, labels)
    for label in range(N_IDS):
        shown = {"kept": known, "seen": step.seen, "new": step.new}[labels]
        if label in step.seen and label in shown:
            expected = step.seen.index(label)
        else:
            expected = 0 if label in step.seen + step.future else IGNORE
        assert table[label] == expected


@pytest.mark.parametrize("mix", ["beside", "half"])
def test_a_step_trains_on_the_memory_with_its_labels(mix: str) -> None:
    data = opened(images=24, mix=mix)
    memory, step = data.settings.memory, data.scenario.steps[2]
    images = planned(data, memory)[1]
    selection = selected(images, data, memory, step)
    assert len(selection) == (24 if mix == "beside" else 0)
    assert sorted(data.train.stems[i] for i in selection.indices) == sorted(image.name for image in images)
    dataset = StepDataset(data.train, selection, eval_transform(64))
    by_name = {image.name: image for image in images}
    for position, index in enumerate(selection.indices):
        target, mask = dataset[position][1], data.train.read(int(index)).mask
        known = by_name[data.train.stems[index]].known
        expected = torch.where(torch.isin(mask, torch.tensor([*known, IGNORE])), mask, 0)  # labels are channels here
        assert torch.equal(target, expected.to(target.dtype))
    assert len({image.known for image in images}) == 3  # of step 0, of step 1, of both


@pytest.mark.parametrize("mix", ["beside", "half"])
def test_a_method_can_change_the_targets(data: ScenarioData, mix: str) -> None:
    """As SSUL-M's released code, whose memory images are labelled one class off."""
    images, step = planned(data, data.settings.memory)[0], data.scenario.steps[1]
    memory = data.settings.memory.model_copy(update={"mix": mix})
    usual = selected(images, data, memory, step)

    def adapted(kept: Selection, step: Step) -> Selection:
        return kept.with_targets(lambda lookup: one_class_off(lookup, IGNORE - 1))

    (before,), (after,) = usual.all_groups, selected(images, data, memory, step, adapted).all_groups
    assert np.array_equal(before.indices, after.indices) and after.lookup.dtype == before.lookup.dtype
    expected = {0: IGNORE - 1, IGNORE: IGNORE} | {channel: channel - 1 for channel in range(1, 11)}
    assert [expected[channel] for channel in before.lookup.tolist()] == after.lookup.tolist()


def test_a_state_holds_a_memory_in_any_writing() -> None:
    images = (Kept("ä/b\n#'\"", "0f", 3, (0, 1), (1,)), Kept("😀", "", 2**40, (), ()))
    state = to_state(images)
    assert list(state) == [KEY] and state[KEY].dtype == torch.uint8
    assert from_state(state) == images
    assert to_state([]) == {} and from_state({}) == ()


@pytest.mark.parametrize("text", ["[", "{}x", "[1]", '[{"name": "a"}]', "3", "null", "[" * 100_000])
def test_a_memory_that_is_no_list_of_images_is_refused(text: str) -> None:
    state = {KEY: torch.tensor(list(text.encode()), dtype=torch.uint8)}
    with pytest.raises(ValueError, match=r"^the memory in the state .* no list of images, each with name, "):
        from_state(state)


@pytest.mark.parametrize(
    "changed",
    [{"name": 3}, {"digest": None}, {"size": -1}, {"size": 2.5}, {"size": "7"}, {"known": "01"}, {"shows": [0.5]}],
)
def test_a_memory_with_values_of_another_kind_is_refused(changed: dict[str, object]) -> None:
    entry = {"name": "a", "digest": "0f", "size": 7, "known": [0, 1], "shows": [1]}
    for entries in ([entry | changed], [entry, entry]):
        state = {KEY: torch.tensor(list(json.dumps(entries).encode()), dtype=torch.uint8)}
        with pytest.raises(ValueError, match="no list of images"):
            from_state(state)


def test_a_memory_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="no list of images"):
        from_state({KEY: torch.tensor([0.5])})


def refused(data: ScenarioData, memory: Memory) -> str:
    with pytest.raises(ValueError, match=r"^memory\.") as error:
        planned(data, memory)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_budget_with_too_little_room_is_refused(data: ScenarioData) -> None:
    one = 4 * 64**2 / 1e6
    assert refused(data, Memory(images=2)).startswith("memory.images 2: no room for an image of each of the 10 classes")
    assert refused(data, Memory(mb=one / 2)).startswith(f"memory.mb {one / 2}: no room for an image with its mask")
    message = refused(data, Memory(images=500, mb=2 * one))
    assert "images 500, memory.mb" in message and message.endswith("or choose at random: memory.choice random")
    assert len(planned(data, Memory(images=2, choice="random"))[1]) == 2


def test_given_steps_without_a_memory_need_images_of_any_of_their_classes() -> None:
    data = opened(images=24)
    table = data.mask_presence[0].copy()
    table[:, data.scenario.steps[0].new[1:]] = False  # no image of step 0
    without = ScenarioData(data.settings, data.scenario, data.train, data.val, (table, data.mask_presence[1]))
    memory, step = data.settings.memory, data.scenario.steps[1]
    kept = planned(without, memory, n_given=2)
    assert kept[0] == () and len(kept[1]) == 24
    assert {image.name for image in kept[1]} <= {image.name for image in candidates(without, step)}
    for n_given in (0, 1):
        with pytest.raises(ValueError, match="would be empty: none of the 60 training images is of steps 0 to 0"):
            planned(without, memory, n_given=n_given)


def test_images_that_are_gone_or_others_are_refused(data: ScenarioData) -> None:
    memory, step = data.settings.memory, data.scenario.steps[1]
    kept = planned(data, memory)[0]
    gone = (kept[0]._replace(name="of another folder"),)
    with pytest.raises(
        ValueError, match="keeps the image of another folder, which is not among the 60 training images"
    ):
        selected(gone, data, memory, step)
    with pytest.raises(
        ValueError, match=f"keeps the image {kept[0].name}, and image or mask of this name are others now"
    ):
        selected((kept[0]._replace(digest="0"),), data, memory, step)


def test_files_are_known_by_their_digests_and_sizes(folder_root: Callable[..., Path]) -> None:
    root = folder_root()
    chosen = {"data.root": root, "optim.batch": 1, "memory.images": 3, "data.size": 16}
    found = ScenarioData.open(configure("folder 2-1 overlap", "mib", "smoke", chosen))
    kept = planned(found, found.settings.memory)[0]
    for image in kept:
        index = found.train.stems.index(image.name)
        files = found.train.images[index], found.train.masks[index]
        assert image.size == sum(path.stat().st_size for path in files)
        assert image.digest == found.train.digests[index]
    assert len(kept) == 3 and set(itertools.chain(*(image.shows for image in kept))) == {1, 2}
