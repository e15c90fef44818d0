"""Signals that are held back while an iteration is under way."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from plopkit.support import signals
from plopkit.support.signals import SIGNALS, HeldSignals, Terminated, terminate, terminating

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def caught() -> Iterator[list[int]]:
    """The signals that reach the handlers that were there before."""
    caught: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        caught.append(number)

    before = {number: signal.signal(number, handler) for number in SIGNALS}
    yield caught
    for number, earlier in before.items():
        signal.signal(number, earlier)


@pytest.fixture
def held() -> Iterator[HeldSignals]:
    """Ends its thread, whatever happens."""
    held = HeldSignals(lambda: None)
    yield held
    held.received = 0
    held.close()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_waits_for_the_end_of_an_iteration(number: int, held: HeldSignals, caught: list[int]) -> None:
    earlier = [signal.getsignal(number) for number in SIGNALS]
    with held.held():
        signal.raise_signal(number)
        assert held.received == number and caught == []
    assert [signal.getsignal(number) for number in SIGNALS] == earlier
    assert caught == []
    held.deliver()
    assert caught == [number] and held.received == 0
    held.deliver()
    assert caught == [number]
    signal.raise_signal(number)  # outside, nothing is held back
    assert caught == [number] * 2 and held.received == 0


def test_nothing_is_held_back_for_good(caught: list[int]) -> None:
    held = HeldSignals(lambda: None)
    with held.held():
        signal.raise_signal(signal.SIGTERM)
    held.close()
    assert caught == [signal.SIGTERM]


def test_the_one_that_ends_the_process_counts(held: HeldSignals, caught: list[int]) -> None:
    with held.held():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    assert held.received == signal.SIGTERM


def test_ctrl_c_pressed_again_does_not_wait(
    held: HeldSignals, caught: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with held.held():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # a launcher passes on what the terminal has sent already
        assert caught == []
        monkeypatch.setattr(signals, "SAME_PRESS", 0.0)
        signal.raise_signal(signal.SIGINT)
        assert caught == [signal.SIGINT]


def test_an_ignored_signal_stays_ignored(held: HeldSignals, caught: list[int]) -> None:
    """`nohup` and a shell's background jobs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with held.held():
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        signal.raise_signal(signal.SIGINT)
    assert held.received == 0


def test_other_threads_install_nothing(caught: list[int]) -> None:
    earlier = [signal.getsignal(number) for number in SIGNALS]
    found: list[object] = []

    def work() -> None:
        with terminating(), HeldSignals(lambda: None).held():
            found.extend(signal.getsignal(number) for number in SIGNALS)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == earlier


def test_sigterm_becomes_an_exception_with_the_customary_exit_code() -> None:
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    with pytest.raises(Terminated) as ended, terminating():
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_counts_whatever_error_it_leads_to() -> None:
    """Torch raises one for each worker that the signal has ended."""

    def fail() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            raise RuntimeError("DataLoader worker is killed by signal: Terminated")

    with pytest.raises(Terminated) as ended, terminating(), terminating():
        fail()
    assert ended.value.code == 143
    assert isinstance(ended.value.__cause__, RuntimeError)
    with pytest.raises(RuntimeError, match="another"), terminating():  # that was then
        raise RuntimeError("another")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_in_a_finaliser_is_not_lost() -> None:
    class Finalised:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def finalise() -> None:
        Finalised()
        assert terminate.received == signal.SIGTERM

    with pytest.raises(Terminated), terminating():
        finalise()
    assert terminate.received == 0


def test_somebody_elses_handler_is_left(caught: list[int]) -> None:
    with terminating():
        signal.raise_signal(signal.SIGTERM)
    assert caught == [signal.SIGTERM]


LONG = """
import signal, sys, time
from pathlib import Path
from plopkit.support import signals
signals.PATIENCE = 0.2
with signals.terminating():
    held = signals.HeldSignals(lambda: Path("left").write_text("saved"))
    with held.held():
        print("ready", flush=True)
        time.sleep(120)  # goes on after a signal, as a long backward pass does
"""


def test_an_iteration_that_takes_too_long_is_abandoned(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LONG],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=100)
    assert time.monotonic() - began < 100
    assert process.returncode == 143
    assert (tmp_path / "left").read_text() == "saved"
    assert "ended by SIGTERM; the iteration under way is lost" in stderr
