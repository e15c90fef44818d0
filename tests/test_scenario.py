"""Scenarios: the released class lists, the rules against plain loops, and the known image counts of VOC."""

import json
import pickle
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plopkit.catalogue import DATASETS
from plopkit.grammar import PROTOCOLS
from plopkit.scenario import Scenario, Step, assign_classes, check

# Class lists of CVPR2021_PLOP, commit 4b4a060.
RELEASED = json.loads((Path(__file__).parent / "golden" / "tasks.json").read_text(encoding="utf-8"))
REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference"


def released(dataset: str) -> list[tuple[str, list[list[int]]]]:
    tasks = list(RELEASED[dataset].items())
    if dataset == "ade":  # each step as [first label, last label]
        tasks = [(name, [list(range(a, b + 1)) for a, b in steps]) for name, steps in tasks]
    return [(f"{dataset} {name} overlap", steps) for name, steps in tasks]


@pytest.mark.parametrize(("text", "steps"), released("voc") + released("ade"))
def test_released_class_lists(text: str, steps: list[list[int]]) -> None:
    assert [list(step.new) for step in Scenario.parse(text).steps] == steps
    assert check(text) == str(Scenario.parse(text))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("voc 15-5s overlap", "voc 15-1 overlap"),
        ("voc 15-5s_b overlapped", "voc 15-1 overlap order=b"),
        ("EMOJI  15-5s_C   Disjoint ", "emoji 15-1 disjoint order=c"),
        ("voc 15-1 overlapping order = B", "voc 15-1 overlap order=b"),
        ("voc 15-1 overlap order=a", "voc 15-1 overlap"),
        ("voc 015-01 overlap", "voc 15-1 overlap"),
        ("voc 10-5 sequential order=" + ",".join(map(str, range(21))), "voc 10-5 sequential"),
        ("voc 15+5 overlap", "voc 15-5 overlap"),
        ("voc 10 + 3 + 7 disjoint", "voc 10+3+7 disjoint"),
        ("voc 010+03+07 partitioned", "voc 10+3+7 partitioned"),
        ("voc 10+5+5 overlap order=b", "voc 10-5 overlap order=b"),
        ("ade 50 overlap", "ade 50-50 overlap"),
        ("ade 50-50 overlap", "ade 50-50 overlap"),
        ("voc offline", "voc joint"),
        ("voc joint overlap", "voc joint"),
        ("voc joint disjoint", "voc joint disjoint"),
    ],
)
def test_aliases_and_canonical_text(text: str, canonical: str) -> None:
    assert str(Scenario.parse(text)) == canonical == check(text)
    assert Scenario.parse(text) == Scenario.parse(canonical)


def test_named_order_written_out_gets_its_name() -> None:
    named = Scenario.parse("voc 15-1 overlap order=b")
    listed = ", ".join(map(str, named.order[1:]))
    assert Scenario.parse(f"voc 15-1 overlap order={listed}") == named
    assert Scenario.parse(f"voc 15-1 overlap order=0,{listed}") == named
    assert (named.order_name, named.order[:3], named.n_labels) == ("b", (0, 12, 9), 21)
    assert Scenario.parse("voc 15-1 overlap").order_name is None


def test_order_of_ones_own() -> None:
    scenario = Scenario.parse("folder 2-1 overlap order=3,1,2", n_labels=4)
    assert scenario.order_name is None
    assert [step.new for step in scenario.steps] == [(0, 3, 1), (2,)]
    assert str(scenario) == "folder 2-1 overlap order=3,1,2" == check(str(scenario))


def test_folder_takes_its_number_of_labels() -> None:
    scenario = Scenario.parse("folder 10-5 overlap", n_labels=16)
    assert [(step.n_old, step.n_seen) for step in scenario.steps] == [(0, 11), (11, 16)]
    assert Scenario.parse("folder joint", n_labels=2).steps[0].new == (0, 1)
    assert check("FOLDER 10-5 overlapped") == "folder 10-5 overlap"
    assert str(Scenario.parse("folder 10+3+2 overlap", n_labels=16)) == "folder 10+3+2 overlap"
    assert str(Scenario.parse("folder 10+5 overlap", n_labels=16)) == "folder 10-5 overlap"
    assert check("folder 10+5 overlap") == "folder 10+5 overlap"  # 15 classes, which `10-5` does not say
    with pytest.raises(ValueError, match=r"'10\+3\+2' does not fit.*= 20 classes.*'folder 10\+3\+2\+5 overlap'"):
        Scenario.parse("folder 10+3+2 overlap", n_labels=21)
    with pytest.raises(ValueError, match=r"n_labels.*lines of classes\.txt"):
        Scenario.parse("folder 10-5 overlap")


