"""A Slurm array, with a Slurm that runs scripts as processes of this machine."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from blocks import blocks
from waiting import wait_until

from plopkit.grids import slurm
from plopkit.grids.slurm import options_of, queue, run_on_slurm, script
from plopkit.grids.state import Entry

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the array is a script for bash")

Planned = Callable[..., list[Entry]]
Scripted = Callable[[str], None]

# A job is a file with its state; its tasks run in the background. A requeued one is started again when it has ended.
SBATCH = r"""#!/bin/bash
for script; do :; done
case $(cat "$FAKE/refuse" 2>/dev/null) in ?*) cat "$FAKE/refuse" >&2; exit 1 ;; esac
number=$(($(cat "$FAKE/number" 2>/dev/null || echo 100) + 1)); echo $number > "$FAKE/number"
cp "$script" "$FAKE/$number.sh"
last=$(sed -n 's/^#SBATCH --array=0-\([0-9]*\).*/\1/p' "$script")
for task in $(seq 0 "$last"); do
    job=${number}_$task
    echo RUNNING > "$FAKE/job.$job"
    (
        export SLURM_ARRAY_JOB_ID=$number SLURM_ARRAY_TASK_ID=$task
        while :; do
            bash "$FAKE/$number.sh" >> "$FAKE/output.$job" 2>&1 & echo $! >> "$FAKE/pid.$job"; wait $!
            echo $? >> "$FAKE/codes.$job"
            [ -e "$FAKE/requeue.$job" ] || break
            rm "$FAKE/requeue.$job"; echo RUNNING > "$FAKE/job.$job"
        done
        rm "$FAKE/job.$job"
    ) > /dev/null 2>&1 &
done
echo "$number;cluster"
"""
SQUEUE = r"""#!/bin/bash
case " $* " in *" --me "*" --array "*) ;; *) exit 9 ;; esac
[ ! -e "$FAKE/silent" ] || exit 1
cd "$FAKE"; for file in job.*; do [ -e "$file" ] && echo "${file#job.} $(cat "$file")"; done; exit 0
"""
SCONTROL = r"""#!/bin/bash
[ "$1" = requeue ] && touch "$FAKE/requeue.$2" && echo PENDING > "$FAKE/job.$2"
"""


@pytest.fixture(autouse=True)
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a Slurm that is first on PATH."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("squeue", SQUEUE), ("scontrol", SCONTROL)):
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE", str(folder))
    monkeypatch.setattr(slurm, "LOOK", 0.02)
    monkeypatch.setattr(slurm, "ASK", 0.05)
    yield folder
    while any(folder.glob("job.*")):  # of a test that has failed
        for path in folder.glob("pid.*"):
            subprocess.run(["kill", "-9", *path.read_text().split()], check=False, stderr=subprocess.DEVNULL)
        time.sleep(0.05)


def nothing() -> None:
    """Show nothing."""


def trace(tmp_path: Path) -> list[str]:
    path = tmp_path / "trace"
    return path.read_text(encoding="utf-8").split() if path.is_file() else []


def pid_of(fake: Path, job: str, start: int) -> int:
    """The process of a job's script after so many starts."""
    path = fake / f"pid.{job}"
    wait_until(lambda: path.exists() and path.read_text().count("\n") == start)
    return int(path.read_text().split()[-1])


def test_every_run_is_a_task_of_one_array(entries: Planned, scripted: Scripted, tmp_path: Path, fake: Path) -> None:
    runs = entries("ft", "plop", seeds=(0, 1))
    runs[1].state = "finished"
    scripted('echo "$1-$2" >> trace; echo printed; sleep 0.4; finish')
    shown: list[list[str]] = []
    run_on_slurm(runs, {"partition": "gpu", "gpus": "1"}, 2, lambda: shown.append([entry.state for entry in runs]))
    assert [entry.state for entry in runs] == ["finished"] * 4
    assert ["running", "finished", "running", "running"] in shown
    assert sorted(trace(tmp_path)) == ["ft-0", "plop-0", "plop-1"]
    assert all(entry.log.read_text(encoding="utf-8") == "printed\n" for entry in runs if entry is not runs[1])
    assert [path.name for path in fake.glob("1*.sh")] == ["101.sh"]
    lines = (fake / "101.sh").read_text(encoding="utf-8").splitlines()
    for option in ("partition=gpu", "gpus=1", "array=0-2%2", "requeue", "signal=B:USR1@60", "open-mode=append"):
        assert f"#SBATCH --{option}" in lines


