"""Processes of a grid: which is started when, what becomes of it, and with what environment."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from waiting import wait_until

from plopkit.grids import local
from plopkit.grids.local import environment_of, gpus, next_entry, run_locally, stop
from plopkit.grids.state import RESTARTS, Entry, signal_of
from plopkit.grids.watch import Place
from plopkit.support.parents import PARENT
from plopkit.support.signals import Terminated, terminating

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts take the place of the runs")

Planned = Callable[..., list[Entry]]
Scripted = Callable[[str], None]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LOOK", 0.01)
    monkeypatch.setattr(local, "READ", 0.0)


def nothing() -> None:
    """Show nothing."""


def trace(tmp_path: Path) -> list[str]:
    return (tmp_path / "trace").read_text(encoding="utf-8").split()


def test_all_runs_are_done_and_no_more_at_once_than_workers(
    entries: Planned, scripted: Scripted, tmp_path: Path
) -> None:
    runs = entries("ft", "ewc", "pi", "rw")  # with a step 0 of their own each
    # Each waits until there are two, so that they can only end if they run at once.
    scripted(
        "echo begin >> trace; while [ $(grep -c begin trace) -lt 2 ]; do sleep 0.02; done; finish; echo end >> trace"
    )
    at_once: list[int] = []
    run_locally(runs, 2, lambda: at_once.append(sum(entry.state == "running" for entry in runs)))
    assert [entry.state for entry in runs] == ["finished"] * 4
    assert max(at_once) == 2
    assert trace(tmp_path).count("begin") == trace(tmp_path).count("end") == 4
    assert trace(tmp_path)[:2] == ["begin", "begin"]


def test_no_worker_waits_for_a_step_0_that_another_trains(entries: Planned, scripted: Scripted, tmp_path: Path) -> None:
    runs = entries("ft", "plop", "ewc")  # ft and plop share their step 0
    scripted(
        'echo "$1" >> trace; [ $1 = ewc ] || sleep 0.3; echo "step-$1" >> trace; step_0\n'
        "[ $1 != ft ] || for i in $(seq 600); do ! grep -qx plop trace || break; sleep 0.1; done\n"
        'echo "end-$1" >> trace; rm -r out/*_$1_*; finish'
    )
    run_locally(runs, 3, nothing)
    notes = trace(tmp_path)
    assert notes.index("ewc") < notes.index("plop")
    assert notes.index("step-ft") < notes.index("plop") < notes.index("end-ft")  # as soon as the step 0 is there
    assert [entry.state for entry in runs] == ["finished"] * 3


def test_a_killed_run_takes_up_its_step_0_again(entries: Planned) -> None:
    first, second = entries("ft", "plop")
    first.state = "running"
    assert next_entry([first, second]) is None
    first.place = Place(0, 1)
    assert next_entry([first, second]) is second
    first.state = second.state = "waiting"
    assert next_entry([first, second]) is first


def test_a_run_that_another_process_works_on_is_waited_for(
    entries: Planned, scripted: Scripted, tmp_path: Path
) -> None:
    """One that a killed grid has left, or of a grid that does the same."""
    runs = entries("ft", "ewc")
    scripted('echo "$1" >> trace; finish')
    other = subprocess.run(local.command_of(runs[0].run), check=True)  # what the other process will leave
    assert other.returncode == 0
    folder = runs[0].run.folder
    results = folder.results_file.read_bytes()
    folder.results_file.rename(tmp_path / "results")
    lock = FileLock(folder.lock_file, is_singleton=True)
    lock.acquire()

    def finish_when_alone() -> None:
        if runs[1].state == "finished" and lock.is_locked:
            assert runs[0].state == "waiting"
            folder.results_file.write_bytes(results)
            lock.release()

    run_locally(runs, 2, finish_when_alone)
    assert [entry.state for entry in runs] == ["finished"] * 2
    assert trace(tmp_path) == ["ft", "ewc"]


def test_a_run_that_another_grid_begins_at_the_same_moment_is_waited_for(entries: Planned, scripted: Scripted) -> None:
    """Both start it; the process that comes second is refused."""
    scripted("finish")
    (entry,) = entries("ft")
    folder = entry.run.folder
    folder.path.mkdir(parents=True)
    entry.started()
    with FileLock(folder.lock_file):
        entry.ended(2)
        assert entry.state == "waiting"
    shutil.rmtree(folder.path)
    entry.started()
    entry.ended(2)
    assert entry.state == "failed"
    entry.started()
    subprocess.run(local.command_of(entry.run), check=True)  # the other one
    entry.ended(2)
    assert entry.state == "finished"


def test_a_run_that_fails_leaves_the_others_going(entries: Planned, scripted: Scripted) -> None:
    runs = entries("ft", "plop", "ewc")
    scripted(
        "if [ $1 = ft ]; then echo first; echo 'plopkit: the disk is full;'; echo 'free some space'; exit 2; fi\n"
        "if [ $1 = plop ]; then echo 'Traceback …'; echo 'TypeError: a bug'; exit 1; fi; finish"
    )
    run_locally(runs, 2, nothing)
    states = {entry.run.settings.method: (entry.state, entry.message) for entry in runs}
    assert states["ewc"] == ("finished", "")
    assert states["ft"] == ("failed", "the disk is full;\nfree some space")
    assert states["plop"] == ("failed", "TypeError: a bug")
    assert "first" in runs[0].log.read_text(encoding="utf-8")


def test_a_run_without_results_has_failed(entries: Planned, scripted: Scripted) -> None:
    runs = entries("ft")
    scripted("exit 0")
    run_locally(runs, 1, nothing)
    assert (runs[0].state, runs[0].message) == ("failed", "it ended without results")


def test_a_killed_run_is_started_again(entries: Planned, scripted: Scripted, tmp_path: Path) -> None:
    runs = entries("ft")
    scripted("echo start >> trace; [ $(wc -l < trace) -gt 3 ] || kill -9 $$; finish")
    run_locally(runs, 1, nothing)
    assert runs[0].state == "finished"
    assert trace(tmp_path) == ["start"] * 4


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_run_that_is_always_killed_is_given_up(
    name: str, entries: Planned, scripted: Scripted, tmp_path: Path
) -> None:
    runs = entries("ft")
    scripted(f"echo start >> trace; kill -{signal.Signals[name].value} $$")
    run_locally(runs, 1, nothing)
    assert trace(tmp_path) == ["start"] * (1 + RESTARTS)
    assert runs[0].state == "failed"
    assert runs[0].message.startswith(f"killed by {name}")
    assert runs[0].message.endswith("4 times in a row without progress")


def test_only_starts_without_progress_count(entries: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    (entry,) = entries("ft")
    batches = iter([batch for k in range(10) for batch in (k, k, k, k + 1)])  # before and after each start
    monkeypatch.setattr("plopkit.grids.state.place_of", lambda run: Place(0, 0, 1, next(batches)))
    for _ in range(10):  # one start in two makes progress
        entry.started()
        entry.ended(-9)
        assert entry.state == "waiting"
    monkeypatch.setattr("plopkit.grids.state.place_of", lambda run: Place(0, 0, 7))
    entry.started()
    for _ in range(RESTARTS + 1 - entry.restarts):
        assert entry.state != "failed"
        entry.ended(143)
    assert entry.state == "failed"


@pytest.mark.parametrize(
    ("code", "number"), [(-9, 9), (-15, 15), (143, 15), (130, 2), (129, 1), (137, 9), (1, 0), (2, 0), (255, 0)]
)
def test_signals_in_exit_codes(code: int, number: int) -> None:
    assert signal_of(code) == number


@pytest.mark.parametrize("error", [KeyboardInterrupt, lambda: Terminated(signal.SIGTERM)], ids=["SIGINT", "SIGTERM"])
def test_a_signal_lets_the_runs_save(
    error: Callable[[], BaseException], entries: Planned, scripted: Scripted, tmp_path: Path
) -> None:
    runs = entries("ft", "ewc", "pi")
    scripted(
        "trap 'sleep 0.2; echo saved >> trace; exit 143' TERM; echo begun >> trace\nwhile true; do sleep 0.05; done"
    )

    def interrupt() -> None:
        if (tmp_path / "trace").is_file() and trace(tmp_path).count("begun") == 2:
            raise error()

    with pytest.raises((KeyboardInterrupt, Terminated)):
        run_locally(runs, 2, interrupt)
    assert trace(tmp_path) == ["begun", "begun", "saved", "saved"]


def test_processes_that_do_not_end_are_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "PATIENCE", 0.1)
    script = f"trap '' TERM; touch {tmp_path}/ready; while true; do sleep 0.05; done"
    process = subprocess.Popen(["sh", "-c", script], start_new_session=True)
    wait_until((tmp_path / "ready").exists, process)
    stop([process])
    assert process.returncode == -signal.SIGKILL


def test_the_cores_are_shared_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "n_cpus", lambda: 7)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert [environment_of(0, n, [])["OMP_NUM_THREADS"] for n in (1, 2, 3, 9)] == ["7", "3", "2", "1"]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert environment_of(0, 2, [])["OMP_NUM_THREADS"] == "5"
    assert environment_of(0, 2, [])[PARENT] == str(os.getpid())


def test_each_worker_has_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus() == ["0", "1"]
    assert [environment_of(i, 3, gpus())["CUDA_VISIBLE_DEVICES"] for i in range(3)] == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-8f1")
    assert gpus() == ["3", "GPU-8f1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == []
    assert environment_of(0, 1, gpus())["CUDA_VISIBLE_DEVICES"] == ""


def test_the_signal_of_a_grid_reaches_its_runs(entries: Planned, scripted: Scripted, tmp_path: Path) -> None:
    """As it arrives: by a signal to the process, while it waits."""
    runs = entries("ft")
    scripted(f"trap 'echo saved >> trace; exit 143' TERM; kill -TERM {os.getpid()}; while true; do sleep 0.05; done")
    with pytest.raises(Terminated), terminating():
        run_locally(runs, 1, nothing)
    assert trace(tmp_path) == ["saved"]


def test_a_signal_while_a_process_is_started_leaves_none_behind(
    entries: Planned, scripted: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, original = entries("ft"), local.start
    scripted("trap 'echo saved >> trace; exit 143' TERM; echo begin >> trace; while true; do sleep 0.05; done")

    def start(entry: Entry, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        process = original(entry, environment)
        wait_until((tmp_path / "trace").exists, process)
        signal.raise_signal(signal.SIGTERM)  # before the caller has the process
        return process

    monkeypatch.setattr(local, "start", start)
    with pytest.raises(Terminated), terminating():
        run_locally(runs, 1, nothing)
    assert trace(tmp_path) == ["begin", "saved"]
