"""The command line: `plopkit run | compare | report | …`.

Each command imports what it needs, so that help, errors and tables of finished runs do not wait for torch.

Errors are of three kinds:

- What a user or a machine does, a few lines on stderr and exit code 2: `ValueError` (wrong words, settings, files),
  `OSError` (missing files, full disks, no network), `FloatingPointError` (a training that diverges), and a lack of
  memory or a process that the system has ended, whatever torch raises for it (`plopkit.runs.machine`).
- Everything else, such as `AssertionError`, `TypeError` and another `RuntimeError`, is a mistake of plopkit, or of a
  plugin: Python shows its traceback, which belongs into a report.
- An interrupt: exit code 130, and the same command continues.
- A grid of which a run has failed: exit code 1, after all others are done.

`--debug` shows the traceback of the first kind, too.
"""

import argparse
import functools
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plopkit.support.parents import end_with_parent
from plopkit.support.places import expanded
from plopkit.support.printable import printable
from plopkit.support.signals import Terminated, terminating

if TYPE_CHECKING:
    from plopkit.runs.folder import RunFolder

CONTINUES = "the same command continues where it was saved"


def run(arguments: Sequence[str]) -> None:
    """Train a scenario: plopkit run "voc 15-5 overlap" --method plop --preset paper --data.root data/voc"""
    from plopkit.flags import parse_run

    quiet, words = _without(arguments, "--quiet")
    force, words = _without(words, "--force")
    settings = parse_run(words, str(run.__doc__))
    from plopkit.runs.experiment import run as run_settings  # wrong flags do not wait for torch

    _print_results(run_settings(settings, progress=not quiet, force=force))


def compare(arguments: Sequence[str]) -> None:
    """A table of finished runs, methods by old, new and all: plopkit compare runs/*"""
    parser = _parser(compare)
    parser.add_argument("paths", nargs="+", type=_path, metavar="RUN", help="run folders, or folders that hold them")
    parser.add_argument("-o", type=_path, dest="pictures", help="folder for curves and prediction strips")
    args = parser.parse_args(arguments)
    from plopkit.runs.results import load_results, report

    results = load_results(*args.paths)
    say(report(results))
    if args.pictures:
        from plopkit.runs.report import draw

        say("\n".join(draw(results, args.pictures)))


def report(arguments: Sequence[str]) -> None:
    """Tables, curves, strips and settings of finished runs on one page: plopkit report runs/* -o report.html"""
    parser = _parser(report)
    parser.add_argument("paths", nargs="+", type=_path, metavar="RUN", help="run folders, or folders that hold them")
    parser.add_argument(
        "-o", type=_path, dest="page", default=Path("report.html"), metavar="HTML", help="the page (report.html)"
    )
    args = parser.parse_args(arguments)
    from plopkit.runs.report import write_page
    from plopkit.runs.results import load_results

    write_page(load_results(*args.paths), args.page)
    say(args.page)


def rows(arguments: Sequence[str]) -> None:
    """The rows of the published tables, the command of each, and your runs' mIoU: plopkit rows runs/*"""
    from plopkit.recipes import NAMES

    parser = _parser(rows)
    parser.add_argument("paths", nargs="*", type=_path, metavar="RUN", help="run folders, or folders that hold them")
    parser.add_argument("-o", type=_path, dest="table", metavar="CSV", help="file for the table")
    parser.add_argument("--recipe", default="own", choices=NAMES, help="own, or common: PLOP's for all methods")
    args = parser.parse_args(arguments)
    from plopkit.runs.published import rows as all_rows
    from plopkit.runs.results import run_folders
    from plopkit.support.files import write_table

    table = all_rows(run_folders(args.paths) if args.paths else (), args.recipe)
    for row in table.itertuples():
        say(f"{row.method} on {row.scenario}\n    published: {row.published}")
        if row.seeds:
            say(f"    own: {row.own:.2f} with, {row.own_nobg:.2f} without background, mean of {row.seeds} seed(s)")
        say(f"    {row.command}")
    say("\nmIoU in percent over all classes after the last step")
    if args.table:
        write_table(args.table, table)