def test_a_run_that_the_time_limit_ends_is_requeued(
    entries: Planned, scripted: Scripted, tmp_path: Path, fake: Path
) -> None:
    runs = entries("ft")
    scripted(
        "trap 'sleep 0.1; echo saved >> trace; exit 143' TERM\n"
        "echo begun >> trace; [ $(grep -c begun trace) -lt 3 ] || { finish; exit 0; }\n"
        "while :; do sleep 0.02; done"
    )

    def limit() -> None:
        for count in (1, 2):
            wait_until(lambda: trace(tmp_path).count("begun") == count)  # noqa: B023
            os.kill(pid_of(fake, "101_0", count), signal.SIGUSR1)

    thread = threading.Thread(target=limit)
    thread.start()
    run_on_slurm(runs, {}, None, nothing)
    thread.join()
    assert trace(tmp_path) == ["begun", "saved", "begun", "saved", "begun"]
    assert (fake / "codes.101_0").read_text().split() == ["143", "143", "0"]
    assert runs[0].state == "finished"


def test_a_run_that_is_cancelled_saves_and_is_not_requeued(
    entries: Planned, scripted: Scripted, tmp_path: Path, fake: Path
) -> None:
    runs = entries("ft")
    scripted("trap 'echo saved >> trace; exit 143' TERM; echo begun >> trace; while :; do sleep 0.02; done")

    def cancel() -> None:
        wait_until(lambda: trace(tmp_path) == ["begun"])
        os.kill(pid_of(fake, "101_0", 1), signal.SIGTERM)

    thread = threading.Thread(target=cancel)
    thread.start()
    run_on_slurm(runs, {}, None, nothing)
    thread.join()
    assert trace(tmp_path) == ["begun", "saved"]
    assert (runs[0].state, runs[0].message) == ("failed", "Slurm's job 101_0 ended without results")


def test_a_run_that_fails_says_why(entries: Planned, scripted: Scripted) -> None:
    runs = entries("ft", "plop")
    scripted("[ $1 = plop ] || { echo 'plopkit: no space' >&2; exit 2; }; finish")
    run_on_slurm(runs, {}, None, nothing)
    assert [(entry.state, entry.message) for entry in runs] == [("failed", "no space"), ("finished", "")]


