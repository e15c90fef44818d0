"""Step 0 is trained by one process; the others wait, and one of them takes over where it is killed."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from accelerate import Accelerator
from small_runs import TWO_EPOCHS, small
from waiting import wait_until

from plopkit.runs import sharing
from plopkit.runs.experiment import Experiment
from plopkit.runs.folder import RunFolder
from plopkit.runs.sharing import sole_trainer

pytestmark = [
    pytest.mark.usefixtures("no_pictures"),
    pytest.mark.skipif(sys.platform == "win32", reason="this system does not fork"),
]


def forked(work: Callable[[], None], errors: Path) -> int:
    """The id of a process that does some work, with its stderr in a file."""
    if child := os.fork():
        return child
    code = 1
    try:
        handle = os.open(errors, os.O_CREAT | os.O_WRONLY)
        os.dup2(handle, 2)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8")
        work()
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def training(out: Path, method: str, ticks_file: Path, stop_at: int) -> Callable[[], None]:
    """A run that notes the iterations of step 0 in a file, and after `stop_at` waits until there is a file `go`."""

    def work() -> None:
        with open(ticks_file, "a", encoding="utf-8", buffering=1) as file:
            for tick in Experiment.open(small(out, method=method, **TWO_EPOCHS)).ticks():
                if tick.step == 0:
                    file.write(f"{tick.iteration}\n")
                if len(lines(ticks_file)) == stop_at:
                    wait_until((ticks_file.parent / "go").exists)

    return work


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


@pytest.mark.parametrize("killed", [False, True])
def test_three_methods_started_at_once_train_step_0_once(finished: Experiment, tmp_path: Path, killed: bool) -> None:
    methods, children, out = ("plop", "mib", "ft"), {}, tmp_path / "out"
    n = len(finished.folder.ticks.query("step == 0"))
    for method in methods:  # the first one has begun step 0 before the next one is started
        work = training(out, method, tmp_path / method, n // 2 + 1 if method == "plop" else -1)
        children[method] = forked(work, tmp_path / f"{method}.err")
        if method == "plop":
            wait_until(lambda: len(lines(tmp_path / "plop")) > n // 2)  # an epoch has been saved
    said = "another run is training step 0, which this run shares; waiting for it"
    wait_until(lambda: all(said in "".join(lines(tmp_path / f"{method}.err")) for method in methods[1:]))
    if killed:
        os.kill(children["plop"], signal.SIGKILL)
    (tmp_path / "go").touch()
    codes = {method: os.waitpid(child, 0)[1] for method, child in children.items()}
    assert codes == {"plop": signal.SIGKILL if killed else 0, "mib": 0, "ft": 0}
    trained = {method: len(lines(tmp_path / method)) for method in methods}
    if killed:
        assert sorted([trained["mib"], trained["ft"]]) == [0, n - n // 2]  # from the last saved epoch
    else:
        assert trained == {"plop": n, "mib": 0, "ft": 0}
    expected = (finished.folder.checkpoints / "step-0.safetensors").read_bytes()
    for method in methods[1:]:
        folder = RunFolder(small(out, method=method, **TWO_EPOCHS).folder())
        assert (folder.checkpoints / "step-0.safetensors").read_bytes() == expected
        assert folder.evaluated() == 2


def test_a_file_system_without_locks_gives_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accelerator: Accelerator
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError("no locks")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with (
        pytest.warns(UserWarning, match="cannot be locked here .*; make sure that no other run trains this step 0"),
        sole_trainer(tmp_path, accelerator),
    ):
        pass


@pytest.mark.parametrize("main", [True, False])
def test_processes_fail_together_and_the_main_one_says_why(main: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[bool] = []

    def together(failed: bool, accelerator: object) -> bool:
        said.append(failed)
        return True  # the main process has failed

    monkeypatch.setattr(sharing, "_together", together)
    kind, words = (ValueError, "other processes") if main else (SystemExit, "2")

    def work() -> None:
        with sharing.failing_together(Accelerator(cpu=True)):
            if main:
                raise ValueError("other processes")

    with pytest.raises(kind, match=words):
        work()
    assert said == [main]
