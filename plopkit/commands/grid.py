"""`plopkit grid`: all combinations, each a run."""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from plopkit.commands.words import as_path, parser_of, say


def grid(arguments: Sequence[str]) -> None:
    """All combinations, each a run: plopkit grid --scenarios "voc 15-1 overlap" --methods mib plop --seeds 0 1 2"""
    from plopkit.presets import PRESETS
    from plopkit.recipes import NAMES

    parser = parser_of(grid, allow_abbrev=False)
    parser.formatter_class = functools.partial(argparse.HelpFormatter, max_help_position=32)
    parser.usage = "plopkit grid --scenarios S [S ...] --methods M [M ...] [options]"
    parser.add_argument("--scenarios", nargs="+", required=True, metavar="S", help="scenarios, each in quotes")
    parser.add_argument("--methods", nargs="+", required=True, metavar="M", help="names of methods")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N", help="random seeds (0)")
    parser.add_argument("--preset", default="laptop", choices=PRESETS, help="the preset (laptop)")
    parser.add_argument("--recipe", default="own", choices=NAMES, help="own, or common for all methods")
    text = "values of a setting to choose from, optim.lr=0.01,0.02; a single one is for all runs"
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="X=A,B", help=text)
    parser.add_argument("--out", type=as_path, default=Path("runs"), help="folder for the run folders (runs)")
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
