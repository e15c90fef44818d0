"""Own runs in the layout of the papers' tables, pictures of these tables, and the exercises of lesson 08."""

import numpy as np
import pandas as pd
import pytest
from lesson_tables import results
from looking import inside

from plopkit.catalogue import METHODS
from plopkit.lessons.published import (
    both_conventions,
    check,
    convention_gaps,
    last_steps,
    measured,
    published_and_own,
    published_bars,
    seed_spread,
)
from plopkit.lessons.published.figures import short_source
from plopkit.runs.results import published, summarise
from plopkit.support import resources


def test_conventions_are_the_two_halves_of_a_summary() -> None:
    summary = summarise(results())
    table = both_conventions(summary).set_index(["method", "background_counted"])
    last = summary[summary["step"] == 2].groupby("method")[["old", "new", "all", "old_nobg", "all_nobg", "avg"]].mean()
    for method in ("ft", "plop"):
        with_background, without = table.loc[(method, "yes")], table.loc[(method, "no")]
        assert (with_background["old"], with_background["all"]) == pytest.approx(
            tuple(last.loc[method, ["old", "all"]])
        )
        assert without[["old", "all"]].tolist() == pytest.approx(last.loc[method, ["old_nobg", "all_nobg"]].tolist())
        assert with_background["new"] == without["new"] == pytest.approx(last.loc[method, "new"])
        assert with_background["avg"] == pytest.approx(last.loc[method, "avg"]) and np.isnan(without["avg"])
        assert with_background["seeds"] == 2
        means = summary[(summary["step"] == 2) & (summary["method"] == method)][["pixel_accuracy", "background"]].mean()
        assert with_background[list(means.index)].tolist() == pytest.approx(means.tolist())
    earlier = both_conventions(summary.drop(columns=["pixel_accuracy", "background"]))
    assert earlier[["pixel_accuracy", "background"]].isna().all(axis=None)
    figure = convention_gaps(both_conventions(summary), "gaps")
    drawn = [axis.get_lines()[0].get_xdata().tolist() for axis in figure.axes]
    assert drawn == [table.loc["ft", column].loc[["no", "yes"]].tolist() for column in ("old", "all")]
    assert inside(figure)


def test_own_runs_are_listed_with_published_rows_of_the_same_scenario_only() -> None:
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
        expected = rows.sort_values("all")
        assert axis.get_title() == scenario
        assert [bar.get_width() for bar in axis.patches] == expected["all"].tolist()
        assert [bool(bar.get_hatch()) for bar in axis.patches] == (expected["background_counted"] == "no").tolist()
        np.testing.assert_array_equal(axis.get_lines()[0].get_xdata(), expected["old"])
        labels = [text.get_text() for text in axis.get_yticklabels()]
        assert labels == [f"{row.method} · {short_source(row.source)}" for row in expected.itertuples()]
    assert inside(figure)
    own = published_bars(both_conventions(summarise(results())), "own")
    assert "own runs" in [text.get_text() for text in own.legends[0].get_texts()]


def test_every_source_has_a_short_name() -> None:
    names = {short_source(source) for source in pd.read_csv(resources.path("published.csv"))["source"]}
    later = {"UCD", "REMINDER", "SSUL", "DKD", "STAR", "BARM", "BalConpas"}
    quoted = {"quoted in DKD", "quoted as EWF in DKD", "quoted in Cs2K"}
    assert names == {"MiB", "PLOP", "thesis", "RCIL", "cssegmentation model zoo"} | later | quoted


def test_last_steps_of_concatenated_tables() -> None:
    several = [measured("emoji_15-5_all_methods"), measured("emoji_15-1_all_methods")]
    last = last_steps(pd.concat(several))
    assert len(last) == sum(table.groupby(["method", "seed"]).ngroups for table in several) > 100
    assert set(zip(last["scenario"], last["step"], strict=True)) == {
        ("emoji 15-5 overlap", 1),
        ("emoji 15-1 overlap", 5),
    }
    pd.testing.assert_frame_equal(last, pd.concat(map(last_steps, several), ignore_index=True))


def test_every_method_can_be_drawn() -> None:
    """Some have a letter as their marker."""
    methods = sorted(METHODS)
    seeds = pd.DataFrame({"method": methods, "seed": 0, "old_nobg": 50.0, "new": 40.0, "all": 45.0})
    assert len(seed_spread(seeds, "spread").axes[0].get_lines()) == len(methods)


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


def test_the_exercises_know_the_right_answer() -> None:
    table = results(seeds=(0,))
    summary = summarise(table)
    last = summary[(summary["method"] == "ft") & (summary["step"] == 2)].iloc[0]
    assert check("08.1", 3 * last["old"] - 2 * last["old_nobg"], results=table, method="ft").right
    seeds = pd.DataFrame({"method": ["mib", "plop"] * 2, "seed": [0, 0, 1, 1], "new": [9.0, 2.0, 8.0, 5.0]})
    assert check("08.2", 3, seeds=seeds).right and not check("08.2", 5, seeds=seeds).right