def evaluate(arguments: Sequence[str]) -> None:
    """Released checkpoints, one per step: plopkit evaluate s0.pth s1.pth --scenario "voc 15-5 overlap" …"""
    from plopkit.flags import parse_run
    from plopkit.presets import PRESETS

    parser = _parser(evaluate, allow_abbrev=False)
    parser.add_argument("checkpoints", nargs="+", type=_path, metavar="CHECKPOINT", help="of step 0, 1, …")
    parser.add_argument("--scenario", required=True, help="the scenario that they were trained on")
    parser.add_argument("--preset", default="paper", choices=PRESETS, help="preset of crop and batch (default: paper)")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the results")
    parser.epilog = (
        "all other flags are those of `plopkit run`: --method names the rows (plop), --evaluate full takes whole images"
    )
    first_flag = next((i for i, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    if not first_flag and not {"-h", "--help"} & set(arguments):
        parser.error("name the checkpoints first, then the flags")
    args, flags = parser.parse_known_args(arguments)
    settings = parse_run([args.scenario, "--preset", args.preset, *flags])
    if not any(flag.partition("=")[0] == "--method" for flag in flags):
        say(f"the rows are named {settings.method!r}; --method gives another name", sys.stderr)
    from plopkit.runs.released import evaluate_checkpoints

    _print_results(evaluate_checkpoints(settings, args.checkpoints, progress=not args.quiet))


def export(arguments: Sequence[str]) -> None:
    """A run's nets for inference, as the released code saves them: plopkit export runs/… --as official -o exported"""
    parser = _parser(export)
    parser.add_argument(
        "run", type=_path, metavar="RUN", help="a run folder; its encoder is a released ResNet, except for plopkit"
    )
    parser.add_argument(
        "--as",
        dest="layout",
        default="official",
        choices=("official", "cssegmentation", "plopkit"),
        help="whose names the tensors have; plopkit also describes the net, so that it can be any",
    )
    parser.add_argument("-o", type=_path, dest="out", required=True, help="folder for step-0.pth, step-1.pth, …")
    args = parser.parse_args(arguments)
    from plopkit.runs.folder import RunFolder
    from plopkit.runs.released import export as export_run

    for path in export_run(args.run, args.layout, args.out):
        say(path)
    if (stride := RunFolder(args.run).settings.model.output_stride) != 16 and args.layout != "plopkit":
        say(f"the files do not hold their output stride: read them with --model.output-stride {stride}")


def data(arguments: Sequence[str]) -> None:
    """Download a data set, or count what is in one: plopkit data get voc --root data/voc"""
    from plopkit.catalogue import DATASETS

    parser = _parser(data)
    kinds = parser.add_subparsers(dest="kind", required=True)
    downloadable = [name for name, entry in DATASETS.items() if entry.downloader]
    text = f"make {' or '.join(downloadable)} ready: download, unpack and verify it, or say where to ask for it"
    get = kinds.add_parser("get", help=text, description=text)
    get.add_argument("dataset", choices=downloadable)
    get.add_argument("--root", type=_path, required=True, help="folder for the data set, and for archives you have")
    archives = list(dict.fromkeys(word for name in downloadable for word in DATASETS[name].archives))
    for word in archives:
        get.add_argument(f"--url.{word}", metavar="URL", help=f"another place for the archive of {word}")
    get.add_argument("--any-archive", action="store_true", help="accept archives of another size or checksum")
    text = "images and pixels per step and class, compared with the known counts where there are any"
    check = kinds.add_parser("check", help=text, description=text)
    check.add_argument("scenario")
    check.add_argument("--data.root", type=_path, dest="root", help="the data set's folder; emoji needs none")
    check.add_argument("--all", action="store_true", help="print every class at every step")
    check.add_argument("-o", type=_path, dest="table", metavar="CSV", help="file for all steps and classes")
    args = parser.parse_args(arguments)
    if args.kind == "get":
        named = {word: getattr(args, f"url.{word}") for word in archives}
        urls = {word: url for word, url in named.items() if url is not None}
        say(DATASETS[args.dataset].download(args.root, urls, args.any_archive))
    else:
        _check_data(args)


def _check_data(args: argparse.Namespace) -> None:
    from plopkit.datasets import check
    from plopkit.presets import configure, open_scenario
    from plopkit.support.files import write_table

    settings = configure(args.scenario, overrides={"data.root": args.root})
    scenario = open_scenario(settings)
    steps, classes = check.count(scenario, settings.data, settings.seed)
    say(check.report(scenario, steps, classes, args.all))
    if args.table:
        write_table(args.table, classes)
    if check.differences(scenario, steps) or check.gaps(steps):
        raise SystemExit(1)


def demo(arguments: Sequence[str]) -> None:
    """Notebook 06 for fine-tuning, MiB and PLOP on the embedded data: plopkit demo --out runs/demo"""
    from plopkit.presets import PRESETS

    parser = _parser(demo)
    parser.add_argument("--out", type=_path, default=Path("runs/demo"), help="folder for runs, notebooks and pictures")
    parser.add_argument("--scenario", default="emoji 15-5 overlap", help="the scenario (emoji 15-5 overlap)")
    parser.add_argument("--preset", default="laptop", choices=PRESETS, help="the preset (laptop)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (0)")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the results")
    args = parser.parse_args(arguments)
    from plopkit.lessons.demo import run_demo

    run_demo(args.out, args.scenario, args.preset, args.seed, progress=not args.quiet)


def grid(arguments: Sequence[str]) -> None:
    """All combinations, each a run: plopkit grid --scenarios "voc 15-1 overlap" --methods mib plop --seeds 0 1 2"""
    from plopkit.presets import PRESETS
    from plopkit.recipes import NAMES

    parser = _parser(grid, allow_abbrev=False)
    parser.formatter_class = functools.partial(argparse.HelpFormatter, max_help_position=32)
    parser.usage = "plopkit grid --scenarios S [S ...] --methods M [M ...] [options]"
    parser.add_argument("--scenarios", nargs="+", required=True, metavar="S", help="scenarios, each in quotes")
    parser.add_argument("--methods", nargs="+", required=True, metavar="M", help="names of methods")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N", help="random seeds (0)")
    parser.add_argument("--preset", default="laptop", choices=PRESETS, help="the preset (laptop)")
    parser.add_argument("--recipe", default="own", choices=NAMES, help="own, or common for all methods")
    text = "values of a setting to choose from, optim.lr=0.01,0.02; a single one is for all runs"
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="X=A,B", help=text)
    parser.add_argument("--out", type=_path, default=Path("runs"), help="folder for the run folders (runs)")
    parser.add_argument("--workers", type=int, metavar="N", help="number of runs at once (one per GPU, else 1)")
    text = "submit to Slurm, with sbatch's options: gpus=1"
    parser.add_argument("--slurm", nargs="*", metavar="X=A", help=text)
    parser.add_argument("--dry-run", action="store_true", help="only print what each run's command would be")
    parser.add_argument("--force", action="store_true", help="go on although source or machine changed")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the results")
    args = parser.parse_args(arguments)
    from plopkit.grids import commands

    which = (args.scenarios, args.methods, args.seeds, args.preset, args.set, args.out, args.force, args.recipe)
    runs = commands.planned(*which)
    if args.dry_run:
        say("\n".join(commands.dry_run(runs)))
    else:
        result = commands.run(runs, args.workers, args.slurm, progress=not args.quiet)
        say("\n".join(commands.results(result)))
        if result.failed:
            say("\n".join(commands.failures(result)), sys.stderr)
            raise SystemExit(1)


def lessons(arguments: Sequence[str]) -> None:
    """Copy the lessons into a folder and open JupyterLab there: plopkit lessons my-lessons"""
    own, jupyter = _split(arguments, "--")
    parser = _parser(lessons)
    text = "the folder (plopkit-lessons); a file of yours that differs is left as it is"
    parser.add_argument("folder", nargs="?", type=_path, default=Path("plopkit-lessons"), metavar="DIR", help=text)
    parser.add_argument("--no-open", action="store_true", help="only copy")
    parser.epilog = "words after -- are passed to JupyterLab: plopkit lessons my-lessons -- --no-browser --port 8899"
    args = parser.parse_args(own)
    from plopkit.lessons import install

    say(install.summary_of(install.copy_lessons(args.folder), args.folder))
    if not args.no_open:
        install.open_lab(args.folder, jupyter)


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "run": run,
    "compare": compare,
    "report": report,
    "rows": rows,
    "evaluate": evaluate,
    "export": export,
    "data": data,
    "demo": demo,
    "grid": grid,
    "lessons": lessons,
}
SHOW_PROGRESS = ("run", "evaluate", "demo", "grid")
"""The commands that have `--quiet`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: The words after `plopkit`; by default those of the process.

    Returns:
        The exit code: 2 for wrong use and bad input, which is explained on stderr in a few lines without a traceback;
        128 + its number for a signal, such as 143 for SIGTERM: the same command continues.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in _split(words, "--")[0]
    write_anything(sys.stdout)
    end_with_parent()
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


def say(text: Any, stream: Any = None) -> None:
    """Print a text in which a terminal obeys nothing, at once."""
    print(printable(str(text)), file=stream or sys.stdout, flush=True)


def write_anything(stream: Any) -> None:
    """Let a stream write characters that its encoding lacks as escapes: no finished run fails at its last word."""
    if getattr(stream, "errors", None) == "strict" and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def _main(words: list[str]) -> int:
    own, rest = _split(words, "--")
    _, own = _without(own, "--debug")
    files, own = _values_of(own, "--plugin")
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
    quiet, own = _without(own, "--quiet")
    if not own or own[0] in ("-h", "--help"):
        print("usage: plopkit COMMAND …   (COMMAND --help lists its options)\n")
        for name, command in COMMANDS.items():
            print(f"  {name:9}{command.__doc__}")
        print("\n  --debug         with any command: the traceback of an error")
        print("  --plugin FILE   with any command: a Python file that registers methods or data sets")
        print(f"  --quiet         with {', '.join(SHOW_PROGRESS)}: no progress, only the results")
        print("  --version       the version of plopkit")
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


def _parser(command: Callable[[Sequence[str]], None], allow_abbrev: bool = True) -> argparse.ArgumentParser:
    """A parser with the command's name and its documentation as help."""
    name = command.__name__
    return argparse.ArgumentParser(f"plopkit {name}", description=command.__doc__, allow_abbrev=allow_abbrev)


