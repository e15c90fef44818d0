"""The runs of a grid as tasks of a Slurm array: one script, in which each task runs its `plopkit run …`.

Plain `sbatch` and `squeue`, no submitit. Its jobs are pickled calls in a process of their own that ignores SIGTERM: a
run that a preemption ends with the resumable exit code would be a failed job. Its results are pickles, where ours are
in the run folders, and its states need `sacct`. What is left to do is a short script, the one that docs/guides/gpu.md
shows for use by hand.
"""

import json
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from plopkit.grids.local import command_of
from plopkit.grids.state import Entry
from plopkit.grids.watch import is_finished
from plopkit.support.bars import log
from plopkit.support.files import make_folder, write_text
from plopkit.support.printable import control_character, one_line

LOOK = 1.0
"""Seconds between two looks into the run folders."""
ASK = 15.0
"""Seconds between two questions to Slurm."""
GONE = 2
"""Answers in a row without a job until it is taken for ended: in between its files may arrive from another machine."""
OURS = ("array", "signal", "requeue", "no-requeue", "open-mode", "output", "error", "parsable", "wait", "wrap")
"""Options of sbatch that the script decides."""
RUNNING = ("RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING")
SCRIPT = r"""#!/bin/bash
{options}
# A minute before the time limit Slurm sends USR1: the run saves its training, and the job goes back into the queue.
# After TERM, from a preemption or scancel, it saves as well, and Slurm decides whether the job comes back.
case "$SLURM_ARRAY_TASK_ID" in
{cases}
*) echo "there is no task $SLURM_ARRAY_TASK_ID" >&2; exit 2 ;;
esac
if [ -n "$SLURM_CPUS_PER_TASK" ]; then
    export OMP_NUM_THREADS="${{OMP_NUM_THREADS:-$SLURM_CPUS_PER_TASK}}"
fi
run= again=0 signalled=0
trap 'signalled=1 again=1; [ -z "$run" ] || kill -TERM $run' USR1
trap 'signalled=1; [ -z "$run" ] || kill -TERM $run' TERM
"$@" >>"$log" 2>&1 &
run=$!
[ $signalled -eq 0 ] || kill -TERM $run  # it came before the run had a number
wait $run
code=$?
while [ $signalled -eq 1 ]; do  # a signal ends `wait`, not the run
    signalled=0
    wait $run
    code=$?
done
if [ $again -eq 1 ] && [ $code -eq 143 ]; then
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
fi
exit $code
"""


def run_on_slurm(
    entries: Sequence[Entry], options: Mapping[str, str], workers: int | None, show: Callable[[], None]
) -> None:
    """Submit all that wait, and watch them until they end as `finished` or `failed`.

    Runs that an earlier call has submitted, and that are still in the queue, are not submitted again. An interrupt ends
    the watching; the jobs go on.

    Args:
        entries: the runs.
        options: of sbatch, such as `{"partition": "gpu", "time": "04:00:00", "gpus": "1"}`.
        workers: number of tasks at once; None for as many as Slurm likes.
        show: called after every look.

    Raises:
        ValueError: an option is not possible, or Slurm refuses the jobs.
    """
    check_options(options)
    left = {id(entry): entry for entry in entries if entry.state == "waiting"}
    if not left:
        show()
        return
    jobs = _submitted(list(left.values()), options, workers)
    try:
        _watch(left, jobs, show)
    except BaseException:
        numbers = sorted({jobs[key].partition("_")[0] for key in left})
        log(f"the jobs go on, and the same command watches them again; scancel {' '.join(numbers)} ends them")
        raise


def _watch(left: dict[int, Entry], jobs: dict[int, str], show: Callable[[], None]) -> None:
    missing = dict.fromkeys(left, 0)
    asked = float("-inf")
    while left:
        for entry in left.values():
            entry.look(LOOK)
        if time.monotonic() - asked >= ASK and (states := queue()) is not None:
            asked = time.monotonic()
            for key, entry in list(left.items()):
                state = states.get(jobs[key])
                missing[key] = 0 if state else missing[key] + 1
                if state:
                    entry.state = "running" if state in RUNNING else "waiting"
                elif missing[key] == GONE:
                    _ended(left.pop(key), jobs[key])
        show()
        if left:
            time.sleep(LOOK)