def test_an_interrupt_leaves_the_jobs_and_the_same_command_watches_them(
    entries: Planned, scripted: Scripted, tmp_path: Path, fake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted('echo "begun-$1" >> trace; while [ ! -e go ]; do sleep 0.02; done; finish')

    def interrupt() -> None:
        if len(trace(tmp_path)) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_on_slurm(entries("ft", "plop"), {}, None, interrupt)
    assert "the jobs go on, and the same command watches them again; scancel 101 ends them" in capsys.readouterr().err
    runs = entries("ft", "plop", "ewc")
    run_on_slurm(runs, {}, None, (tmp_path / "go").touch)  # not before: a job that has ended would be submitted again
    assert [entry.state for entry in runs] == ["finished"] * 3
    assert sorted(trace(tmp_path)) == ["begun-ewc", "begun-ft", "begun-plop"]
    assert "Slurm's job 102: 1 runs" in capsys.readouterr().err


def test_what_sbatch_refuses_is_said(entries: Planned, scripted: Scripted, fake: Path) -> None:
    scripted("finish")
    (fake / "refuse").write_text("sbatch: error: invalid partition specified: gpuu\n")
    with pytest.raises(
        ValueError, match=r"sbatch refuses .*array.sh: sbatch: error: invalid partition specified: gpuu"
    ):
        run_on_slurm(entries("ft"), {"partition": "gpuu"}, None, nothing)


def test_a_silent_slurm_ends_no_run(entries: Planned, scripted: Scripted, fake: Path, tmp_path: Path) -> None:
    (fake / "silent").touch()
    assert queue() is None
    with pytest.raises(ValueError, match="squeue does not answer"):
        run_on_slurm(entries("ft"), {}, None, nothing)
    (fake / "silent").unlink()
    scripted("touch begun; sleep 0.3; finish")
    runs = entries("ft")
    states: list[str] = []

    def show() -> None:
        states.append(runs[0].state)
        if len(states) < 12 and (tmp_path / "begun").exists():
            (fake / "silent").touch()
        elif len(states) > 30:
            (fake / "silent").unlink(missing_ok=True)

    run_on_slurm(runs, {}, None, show)
    assert "failed" not in states
    assert runs[0].state == "finished"


def test_without_slurm_there_is_a_message(entries: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="there is no squeue here; --slurm needs a machine"):
        run_on_slurm(entries("ft"), {}, None, nothing)


def test_finished_runs_need_no_slurm(entries: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    runs = entries("ft")
    runs[0].state = "finished"
    run_on_slurm(runs, {}, None, nothing)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], {}),
        (["partition=gpu", "--time=04:00:00", "exclusive"], {"partition": "gpu", "time": "04:00:00", "exclusive": ""}),
        (["gres=gpu:1", "comment=a b"], {"gres": "gpu:1", "comment": "a b"}),
    ],
)
def test_options(words: list[str], options: dict[str, str]) -> None:
    assert options_of(words) == options


@pytest.mark.parametrize(
    "word", ["array=0-9", "signal=USR1", "Partition=gpu", "x;y=1", "comment=a\nb", "=gpu", "output=x"]
)
def test_options_that_are_refused(word: str) -> None:
    with pytest.raises(ValueError, match=r"not an option of sbatch|is not among the options to choose"):
        options_of([word])


def test_the_script_is_one_that_bash_reads(entries: Planned, tmp_path: Path) -> None:
    """With the real commands, in which scenarios have spaces."""
    path = tmp_path / "array.sh"
    path.write_text(script(entries("ft", "plop"), {"comment": "it's"}, None), encoding="utf-8")
    assert subprocess.run(["bash", "-n", str(path)], check=True, capture_output=True).stderr == b""
    assert json.dumps("emoji 15-5 overlap")[1:-1] in path.read_text(encoding="utf-8")
    assert "#SBATCH --array=0-1\n" in path.read_text(encoding="utf-8")


EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "gpu.md"
PLOPKIT = """#!/bin/bash
trap 'sleep 0.2; echo saved >> trace; exit 143' TERM
echo "$@" >> trace; echo begun >> trace
while :; do sleep 0.02; done
"""


@pytest.mark.parametrize(("number", "requeued"), [(signal.SIGUSR1, True), (signal.SIGTERM, False)])
def test_the_example_for_use_by_hand(number: signal.Signals, requeued: bool, tmp_path: Path, fake: Path) -> None:
    """Ended by the time limit it is requeued, and by scancel it is not; in both cases the run saves."""
    (fake / "plopkit").write_text(PLOPKIT, encoding="utf-8")
    (fake / "plopkit").chmod(0o755)
    ((_, block, _),) = blocks(EXAMPLE.read_text(encoding="utf-8"), "shell")
    task = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}
    process = subprocess.Popen(["bash", "-c", block], cwd=tmp_path, env=os.environ | task)
    wait_until(lambda: "begun" in trace(tmp_path))
    process.send_signal(number)
    assert process.wait() == 143
    words = (tmp_path / "trace").read_text(encoding="utf-8").splitlines()
    assert words == [
        "run voc 15-1 overlap --method plop --seed 1 --preset paper --data.root data/voc",
        "begun",
        "saved",
    ]
    assert (fake / "requeue.7_3").exists() == requeued
    (fake / "job.7_3").unlink(missing_ok=True)
