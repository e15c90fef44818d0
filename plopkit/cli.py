"""The command line: ``plopkit run | compare | demo``. tyro makes every flag from the settings models."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tyro
from pydantic import Field, create_model

from plopkit.methods import METHODS
from plopkit.presets import PRESETS, configure, settle
from plopkit.settings import Settings, build


def run(arguments: Sequence[str]) -> None:
    """Train a scenario: plopkit run "voc 15-5 overlap" --method plop --preset paper --data.root data/voc"""
    from plopkit.experiment import run as run_settings  # torch and timm take seconds: not for --help

    folder = run_settings(parse_run(arguments))
    print(folder.summary.drop(columns=["scenario"]).to_string(index=False, float_format="{:.1f}".format, na_rep="-"))
    print(f"\nresults, pictures and checkpoints: {folder.path}")


def parse_run(arguments: Sequence[str]) -> Settings:
    """The settings that a ``run`` command line means: its preset first, then its flags."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--preset", default="laptop")
    early.add_argument("--method", default="plop")
    chosen, rest = early.parse_known_args(arguments)
    scenario = rest[0] if rest and not rest[0].startswith("-") else "emoji 15-5 overlap"
    base = configure(scenario, chosen.method, chosen.preset)
    kind = METHODS[chosen.method]
    model: Any = create_model(
        "Run",
        __base__=Settings,
        scenario=(tyro.conf.Positional[str], Field(description=Settings.model_fields["scenario"].description)),
        method=(tyro.conf.Suppress[str], chosen.method),
        hyper=(kind, Field(description=f"hyper-parameters of {kind.title}")),
    )
    default = model(**dict(base) | {"hyper": kind(**base.hyper)})
    description = f"{run.__doc__}. Also: --preset {'|'.join(PRESETS)} (laptop), --method {'|'.join(METHODS)} (plop)."
    parsed = tyro.cli(model, default=default, args=rest or [scenario], prog="plopkit run", description=description)
    return settle(build(Settings, parsed.model_dump()))


def compare(arguments: Sequence[str]) -> None:
    """A table of finished runs, methods by old, new and all: plopkit compare runs/*"""
    from plopkit.results import load_results, report

    parser = argparse.ArgumentParser("plopkit compare", description=compare.__doc__)
    parser.add_argument("paths", nargs="+", type=Path, metavar="RUN", help="run folders, or folders that hold them")
    parser.add_argument("-o", type=Path, dest="pictures", help="a folder to draw curves and prediction strips in")
    given = parser.parse_args(arguments)
    print(report(load_results(*given.paths)))
    if given.pictures:
        from plopkit.demo import draw_comparison

        for path in draw_comparison(given.paths, given.pictures):
            print(path)


def demo(arguments: Sequence[str]) -> None:
    """Fine-tuning, MiB and PLOP on the embedded data, by the notebook: plopkit demo --out runs/demo"""
    from plopkit.demo import run_demo

    parser = argparse.ArgumentParser("plopkit demo", description=demo.__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="where runs, notebooks and pictures go")
    parser.add_argument("--scenario", default="emoji 15-5 overlap")
    parser.add_argument("--preset", default="laptop", choices=PRESETS)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    run_demo(given.out, given.scenario, given.preset, given.seed)


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {"run": run, "compare": compare, "demo": demo}


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
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"plopkit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nplopkit: stopped; the same command goes on from the last finished epoch", file=sys.stderr)
        return 130
    return 0
