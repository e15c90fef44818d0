"""Lessons 07 and 08: mistakes against a plain loop, pictures against their tables, the explorer, the exercises."""

import io
import shutil
from pathlib import Path

import matplotlib.colors as mcolors
import numpy as np
import pandas as pd
import pytest
import torch
from looking import inside
from matplotlib.patches import Rectangle
from PIL import Image
from small_runs import small

from plopkit.lessons.exercises import check
from plopkit.lessons.forgetting import (
    KINDS,
    ForgettingExamples,
    class_matrix,
    drop_bars,
    load_examples,
    mistakes_explorer,
    mistakes_figure,
)
from plopkit.lessons.forgetting import trade_off as trade_off_picture
from plopkit.lessons.forgetting.figures import PANELS, colour_mistakes
from plopkit.lessons.forgetting.measures import classify_mistakes, mistake_shares, truth_after
from plopkit.lessons.published import convention_gaps, published_bars, seed_spread
from plopkit.lessons.published.figures import short_source
from plopkit.lessons.published.measures import both_conventions, last_steps, measured, published_and_own
from plopkit.parameters import from_parameters, paths_of
from plopkit.pseudo import uncertainty
from plopkit.runs.experiment import run
from plopkit.runs.folder import RunFolder
from plopkit.runs.results import forgetting_table, published, summarise
from plopkit.support import resources
from plopkit.viz import overlay
from plopkit.viz.colours import IGNORED, MISTAKES

LEARNED_AT = {0: 0, 1: 0, 2: 0, 5: 1, 9: 2}


def results(methods: tuple[str, ...] = ("ft", "plop"), seeds: tuple[int, ...] = (0, 1), steps: int = 3) -> pd.DataFrame:
    """Rows like those of ``results.csv``, of numbers that are all different."""
    rng = np.random.default_rng(0)
    names = resources.class_names("voc")
    return pd.DataFrame(
        [
            {"scenario": "emoji 15-1 overlap", "method": method, "seed": seed, "step": step, "label": label}
            | {"name": names[label], "learned_at": brought, "iou": rng.uniform(0, 100), "accuracy": 1.0, "pixels": 9}
            for method in methods
            for seed in seeds
            for step in range(steps)
            for label, brought in LEARNED_AT.items()
            if brought <= step
        ]
    )


def forgetting_examples(steps: int = 3, n: int = 2, side: int = 16, seed: int = 0) -> ForgettingExamples:
    rng = np.random.default_rng(seed)
    return ForgettingExamples(
        images=rng.integers(0, 256, (n, 3, side, side), np.uint8),
        masks=rng.choice([0, 1, 2, 5, 9, 255], (n, side, side)).astype(np.uint8),
        predictions=rng.choice([0, 1, 2, 5, 9], (steps, n, side, side)).astype(np.uint8),
        uncertainty=rng.random((steps, n, side, side), np.float32),
        learned_at=LEARNED_AT,
        stems=tuple(f"image-{i}" for i in range(n)),
        names=resources.class_names("voc"),
        credit="drawn by chance",
    )


# Mistakes


@pytest.mark.parametrize("step", range(3))
def test_mistakes_against_a_loop(step: int) -> None:
    seen = forgetting_examples()
    found, truth = seen.mistakes(step), seen.truth(step)
    for place in np.ndindex(found.shape):
        label, said = int(seen.masks[place]), int(seen.predictions[step][place])
        if label not in (0, 255) and LEARNED_AT[label] > step:
            label = 0
        assert truth[place] == label
        if label == 255:
            wanted = 255
        elif said == label:
            wanted = 0
        elif label == 0 or LEARNED_AT[label] == step:
            wanted = 3
        elif said == 0:
            wanted = 1
        else:
            wanted = 2 if LEARNED_AT[said] > LEARNED_AT[label] else 3
        assert found[place] == wanted
    assert set(np.unique(found)) == ({0, 3, 255} if step == 0 else {0, 1, 2, 3, 255})


