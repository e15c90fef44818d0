"""The comparison of all methods: its pieces, its file of results, and the page."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pandas as pd
import pytest
from small_runs import SMALL

import plopkit
from benchmarks import comparison
from plopkit.grids.grid import GridResult
from plopkit.grids.plan import PlannedRun, plan

COUNTS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "all")
PAGE = "Before.\n\n| method |\n|---|\n\nAfter.\n"
ENTRIES = [comparison.Entry("ft"), comparison.Entry("mib"), comparison.Entry("mib", has_memory=True)]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that are trained, in this process; of three entries, and a page with a protocol alone."""
    found: list[str] = []

    def run_grid(runs: Sequence[PlannedRun], workers: int) -> GridResult:
        found.extend(map(str, runs))
        return GridResult([plopkit.run(run.settings, progress=False) for run in runs], {})

    def small_plan(scenarios, methods, seeds, preset, choices, out) -> list[PlannedRun]:
        sizes = {name: [value] for name, value in SMALL.items()}
        return plan(scenarios, methods, seeds, preset, sizes | choices, out)

    monkeypatch.setattr(comparison, "run_grid", run_grid)
    monkeypatch.setattr(comparison, "plan", small_plan)
    monkeypatch.setattr(comparison, "entries", lambda: ENTRIES)
    monkeypatch.setattr(comparison, "PROTOCOLS", ("overlap",))
    return found


def test_a_piece_adds_what_the_file_lacks_and_no_more(trained: list[str], tmp_path: Path) -> None:
    csv, page = tmp_path / "comparison.csv", tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")

    def piece(orders: Sequence[int], out: str) -> pd.DataFrame:
        comparison.main(orders, [0], ["overlap"], "smoke", out=tmp_path / out, csv=csv, page=page)
        return comparison.read(csv)

    first = piece([0], "a")
    assert len(trained) == 3
    assert len(first) == 3 * 2
    assert (first["stored_mb"] > 0).all() and (first["seconds"] > 0).all()
    assert first["method"].unique().tolist() == ["ft", "mib", "mib (memory.images 100)"]
    kept = first[first["method"].str.contains("memory") & (first["step"] == 0)]["stored_mb"].iloc[0]
    assert kept > first[(first["method"] == "mib") & (first["step"] == 0)]["stored_mb"].iloc[0]
    csv_bytes = csv.read_bytes()

    again = piece([0], "elsewhere")  # without the run folders
    assert len(trained) == 3
    assert csv.read_bytes() == csv_bytes
    again[again["method"] != "ft"].to_csv(csv, index=False)
    piece([0], "a")
    assert trained[3:] == ["emoji 15-5 overlap order=random:0, ft, seed 0"]
    assert comparison.read(csv)["method"].tolist() == again["method"].tolist()

    text = page.read_text(encoding="utf-8")
    assert text.startswith("Before.\n\n| method | runs | all, overlap | old_nobg |")
    assert text.endswith("|\n\nAfter.\n")
    assert page.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_pieces_are_whole_protocols_one_order_and_seed_after_another(tmp_path: Path) -> None:
    done = pd.DataFrame([("emoji 15-5 disjoint order=random:4", "ft", 2)], columns=comparison.KEYS)
    todo = comparison.missing(done, ["overlap", "disjoint"], [3, 4], [2], "smoke", tmp_path)
    scenarios = [str(run).split(", ")[0].removeprefix("emoji 15-5 ") for _, run in todo]
    counts = [(scenario, len(list(group))) for scenario, group in groupby(scenarios)]
    every = len(comparison.entries())
    assert counts == [
        ("overlap order=random:3", every),
        ("disjoint order=random:3", every),
        ("overlap order=random:4", every),
        ("disjoint order=random:4", every - 1),
    ]


def made_up() -> pd.DataFrame:
    """Results of three entries in two orders, in which fine-tuning once beats MiB."""
    rows = []
    for order, scores in ((0, (20.0, 60.0, 61.0)), (1, (52.0, 50.0, 55.0))):
        for entry, score in zip(ENTRIES, scores, strict=True):
            row = {"scenario": f"emoji 15-5 overlap order=random:{order}", "method": entry.name, "seed": 0}
            row |= dict.fromkeys(("old_nobg", "new"), score) | {"seconds": 10 + order, "stored_mb": 4.9}
            remembered = 3.7 if entry.has_memory else 0.0
            rows.append(row | {"step": 0, "all": 70.0, "stored_mb": 4.9 + remembered})
            rows.append(row | {"step": 1, "all": score})
    return pd.DataFrame(rows)


