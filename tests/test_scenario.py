"""Scenarios and steps: the rules for labels, channels and images against plain loops."""

import pickle
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plopkit.catalogue import DATASETS
from plopkit.grammar import DOMAIN, PROTOCOLS
from plopkit.scenario import IGNORE, N_IDS, Scenario, Step, check


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


def test_invalid_arguments_of_a_step_are_errors() -> None:
    step = Scenario.parse("voc joint").steps[0]
    with pytest.raises(ValueError, match="'new' or 'seen', not 'old'"):
        step.lookup("old")
    with pytest.raises(ValueError, match=r"\(images, 256\), not \(3, 21\)"):
        step.trains_on(np.zeros((3, 21), dtype=bool))


@pytest.mark.parametrize("text", ["voc 15-1 overlap", "voc 10-1 disjoint order=b", "ade 100-50 overlap"])
def test_label_of_inverts_the_lookup(text: str) -> None:
    for step in Scenario.parse(text).steps:
        table, back = step.lookup("seen"), step.label_of
        assert [int(back[table[label]]) for label in step.seen] == list(step.seen)
        assert (back[step.n_seen :] == IGNORE).all() and back[table[IGNORE]] == IGNORE


def test_trains_on_does_not_change_its_argument() -> None:
    presence = np.ones((2, N_IDS), dtype=bool)
    step = Scenario.parse("voc 15-5 disjoint").steps[0]
    assert not step.trains_on(presence).any()
    assert presence.all()


def test_scenario_does_not_import_torch() -> None:
    # In a new process, without the package's __init__.
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


# Properties


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Random scenarios of new classes, most of them of small folders."""
    dataset = draw(st.sampled_from(list(DATASETS)))
    n_labels = DATASETS[dataset].n_labels or draw(st.integers(3, 30))
    n = n_labels - 1
    sizes = [(b, i) for b in range(1, n) for i in range(1, n) if (n - b) % i == 0 and b + i <= n]
    cuts = sorted(draw(st.sets(st.integers(1, n - 1), min_size=1, max_size=4)))
    uneven = "+".join(str(end - start) for start, end in pairwise([0, *cuts, n]))
    task = draw(st.sampled_from(["joint", uneven, *(f"{b}-{i}" for b, i in sizes)]))
    text = f"{dataset} {task} {draw(st.sampled_from(sorted({*PROTOCOLS} - {DOMAIN})))}"
    if draw(st.booleans()):
        text += " order=" + ",".join(map(str, draw(st.permutations(range(1, n_labels)))))
    return Scenario.parse(text, n_labels)


steps = scenarios().flatmap(lambda scenario: st.sampled_from(scenario.steps))
images = st.sets(st.integers(0, N_IDS - 1), max_size=6) | st.sets(st.integers(0, 22), max_size=5)


def loop_uses(step: Step, present: set[int]) -> bool:
    """Whether a step trains on an image with these labels."""
    classes = [label for label in present if label not in (0, IGNORE)]
    has_new = any(label in step.new for label in classes)
    has_future = any(label in step.future for label in classes)
    return has_new and not (has_future and step.protocol in ("disjoint", "sequential"))


def loop_channel(step: Step, label: int, labelled: str) -> int:
    """The target channel of a pixel with this label."""
    if label == IGNORE or label not in (*step.old, *step.new, *step.future):
        return IGNORE
    visible = step.new if labelled == "new" else (*step.old, *step.new)
    if label == 0 or label not in visible:
        return 0
    return (*step.old, *step.new).index(label)


@given(scenarios())
@settings(max_examples=60, deadline=None)
def test_a_scenario_survives_its_text(scenario: Scenario) -> None:
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
        assert len(set(sizes[1:])) > 1  # otherwise the text is base-increment
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
def test_lookup_equals_a_loop(step: Step, labelled: str) -> None:
    table = step.lookup(labelled)
    assert table.shape == (N_IDS,)
    assert table.dtype == np.uint8
    assert not table.flags.writeable
    assert table.tolist() == [loop_channel(step, label, labelled) for label in range(N_IDS)]
    assert set(table.tolist()) <= {*range(step.n_seen), IGNORE}


@given(steps, st.lists(images, max_size=5))
@settings(max_examples=150, deadline=None)
def test_uses_and_trains_on_equal_a_loop(step: Step, masks: list[set[int]]) -> None:
    # Random labels alone would rarely be labels of this step.
    masks = [*masks, {step.new[-1]}, {0, IGNORE}, {step.new[-1], *step.future[:1]}, set()]
    if step.protocol == "partitioned":  # each image is assigned to one class
        masks = [
            {label for label in mask if label in (0, IGNORE)} | set(sorted(mask - {0, IGNORE})[:1]) for mask in masks
        ]
    presence = np.zeros((len(masks), N_IDS), dtype=bool)
    for row, present in zip(presence, masks, strict=True):
        row[list(present)] = True
    expected = [loop_uses(step, present) for present in masks]
    assert [step.uses(present) for present in masks] == expected
    assert step.trains_on(presence).tolist() == expected
    assert step.evaluates_on(presence).tolist() == [bool((set(step.seen) - {0}) & m) for m in masks]


@given(steps, images)
@settings(max_examples=100, deadline=None)
def test_disjoint_images_are_a_subset_of_overlap_images(step: Step, present: set[int]) -> None:
    overlap, disjoint = (Step(0, p, step.new, step.old, step.future) for p in ("overlap", "disjoint"))
    assert overlap.uses(present) or not disjoint.uses(present)
    assert overlap.uses(present) == overlap.uses(present | {0, IGNORE}) == overlap.uses(present - {0, IGNORE})
