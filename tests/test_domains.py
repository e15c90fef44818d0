"""The protocol `domain`: every step has all labels and the images of other domains."""

import re
from itertools import accumulate

import numpy as np
import pytest

from plopkit.catalogue import DATASETS
from plopkit.grammar import DOMAIN, PROTOCOLS, has_domains, protocols_of, usual_scenarios, usual_tasks
from plopkit.scenario import IGNORE, N_IDS, Scenario, Step, check, with_domains

CITIES = (
    "aachen bremen darmstadt erfurt hanover krefeld strasbourg tubingen weimar bochum cologne dusseldorf hamburg jena "
    "monchengladbach stuttgart ulm zurich frankfurt lindau munster"
).split()
SIZES = {
    "cityscapes 11-5 domain": [11, 5, 5],
    "cityscapes 11-1 domain": [11, *[1] * 10],
    "cityscapes 1-1 domain": [1] * 21,
    "cityscapes 10+4+7 domain": [10, 4, 7],
    "cityscapes joint domain": [21],
    "emoji 2-1 domain": [2, 1, 1],
    "emoji 1-1 domain": [1, 1, 1, 1],
    "emoji joint domain": [4],
}
every_scenario = pytest.mark.parametrize("text", SIZES)


def loop_target(step: Step, label: int, has_background: bool) -> int:
    """The target of a label: its place among the labels that are learnt."""
    learnt = range(0 if has_background else 1, step.n_labels)
    return [*learnt].index(label) if label in learnt else IGNORE


@every_scenario
def test_the_steps_have_all_labels_and_other_domains(text: str) -> None:
    scenario = Scenario.parse(text)
    assert str(scenario) == text == check(text)
    names = CITIES if scenario.dataset == "cityscapes" else ["day", "night", "paper", "rain"]
    labels = tuple(range(1, 20)) if scenario.dataset == "cityscapes" else tuple(range(21))
    assert scenario.domains == tuple(names)
    assert [len(step.domains) for step in scenario.steps] == SIZES[text]
    for step, end in zip(scenario.steps, accumulate(SIZES[text]), strict=True):
        begin = end - len(step.domains)
        assert (step.old_domains, step.domains, step.future_domains) == (
            tuple(names[:begin]),
            tuple(names[begin:end]),
            tuple(names[end:]),
        )
        assert step.seen_domains == tuple(names[:end])
        assert (step.seen, step.future) == (labels, ())
        assert (step.new, step.old) == (((), labels) if step.index else (labels, ()))
        assert (step.n_new, step.n_seen) == (0 if step.index else len(labels), len(labels))
        assert step.n_labels == scenario.n_labels
        assert step.labelled == "seen"


@every_scenario
def test_targets_show_every_label_at_every_step(text: str) -> None:
    scenario = Scenario.parse(text)
    has_background = scenario.dataset == "emoji"
    for step in scenario.steps:
        for labelled in ("new", "seen"):
            table = step.lookup(labelled)
            assert table.tolist() == [loop_target(step, label, has_background) for label in range(N_IDS)]
        for channel in range(step.n_seen):
            assert step.lookup("seen")[step.label_of[channel]] == channel


def test_road_is_channel_0_of_cityscapes() -> None:
    step = Scenario.parse("cityscapes 11-1 domain").steps[1]
    names = DATASETS["cityscapes"].class_names()
    assert step.n_seen == 19
    assert [names[label] for label in step.label_of[:3]] == ["road", "sidewalk", "building"]
    assert step.lookup("seen")[0] == IGNORE
    classes = Scenario.parse("cityscapes 14-1 overlap")
    assert [step.n_seen for step in classes.steps] == [15, 16, 17, 18, 19, 20]
    assert classes.steps[0].lookup()[0] == 0


