"""The command line: ``plopkit run | compare | report | …``."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from plopkit.flags import RUN, parse_run
from plopkit.presets import PRESETS, configure, open_scenario


def run(arguments: Sequence[str]) -> None:
    from plopkit.runs.experiment import run as run_settings  # torch and timm take seconds: not for --help

    _told(run_settings(parse_run(arguments)))


run.__doc__ = RUN


def _told(folder: Any) -> None:
    """A finished run's table and where it lies; of several processes one tells."""
    from accelerate import PartialState

    if not PartialState().is_main_process:
        return
    print(folder.summary.drop(columns=["scenario"]).to_string(index=False, float_format="{:.1f}".format, na_rep="-"))
    if credit := str(folder.examples["credit"]):
        print(credit)
    print(f"\nresults, pictures and checkpoints: {folder.path}")


def compare(arguments: Sequence[str]) -> None:
    """A table of finished runs, methods by old, new and all: plopkit compare runs/*"""
    from plopkit.runs.results import load_results, report

    parser = argparse.ArgumentParser("plopkit compare", description=compare.__doc__)
    parser.add_argument("paths", nargs="+", type=Path, metavar="RUN", help="run folders, or folders that hold them")
    parser.add_argument("-o", type=Path, dest="pictures", help="a folder to draw curves and prediction strips in")
    given = parser.parse_args(arguments)
    results = load_results(*given.paths)
    print(report(results))
    if given.pictures:
        from plopkit.runs.report import draw

        print("\n".join(draw(results, given.pictures)))


def report(arguments: Sequence[str]) -> None:
    """Tables, curves, strips and settings of finished runs on one page: plopkit report runs/* -o report.html"""
    parser = argparse.ArgumentParser("plopkit report", description=report.__doc__)
    parser.add_argument("paths", nargs="+", type=Path, metavar="RUN", help="run folders, or folders that hold them")
    parser.add_argument("-o", type=Path, dest="page", default=Path("report.html"), metavar="HTML", help="report.html")
    given = parser.parse_args(arguments)
    from plopkit.runs.report import write_page
    from plopkit.runs.results import load_results

    write_page(load_results(*given.paths), given.page)
    print(given.page)


def demo(arguments: Sequence[str]) -> None:
    """Fine-tuning, MiB and PLOP on the embedded data, by the notebook: plopkit demo --out runs/demo"""
    from plopkit.lessons.demo import run_demo

    parser = argparse.ArgumentParser("plopkit demo", description=demo.__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="where runs, notebooks and pictures go")
    parser.add_argument("--scenario", default="emoji 15-5 overlap")
    parser.add_argument("--preset", default="laptop", choices=PRESETS)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    run_demo(given.out, given.scenario, given.preset, given.seed)


