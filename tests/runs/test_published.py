"""The rows of the papers' tables, and which runs fill them."""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from run_files import write_run

from plopkit.cli import main
from plopkit.flags import parse_run
from plopkit.grammar import read_words
from plopkit.presets import configure, draft
from plopkit.recipes import recipe_values
from plopkit.runs.published import Row, _follows, rows


def test_the_twelve_rows_of_cssegmentation_come_first() -> None:
    table = rows()
    first = [f"{row.scenario} {row.method}" for row in table.head(12).itertuples()]
    voc = [f"voc {task} {protocol} plop" for task in ("15-5", "15-1", "10-1") for protocol in ("disjoint", "overlap")]
    ade = [f"ade {task} {p} plop" for task in ("100-50", "100-10", "100-5") for p in ("disjoint", "overlap")]
    assert first == voc + ade
    assert not table.duplicated(["method", "scenario"]).any()
    row = table[(table["method"] == "plop") & (table["scenario"] == "voc 15-1 overlap")].iloc[0]
    assert "54.64 with background, PLOP (CVPR 2021), Table 1" in row["published"]
    assert row["command"] == 'plopkit run "voc 15-1 overlap" --method plop --preset paper --data.root data/voc'
    assert row["seeds"] == 0
    assert {"ft", "lwf", "lwf-mc", "ilt", "ewc", "rw", "pi", "mib", "joint"} <= set(table["method"])


def test_every_rows_command_can_be_parsed() -> None:
    for line in rows()["command"]:
        settings = parse_run(shlex.split(line)[2:])
        words = read_words(settings.scenario)
        own = recipe_values(settings.method, words, "paper")
        assert settings.data.size == own.get("data.size", 512)
        assert settings.optim.batch == own.get("optim.batch", 24)
        epochs = {"ade": 60, "voc": 30}[words.dataset]
        assert settings.optim.epochs == own.get("optim.epochs", epochs)
        later = 10 if settings.scenario.startswith("voc 10-1") else epochs
        assert settings.optim.epochs_later == own.get("optim.epochs_later", later)
        assert settings.model.encoder == "resnet101"


def test_joint_training_has_one_step() -> None:
    table = rows()
    joint = table[table["method"] == "joint"]
    assert len(joint) and all('"voc joint"' in c or '"ade joint"' in c for c in joint["command"])


def test_finished_runs_of_a_rows_command_fill_the_row(tmp_path: Path) -> None:
    def row(*folders: Path) -> pd.Series:
        return rows(folders).set_index(["scenario", "method"]).loc[("voc 15-5 overlap", "plop")]

    paper = [
        write_run(tmp_path, "paper", 1, **{"data.root": "/a"}),
        write_run(tmp_path, "paper", 2, **{"compute.cpu": True, "model.weights": "resnet101_iabn_sync.pth.tar"}),
    ]
    others = [write_run(tmp_path, "laptop", 5), write_run(tmp_path, "paper", 5, **{"hyper.pod": 0.5})]
    others.append(write_run(tmp_path, "paper", 6, **{"model.weights": "none"}))
    unfinished = write_run(tmp_path, "paper", 7, n_steps=1)
    found = row(*others, *paper, unfinished)
    assert found["own"] == pytest.approx(15 + 10)
    assert found["own_nobg"] == pytest.approx(15 + 10.5)
    assert found["seeds"] == 2
    assert row(*others, unfinished)["seeds"] == 0
    assert rows(paper)["seeds"].sum() == 2
    repeated = write_run(tmp_path / "repeated", "paper", 1, iou=40.0)  # the same seed on another machine
    found = row(*paper, repeated)
    assert found["seeds"] == 2
    assert found["own"] == pytest.approx(((20 + 50) / 2 + 30) / 2)


def test_ssul_needs_its_saliency_maps_on_voc() -> None:
    for method in ("ssul", "ssul-m"):
        row, ade = Row(method, "voc", "15-1", "overlap"), Row(method, "ade", "100-10", "overlap")
        assert row.command().endswith("--data.root data/voc --data.saliency data/voc/saliency")
        assert "saliency" not in ade.command() + Row("dkd", "voc", "15-1", "overlap").command()
        asked = draft(row.trained, method, "paper", row.maps)
        own, without = (configure(row.trained, method, "paper", more) for more in ({"data.saliency": "/maps"}, {}))
        assert _follows(own, asked) and not _follows(without, asked)


def test_rows_are_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rows", "-o", str(tmp_path / "rows.csv")]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("plop on voc 15-5 disjoint\n    published: 64.29 with background")
    assert len(pd.read_csv(tmp_path / "rows.csv")) == printed.count("    plopkit run")


@pytest.mark.parametrize("name", ["settings.yaml", "summary.csv"])
def test_an_incomplete_folder_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    complete, incomplete = write_run(tmp_path, "paper", 1), write_run(tmp_path, "paper", 2)
    (incomplete / name).unlink()
    assert rows([complete, incomplete])["seeds"].sum() == 1
    assert re.match(rf"{incomplete}: left out, .*{name}: missing; run the command", capsys.readouterr().err)