@every_scenario
def test_a_step_trains_on_its_domains_and_is_evaluated_on_those_seen(text: str) -> None:
    scenario = Scenario.parse(text)
    rng = np.random.default_rng(0)
    of_images = rng.choice(scenario.domains, 200).tolist()
    presence = rng.random((200, N_IDS)) < 0.02  # some show no class at all
    table = with_domains(presence, of_images, scenario.domains)
    assert np.array_equal(table[:, :N_IDS], presence)
    for step in scenario.steps:
        assert step.trains_on(table).tolist() == [domain in step.domains for domain in of_images]
        assert step.evaluates_on(table).tolist() == [domain in step.seen_domains for domain in of_images]
        for domain in step.seen_domains:
            assert step.comes_from(table, [domain]).tolist() == [other == domain for other in of_images]
    used = np.stack([step.trains_on(table) for step in scenario.steps])
    assert (used.sum(0) == 1).all()


def test_a_table_without_domains_is_refused() -> None:
    step = Scenario.parse("emoji 2-1 domain").steps[0]
    with pytest.raises(ValueError, match=r"\(images, 260\), not \(3, 256\); with_domains adds a column"):
        step.trains_on(np.zeros((3, N_IDS), bool))
    with pytest.raises(ValueError, match="3 images, and domains of 2"):
        with_domains(np.zeros((3, N_IDS), bool), ["day", "rain"], ["day", "rain"])
    overlap = Scenario.parse("emoji 15-5 overlap").steps[0]
    with pytest.raises(ValueError, match=r"\(images, 256\), not \(3, 260\)$"):
        overlap.trains_on(np.zeros((3, N_IDS + 4), bool))


def test_other_protocols_have_no_domains() -> None:
    for text in ("emoji 15-1 overlap", "cityscapes 10-1 disjoint", "voc 15-5 partitioned"):
        scenario = Scenario.parse(text)
        assert scenario.domains == () and not has_domains(text)
        assert all(step.seen_domains == step.future_domains == () and step.n_new for step in scenario.steps)
    assert has_domains("emoji 2-1 domain") and has_domains("of-a-plugin 2-1 domain")
    assert not has_domains("of-a-plugin 2-1 overlap")


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("voc 2-1 domain", r"voc has no domains; data sets that have: emoji, cityscapes; nearest: 'voc 2-1 overlap'"),
        ("folder 2-1 domain", "folder has no domains"),
        ("emoji 15-5 domain", r"'15-5' does not fit; possible: .* = 4 domains, .*; nearest: 'emoji 3-1 domain'"),
        ("cityscapes 11-2+1 domain", "'11-2\\+1' does not fit"),
        ("cityscapes 11-3 domain", "= 21 domains"),
        ("emoji 2-1 domain order=b", "no class order: every step has all classes; nearest: 'emoji 2-1 domain'"),
        ("emoji 2-1 domains", "unknown protocol 'domains'; possible: .*, domain; nearest: 'emoji 2-1 domain'"),
        ("emoji 15-5 domians", "unknown protocol|does not fit"),
        ("voc 15-5 nothing", "possible: overlap, disjoint, sequential, partitioned; nearest: 'voc 15-5 overlap'"),
    ],
)
def test_errors_say_what_is_possible(text: str, pattern: str) -> None:
    with pytest.raises(ValueError, match=pattern) as error:
        Scenario.parse(text, 21 if text.startswith("folder") else None)
    nearest = re.findall(r"'([^']*)'", str(error.value).partition("nearest: ")[2])
    assert nearest
    for near in nearest:
        assert str(Scenario.parse(near, 21 if near.startswith("folder") else None)) == near


def test_the_protocols_and_tasks_of_a_data_set() -> None:
    for name, entry in DATASETS.items():
        assert protocols_of(name) == tuple(p for p in PROTOCOLS if p != DOMAIN or entry.domains)
        assert bool(entry.domains) == bool(entry.domain_tasks) == (entry.domain_opener is not None)
        for task in entry.domain_tasks:
            assert task in usual_tasks(name, DOMAIN)
            assert Scenario.parse(f"{name} {task} domain").domains == entry.domains
    usual = usual_scenarios()
    assert len(set(usual)) == len(usual)
    assert {"emoji 2-1 domain", "cityscapes 11-1 domain", "cityscapes 14-1 overlap"} <= set(usual)
    assert not {"voc 15-1 domain", "emoji 15-5 domain", "cityscapes 11-1 overlap"} & set(usual)
