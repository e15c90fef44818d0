"""A grid of real runs: two workers, one run killed in the middle, the command repeated."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_runs import SMALL, contents, small
from waiting import wait_until

import plopkit
from plopkit.cli import main
from plopkit.grids import local
from plopkit.grids.grid import GridResult, grid
from plopkit.grids.plan import plan
from plopkit.grids.state import FILES, Entry
from plopkit.grids.table import Live
from plopkit.runs.experiment import run
from plopkit.runs.folder import RunFolder

EMOJI = "emoji 15-5 overlap"
EPOCHS = 3
CHOICES: dict[str, list[Any]] = {name: [value] for name, value in (SMALL | {"optim.epochs": EPOCHS}).items()}
METHODS, SEEDS = ("plop", "mib"), (0, 1)


class Killing(Live):
    """A table that kills the first run with SIGKILL, as soon as an epoch of it is saved."""

    killed: list[int]

    def __call__(self) -> None:
        first = self.entries[0]
        if not self.killed and first.state == "running" and first.place.epoch:
            (process,) = [process for entry, process in PROCESSES if entry is first]
            process.kill()
            self.killed.append(process.wait())


PROCESSES: list[tuple[Entry, "subprocess.Popen[bytes]"]] = []


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, GridResult]:
    """The folder and the result of a grid of four runs, one of which was killed."""
    out = tmp_path_factory.mktemp("grid")
    start = local.start
    Killing.killed = []

    def noted(entry: Entry, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        process = start(entry, environment)
        PROCESSES.append((entry, process))
        return process

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "start", noted)
        patch.setattr(local, "READ", 0.0)
        patch.setattr(local, "LOOK", 0.01)
        patch.setattr("plopkit.grids.grid.Live", Killing)
        result = grid([EMOJI], METHODS, SEEDS, "smoke", CHOICES, out, workers=2)
    return out, result


def without_times(folder: RunFolder) -> dict[str, bytes]:
    """The content of a run's folder, the seconds in it left out."""
    files = contents(folder.path)
    del files["settings.yaml"], files["pictures/losses.png"]
    files["ticks.csv"] = folder.ticks.drop(columns="seconds").to_csv().encode()
    return {
        name: re.sub(rb'"seconds": [^,}]*', b"", content) if name.endswith(".json") else content
        for name, content in files.items()
    }


def test_a_run_that_was_killed_is_the_same_as_one_that_was_not(
    trained: tuple[Path, GridResult], tmp_path: Path
) -> None:
    _, result = trained
    assert Killing.killed == [-signal.SIGKILL]
    assert result.failed == {}
    assert len(result.finished) == 4
    assert len(PROCESSES) == 5
    first = PROCESSES[0][0]
    alone = run(small(tmp_path, method="plop", optim__epochs=EPOCHS), progress=False)
    (own,) = [folder for folder in result.finished if folder.path.name == alone.path.name]
    assert first.run.folder == own
    assert without_times(own) == without_times(alone)


def test_step_0_is_trained_once(trained: tuple[Path, GridResult]) -> None:
    out, _ = trained
    logs = {path.name: path.read_text(encoding="utf-8") for path in (out / FILES).glob("*.log")}
    assert len(logs) == 4
    for seed in SEEDS:
        plop, mib = (next(text for name, text in logs.items() if f"_{m}_seed{seed}_" in name) for m in METHODS)
        epochs = re.findall(r"^step 0/1 epoch (\d)", plop, re.MULTILINE)
        assert len(set(epochs)) == len(epochs) and epochs[-1] == str(EPOCHS)
        assert "step 0/1 epoch" not in mib and "step 1/1 epoch" in mib
    assert len(list((out / ".step0").iterdir())) == len(SEEDS)


def test_the_table_is_written(trained: tuple[Path, GridResult]) -> None:
    out, result = trained
    table = pd.read_csv(out / "grid.csv")
    assert table[["method", "step", "seeds"]].to_numpy().tolist() == [
        [method, step, 2] for method in METHODS for step in (0, 1)
    ]
    assert table["all"].tolist() == pytest.approx(plopkit.compare(result.results)["all"].tolist(), abs=1e-5)