def _print_results(folder: "RunFolder") -> None:
    """A finished run's table and its folder; of several processes, the main one prints."""
    from accelerate import PartialState

    from plopkit.runs.results import SHOWN

    if not PartialState().is_main_process:
        return
    table = folder.summary[["method", "seed", "step", *SHOWN]]
    say(table.to_string(index=False, float_format="{:.1f}".format, na_rep="-"))
    if credit := str(folder.examples["credit"]):
        say(credit)
    say(f"\nresults, pictures and checkpoints: {folder.path}")


def _path(text: str) -> Path:
    """A path among the words of a command, with `~` expanded."""
    try:
        return expanded(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _split(words: Sequence[str], mark: str) -> tuple[list[str], list[str]]:
    """The words before and after a word."""
    place = list(words).index(mark) if mark in words else len(words)
    return list(words[:place]), list(words[place + 1 :])


def _without(words: Sequence[str], flag: str) -> tuple[bool, list[str]]:
    """Whether a flag is among the words, and the words without it."""
    return flag in words, [word for word in words if word != flag]


def _values_of(words: Sequence[str], flag: str) -> tuple[list[str], list[str]]:
    """All values of a flag that may be given several times, and the other words."""
    parser = argparse.ArgumentParser("plopkit", add_help=False, allow_abbrev=False, prefix_chars="-")
    values, others = [], []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name != flag:
            others.append(word)
        elif equals:
            values.append(value)
        elif (following := next(rest, None)) is not None:
            values.append(following)
        else:
            parser.error(f"{flag} needs a file")
    return values, others
