"""The table of results and the tables computed from it, against numbers by hand."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_runs import small

from plopkit.metrics import PER_STEP
from plopkit.runs.results import (
    GROUPS,
    compare,
    forgetting_table,
    load_results,
    published,
    report,
    run_folders,
    step_rows,
    summarise,
)
from plopkit.scenario import Scenario
from plopkit.settings import to_yaml
from plopkit.support.files import write_table, write_text

# Background and three classes, learnt 2, 3 (step 0) and then 1: channels 0 2 3 | 1.
SCENARIO = Scenario.parse("folder 2-1 overlap order=2,3,1", 4)
NAMES = ["background", "cat", "dog", "bird"]
FIRST = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])  # no validation image shows label 3
SECOND = np.array([[4, 0, 0, 4], [2, 1, 0, 1], [0, 0, 5, 0], [0, 0, 0, 2]])


@pytest.fixture
def results() -> pd.DataFrame:
    steps = zip(SCENARIO.steps, (FIRST, SECOND), strict=True)
    return pd.concat([step_rows(SCENARIO, "plop", 0, step, counts, NAMES) for step, counts in steps], ignore_index=True)


def test_rows_of_a_step_by_hand(results: pd.DataFrame) -> None:
    assert results["label"].tolist() == [0, 2, 3, 0, 2, 3, 1]
    assert results["name"].tolist() == ["background", "dog", "bird", "background", "dog", "bird", "cat"]
    assert results["learned_at"].tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert results["step"].tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert results["pixels"].tolist() == [8, 4, 0, 8, 4, 5, 2]
    ious = [6 / 9, 3 / 6, np.nan, 4 / 10, 1 / 4, 1, 2 / 7]
    accuracies = [6 / 8, 3 / 4, np.nan, 4 / 8, 1 / 4, 1, 1]
    np.testing.assert_allclose(results["iou"], 100 * np.array(ious))
    np.testing.assert_allclose(results["accuracy"], 100 * np.array(accuracies))
    assert set(results["scenario"]) == {"folder 2-1 overlap order=2,3,1"}


def test_summary_by_hand(results: pd.DataFrame) -> None:
    table = summarise(results)
    first = (600 / 9 + 50) / 2  # label 3 has no pixels: it is in no mean
    last = (40 + 25 + 100 + 200 / 7) / 4
    expected = {
        "old": [first, 55],
        "new": [np.nan, 200 / 7],
        "all": [first, last],
        "old_nobg": [50, 62.5],
        "all_nobg": [50, (25 + 100 + 200 / 7) / 3],
        "avg": [first, (first + last) / 2],
        "hiou": [np.nan, 2 * 55 * (200 / 7) / (55 + 200 / 7)],
        "pixel_accuracy": [100 * 9 / 12, 100 * 12 / 19],
        "background": [600 / 9, 40],
        "forgetting": [np.nan, 25 / 2],  # of labels 2 and 3, which has its first pixels now
        "backward_transfer": [np.nan, -25 / 2],
    }
    assert list(table) == ["scenario", "method", "seed", "step", *expected]
    for name, values in expected.items():
        np.testing.assert_allclose(table[name], values)


def test_forgetting_by_hand(results: pd.DataFrame) -> None:
    table = forgetting_table(results).set_index("label")
    assert table.index.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(table["forgetting"], [600 / 9 - 40, 0, 25, 0])
    assert table["name"].tolist() == ["background", "cat", "dog", "bird"]
    assert table["learned_at"].tolist() == [0, 1, 0, 0]


def test_forgetting_counts_from_the_best_step() -> None:
    rows = pd.concat(
        [
            pd.DataFrame({"step": k, "label": [0, 1], "name": ["background", "cat"], "learned_at": 0, "iou": ious})
            for k, ious in enumerate([[50.0, 20], [60, 40], [30, 50]])
        ]
    ).assign(scenario="s", method="m", seed=0)
    assert forgetting_table(rows)["forgetting"].tolist() == [30, 0]


# Several runs


def write_run(
    out: Path, method: str = "plop", seed: int = 0, iou: float = 50.0, write_settings: bool = True, **overrides
) -> Path:
    """A folder with the tables of a finished run in which every class has this IoU at every step."""
    settings = small(out, method=method, seed=seed, **overrides)
    scenario = Scenario.parse(settings.scenario, 21)
    names = [f"name {label}" for label in range(21)]
    tables = [step_rows(scenario, method, seed, s, np.eye(s.n_seen), names).assign(iou=iou) for s in scenario.steps]
    write_table(settings.folder() / "results.csv", pd.concat(tables))
    if write_settings:
        write_text(settings.folder() / "settings.yaml", to_yaml(settings))
    return settings.folder()


def last_rows(*paths: Path | str) -> dict[str, tuple[int, float]]:
    """The number of seeds and the mIoU of all classes after the last step, by method."""
    table = compare(load_results(*paths)).reset_index()
    rows = table[table["step"] == table["step"].max()]
    return {row.method: (row.seeds, row.all) for row in rows.itertuples()}


def test_compare_is_the_mean_over_seeds(tmp_path: Path) -> None:
    for seed, iou in enumerate([10, 20, 60]):
        write_run(tmp_path, "plop", seed, iou)
    write_run(tmp_path, "ft", 0, 5)
    assert last_rows(tmp_path) == {"ft": (1, 5), "plop": (3, 30)}
    table = compare(load_results(tmp_path))
    assert table.index.names == ["scenario", "method", "step"]
    assert list(table) == ["seeds", *GROUPS, "avg", *PER_STEP, "later_seconds", "stored_mb"]
    assert table[["later_seconds", "stored_mb"]].isna().all(axis=None)  # the folders hold tables alone
    assert len(table) == 4


def test_runs_with_different_settings_are_separate_rows(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path, seed=seed, iou=10 + seed)
        write_run(tmp_path, seed=seed, iou=30 + seed, optim__lr=0.5)
        write_run(tmp_path, seed=seed, iou=50 + seed, optim__lr=0.5, hyper__pod=0.25)
    write_run(tmp_path, "ft", iou=1)
    assert last_rows(tmp_path) == {
        "ft": (1, 1),
        "plop (hyper.pod 0.01, optim.lr 0.002)": (2, 10.5),
        "plop (hyper.pod 0.01, optim.lr 0.5)": (2, 30.5),
        "plop (hyper.pod 0.25, optim.lr 0.5)": (2, 50.5),
    }


def test_runs_that_differ_in_settings_and_seed_are_separate_rows(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0, iou=10)
    write_run(tmp_path, seed=1, iou=90, data__size=96)
    assert last_rows(tmp_path) == {"plop (data.size 64)": (1, 10), "plop (data.size 96)": (1, 90)}


def test_workers_name_and_data_root_do_not_separate_runs(tmp_path: Path) -> None:
    write_run(tmp_path / "a", seed=0, iou=10, name="named")
    write_run(tmp_path / "b", seed=1, iou=20, compute__workers=2)
    assert last_rows(tmp_path / "a", tmp_path / "b") == {"plop": (2, 15)}
    write_run(tmp_path / "c", seed=0, iou=10, data__root="/here")
    write_run(tmp_path / "c", seed=1, iou=20, data__root="/there")
    assert last_rows(tmp_path / "c") == {"plop": (2, 15)}


def test_own_images_are_told_apart_by_their_content(tmp_path: Path) -> None:
    """The first two runs have the same images in two places, the last one others where the first had its own."""
    for seed, (root, content) in enumerate([("/here", "1234567890 9"), ("/there", "1234567890 9"), ("/here", "ab 9")]):
        folder = write_run(tmp_path, seed=seed, iou=10 * seed, scenario="folder 15-5 overlap", data__root=root)
        (folder / "data.txt").write_text(f"{content}\n")
    assert last_rows(tmp_path) == {
        "plop (data.root /here)": (2, 5),
        "plop (data.root /here with images ab 9)": (1, 20),
    }
    for path in tmp_path.rglob("data.txt"):
        path.unlink()
    assert last_rows(tmp_path) == {"plop (data.root /here)": (2, 10), "plop (data.root /there)": (1, 10)}


def test_copies_of_a_run_are_not_averaged(tmp_path: Path) -> None:
    first, second = (write_run(tmp_path / out, iou=iou, name=out) for out, iou in (("a", 10), ("b", 20)))
    assert last_rows(first, second) == {"plop (a)": (1, 10), "plop (b)": (1, 20)}
    same = [write_run(tmp_path / out, iou=iou) for out, iou in (("c", 10), ("d", 20))]
    assert last_rows(*same) == {f"plop ({path})": (1, iou) for path, iou in zip(same, (10, 20), strict=True)}


def test_folders_without_settings_are_separated_by_seed_and_name(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path, seed=seed, iou=10 * seed, write_settings=False)
    assert last_rows(tmp_path) == {"plop": (2, 5)}
    write_run(tmp_path, seed=1, iou=70, write_settings=False, name="again")
    assert {name.split()[0] for name in last_rows(tmp_path)} == {"plop"}
    assert len(last_rows(tmp_path)) == 3
    assert last_rows(tmp_path)["plop (again)"] == (1, 70)


def test_damaged_settings_are_refused(tmp_path: Path) -> None:
    """Without them, runs of different settings would count as repetitions of each other."""
    write_run(tmp_path, seed=0)
    path = write_run(tmp_path, seed=1) / "settings.yaml"
    text = path.read_text()
    write_text(path, text, seal=True)
    load_results(tmp_path)
    path.write_text(text.replace("seed: 1", "seed: 2"))
    remedy = "run the command of this run again"
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: damaged \(.*\); {remedy}"):
        load_results(tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: missing; {remedy}"):
        load_results(tmp_path)
    path.with_name(".settings.yaml.sha256").unlink()
    path.write_text("seed: [")
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: not the settings of a run"):
        load_results(tmp_path)


def test_settings_are_not_shown_where_method_or_scenario_separates_the_runs(tmp_path: Path) -> None:
    write_run(tmp_path, "ft", optim__lr=0.5)
    write_run(tmp_path, "plop")
    write_run(tmp_path, "plop", scenario="emoji 15-1 overlap", optim__lr=0.25)
    assert set(load_results(tmp_path)["method"]) == {"ft", "plop"}


# Finding runs


def test_results_are_loaded_from_folders_runs_patterns_and_relative_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = write_run(tmp_path / "runs", "ft"), write_run(tmp_path / "runs", "plop")
    (tmp_path / "runs" / "empty").mkdir()
    (tmp_path / "runs" / ".step0").mkdir()
    monkeypatch.chdir(tmp_path)
    for paths in ([tmp_path / "runs"], [first, second], ["runs/*"], ["runs"], ["runs", first], ["runs/", "./runs/*"]):
        table = load_results(*paths)
        assert table["method"].tolist() == ["ft"] * 37 + ["plop"] * 37
        assert [Path(run).resolve() for run in table["run"].unique()] == [first, second]
    assert set(load_results("runs/*plop*")["method"]) == {"plop"}
    assert run_folders([second, first]) == [second, first]


def test_brackets_in_a_folder_name_are_not_a_pattern(tmp_path: Path) -> None:
    path = write_run(tmp_path, name="try [1]")
    assert run_folders([path]) == [path]


@pytest.mark.parametrize("paths", [[], ["nowhere"], ["runs", "no/*/thing"]])
def test_missing_results_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "unfinished").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"^no results\.csv of a run in or below .*; name run folders") as error:
        load_results(*paths)
    assert all(path in str(error.value) for path in paths)


def test_tables_of_other_programs_are_left_out_with_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "foreign" / "a" / "results.csv"
    write_text(foreign, "a,b\n1,2\n")
    with pytest.raises(FileNotFoundError, match=r"no results\.csv of a run in or below"):
        load_results(tmp_path)
    path = write_run(tmp_path)
    assert capsys.readouterr().err == f"{foreign}: left out, its columns are not those of a run\n"
    assert run_folders([tmp_path]) == [path]
    foreign.write_bytes("größe\n1\n".encode("latin-1"))
    assert run_folders([tmp_path]) == [path]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda lines: [], "No columns to parse from file"),
        (lambda lines: lines[:1], "no rows"),
        (lambda lines: [*lines, lines[-1]], "a step's class twice"),
        (lambda lines: [*lines[:-1], lines[-1][:25]], "NA values"),
        (lambda lines: [*lines[:-1], lines[-1].replace("50.0", "fifty")], "fifty"),
    ],
)
def test_the_error_of_damaged_results_names_the_file(
    tmp_path: Path, damage: Callable[[list[str]], list[str]], message: str
) -> None:
    write_run(tmp_path, "ft")
    path = write_run(tmp_path) / "results.csv"
    path.write_text("".join(damage(path.read_text().splitlines(keepends=True))))
    with pytest.raises(
        ValueError, match=rf"^{re.escape(str(path))}: damaged \(.*{message}.*\); run the command of this run again"
    ):
        load_results(tmp_path)


def test_class_names_are_read_as_text(tmp_path: Path) -> None:
    path = write_run(tmp_path)
    table = load_results(path)
    names = dict(zip(table["label"], ["NA", "null", "007"], strict=False))
    write_table(path / "results.csv", table.assign(name=[names.get(label, "x") for label in table["label"]]))
    assert load_results(path)["name"].tolist()[:4] == ["NA", "null", "007", "x"]


# Published numbers


def test_published_rows_are_those_of_the_scenario() -> None:
    rows = published("voc 15-5 overlap")
    assert set(rows["dataset"]) == {"voc"}
    assert set(rows["task"]) == {"15-5"}
    assert set(rows["protocol"]) == {"overlap"}
    assert {"ft", "mib", "plop", "joint"} <= set(rows["method"])
    plop = rows[(rows["method"] == "plop") & (rows["avg"].notna())].iloc[0]
    assert (plop["old"], plop["new"], plop["all"], plop["avg"]) == (75.73, 51.71, 70.09, 75.19)
    assert rows["source"].notna().all()
    assert not published("voc 15-5 disjoint").equals(rows)
    for text in ("emoji 15-5 overlap", "voc 15-1 overlap order=b", "folder 15-5 overlap", "voc joint"):
        assert published(text).empty
        assert list(published(text)) == list(rows)


def test_published_accepts_every_spelling_of_a_scenario() -> None:
    assert published("VOC 15-5  overlapped").equals(published("voc 15-5 overlap"))
    assert len(published("VOC 15-5 overlap"))
    assert published("voc 15-5s overlap").equals(published("voc 15-1 overlap"))
    assert len(published("ade 50 overlap"))
    assert published("cityscapes 14-1 overlap").empty  # a data set of a plugin that is not loaded
    for text in ("voc", "voc 15-5", "voc 15-4 overlap", "cityscapes overlap"):
        with pytest.raises(ValueError, match="possible"):
            published(text)


def test_report_shows_means_and_published_rows(tmp_path: Path) -> None:
    table = load_results(write_run(tmp_path, iou=12.34))
    text = report(table)
    assert text.startswith("emoji 15-5 overlap: mIoU in percent on the validation set, mean over seeds")
    assert "12.3" in text
    assert "published" not in text
    assert "old: the labels of step 0 with background" in text
    both = report(pd.concat([table, table.assign(scenario="voc 15-5 overlap")]))
    own, reference = both.split("published, after the last step:")
    assert "voc 15-5 overlap: mIoU" in own
    assert "PLOP (CVPR 2021), Table 1" in reference
    assert "75.7" in reference
    assert "nan" not in both.lower()


def test_names_do_nothing_to_a_terminal(results: pd.DataFrame) -> None:
    renamed = results.replace({"name": {"dog": "d\x1b[31mog", "bird": "b\nird"}}).assign(method="p\x1b]0;x\x07lop")
    text = report(renamed)
    assert "d\\x1b[31mog" in text
    assert "b\\nird" in text
    assert "p\\x1b]0;x\\x07lop" in text
    assert "\x1b" not in text and "\x07" not in text


@pytest.mark.parametrize("scenario", ["00", "voc 15-4 overlap", "x" * 20_000])
def test_a_table_of_no_scenario_is_named(scenario: str, results: pd.DataFrame, tmp_path: Path) -> None:
    write_table(tmp_path / "results.csv", results.assign(scenario=scenario))
    with pytest.raises(ValueError, match=r"results\.csv: damaged \(.*\); run the command of this run again") as raised:
        load_results(tmp_path)
    assert len(str(raised.value)) < 1000


def test_a_table_of_several_runs_is_named(results: pd.DataFrame, tmp_path: Path) -> None:
    write_table(tmp_path / "results.csv", results.assign(seed=range(len(results))))
    with pytest.raises(ValueError, match=r"results\.csv: damaged \(no seed, or several\)"):
        load_results(tmp_path)


def test_a_home_directory_is_found_in_patterns(
    results: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_table(tmp_path / "runs" / "a" / "results.csv", results)
    assert run_folders(["~/runs/*"]) == run_folders(["~/runs"]) == [tmp_path / "runs" / "a"]
