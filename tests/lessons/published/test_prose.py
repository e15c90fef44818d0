"""What lessons 07, 08 and 09 say about published and measured results is so in the tables."""

import re
from pathlib import Path

import nbformat

from plopkit.lessons.published import last_steps, measured, published_and_own, until_plop

ROOT = Path(__file__).resolve().parents[3]
SCENARIOS = ["voc 15-5 overlap", "voc 15-1 overlap"]


def text_of(number: str) -> str:
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    return "\n\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")


def test_every_method_gets_worse_from_15_5_to_15_1_except_joint_training() -> None:
    table = until_plop(published_and_own(SCENARIOS))
    easy, hard = (table[table["scenario"] == scenario].groupby("method")["all"] for scenario in SCENARIOS)
    worse = hard.max() < easy.min()
    assert worse.drop("joint").all() and easy.max()["joint"] == hard.max()["joint"]


def test_of_the_rows_for_mib_only_its_own_leaves_the_background_out() -> None:
    table = published_and_own(SCENARIOS[:1]).query("method == 'mib'")
    assert (table["background_counted"] == "no").tolist() == table["source"].str.startswith("MiB").tolist()


def test_in_pairs_plop_keeps_more_and_mib_learns_more_and_neither_is_ahead_over_all_classes() -> None:
    pairs = last_steps(measured("emoji_15-5_three_seeds")).pivot(index="seed", columns="method")
    for old in ("old", "old_nobg"):
        assert (pairs[old]["plop"] > pairs[old]["mib"]).all()
        assert pairs[old]["plop"].min() < pairs[old]["mib"].max()  # the ranges overlap
    assert (pairs["new"]["plop"] < pairs["new"]["mib"]).all()
    assert set(pairs["all"]["plop"] > pairs["all"]["mib"]) == {True, False}
    assert pairs["all"].loc[0, "mib"] > pairs["all"].loc[0, "plop"]  # what the question begins with


def test_with_twice_the_images_plop_comes_closer_to_fine_tuning_on_the_new_classes() -> None:
    """Lesson 00 compares its runs with those of lesson 06."""
    halves = measured("emoji_15-5_lessons")
    for _, half in halves.groupby("threads"):
        gaps = []
        for runs in (half, measured("emoji_15-5_three_seeds")):
            new = last_steps(runs).pivot(index="seed", columns="method", values="new")
            gaps.append(new["ft"] - new["plop"])
        assert (gaps[0] > 2 * gaps[1]).all() and (gaps[1] > 0).all()


def test_ewf_keeps_more_than_plop_and_is_wrong_on_more_pixels_than_fine_tuning() -> None:
    for _, rows in last_steps(measured("emoji_15-1_all_methods")).groupby("seed"):
        scores = rows.set_index("method")
        assert scores.loc["ewf", "old_nobg"] > scores.loc["plop", "old_nobg"]
        assert scores.loc["ewf", "pixel_accuracy"] < scores.loc["ft", "pixel_accuracy"]
        assert scores.loc["ewf", "background"] < 10


def test_the_thresholds_compared_in_lesson_09_are_those_of_the_benchmarks() -> None:
    row = r"(?m)^\| (released|median) \| ([\d.]+) \| [\d.]+ \| ([\d.]+ \| [\d.]+ \| [\d.]+) \|$"
    rows = re.findall(row, text_of("09"))
    assert len(rows) == 4
    source = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8").replace("*", "")
    for thresholds, pod, scores in rows:
        assert re.search(rf"(?m)^\| {thresholds} \| {pod}, .*\| {re.escape(scores)} \|$", source), scores
