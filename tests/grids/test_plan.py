"""Which runs a grid has: all combinations, checked, none twice, and the first run of each step 0 first."""

from pathlib import Path
from typing import Any

import pytest
from small_folders import NEW, OLD, write_folder
from small_runs import SMALL

from plopkit.flags import parse_run, run_words
from plopkit.grids.plan import PlannedRun, plan, values_of

EMOJI = "emoji 15-5 overlap"


def planned(
    folder: Path, scenarios: tuple[str, ...] = (EMOJI,), methods: tuple[str, ...] = ("ft", "plop"), **choices: Any
) -> list[PlannedRun]:
    """The runs of a grid of small runs; write the dot of a setting as two underscores."""
    seeds = choices.pop("seeds", (0,))
    named = {name.replace("__", "."): values for name, values in choices.items()}
    return plan(scenarios, methods, seeds, "smoke", {name: [value] for name, value in SMALL.items()} | named, folder)


def words(runs: list[PlannedRun]) -> list[str]:
    return [f"{run.settings.method} {run.settings.seed} {run.chosen_words}".strip() for run in runs]


def test_all_combinations_with_the_first_of_each_step_0_first(tmp_path: Path) -> None:
    runs = planned(tmp_path, methods=("ft", "plop", "ewc"), seeds=(0, 1))
    # EWC measures its penalty while step 0 is trained, and shares it with no other method.
    assert words(runs) == ["ft 0", "ft 1", "ewc 0", "ewc 1", "plop 0", "plop 1"]
    assert len({run.step_0 for run in runs}) == 4
    assert {run.n_steps for run in runs} == {2}
    assert [parse_run(run_words(run.settings, run.preset)[1:]) for run in runs] == [run.settings for run in runs]


def test_scenarios_that_begin_alike_share_their_step_0(tmp_path: Path) -> None:
    runs = planned(tmp_path, ("emoji 15-5 overlap", "emoji 15-1 overlap", "emoji 10-10 overlap"), ("ft",))
    assert [run.settings.scenario.split()[1] for run in runs] == ["15-5", "10-10", "15-1"]


def test_a_range_of_random_orders_is_a_run_each(tmp_path: Path) -> None:
    runs = planned(tmp_path, (f"{EMOJI} order=random:0..2", "emoji 15-5 partitioned"), ("ft",))
    assert [run.settings.scenario for run in runs] == [
        *(f"{EMOJI} order=random:{seed}" for seed in range(3)),
        "emoji 15-5 partitioned",
    ]
    assert len({run.scenario.order for run in runs}) == len({run.step_0 for run in runs}) == 4
    assert [parse_run(run_words(run.settings, run.preset)[1:]) for run in runs] == [run.settings for run in runs]


def test_settings_of_later_steps_share_step_0(tmp_path: Path) -> None:
    runs = planned(tmp_path, methods=("ft",), optim__lr=["0.01", "0.02"], optim__lr_later=["0.1", "0.2"])
    assert words(runs) == [
        "ft 0 optim.lr 0.01, optim.lr_later 0.1",
        "ft 0 optim.lr 0.02, optim.lr_later 0.1",
        "ft 0 optim.lr 0.01, optim.lr_later 0.2",
        "ft 0 optim.lr 0.02, optim.lr_later 0.2",
    ]
    assert [run.settings.optim.lr for run in runs] == [0.01, 0.02, 0.01, 0.02]


def test_combinations_that_mean_the_same_are_one_run(tmp_path: Path) -> None:
    assert words(planned(tmp_path, (EMOJI, "emoji 15-5  overlap"), ("ft", "ft"), seeds=(0, 0))) == ["ft 0"]
    runs = planned(tmp_path, methods=("ft",), optim__lr=["0.01", "1e-2"], compute__workers=["0", "2"])
    assert len(runs) == 1


def test_a_hyper_parameter_is_for_the_methods_that_have_it(tmp_path: Path) -> None:
    assert words(planned(tmp_path, hyper__pod=["0.1", "0.2"])) == [
        "ft 0",
        "plop 0 hyper.pod 0.1",
        "plop 0 hyper.pod 0.2",
    ]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (
            {"optim__lrr": ["1"]},
            r"there is no setting 'optim.lrr' \(did you mean optim.lr\?\); known: seed|.*optim.lr,",
        ),
        ({"hyper__pods": ["1"]}, r"there is no setting 'hyper.pods' \(did you mean hyper.pod\?\)"),
        ({"seed": [1]}, r"seed is not among the settings to choose; seeds \(--seeds\) sets it"),
        ({"out": ["x"]}, r"out is not among the settings to choose; out \(--out\) sets it"),
        ({"optim__lr": ["0.01", "-3"]}, r"emoji 15-5 overlap, ft, seed 0, optim.lr -3: optim.lr = '-3': .*greater"),
        ({"methods": ("ft", "plopp")}, "there is no method 'plopp'"),
        (
            {"scenarios": (EMOJI, "emoji 15-7 overlap")},
            "emoji 15-7 overlap, ft, seed 0: .*the task '15-7' does not fit",
        ),
        ({"scenarios": ("voc 15-5 overlap",)}, "voc 15-5 overlap, ft, seed 0: voc needs data.root"),
        (
            {"name": ["one"]},
            r"one: emoji 15-5 overlap, ft, seed 0 and emoji 15-5 overlap, plop, seed 0 would share this folder",
        ),
        ({"methods": ()}, "there is nothing to run: name a scenario, a method and a seed at least"),
        ({"optim__lr": []}, "optim.lr has no value"),
    ],
    ids=str,
)
def test_what_is_not_possible_is_said_before_anything_starts(
    choices: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        planned(tmp_path, **choices)
    assert list(tmp_path.iterdir()) == []


def test_missing_data_are_said_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"voc 15-5 overlap, ft, seed 0: .*no VOC 2012 here"):
        planned(tmp_path, ("voc 15-5 overlap",), data__root=[tmp_path])


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("optim.lr=0.01,0.02", ["0.01", "0.02"]),
        ("optim.lr-later=0.01", ["0.01"]),
        ("data.scale=[0.5,1],[0.25, 2]", [["0.5", "1"], ["0.25", "2"]]),
        ("model.dilations=[]", [[]]),
        ("model.pool=None,16", [None, "16"]),
        ("compute.compile=no", ["no"]),
    ],
)
def test_values_of_a_word(word: str, values: list[Any]) -> None:
    name, read = values_of(word)
    assert (name, read) == (word.partition("=")[0].replace("-", "_"), values)


@pytest.mark.parametrize(
    "word", ["optim.lr", "optim.lr=", "=1", "optim.lr=1,,2", "data.scale=[0.5,1", "a=[[1]]", "a=]1["]
)
def test_a_word_that_is_no_choice_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match=r"--set takes words like|brackets do not match|a value is empty"):
        values_of(word)


def test_two_data_sets_in_one_folder_are_refused(tmp_path: Path) -> None:
    roots = [str(write_folder(tmp_path / name, OLD, NEW)) for name in ("a", "b")]
    with pytest.raises(ValueError, match=r"the data of .*/a and .*/b would share this folder; begin a grid for each"):
        planned(tmp_path / "out", ("folder 2-1 overlap",), ("ft",), data__root=roots, optim__batch=["2"])