def test_nothing_is_old_at_step_0_and_a_class_never_learnt_is_background() -> None:
    mask, said = np.array([[1, 7, 255]], np.uint8), np.array([[0, 0, 1]], np.uint8)
    assert classify_mistakes(said, mask, LEARNED_AT, 0).tolist() == [[3, 0, 255]]
    assert classify_mistakes(said, mask, LEARNED_AT, 1).tolist() == [[1, 0, 255]]
    assert truth_after(mask, LEARNED_AT, 2).tolist() == [[1, 0, 255]]


def test_every_kind_has_its_name_and_colour() -> None:
    assert len(KINDS) == len(MISTAKES) == len(set(MISTAKES.values()))
    drawn = colour_mistakes(np.array([[0, 1, 2, 3, 255]], np.uint8))[0]
    wanted = [*MISTAKES.values(), IGNORED]
    assert [mcolors.to_hex(colour / 255) for colour in drawn] == [colour.lower() for colour in wanted]


# A run, examined


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run(small(tmp_path_factory.mktemp("runs"), method="ft"), progress=False)


def test_examine_asks_the_net_of_every_step(folder: RunFolder) -> None:
    from plopkit.datasets.transforms import normalised

    seen, shown = load_examples(folder), folder.examples
    assert (seen.predictions == shown["predictions"]).all() and (seen.masks == shown["masks"]).all()
    assert seen.n_steps == 2 and seen.uncertainty.shape == seen.predictions.shape
    assert seen.learned_at == {label: int(label > 15) for label in range(21)}
    for step in range(2):
        images = torch.stack([normalised(torch.from_numpy(one) / 255) for one in shown["images"]])
        with torch.no_grad():
            logits = folder.net(step).eval()(images).logits
        np.testing.assert_allclose(seen.uncertainty[step], uncertainty(logits).numpy(), atol=1e-4)
        assert (logits.argmax(1).numpy() == seen.predictions[step]).mean() > 0.999  # labels are channels in this order


