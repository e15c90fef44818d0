"""A few of the random inputs of tests/torture/fuzz.py, which runs as many as one likes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from torture.fuzz import outcome_of
from torture.fuzz_inputs import KINDS

FUZZ = Path(__file__).parent / "torture" / "fuzz.py"


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about damaged metadata
@pytest.mark.parametrize("kind", KINDS)
def test_random_inputs_are_read_or_refused_with_a_message(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for index in range(25):
        outcome, detail = outcome_of(kind, 0, index, tmp_path / "input")
        assert outcome in ("read", "refused"), f"--kinds {kind} --first {index} --count 1: {outcome}: {detail}"


def test_the_long_form_prints_a_table(tmp_path: Path) -> None:
    command = [sys.executable, str(FUZZ), "--kinds", "scenarios,lists", "--count", "6", "--seed", "3"]
    process = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert process.returncode == 0, process.stdout + process.stderr
    header, *rows = process.stdout.splitlines()
    assert header.split()[:5] == ["kind", "inputs", "read", "refused", "failed"]
    assert [row.split()[:2] for row in rows] == [["scenarios", "3"], ["lists", "3"]]


BAD = {
    "crash": "os.kill(os.getpid(), 9)",
    "traceback": "1 / 0",
    "program": "os.system('true')",
    "no message": "open('/no')",
}


@pytest.mark.parametrize("outcome", BAD)
def test_what_must_not_happen_is_found(outcome: str, tmp_path: Path) -> None:
    """The fuzzer itself, on a kind of input that does it."""
    bad = f"import os, torture.fuzz_inputs as f; f.KINDS['bad'] = lambda random, folder: {BAD[outcome]}"
    (tmp_path / "sitecustomize.py").write_text("")
    script = FUZZ.read_text(encoding="utf-8").replace("SECONDS = 5.0", f"{bad}\nSECONDS = 5.0")
    script = script.replace("Path(__file__).parents[1]", f"{str(FUZZ.parents[1])!r}")
    script = script.replace("Path(__file__).parents[2]", f"{str(FUZZ.parents[2])!r}")
    script = script.replace("for number in range(10):", "for number in range(0):")
    (tmp_path / "fuzz.py").write_text(script, encoding="utf-8")
    command = [sys.executable, str(tmp_path / "fuzz.py"), "--kinds", "bad", "--count", "2"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 1, process.stdout + process.stderr
    assert process.stdout.splitlines()[1].split()[:5] == ["bad", "2", "0", "0", "2"]
    assert json.dumps(outcome)[1:-1] in process.stdout
