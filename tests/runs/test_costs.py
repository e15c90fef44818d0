"""What runs have cost, against files and tables by hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from small_runs import small
from torch import Tensor

from plopkit.datasets.kept import KEY
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.costs import MEMORY, costs, stored_mb
from plopkit.runs.results import compare, load_results, report, step_rows
from plopkit.scenario import Scenario
from plopkit.settings import to_yaml
from plopkit.support.files import write_table, write_text

SCENARIO = Scenario.parse("emoji 10-5 overlap")


def write_run(out: Path, seed: int, seconds: list[float]) -> Path:
    """The tables of a run and three checkpoints; each step has two iterations, each of its `seconds`."""
    settings = small(out, str(SCENARIO), "mib", seed=seed)
    folder, names = settings.folder(), [str(label) for label in range(21)]
    tables = [step_rows(SCENARIO, "mib", seed, step, np.eye(step.n_seen), names) for step in SCENARIO.steps]
    write_table(folder / "results.csv", pd.concat(tables))
    write_text(folder / "settings.yaml", to_yaml(settings))
    ticks = [
        {"step": step, "epoch": 0, "iteration": iteration, "lr": 0.1, "seconds": each, "loss_ce": 1.0}
        for step, each in enumerate(seconds)
        for iteration in range(2)
    ]
    write_table(folder / "ticks.csv", pd.DataFrame(ticks))
    (folder / "checkpoints").mkdir()
    for index in range(3):
        StepStore(folder / "checkpoints", index).checkpoint.write_bytes(b"1" * 1_000_000)
    return folder


def write_state(run: Path, index: int, **tensors: Tensor) -> float:
    """A state; returns its megabytes."""
    path = StepStore(run / "checkpoints", index).state_file
    save_file(tensors, path)
    return path.stat().st_size / 1e6


def memory_of(*sizes: object) -> Tensor:
    return torch.tensor(list(json.dumps([{"name": "a", "size": size} for size in sizes]).encode()), dtype=torch.uint8)


def test_seconds_and_megabytes_by_hand(tmp_path: Path) -> None:
    first, second = write_run(tmp_path, 0, [5.0, 1.0, 2.0]), write_run(tmp_path, 1, [7.0, 3.0, 4.0])
    plain = write_state(first, 0, fisher=torch.zeros(1000))
    kept = write_state(first, 1, fisher=torch.zeros(1000), **{MEMORY: memory_of(250_000, 500_000)})
    results = load_results(tmp_path)
    table = costs(results)
    assert list(table) == ["scenario", "method", "seed", "step", "seconds", "later_seconds", "stored_mb"]
    assert table["seconds"].tolist() == [10, 2, 4, 14, 6, 8]
    assert table["later_seconds"].tolist() == [0, 2, 6, 0, 6, 14]
    np.testing.assert_allclose(table["stored_mb"], [1 + plain, 1 + kept + 0.75, 1, 1, 1, 1])
    mean = compare(results)
    assert mean["later_seconds"].tolist() == [0, 4, 10]
    np.testing.assert_allclose(mean["stored_mb"], [1 + plain / 2, 1 + kept / 2 + 0.375, 1])
    header, *rows = report(results).splitlines()[1:5]
    assert header.split()[-2:] == ["later_seconds", "stored_mb"]
    assert rows[2].split()[-2:] == ["10.0", "1.0"]
    assert "stored_mb: megabytes that the step hands on" in report(results)
    assert MEMORY == KEY
    StepStore(second / "checkpoints", 1).checkpoint.unlink()
    (second / "ticks.csv").unlink()
    mean = compare(results)
    assert mean["later_seconds"].isna().all()  # not the first seed's alone, as if it were the mean
    np.testing.assert_allclose(mean["stored_mb"], [1 + plain / 2, np.nan, 1])


def test_what_is_missing_or_damaged_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path, 0, [5.0, 1.0, 2.0])
    StepStore(run / "checkpoints", 2).checkpoint.unlink()
    state = StepStore(run / "checkpoints", 1).state_file
    write_state(run, 1, **{MEMORY: memory_of("many")})
    assert np.isnan([stored_mb(run, 1), stored_mb(run, 2)]).all() and stored_mb(run, 0) == 1
    assert f"{state}: " in capsys.readouterr().err
    state.write_bytes(b"\x05")
    assert np.isnan(stored_mb(run, 1))
    assert f"{state}: damaged" in capsys.readouterr().err
    (run / "ticks.csv").write_text("step,seconds\n0,x\n", encoding="utf-8")
    table = costs(load_results(run))
    assert table[["seconds", "later_seconds"]].isna().all(axis=None)
    assert "ticks.csv: damaged" in capsys.readouterr().err
    (run / "ticks.csv").unlink()
    (run / "ticks.csv").with_name(".ticks.csv.sha256").unlink(missing_ok=True)
    assert costs(load_results(run))["seconds"].isna().all()
    assert report(load_results(run)).splitlines()[2].split()[-2:] == ["-", "1.0"]
    assert costs(load_results(run).drop(columns="run"))["stored_mb"].isna().all()


@pytest.mark.parametrize("content", [b"\xff", b"{", b"5", b'[{"size": Infinity}]', b"[" * 100_000])
def test_a_memory_that_is_no_list_of_sizes_is_left_out(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path, 0, [5.0, 1.0, 2.0])
    write_state(run, 1, **{MEMORY: torch.tensor(list(content), dtype=torch.uint8)})
    assert np.isnan(stored_mb(run, 1))
    assert "damaged: its memory is no list of images with their sizes; what" in capsys.readouterr().err
