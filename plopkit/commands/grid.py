"""`plopkit grid`: all combinations, each a run."""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from plopkit.commands.words import as_path, parser_of, say


def grid(arguments: Sequence[str]) -> None:
    """All combinations, each a run: plopkit grid --scenarios "voc 15-1 overlap" --methods mib plop --seeds 0 1 2"""
    from plopkit.config import read_config
    from plopkit.presets import PRESETS
    from plopkit.recipes import NAMES

    parser = parser_of(grid, allow_abbrev=False)
    parser.formatter_class = functools.partial(argparse.HelpFormatter, max_help_position=32)
    parser.usage = "plopkit grid --scenarios S [S ...] --methods M [M ...] [options]"
    parser.add_argument("--scenarios", nargs="+", metavar="S", help="scenarios, each in quotes")
    parser.add_argument("--methods", nargs="+", metavar="M", help="names of methods")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="random seeds (0)")
    parser.add_argument("--preset", choices=PRESETS, help="the preset (laptop)")
    parser.add_argument("--recipe", choices=NAMES, help="own, or common for all methods")
    text = "values of a setting to choose from, optim.lr=0.01,0.02; a single one is for all runs"
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="X=A,B", help=text)
    parser.add_argument("--config", type=as_path, metavar="YAML", help="file with settings, which flags override")
    parser.add_argument("--out", type=as_path, help="folder for the run folders (runs)")
    parser.add_argument("--workers", type=int, metavar="N", help="number of runs at once (one per GPU, else 1)")
    text = "submit to Slurm, with sbatch's options: gpus=1"
    parser.add_argument("--slurm", nargs="*", metavar="X=A", help=text)
    parser.add_argument("--dry-run", action="store_true", help="only print what each run's command would be")
    parser.add_argument("--force", action="store_true", help="go on although source or machine changed")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the results")
    args = parser.parse_args(arguments)
    config = read_config(args.config)
    scenarios, methods = (
        getattr(args, f"{name}s") or ([config.words[name]] if name in config.words else [])
        for name in ("scenario", "method")
    )
    if not (scenarios and methods):
        parser.error("name the --scenarios and the --methods, or one of each in the file of --config")
    values = dict(config.values)
    seed, out = values.pop("seed", 0), Path(values.pop("out", "runs"))
    preset, recipe = config.word("preset", args.preset, "laptop"), config.word("recipe", args.recipe, "own")
    from plopkit.grids import commands

    which = (scenarios, methods, args.seeds or [seed], preset, args.set, args.out or out, args.force, recipe, values)
    with config.named_in_errors():
        runs = commands.planned(*which)
    if args.dry_run:
        say("\n".join(commands.dry_run(runs)))
    else:
        result = commands.run(runs, args.workers, args.slurm, progress=not args.quiet)
        say("\n".join(commands.results(result)))
        if result.failed:
            say("\n".join(commands.failures(result)), sys.stderr)
            raise SystemExit(1)
