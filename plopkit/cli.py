"""The command line: `plopkit run | compare | report | …`.

Each command (`plopkit.commands`) imports what it needs when it is called, so that help, errors and tables of finished
runs do not wait for torch.

Errors are of three kinds:

- What a user or a machine does, a few lines on stderr and exit code 2: `ValueError` (wrong words, settings, files),
  `OSError` (missing files, full disks, no network), `FloatingPointError` (a training that diverges), and a lack of
  memory or a process that the system has ended, whatever torch raises for it (`plopkit.runs.machine`).
- Everything else, such as `AssertionError`, `TypeError` and another `RuntimeError`, is a mistake of plopkit, or of a
  plugin: Python shows its traceback, which belongs into a report.
- An interrupt: exit code 130, and the same command continues.
- A grid of which a run has failed, or pictures that cannot be read: exit code 1, after all others are done.

`--debug` shows the traceback of the first kind, too.

Exit codes (`EXIT_CODES`; docs/guides/settings.md says more): 0 for success, 1 where a part of what was asked for has
failed, 2 for what a user or a machine does, 130 for an interrupt, 143 for SIGTERM.
"""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from plopkit.commands.compare import compare
from plopkit.commands.data import data
from plopkit.commands.demo import demo
from plopkit.commands.evaluate import evaluate
from plopkit.commands.export import export
from plopkit.commands.grid import grid
from plopkit.commands.lessons import lessons
from plopkit.commands.predict import predict
from plopkit.commands.report import report
from plopkit.commands.rows import rows
from plopkit.commands.run import run
from plopkit.commands.words import say, split_at, values_of, without
from plopkit.support.cpus import spin_briefly
from plopkit.support.parents import end_with_parent
from plopkit.support.signals import Terminated, terminating

CONTINUES = "the same command continues where it was saved"
COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    command.__name__: command
    for command in (run, compare, report, rows, evaluate, predict, export, data, demo, grid, lessons)
}
EXIT_CODES = {
    "0": "done",
    "1": "a run or a picture failed, data check found what stops a run, or a traceback: our mistake",
    "2": "wrong words, settings or files, or a machine that lacks something; the message says what to do",
    "130": "stopped by Ctrl-C; the same command continues",
    "129, 143": "ended by SIGHUP or SIGTERM; the same command continues",
}
SHOW_PROGRESS = ("run", "evaluate", "predict", "demo", "grid")
"""The commands that have `--quiet`."""
TAKE_CONFIG = ("run", "grid", "evaluate", "demo", "data check")
"""The commands that have settings, which `--config` reads from a file."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: The words after `plopkit`; by default those of the process.

    Returns:
        The exit code: 2 for wrong use and bad input, which is explained on stderr in a few lines without a traceback;
        128 + its number for a signal, such as 143 for SIGTERM: the same command continues.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in split_at(words, "--")[0]
    write_anything(sys.stdout)
    end_with_parent()
    spin_briefly()  # torch is not imported yet
    try:
        with terminating():
            code = _main(words)
            sys.stdout.flush()  # while a closed pipe can still be handled
    except Terminated as stop:
        say(f"\nplopkit: ended by {stop.signal.name}; {CONTINUES}", sys.stderr)
        return 128 + stop.signal
    except SystemExit as stop:  # tyro and argparse have printed their message
        return stop.code if isinstance(stop.code, int) else 2
    except BrokenPipeError:  # the reader stopped early, as in `plopkit rows | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes at its end
        return 1
    except Exception as error:
        from plopkit.runs.machine import explained

        message = explained(error)
        if message is None:
            raise
        if debug:
            traceback.print_exception(error)
        say(f"plopkit: {message}", sys.stderr)
        return 2
    except KeyboardInterrupt:
        say(f"\nplopkit: stopped; {CONTINUES}", sys.stderr)
        return 130
    return code


def write_anything(stream: Any) -> None:
    """Let a stream write characters that its encoding lacks as escapes: no finished run fails at its last word."""
    if getattr(stream, "errors", None) == "strict" and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def _main(words: list[str]) -> int:
    own, rest = split_at(words, "--")
    _, own = without(own, "--debug")
    files, own = values_of(own, "--plugin")
    for file in files:
        from plopkit.catalogue import load_plugin

        load_plugin(file)
    for flag in ("--version", "--quiet", "--debug", "--force"):
        if wrong := next((word for word in own if word.startswith(f"{flag}=")), None):
            raise ValueError(f"{flag} takes no value; {wrong!r} has one")
    if "--version" in own:
        import plopkit

        print(f"plopkit {plopkit.__version__}")
        return 0
    quiet, own = without(own, "--quiet")
    if not own or own[0] in ("-h", "--help"):
        print("usage: plopkit COMMAND …   (COMMAND --help lists its options)\n")
        for name, command in COMMANDS.items():
            print(f"  {name:9}{command.__doc__}")
        print(f"\n  --config FILE   with {', '.join(TAKE_CONFIG)}: YAML with settings, which flags override")
        print("  --debug         with any command: the traceback of an error")
        print("  --plugin FILE   with any command: a Python file that registers methods or data sets")
        print(f"  --quiet         with {', '.join(SHOW_PROGRESS)}: no progress, only the results")
        print("  --version       the version of plopkit\n")
        for code, meaning in EXIT_CODES.items():
            print(f"  exit code {code:9}{meaning}")
        return 0 if own else 2
    name, *arguments = own
    if name.startswith("-"):
        raise ValueError(f"the command comes before {name}; commands: {', '.join(COMMANDS)}")
    if name not in COMMANDS:
        raise ValueError(f"there is no command {name!r}; known: {', '.join(COMMANDS)}")
    if quiet and name not in SHOW_PROGRESS:
        raise ValueError(f"{name} has no --quiet; it goes with {', '.join(SHOW_PROGRESS)}")
    COMMANDS[name]([*arguments, *(["--quiet"] if quiet else []), *(["--", *rest] if "--" in words else [])])
    return 0
