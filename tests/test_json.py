"""`--json`: only JSON on stdout, with the documented keys, and null for what is not a number."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from plopkit import Scenario
from plopkit.cli import main
from plopkit.commands.words import print_json
from plopkit.presets import configure
from plopkit.runs.costs import COSTS
from plopkit.runs.results import compare, load_results, measure_names, published, step_rows, summarise
from plopkit.settings import to_yaml
from plopkit.support.files import write_table, write_text

Captured = pytest.CaptureFixture[str]
SCENARIO = "voc 15-5 overlap"


def strict(text: str) -> Any:
    """The value of a JSON text without NaN."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two finished runs, whose numbers are made up."""
    for seed in (0, 1):
        settings = configure(SCENARIO, "plop", "paper", {"seed": seed, "out": tmp_path, "data.root": "/data"})
        rng = np.random.default_rng(seed)
        rows = pd.concat(
            [
                step_rows(
                    Scenario.parse(SCENARIO),
                    "plop",
                    seed,
                    step,
                    rng.integers(1, 9, (step.n_seen, step.n_seen)),
                    [str(label) for label in range(21)],
                )
                for step in Scenario.parse(SCENARIO).steps
            ]
        )
        write_text(settings.folder() / "settings.yaml", to_yaml(settings))
        write_table(settings.folder() / "results.csv", rows)
        write_table(settings.folder() / "summary.csv", summarise(rows))
    return tmp_path


def test_compare(runs: Path, capsys: Captured) -> None:
    assert main(["compare", str(runs), "--json"]) == 0
    value = strict(capsys.readouterr().out)
    assert set(value) == {"runs", "published"}
    table = compare(load_results(runs)).reset_index()
    assert [set(row) for row in value["runs"]] == 2 * [
        {"scenario", "method", "step", "seeds", *measure_names(), *COSTS}
    ]
    for row, (_, expected) in zip(value["runs"], table.iterrows(), strict=True):
        assert (row["seeds"], row["step"]) == (2, expected["step"])
        for name in [*measure_names(), *COSTS]:
            assert row[name] == (None if math.isnan(expected[name]) else pytest.approx(expected[name]))
    assert value["runs"][0]["new"] is None
    assert len(value["published"]) == len(published(SCENARIO)) > 0


def test_pictures_are_named_on_stderr(runs: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["compare", str(runs), "--json", "-o", str(tmp_path / "pictures")]) == 0
    output = capsys.readouterr()
    strict(output.out)
    assert "curves.png" in output.err


def test_rows(runs: Path, capsys: Captured) -> None:
    assert main(["rows", str(runs), "--json"]) == 0
    value = strict(capsys.readouterr().out)
    assert {tuple(row) for row in value} == {
        ("method", "scenario", "published", "own", "own_nobg", "seeds", "command"),
    }
    (own,) = [row for row in value if row["seeds"]]
    assert (own["method"], own["scenario"], own["seeds"]) == ("plop", SCENARIO, 2)
    mean = compare(load_results(runs)).xs(1, level="step")
    assert own["own"] == pytest.approx(mean["all"].item(), abs=1e-4)
    assert all(row["own"] is None for row in value if not row["seeds"])


def test_data_check(capsys: Captured, tmp_path: Path) -> None:
    config = tmp_path / "few.yaml"
    config.write_text("data: {scenes: 40, val_scenes: 20, size: 32}\n", encoding="utf-8")
    words = ["data", "check", "emoji 19-1 overlap", "--config", str(config)]
    code = main([*words, "--json"])
    value = strict(capsys.readouterr().out)
    assert set(value) == {"scenario", "steps", "classes", "findings"}
    assert value["scenario"] == "emoji 19-1 overlap"
    assert [step["step"] for step in value["steps"]] == [0, 1]
    assert {row["label"] for row in value["classes"]} == set(range(21))
    assert main(words) == code == int(any(finding["kind"] == "error" for finding in value["findings"]))


def test_values_become_plain_json(capsys: Captured) -> None:
    table = pd.DataFrame({"a": [1, 2], "b": [0.5, math.nan], "c": ["\x1b[31m", "é"]})
    print_json({"table": table, "n": np.int64(3), "x": np.float32(0.5), "inf": math.inf, "none": (None, True)})
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert strict(text) == {
        "table": [{"a": 1, "b": 0.5, "c": "\x1b[31m"}, {"a": 2, "b": None, "c": "é"}],
        "n": 3,
        "x": 0.5,
        "inf": None,
        "none": [None, True],
    }