def test_fields_of_a_step() -> None:
    step = Scenario.parse("voc 15-1 disjoint").steps[2]
    assert (step.index, step.protocol, step.new, step.future) == (2, "disjoint", (17,), (18, 19, 20))
    assert step.old == tuple(range(17))
    assert step.seen == tuple(range(18))
    assert (step.n_old, step.n_seen, step.labelled) == (17, 18, "new")
    assert Scenario.parse("voc 15-1 sequential").steps[2].labelled == "seen"


def test_values_survive_pickling_and_hashing() -> None:
    scenario = Scenario.parse("voc 15-1 overlap order=b")
    copy = pickle.loads(pickle.dumps(scenario))
    assert copy == scenario
    assert hash(copy) == hash(scenario)
    assert copy.steps == scenario.steps


# Errors


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        ("", ["voc, emoji, ade, folder", "voc 15-1 overlap|voc 19-1 overlap"]),
        ("vok 15-1 overlap", ["'vok 15-1 overlap'", "emoji", "nearest: 'voc 15-1 overlap'"]),
        ("15-1 overlap", ["nearest: 'voc 15-1 overlap'"]),
        ("voc 15-4 overlap", ["'15-4'", "20 classes", "joint", "nearest: 'voc 15-5 overlap'"]),
        ("voc 20-1 overlap", ["'20-1'", "'voc 19-1 overlap'"]),
        ("voc 0-5 overlap", ["'0-5'"]),
        ("voc 15-0 overlap", ["'15-0'", "'voc 15-1 overlap'"]),
        ("voc 50 overlap", ["'50'"]),
        ("voc 10+3+2 overlap", ["'10\\+3\\+2'", "20 classes", "nearest: 'voc 10\\+3\\+2\\+5 overlap'"]),
        ("voc 10+3+9 overlap", ["'10\\+3\\+9'", "'voc 10\\+3\\+7 overlap'"]),
        ("voc 10+0+10 overlap", ["'10\\+0\\+10'", "'voc 10-10 overlap'"]),
        ("voc 30+3 overlap", ["'30\\+3'"]),
        ("voc jont", ["nearest: 'voc joint'"]),
        ("ade 100-7 disjoint", ["150 classes", "'ade 100-5 disjoint'", "'ade 100-10 disjoint'"]),
        ("ade 15-5s overlap", ["'15-5s'"]),
        ("voc 15-1", ["protocol is missing", "overlap, disjoint, sequential", "'voc 15-1 disjoint'"]),
        ("voc 15-1 order=b", ["protocol is missing", "'voc 15-1 overlap order=b'"]),
        ("voc 15-1 overlp", ["'overlp'", "nearest: 'voc 15-1 overlap'$"]),
        ("voc 15-1 overlap extra", ["nearest: 'voc 15-1 overlap'"]),
        ("voc 15-1 overlap order=z", ["'z'", "a, b, c", "nearest: 'voc 15-1 overlap'$"]),
        ("ade 100-50 overlap order=b", ["'b'", "all labels"]),
        ("voc 15-1 overlap order=", ["order=<name or labels>"]),
        ("voc 15-5s_b overlap order=c", ["15-5s_b overlap order=c"]),
        ("voc 15-1 overlap order=1,2,2,30", [r"missing: \[3, 4,", r"wrong: \[2, 30\]"]),
        ("folder 10 overlap", ["'10'"]),
        ("folder 10+0 overlap", ["'10\\+0'"]),
        ("folder 10-5 overlp", ["'folder 10-5 overlap'"]),
        ("folder 10-5 overlap order=b", ["'b'", "all labels", "'folder 10-5 overlap'"]),
    ],
)
def test_a_wrong_text_says_what_is_possible(text: str, patterns: list[str]) -> None:
    n_labels = 16 if text.startswith("folder") else None
    for read in (lambda: Scenario.parse(text, n_labels), lambda: check(text)):
        with pytest.raises(ValueError, match="nearest: ") as error:
            read()
        message = str(error.value)
        assert all(re.search(pattern, message) for pattern in patterns), message
        nearest = re.findall("'([^']+)'", message.split("nearest: ")[1])
        assert nearest
        for valid in nearest:
            assert check(valid) == valid


@pytest.mark.parametrize("n_labels", [-1, 0, 1, 256])
def test_masks_of_8_bits_limit_the_labels(n_labels: int) -> None:
    with pytest.raises(ValueError, match="2 to 255"):
        Scenario.parse("folder joint", n_labels)
    assert Scenario.parse("folder joint", 255).steps[0].lookup()[254] == 254