def test_the_table_has_means_spread_and_the_lead_in_the_same_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "PROTOCOLS", ("overlap",))
    lines = comparison.markdown(made_up()).splitlines()
    assert lines[2].split(" | ")[:3] == ["| fine-tuning", "2", "36.0 ± 22.6"]
    assert lines[2].split(" | ")[5:] == ["−19.0 ± 29.7", "1 of 2", "10", "4.9 |"]
    assert lines[3].split(" | ")[:3] == ["| MiB", "2", "55.0 ± 7.1"]
    assert lines[3].split(" | ")[5:7] == ["–", "–"]
    assert lines[4].split(" | ")[0] == "| MiB + memory"
    assert lines[4].split(" | ")[5:] == ["+3.0 ± 2.8", "2 of 2", "10", "8.6 |"]  # after the last step nothing is kept


def test_a_method_that_trains_nothing_has_no_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "PROTOCOLS", ("overlap",))
    table = made_up()
    table.loc[table["method"] == "ft", "seconds"] = float("nan")
    assert comparison.markdown(table).splitlines()[2].endswith("| – | 4.9 |")


def test_a_lead_needs_the_baseline_of_its_own_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "PROTOCOLS", ("overlap",))
    table = made_up()
    table = table[~((table["method"] == "mib") & table["scenario"].str.endswith("1"))]
    line = next(line for line in comparison.markdown(table).splitlines() if line.startswith("| fine-tuning"))
    assert "−40.0 ± nan" not in line
    assert "| −40.0 | 0 of 1 |" in line


@pytest.mark.parametrize("text", ["no table\n", PAGE + PAGE])
def test_a_page_has_one_table_of_methods(text: str) -> None:
    with pytest.raises(ValueError, match="one table"):
        comparison.with_table(text, "| method | x |")