def evaluate(arguments: Sequence[str]) -> None:
    """Released checkpoints, one per step: plopkit evaluate s0.pth s1.pth --scenario "voc 15-5 overlap" …"""
    parser = argparse.ArgumentParser("plopkit evaluate", description=evaluate.__doc__, allow_abbrev=False)
    parser.add_argument("checkpoints", nargs="+", type=Path, metavar="CHECKPOINT", help="of step 0, 1, …")
    parser.add_argument("--scenario", required=True)
    parser.add_argument(
        "--preset", default="paper", choices=PRESETS, help="whose crop and batch count (default: paper)"
    )
    told = "--method names the rows (plop), --evaluate full takes whole images"
    parser.epilog = f"all other flags are those of `plopkit run`: {told}"
    first_flag = next((i for i, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    if not first_flag and not {"-h", "--help"} & set(arguments):
        parser.error("name the checkpoints first, then the flags")
    given, flags = parser.parse_known_args(arguments)
    settings = parse_run([given.scenario, "--preset", given.preset, *flags])
    if not any(flag.partition("=")[0] == "--method" for flag in flags):
        print(f"the rows are named {settings.method!r}; --method names another", file=sys.stderr)
    from plopkit.runs.released import evaluate_checkpoints

    _told(evaluate_checkpoints(settings, given.checkpoints))


def export(arguments: Sequence[str]) -> None:
    """A run's checkpoints as the released code saves them: plopkit export runs/… --as official -o exported"""
    parser = argparse.ArgumentParser("plopkit export", description=export.__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder whose encoder is a released ResNet")
    parser.add_argument("--as", dest="layout", default="official", choices=("official", "cssegmentation"))
    parser.add_argument("-o", type=Path, dest="out", required=True, help="the folder for step-0.pth, step-1.pth, …")
    given = parser.parse_args(arguments)
    from plopkit.runs.folder import RunFolder
    from plopkit.runs.released import export as export_run

    for path in export_run(given.run, given.layout, given.out):
        print(path)
    if (stride := RunFolder(given.run).settings.model.output_stride) != 16:
        print(f"the files do not tell their output stride: read them with --model.output-stride {stride}")


def rows(arguments: Sequence[str]) -> None:
    """The rows of the published tables, the command of each, and your runs' mIoU beside: plopkit rows runs/*"""
    parser = argparse.ArgumentParser("plopkit rows", description=rows.__doc__)
    parser.add_argument("paths", nargs="*", type=Path, metavar="RUN", help="run folders, or folders that hold them")
    parser.add_argument("-o", type=Path, dest="table", metavar="CSV", help="write the table there")
    given = parser.parse_args(arguments)
    from plopkit.runs.published import rows as all_rows
    from plopkit.runs.results import run_folders
    from plopkit.support.files import write_table

    table = all_rows(run_folders(given.paths) if given.paths else ())
    for row in table.itertuples():
        print(f"{row.method} on {row.scenario}\n    published: {row.published}")
        if row.seeds:
            print(f"    own: {row.own:.2f} with, {row.own_nobg:.2f} without background, mean of {row.seeds} seed(s)")
        print(f"    {row.command}")
    print("\nmIoU in percent over all classes after the last step")
    if given.table:
        write_table(given.table, table)


def data(arguments: Sequence[str]) -> None:
    """Download a data set, or count what is in one: plopkit data get voc --root data/voc"""
    parser = argparse.ArgumentParser("plopkit data", description=data.__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    told = "download VOC 2012 with SBD's masks, or ADE20K, unpack and verify; what is there already is used"
    get = kinds.add_parser("get", help=told, description=told)
    get.add_argument("dataset", choices=("voc", "ade"))
    get.add_argument("--root", type=Path, required=True, help="the folder that it goes into, and archives you have")
    for word in ("voc", "sbd", "ade"):
        get.add_argument(f"--url.{word}", metavar="URL", help=f"another place for the archive of {word}")
    get.add_argument("--any-archive", action="store_true", help="accept archives of another size or checksum")
    told = "images and pixels per step and class, and VOC's beside the known counts"
    check = kinds.add_parser("check", help=told, description=told)
    check.add_argument("scenario")
    check.add_argument("--data.root", type=Path, dest="root", help="the data set's folder; emoji needs none")
    check.add_argument("--all", action="store_true", help="print every class at every step")
    check.add_argument("-o", type=Path, dest="table", metavar="CSV", help="write all steps and classes there")
    given = parser.parse_args(arguments)
    if given.kind == "get":
        from plopkit.datasets.download import prepare

        named = {word: getattr(given, f"url.{word}") for word in ("voc", "sbd", "ade")}
        urls = {word: url for word, url in named.items() if url is not None}
        print(prepare.download(given.dataset, given.root, urls, given.any_archive))
        return
    from plopkit.datasets import check as checks
    from plopkit.support.files import write_table

    settings = configure(given.scenario, overrides={"data.root": given.root})
    scenario = open_scenario(settings)
    steps, classes = checks.count(scenario, settings.data, settings.seed)
    print(checks.report(scenario, steps, classes, given.all))
    if given.table:
        write_table(given.table, classes)
    if checks.differences(scenario, steps) or checks.gaps(steps):
        raise SystemExit(1)


def lessons(arguments: Sequence[str]) -> None:
    """Copy the lessons into a folder of your own and open JupyterLab there: plopkit lessons my-lessons"""
    ours, theirs = _split(arguments, "--")
    parser = argparse.ArgumentParser("plopkit lessons", description=lessons.__doc__)
    told = "the folder (plopkit-lessons); what is there already and differs stays as it is"
    parser.add_argument("folder", nargs="?", type=Path, default=Path("plopkit-lessons"), metavar="DIR", help=told)
    parser.add_argument("--no-open", action="store_true", help="only copy")
    parser.epilog = (
        "what stands after -- goes to JupyterLab, e.g. plopkit lessons my-lessons -- --no-browser --port 8899"
    )
    given = parser.parse_args(ours)
    from plopkit.lessons.install import copy_lessons, open_lab, told_of

    print(told_of(copy_lessons(given.folder), given.folder), flush=True)
    if not given.no_open:
        open_lab(given.folder, theirs)


def _split(arguments: Sequence[str], mark: str) -> tuple[Sequence[str], Sequence[str]]:
    """What stands before and after a word."""
    place = list(arguments).index(mark) if mark in arguments else len(arguments)
    return arguments[:place], arguments[place + 1 :]


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "run": run,
    "compare": compare,
    "report": report,
    "rows": rows,
    "evaluate": evaluate,
    "export": export,
    "data": data,
    "demo": demo,
    "lessons": lessons,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 2 for wrong use and bad input, told in one line or a few without a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print("usage: plopkit COMMAND …   (COMMAND --help tells its options)\n")
        for name, command in COMMANDS.items():
            print(f"  {name:9}{command.__doc__}")
        return 0 if given else 2
    if given[0] not in COMMANDS:
        print(f"plopkit: there is no command {given[0]!r}; known: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        COMMANDS[given[0]](given[1:])
    except SystemExit as stop:  # tyro and argparse have told already
        return stop.code if isinstance(stop.code, int) else 2
    except BrokenPipeError:  # the reader has seen enough, as in `plopkit rows | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes at its end
        return 1
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"plopkit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nplopkit: stopped; the same command goes on (a training from its last finished epoch)", file=sys.stderr)
        return 130
    return 0