def words(out: Path, *more: str) -> list[str]:
    settings = [f"{name}={list(value) if isinstance(value, tuple) else value}" for name, [value] in CHOICES.items()]
    return ["grid", "--scenarios", EMOJI, "--preset", "smoke", "--out", str(out), "--set", *settings, *more]


ALL = ("--methods", *METHODS, "--seeds", *map(str, SEEDS))


def test_the_same_command_reads_what_is_finished(
    trained: tuple[Path, GridResult], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = trained
    before = contents(out)

    def refuse(*_: object) -> None:
        raise AssertionError("nothing is left to run")

    monkeypatch.setattr(local, "start", refuse)
    assert main([*words(out, *ALL), "--quiet"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    assert output.out.startswith(f"{EMOJI}: mIoU in percent on the validation set, mean ± standard deviation")
    assert "Twemoji" in output.out
    assert output.out.endswith(f"\nthe runs are in {out}, the table in {out / 'grid.csv'}\n")
    assert contents(out) == before


def test_a_dry_run_prints_the_commands(
    trained: tuple[Path, GridResult], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out, _ = trained
    assert main([*words(out, "--methods", "plop", "ewc"), "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("#")[-1] for line in lines] == [" finished", " waiting"]
    assert all(line.startswith(f"plopkit run '{EMOJI}' --method ") for line in lines)
    assert main([*words(tmp_path, *ALL), "--dry-run"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_grid_passes_force_on_to_its_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error of a run whose source has changed names it."""
    assert main([*words(tmp_path, "--methods", "ft"), "--force", "--dry-run"]) == 0
    assert capsys.readouterr().out.endswith(" --force  # waiting\n")
    (forced,) = plan([EMOJI], ["ft"], [0], "smoke", CHOICES, tmp_path, force=True)
    assert local.command_of(forced)[-1] == "--force"


def test_what_has_failed_is_reported_at_the_end(
    trained: tuple[Path, GridResult], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = trained

    def command_of(planned: object) -> Sequence[str]:
        return ["sh", "-c", "echo 'plopkit: out of paint' >&2; exit 2"]

    monkeypatch.setattr(local, "command_of", command_of)
    assert main([*words(out, "--methods", "plop", "ft"), "--quiet"]) == 1
    output = capsys.readouterr()
    assert " plop " in output.out and " ft " not in output.out
    (log,) = (out / FILES).glob("*_ft_*.log")
    assert output.err.splitlines() == [
        "",
        "1 of 2 runs failed; the same command starts them again",
        f"{EMOJI}, ft, seed 0: out of paint",
        f"  log: {log}",
    ]
    log.unlink()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--methods", "plopp"], "there is no method 'plopp'"),
        (["--methods", "ft", "--set", "optim.lrr=1"], "there is no setting 'optim.lrr'"),
        (["--methods", "ft", "--set", "optim.lr"], '--set takes words like "optim.lr=0.01,0.02"'),
        (["--methods", "ft", "--workers", "0"], "workers 0: at least one is needed"),
        (["--methods", "ft", "--slurm", "array=1"], "array is not among the options to choose"),
    ],
)
def test_wrong_words_are_refused(
    more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(tmp_path, *more)) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main([*words(tmp_path / "file", "--methods", "ft"), "--dry-run"]) == 0
    assert main(words(tmp_path / "file", "--methods", "ft")) == 2
    assert "cannot be written" in (said := capsys.readouterr().err) and "choose another folder with out" in said


def test_a_launcher_does_not_start_a_grid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="start it without torchrun"):
        grid([EMOJI], ["ft"], out=tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no such signals")
def test_a_grid_that_is_ended_ends_its_runs(tmp_path: Path) -> None:
    """By SIGTERM: the run saves, and the exit code says that there is something to continue."""
    command = [sys.executable, "-m", "plopkit", *words(tmp_path, "--methods", "ft", "--set", "optim.epochs=9999")]
    command.remove(f"optim.epochs={EPOCHS}")
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    wait_until(lambda: list(tmp_path.glob(".step0/*/step-0.training.*.pt")), process)
    process.terminate()
    _, stderr = process.communicate()
    assert process.returncode == 143
    assert stderr.endswith("plopkit: ended by SIGTERM; the same command continues where it was saved\n")
    (log,) = (tmp_path / FILES).glob("*.log")
    assert "plopkit: ended by SIGTERM; the same command continues" in log.read_text(encoding="utf-8")