def _ended(entry: Entry, job: str) -> None:
    """Note how a job has ended that is no longer in the queue."""
    entry.look()
    if is_finished(entry.run):
        entry.finished()
    else:
        entry.state, entry.message = "failed", entry.error() or f"Slurm's job {job} ended without results"


def _submitted(entries: Sequence[Entry], options: Mapping[str, str], workers: int | None) -> dict[int, str]:
    """The job of each entry: the one that is in the queue already, or a task of a new array."""
    states = queue()
    if states is None:
        raise ValueError("squeue does not answer, so it is not known what is in the queue already; try again later")
    records = {entry.log.parent / "jobs.json" for entry in entries}
    known = {name: job for record in records for name, job in _read(record).items()}
    jobs = {id(entry): known.get(_name(entry), "") for entry in entries}
    new = [entry for entry in entries if jobs[id(entry)] not in states]
    if new:
        number = submit(new, options, workers)
        for index, entry in enumerate(new):
            jobs[id(entry)] = known[_name(entry)] = f"{number}_{index}"
        log(f"Slurm's job {number}: {len(new)} runs")
        write_text(new[0].log.parent / "jobs.json", json.dumps(known, indent=1))
    return jobs


def submit(entries: Sequence[Entry], options: Mapping[str, str], workers: int | None) -> str:
    """Submit an array with a task for each entry; returns the job's number."""
    folder = entries[0].log.parent
    make_folder(folder)
    for entry in entries:
        entry.started()
        entry.state = "waiting"
    path = folder / "array.sh"
    write_text(path, script(entries, options, workers))
    done = _call(["sbatch", "--parsable", str(path)])
    number = done.stdout.strip().partition(";")[0]
    if done.returncode or not number.isdigit():
        raise ValueError(f"sbatch refuses {path}: {one_line(done.stderr.strip() or done.stdout.strip(), 500)}")
    return number


def script(entries: Sequence[Entry], options: Mapping[str, str], workers: int | None) -> str:
    """The array's script. Slurm keeps a copy of it, so that its commands are there after a requeue, too."""
    folder = entries[0].log.parent.absolute()
    own = {
        "job-name": "plopkit",
        **options,
        "array": f"0-{len(entries) - 1}{f'%{workers}' if workers else ''}",
        "output": str(folder / "slurm-%A_%a.log"),
        "open-mode": "append",
        "requeue": "",
        "signal": "B:USR1@60",
    }
    cases = [
        f"{index}) set -- {shlex.join(command_of(entry.run))}\n   log={shlex.quote(str(entry.log.absolute()))} ;;"
        for index, entry in enumerate(entries)
    ]
    lines = [f"#SBATCH --{name}{f'={shlex.quote(value)}' if value else ''}" for name, value in own.items()]
    return SCRIPT.format(options="\n".join(lines), cases="\n".join(cases))


def options_of(words: Sequence[str]) -> dict[str, str]:
    """The options of sbatch that words such as `partition=gpu`, `time=04:00:00` and `exclusive` mean."""
    pairs = (word.removeprefix("--").partition("=") for word in words)
    options = {name: value for name, _, value in pairs}
    check_options(options)
    return options


def check_options(options: Mapping[str, str]) -> None:
    """ValueError for an option that sbatch cannot have, or that the script decides."""
    for name, value in options.items():
        if not re.fullmatch(r"[a-z][a-z0-9-]+", name) or control_character(str(value)):
            raise ValueError(
                f"{name}={value}: not an option of sbatch; write partition=gpu, time=04:00:00 or exclusive"
            )
        if name in OURS:
            raise ValueError(f"{name} is not among the options to choose: plopkit grid sets it for its array")


def queue() -> dict[str, str] | None:
    """The state of each of the user's jobs in the queue; None where Slurm does not answer."""
    done = _call(["squeue", "--me", "--noheader", "--array", "--format=%i %T"])
    if done.returncode:
        return None
    pairs = (line.split() for line in done.stdout.splitlines())
    return {words[0]: words[1] for words in pairs if len(words) == 2}


def _call(command: list[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ValueError(
            f"there is no {command[0]} here; --slurm needs a machine from which Slurm's jobs are submitted"
        ) from None


def _name(entry: Entry) -> str:
    return entry.run.settings.folder().name


def _read(path: Path) -> dict[str, str]:
    """What `_submitted` has noted; nothing where it cannot be read, and then a run's lock keeps a second job out."""
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(job) for name, job in noted.items()}
    except (OSError, ValueError, AttributeError):
        return {}