def test_a_known_data_set_has_its_own_number_of_labels() -> None:
    assert Scenario.parse("voc joint", 21) == Scenario.parse("voc joint")
    with pytest.raises(ValueError, match="voc has 21 labels, background included, not 20"):
        Scenario.parse("voc joint", 20)


def test_wrong_arguments_of_a_step() -> None:
    step = Scenario.parse("voc joint").steps[0]
    with pytest.raises(ValueError, match="'new' or 'seen', not 'old'"):
        step.lookup("old")
    with pytest.raises(ValueError, match=r"\(images, 256\), not \(3, 21\)"):
        step.trains_on(np.zeros((3, 21), dtype=bool))


@given(st.text(alphabet="voc emoji ade folder 0123456789-,=_s order joint overlap", max_size=40))
@settings(max_examples=150, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        canonical = check(text)
    except ValueError as error:
        message = str(error)
    else:
        message = ""
        assert check(canonical) == canonical
    assert not message or "nearest: " in message or "n_labels" in message


# Properties


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Any scenario, mostly of small folders."""
    dataset = draw(st.sampled_from(list(DATASETS)))
    n_labels = DATASETS[dataset].n_labels or draw(st.integers(3, 30))
    n = n_labels - 1
    sizes = [(b, i) for b in range(1, n) for i in range(1, n) if (n - b) % i == 0 and b + i <= n]
    cuts = sorted(draw(st.sets(st.integers(1, n - 1), min_size=1, max_size=4)))
    uneven = "+".join(str(end - start) for start, end in pairwise([0, *cuts, n]))
    task = draw(st.sampled_from(["joint", uneven, *(f"{b}-{i}" for b, i in sizes)]))
    text = f"{dataset} {task} {draw(st.sampled_from(PROTOCOLS))}"
    if draw(st.booleans()):
        text += " order=" + ",".join(map(str, draw(st.permutations(range(1, n_labels)))))
    return Scenario.parse(text, n_labels)


steps = scenarios().flatmap(lambda scenario: st.sampled_from(scenario.steps))
images = st.sets(st.integers(0, 255), max_size=6) | st.sets(st.integers(0, 22), max_size=5)


def loop_uses(step: Step, present: set[int]) -> bool:
    things = [label for label in present if label not in (0, 255)]
    has_new = any(label in step.new for label in things)
    has_future = any(label in step.future for label in things)
    return has_new and not (has_future and step.protocol in ("disjoint", "sequential"))


def loop_channel(step: Step, label: int, labelled: str) -> int:
    """What a pixel of this label is asked to be."""
    if label == 255 or label not in (*step.old, *step.new, *step.future):
        return 255
    visible = step.new if labelled == "new" else (*step.old, *step.new)
    if label == 0 or label not in visible:
        return 0
    return (*step.old, *step.new).index(label)


@given(scenarios())
@settings(max_examples=60, deadline=None)
def test_text_and_scenario_are_the_same_thing(scenario: Scenario) -> None:
    assert Scenario.parse(str(scenario), scenario.n_labels) == scenario
    assert check(str(scenario)) == str(scenario)


@given(scenarios())
@settings(max_examples=60, deadline=None)
def test_steps_partition_the_labels(scenario: Scenario) -> None:
    labels = [label for step in scenario.steps for label in step.new]
    assert tuple(labels) == scenario.order
    assert sorted(labels) == list(range(scenario.n_labels))
    seen: tuple[int, ...] = ()
    for index, step in enumerate(scenario.steps):
        assert (step.index, step.old, step.protocol) == (index, seen, scenario.protocol)
        assert step.new
        seen += step.new
        assert step.seen == seen
        assert step.seen + step.future == scenario.order
        assert (step.n_old, step.n_seen) == (len(step.old), len(seen))
    if "+" in scenario.task:
        sizes = [int(size) for size in scenario.task.split("+")]
        assert [len(step.new) for step in scenario.steps] == [1 + sizes[0], *sizes[1:]]
        assert len(set(sizes[1:])) > 1  # else it is written base-increment
    elif scenario.task != "joint":
        base, increment = map(int, scenario.task.split("-"))
        assert [len(step.new) for step in scenario.steps[1:]] == [increment] * (len(scenario.steps) - 1)
        assert len(scenario.steps[0].new) == 1 + base
        assert len(scenario.steps) > 1


@given(steps)
@settings(max_examples=60, deadline=None)
def test_channels_and_seen_labels_are_in_bijection(step: Step) -> None:
    channels = step.lookup("seen")[list(step.seen)]
    assert channels.tolist() == list(range(step.n_seen))


@given(steps, st.sampled_from(["new", "seen"]))
@settings(max_examples=60, deadline=None)
def test_lookup_is_the_loop(step: Step, labelled: str) -> None:
    table = step.lookup(labelled)
    assert table.shape == (256,)
    assert table.dtype == np.uint8
    assert not table.flags.writeable
    assert table.tolist() == [loop_channel(step, label, labelled) for label in range(256)]
    assert set(table.tolist()) <= {*range(step.n_seen), 255}


@given(steps, st.lists(images, max_size=5))
@settings(max_examples=150, deadline=None)
def test_uses_is_the_loop_and_the_table(step: Step, masks: list[set[int]]) -> None:
    # Labels of this very step make more of the images count than chance would.
    masks = [*masks, {step.new[-1]}, {0, 255}, {step.new[-1], *step.future[:1]}, set()]
    if step.protocol == "partitioned":  # each image has been given to one class
        masks = [{label for label in mask if label in (0, 255)} | set(sorted(mask - {0, 255})[:1]) for mask in masks]
    presence = np.zeros((len(masks), 256), dtype=bool)
    for row, present in zip(presence, masks, strict=True):
        row[list(present)] = True
    expected = [loop_uses(step, present) for present in masks]
    assert [step.uses(present) for present in masks] == expected
    assert step.trains_on(presence).tolist() == expected
    assert step.evaluates_on(presence).tolist() == [bool((set(step.seen) - {0}) & m) for m in masks]


@given(steps, images)
@settings(max_examples=100, deadline=None)
def test_disjoint_images_are_among_the_overlap_ones(step: Step, present: set[int]) -> None:
    overlap, disjoint = (Step(0, p, step.new, step.old, step.future) for p in ("overlap", "disjoint"))
    assert overlap.uses(present) or not disjoint.uses(present)
    assert overlap.uses(present) == overlap.uses(present | {0, 255}) == overlap.uses(present - {0, 255})


# The protocol `partitioned`


def random_presence(count: int, seed: int = 0, n_labels: int = 21) -> np.ndarray:
    """Masks of one to four classes with background, some with ignored pixels, a few with no class."""
    rng = np.random.default_rng(seed)
    presence = np.zeros((count, 256), dtype=bool)
    for row in presence:
        row[rng.choice(np.arange(1, n_labels), rng.integers(0, 5), replace=False)] = True
    presence[:, 0] = True
    presence[:, 255] = rng.random(count) < 0.5
    return presence


STEMS = [f"2007_{index:06d}" for index in range(1000)]


@pytest.mark.parametrize("task", ["15-5", "15-1", "10+3+7", "joint"])
@pytest.mark.parametrize("order", ["", " order=b"])
def test_the_steps_partition_the_images(task: str, order: str) -> None:
    presence = random_presence(len(STEMS))
    assigned = assign_classes(presence, STEMS, seed=3)
    scenario = Scenario.parse(f"voc {task} partitioned{order}")
    used = np.stack([step.trains_on(assigned) for step in scenario.steps])
    shows_a_class = presence[:, 1:255].any(axis=1)
    assert used.sum(axis=0).tolist() == shows_a_class.astype(int).tolist()
    for step in scenario.steps:
        assert step.labelled == "new"
        assert all(assigned[index].nonzero()[0][0] in step.new for index in step.trains_on(assigned).nonzero()[0])
        assert step.evaluates_on(presence).sum() >= used[step.index].sum()


def test_each_image_is_given_to_one_of_its_classes_by_name_and_seed_alone() -> None:
    presence = random_presence(len(STEMS))
    assigned = assign_classes(presence, STEMS, seed=3)
    assert assigned.shape == presence.shape and assigned.dtype == bool
    assert (assigned <= presence).all() and not assigned[:, [0, 255]].any()
    order = np.random.default_rng(1).permutation(len(STEMS))
    shuffled = assign_classes(presence[order], [STEMS[index] for index in order], seed=3)
    assert (shuffled == assigned[order]).all()
    assert (assign_classes(presence[:10], STEMS[:10], seed=3) == assigned[:10]).all()
    assert (assign_classes(presence, STEMS, seed=4) != assigned).any()
    assert assign_classes(presence[:0], [], seed=0).shape == (0, 256)


def test_the_draw_is_uniform() -> None:
    count = 12_000
    presence = np.zeros((count, 256), dtype=bool)
    presence[:, [0, 3, 7, 15, 20, 255]] = True
    assigned = assign_classes(presence, [f"image {index}" for index in range(count)], seed=0)
    counts = assigned[:, [3, 7, 15, 20]].sum(axis=0)
    expected = count / 4
    assert ((counts - expected) ** 2 / expected).sum() < 16.3  # chi-square, 3 degrees of freedom: p > 0.001


def test_an_image_of_several_classes_is_refused_where_images_are_partitioned() -> None:
    step = Scenario.parse("voc 15-5 partitioned").steps[0]
    with pytest.raises(ValueError, match="several in one row; apply assign_classes"):
        step.trains_on(random_presence(20))


def test_tables_keep_their_inputs() -> None:
    presence = np.ones((2, 256), dtype=bool)
    step = Scenario.parse("voc 15-5 disjoint").steps[0]
    assert not step.trains_on(presence).any()
    assert presence.all()


def test_no_torch_is_needed() -> None:
    # In a process of its own, and past the package's __init__, which may well import torch.
    code = """
import sys, types
sys.modules["plopkit"] = types.ModuleType("plopkit")
sys.modules["plopkit"].__path__ = [sys.argv[1]]
import plopkit.scenario
plopkit.scenario.check("voc 15-1 overlap order=b")
assert "torch" not in sys.modules
"""
    package = Path(__file__).resolve().parents[1] / "plopkit"
    subprocess.run([sys.executable, "-c", code, str(package)], check=True)


# The images of VOC 2012 with the additional masks, counted on all of them

TRAIN = {
    "15-1 overlap": [9568, 487, 299, 491, 500, 548],
    "15-1 disjoint": [8437, 378, 299, 420, 500, 548],
    "15-5 overlap": [9568, 2145],
    "15-5 disjoint": [8437, 2145],
    "19-1 overlap": [10410, 548],
    "19-1 disjoint": [10034, 548],
    "10-1 overlap": [6139, 528, 1177, 444, 482, 3898, 487, 299, 491, 500, 548],
    "10-1 disjoint": [3706, 188, 868, 227, 201, 3247, 378, 299, 420, 500, 548],
    "10-1 sequential": [3706, 188, 868, 227, 201, 3247, 378, 299, 420, 500, 548],
    "joint": [10582],
}
VAL = {
    "15-1 overlap": [1240, 1277, 1329, 1353, 1421, 1449],
    "10-1 overlap": [869, 893, 1005, 1081, 1140, 1240, 1277, 1329, 1353, 1421, 1449],
    "joint": [1449],
}


@pytest.fixture(scope="module")
def voc() -> tuple[np.ndarray, np.ndarray]:
    """Presence tables (images, 256) of the training and the validation set."""
    files = REFERENCE / "voc2012_aug_presence.npz", REFERENCE / "voc2012_train_aug_ids.txt"
    if not all(file.exists() for file in files):
        pytest.skip("the table of VOC's labels per image is not here")
    with np.load(files[0]) as stored:
        presence = np.zeros((len(stored["ids"]), 256), dtype=bool)
        presence[:, :21] = np.unpackbits(stored["classes"], axis=1)[:, :21]
        presence[:, 255] = stored["void"]
        train = np.isin(stored["ids"], files[1].read_text(encoding="utf-8").split())
    assert (train.sum(), (~train).sum()) == (10582, 1449)
    return presence[train], presence[~train]


@pytest.mark.parametrize("task", TRAIN)
def test_training_images_per_step_of_voc(task: str, voc: tuple[np.ndarray, np.ndarray]) -> None:
    counts = [int(step.trains_on(voc[0]).sum()) for step in Scenario.parse(f"voc {task}").steps]
    assert counts == TRAIN[task]


@pytest.mark.parametrize("task", VAL)
def test_validation_images_per_step_of_voc(task: str, voc: tuple[np.ndarray, np.ndarray]) -> None:
    counts = [int(step.evaluates_on(voc[1]).sum()) for step in Scenario.parse(f"voc {task}").steps]
    assert counts == VAL[task]


@pytest.mark.parametrize("text", ["voc 15-1 overlap", "voc 10-1 disjoint order=b", "ade 100-50 overlap"])
def test_label_of_undoes_the_lookup(text):
    for step in Scenario.parse(text).steps:
        table, back = step.lookup("seen"), step.label_of
        assert [int(back[table[label]]) for label in step.seen] == list(step.seen)
        assert (back[step.n_seen :] == 255).all() and back[table[255]] == 255