def test_examples_of_a_step_without_results_are_left_out(folder: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(folder.path, broken := tmp_path / "broken")
    results = pd.read_csv(broken / "results.csv")
    results[results["step"] == 0].to_csv(broken / "results.csv", index=False)
    seen = load_examples(RunFolder(broken))
    assert seen.n_steps == len(seen.uncertainty) == 1
    np.testing.assert_array_equal(seen.predictions, folder.examples["predictions"][:1])
    assert set(seen.learned_at) == set(range(16))


def test_shares_of_mistakes_by_a_plain_loop() -> None:
    kinds = np.random.default_rng(0).choice([0, 1, 2, 3, 255], (2, 8, 8)).astype(np.uint8)
    counts = [sum(int(kind) == k for kind in kinds.flat) for k in range(4)]
    np.testing.assert_allclose(mistake_shares(kinds), [count / sum(counts) for count in counts])
    assert mistake_shares(np.full((2, 2), 255, np.uint8)).tolist() == [0, 0, 0, 0]


def test_examine_names_a_folder_without_results(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no step is finished here"):
        load_examples(RunFolder(tmp_path))


def test_what_a_label_is_called_against_a_loop() -> None:
    seen = forgetting_examples()
    table = seen.predicted_as(5)
    assert table.shape == (len(LEARNED_AT), 3) and table.sum(axis=1).is_monotonic_decreasing
    for step in range(3):
        said = [int(p) for p, label in zip(seen.predictions[step].flat, seen.masks.flat, strict=True) if label == 5]
        for label in LEARNED_AT:
            assert table.loc[seen.names[label], step] == pytest.approx(100 * said.count(label) / len(said))
    assert (seen.predicted_as(20) == 0).all().all()


# The explorer


def test_the_explorer_shows_every_image_step_and_method() -> None:
    runs = {"ft": forgetting_examples(), "plop": forgetting_examples(seed=0)}
    explorer = mistakes_explorer(runs)
    assert explorer.values == {"image": 0, "step": 2, "method": "ft"}
    assert all(control.description and control.tooltip for control in explorer.controls.values())
    pictures = set()
    for step in range(3):
        for image in range(2):
            explorer.set(step=step, image=image)
            assert explorer.message.value == ""
            pictures.add(bytes(explorer.picture.value))
    assert len(pictures) == 6
    assert Image.open(io.BytesIO(explorer.picture.value)).width > 900
    explorer.controls["image"].value = 0  # as the keyboard does
    assert bytes(explorer.picture.value) in pictures


def test_the_explorer_tells_what_it_cannot_show() -> None:
    explorer = mistakes_explorer({"ft": forgetting_examples(), "plop": forgetting_examples(steps=1)})
    explorer.set(method="plop", step=2)
    assert "plop has finished only step 0" in explorer.message.value
    explorer.set(step=0)
    assert explorer.message.value == ""
    with pytest.raises(ValueError, match="plop shows other images than ft"):
        mistakes_explorer({"ft": forgetting_examples(), "plop": forgetting_examples(n=3)})
    with pytest.raises(ValueError, match="at least one"):
        mistakes_explorer({})


def test_the_view_shows_what_it_is_given() -> None:
    seen = forgetting_examples()
    given = (seen.images[0], seen.truth(2)[0], seen.predictions[2, 0], seen.mistakes(2)[0], seen.uncertainty[2, 0])
    figure = mistakes_figure(*given, seen.names, "a title", seen.credit)
    (axis,) = figure.axes
    drawn = [np.asarray(one.get_array()) for one in axis.images]
    assert (drawn[0] == given[0].transpose(1, 2, 0)).all()
    assert (drawn[1] == overlay(given[0], given[1])).all() and (drawn[2] == overlay(given[0], given[2])).all()
    assert (drawn[3] == colour_mistakes(given[3])).all()
    words = [text.get_text() for text in axis.texts]
    assert {"a title", *PANELS, "background", "aeroplane", "ignored", "drawn by chance"} <= set(words)
    share = (given[3] == 1).sum() / (given[3] != 255).sum()
    assert f"old class predicted as background: {share:.0%}" in words
    assert inside(figure)


def test_a_view_of_many_long_names_is_not_cut_off() -> None:
    names = ["background", *(f"a rather long name {i}" for i in range(1, 40))]
    labels = np.arange(64, dtype=np.uint8).reshape(8, 8) % 40
    blank = np.zeros((8, 8), np.uint8)
    figure = mistakes_figure(
        np.zeros((3, 8, 8), np.uint8), labels, labels, blank, np.zeros((8, 8), np.float32), names, "t"
    )
    assert inside(figure)
    boxes = [p for p in figure.axes[0].patches if isinstance(p, Rectangle)]
    assert len({(p.get_x(), p.get_y()) for p in boxes}) == len(boxes) == 40 + 3 + len(KINDS)


# Pictures of tables


def test_the_matrix_holds_the_mean_over_seeds_and_is_empty_before_a_class_is_learnt() -> None:
    table = results()
    figure = class_matrix(table, "a matrix")
    panels = figure.axes[:2]
    assert [axis.get_title() for axis in panels] == ["ft", "plop"]
    names = [text.get_text() for text in panels[0].get_yticklabels()]
    assert names == ["background (0)", "aeroplane (0)", "bicycle (0)", "bottle (1)", "chair (2)"]
    for axis, method in zip(panels, ("ft", "plop"), strict=True):
        values = np.ma.filled(axis.images[0].get_array().astype(float), np.nan)
        for row, (label, brought) in enumerate(LEARNED_AT.items()):
            for step in range(3):
                chosen = table[(table["method"] == method) & (table["label"] == label) & (table["step"] == step)]
                wanted = sum(chosen["iou"]) / 2 if brought <= step else np.nan
                np.testing.assert_allclose(values[row, step], wanted)
        assert len(axis.texts) == 3 * 3 + 2 + 1
        assert [line.get_ydata()[0] for line in axis.get_lines()] == [2.5, 3.5]
    assert inside(figure)


def test_the_drops_are_those_of_the_table() -> None:
    lost = forgetting_table(results())
    figure = drop_bars(lost, "drops")
    (axis,) = figure.axes
    named = [text.get_text() for text in axis.get_xticklabels()]
    assert named == ["background", "aeroplane", "bicycle", "bottle"]  # chair came last
    for bars, method in zip(axis.containers, ("ft", "plop"), strict=True):
        for bar, label in zip(bars, (0, 1, 2, 5), strict=True):
            chosen = lost[(lost["method"] == method) & (lost["label"] == label)]
            assert bar.get_height() == pytest.approx(sum(chosen["forgetting"]) / 2)
    assert inside(figure)
    one = forgetting_table(results(steps=1))
    assert len(drop_bars(one, "one step").axes[0].containers[0]) == 3


def test_the_trade_off_goes_through_the_steps() -> None:
    summary = summarise(results(seeds=(0,)))
    figure = trade_off_picture(summary, "trade")
    (axis,) = figure.axes
    before, path, last, *_ = axis.get_lines()
    ft = summary[summary["method"] == "ft"]
    assert before.get_ydata()[0] == pytest.approx(summary.loc[summary["step"] == 0, "old_nobg"].mean())
    assert path.get_xdata().tolist() == ft["new"].tolist()[1:]
    assert path.get_ydata().tolist() == ft["old_nobg"].tolist()[1:]
    assert (last.get_xdata()[0], last.get_ydata()[0]) == (ft["new"].iloc[-1], ft["old_nobg"].iloc[-1])
    assert [t.get_text() for t in axis.texts] == ["1", "2"] * 2
    assert inside(figure)
    assert len(trade_off_picture(summarise(results(steps=1)), "one step").axes[0].get_lines()) == 1


# The papers' tables


def test_conventions_are_the_two_halves_of_a_summary() -> None:
    summary = summarise(results())
    table = both_conventions(summary).set_index(["method", "background_counted"])
    last = summary[summary["step"] == 2].groupby("method")[["old", "new", "all", "old_nobg", "all_nobg", "avg"]].mean()
    for method in ("ft", "plop"):
        counted, left_out = table.loc[(method, "yes")], table.loc[(method, "no")]
        assert (counted["old"], counted["all"]) == pytest.approx(tuple(last.loc[method, ["old", "all"]]))
        assert (left_out["old"], left_out["all"]) == pytest.approx(tuple(last.loc[method, ["old_nobg", "all_nobg"]]))
        assert counted["new"] == left_out["new"] == pytest.approx(last.loc[method, "new"])
        assert counted["avg"] == pytest.approx(last.loc[method, "avg"]) and np.isnan(left_out["avg"])
        assert counted["seeds"] == 2
    figure = convention_gaps(both_conventions(summary), "gaps")
    drawn = [axis.get_lines()[0].get_xdata().tolist() for axis in figure.axes]
    assert drawn == [table.loc["ft", column].loc[["no", "yes"]].tolist() for column in ("old", "all")]
    assert inside(figure)


def test_own_runs_stand_beside_papers_rows_of_the_same_scenario_only() -> None:
    summary = summarise(results())
    both = published_and_own(["voc 15-5 overlap", "emoji 15-1 overlap"], summary)
    assert (both["scenario"] == "voc 15-5 overlap").sum() == len(published("voc 15-5 overlap"))
    assert set(both.loc[both["scenario"] == "emoji 15-1 overlap", "source"]) == {"own runs"}
    assert len(published_and_own(["voc 15-5 overlap"], summary)) == len(published("voc 15-5 overlap"))
    moved = published_and_own(["voc 15-1 overlap"], summary.assign(scenario="voc 15-1 overlap"))
    assert len(moved) == len(published("voc 15-1 overlap")) + 4
    assert len(published_and_own(["emoji 10-1 overlap"])) == 0


def test_bars_are_the_rows_and_hatched_where_the_background_is_not_counted() -> None:
    table = published_and_own(["voc 15-5 overlap", "voc 15-1 overlap"])
    figure = published_bars(table, "bars")
    for axis, (scenario, rows) in zip(figure.axes, table.groupby("scenario", sort=False), strict=True):
        wanted = rows.sort_values("all")
        assert axis.get_title() == scenario
        assert [bar.get_width() for bar in axis.patches] == wanted["all"].tolist()
        assert [bool(bar.get_hatch()) for bar in axis.patches] == (wanted["background_counted"] == "no").tolist()
        np.testing.assert_array_equal(axis.get_lines()[0].get_xdata(), wanted["old"])
        labels = [text.get_text() for text in axis.get_yticklabels()]
        assert labels == [f"{row.method} · {short_source(row.source)}" for row in wanted.itertuples()]
    assert inside(figure)
    own = published_bars(both_conventions(summarise(results())), "own")
    assert "own runs" in [text.get_text() for text in own.legends[0].get_texts()]


def test_every_source_has_a_short_name() -> None:
    names = {short_source(source) for source in pd.read_csv(resources.path("published.csv"))["source"]}
    assert names == {"MiB", "PLOP", "thesis", "RCIL", "cssegmentation model zoo"}


def test_last_steps_of_tables_put_together() -> None:
    several = [measured("emoji_15-5_all_methods"), measured("emoji_15-1_all_methods")]
    last = last_steps(pd.concat(several))
    assert len(last) == 2 * 10 * 3
    assert set(zip(last["scenario"], last["step"], strict=True)) == {
        ("emoji 15-5 overlap", 1),
        ("emoji 15-1 overlap", 5),
    }
    pd.testing.assert_frame_equal(last, pd.concat(map(last_steps, several), ignore_index=True))


def test_the_spread_draws_every_seed_its_mean_and_range() -> None:
    seeds = last_steps(measured("emoji_15-5_three_seeds"))
    assert len(seeds) == 9 and set(seeds["step"]) == {1}
    figure = seed_spread(seeds, "spread")
    for axis, column in zip(figure.axes, ("old_nobg", "new", "all"), strict=True):
        for place, method in enumerate(("ft", "mib", "plop")):
            values = seeds.loc[seeds["method"] == method, column].tolist()
            assert axis.get_lines()[place].get_ydata().tolist() == values
            reach, mean = (axis.collections[2 * place + k].get_segments()[0] for k in (0, 1))
            assert reach[:, 1].tolist() == [min(values), max(values)]
            assert mean[0, 1] == pytest.approx(sum(values) / 3)
    assert inside(figure)


# Parameters and exercises


def test_a_notebook_may_have_parameters_of_its_own(tmp_path: Path) -> None:
    cell = {"scenario": "emoji 15-5 overlap", "preset": "smoke", "overrides": {}, "data_root": None, "out": "runs"}
    cell |= {"checkpoints": [], "In": ["# Parameters\ncheckpoints = 'a.pth'\n"]}
    assert from_parameters(cell, "ft", also=["checkpoints"]).method == "ft"
    with pytest.raises(ValueError, match="'checkpoints'; known: scenario"):
        from_parameters(cell, "ft")


def test_checkpoints_may_be_papermill_text(tmp_path: Path) -> None:
    first, second = tmp_path / "step 0.pth", tmp_path / "step1.pth"
    first.touch(), second.touch()
    assert paths_of([]) == paths_of("") == []
    assert paths_of(f"'{first}' {second}") == paths_of([str(first), second]) == [first, second]
    with pytest.raises(FileNotFoundError, match=r"no\.pth: there is no such file"):
        paths_of(["no.pth"])


def test_the_exercises_know_the_right_answer() -> None:
    table = results(seeds=(0,))
    lost, summary = forgetting_table(table), summarise(table)
    points = [row.forgetting for row in lost.itertuples() if row.method == "ft" and row.label in (1, 2)]
    assert check("07.1", sum(points) / 2, lost=lost, method="ft").right
    assert not check("07.1", sum(points), lost=lost, method="ft").right
    kinds = np.array([0, 1, 1, 2, 3, 255])
    assert check("07.2", 0.5, kinds=kinds).right and not check("07.2", 0.4, kinds=kinds).right
    last = summary[(summary["method"] == "ft") & (summary["step"] == 2)].iloc[0]
    assert check("08.1", 3 * last["old"] - 2 * last["old_nobg"], results=table, method="ft").right
    seeds = pd.DataFrame({"method": ["mib", "plop"] * 2, "seed": [0, 0, 1, 1], "new": [9.0, 2.0, 8.0, 5.0]})
    assert check("08.2", 3, seeds=seeds).right and not check("08.2", 5, seeds=seeds).right