def test_failed_runs_end_with_an_error_and_what_has_finished_is_kept(
    trained: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    csv, page = tmp_path / "comparison.csv", tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    run_grid = comparison.run_grid

    def all_but(count: int, runs: Sequence[PlannedRun], workers: int) -> GridResult:
        finished = run_grid(runs[:count], workers).finished
        return GridResult(finished, {run.folder.path: f"{run}: out of memory" for run in runs[count:]})

    def piece() -> None:
        comparison.main([0], [0], ["overlap"], "smoke", out=tmp_path / "out", csv=csv, page=page)

    monkeypatch.setattr(comparison, "run_grid", lambda *arguments: all_but(0, *arguments))
    with pytest.raises(SystemExit, match="no results to draw"):
        piece()
    assert capsys.readouterr().out.count("out of memory") == 3
    assert not csv.exists() and page.read_text(encoding="utf-8") == PAGE

    monkeypatch.setattr(comparison, "run_grid", lambda *arguments: all_but(1, *arguments))
    with pytest.raises(SystemExit) as exit_:
        piece()
    assert exit_.value.code == 1
    assert comparison.read(csv)["method"].unique().tolist() == ["ft"]
    assert "| fine-tuning |" in page.read_text(encoding="utf-8")


def test_without_results_there_is_nothing_to_draw(tmp_path: Path) -> None:
    csv, page = tmp_path / "comparison.csv", tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    with pytest.raises(SystemExit, match=r"comparison\.csv: no results to draw; train a piece"):
        comparison.main(csv=csv, page=page, only_draw=True)
    assert page.read_text(encoding="utf-8") == PAGE


def test_a_page_that_is_missing_or_has_no_table_is_named_before_anything_is_trained(
    trained: list[str], tmp_path: Path
) -> None:
    csv, page = tmp_path / "comparison.csv", tmp_path / "other.md"
    with pytest.raises(SystemExit, match=r"other\.md: no such page; write one with a line"):
        comparison.main([0], [0], ["overlap"], "smoke", out=tmp_path / "out", csv=csv, page=page)
    page.write_text("no table\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"other\.md: one table"):
        comparison.main([0], [0], ["overlap"], "smoke", out=tmp_path / "out", csv=csv, page=page)
    assert not trained


@pytest.fixture(scope="module")
def kept() -> pd.DataFrame:
    """The last steps of the file of results."""
    return comparison.final(comparison.read(comparison.CSV))


@pytest.fixture(scope="module")
def prose() -> str:
    """The page's text, on one line."""
    return " ".join(comparison.PAGE.read_text(encoding="utf-8").split())


def test_the_picture_names_every_method_and_protocol() -> None:
    axes = comparison.draw(comparison.read(comparison.CSV)).axes[0]
    titles = {entry.title for entry in comparison.entries()}
    assert {label.get_text() for label in axes.get_yticklabels()} == titles
    assert tuple(text.get_text() for text in axes.get_legend().get_texts()) == comparison.PROTOCOLS


def test_the_page_shows_the_file_of_results(kept: pd.DataFrame) -> None:
    page = comparison.PAGE.read_text(encoding="utf-8")
    assert comparison.markdown(comparison.read(comparison.CSV)) in page
    pieces = kept.groupby(["protocol", "order", "seed"])["method"].nunique()
    assert len(pieces) == len(comparison.PROTOCOLS) * 3 * 3 and (pieces == len(comparison.entries())).all()
    assert f"there are {len(pieces)}, and every method has a run in each" in page


def test_the_spread_of_a_lead_is_that_within_a_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "PROTOCOLS", ("overlap", "disjoint"))
    other = made_up().assign(scenario=lambda table: table["scenario"].str.replace("overlap", "disjoint"))
    other.loc[(other["method"] == "ft") & (other["step"] == 1), "all"] -= 30
    lines = comparison.markdown(pd.concat([made_up(), other])).splitlines()
    assert lines[2].split(" | ")[6:8] == ["−34.0 ± 29.7", "1 of 4"]  # in each protocol −19 ± 29.7, but for the 30


def test_what_the_page_says_of_the_methods_holds(kept: pd.DataFrame, prose: str) -> None:
    mean = kept.pivot_table(index="method", columns="protocol", values="all")
    labelled, calibrated = ["alife", "reminder", "plop"], ["rcil", "ucd", "mib"]
    six = mean.loc[labelled + calibrated]
    assert (six.max() - six.min() < 2.5).all()
    behind = six.loc["mib"] - mean.loc[["lwf", "lwf-mc", "ewc", "rw", "pi"]]
    assert behind.loc["lwf"].between(4, 8).all() and (behind.drop("lwf").min() > behind.loc["lwf"]).all()
    each = kept.pivot_table(index=["protocol", "order", "seed"], columns="method", values="all")
    disjoint, partitioned = each.loc["disjoint"], each.loc["partitioned"]
    ahead = (disjoint[labelled].min(axis=1) > disjoint["mib"]).sum()
    assert f"ALIFE, REMINDER and PLOP are above MiB in {COUNTS[ahead]} of nine pieces" in prose
    ahead = (partitioned[calibrated].min(axis=1) > partitioned[labelled].max(axis=1)).sum()
    assert f"RCIL, UCD and MiB are above these three in {COUNTS[ahead]} of nine, and lose" in prose
    assert (mean["overlap"] - mean["partitioned"]).loc[calibrated].between(0, 1).all()
    assert six["overlap"].max() - six["overlap"].min() < each.loc["overlap"][labelled + calibrated].std().max()
    loss = (mean["overlap"] - mean["disjoint"]).drop("joint")
    assert loss.between(1.95, 7.05).mean() > 0.6
    gain = mean.loc["mib (memory.images 100)"] - mean.loc["mib"]
    assert gain["disjoint"] == pytest.approx(0.5, abs=0.25) and gain["partitioned"] == pytest.approx(-0.5, abs=0.25)
    assert gain.mean() == pytest.approx(0, abs=0.15)
    gain = mean.loc["dkd-m"] - mean.loc["dkd"]
    assert gain.to_numpy() == pytest.approx([1.5, 0.5, 1.5], abs=0.3)  # disjoint, overlap, partitioned
    assert (mean.loc["star-m"] - mean.loc["star"] < 0.65).all()
    assert (mean.loc["joint"] - mean.drop("joint").max()).between(6.5, 9.5).all()


def test_why_ssul_m_is_behind_holds(kept: pd.DataFrame, prose: str) -> None:
    others = comparison.final(comparison.read(comparison.CSV.with_name("comparison_ssul-m.csv")))
    pieces = others[["scenario", "seed"]].drop_duplicates()
    rows = pd.concat([kept.merge(pieces), others])
    means = rows.groupby("method")["all"].mean()
    assert len(pieces) == 9 and (rows[rows["method"].str.startswith("ssul")].groupby("method").size() == 9).all()
    assert f"SSUL-M is behind SSUL here**, {means['ssul-m']:.1f} against {means['ssul']:.1f} in nine pieces" in prose
    assert f"(`hyper.targets repaired`) give {means['ssul-m (hyper.targets repaired)']:.1f}" in prose
    assert f"(`memory.mix beside`) it is {means['ssul-m (memory.mix beside)']:.1f}" in prose
