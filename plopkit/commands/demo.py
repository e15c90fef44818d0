"""`plopkit demo`: three methods on the embedded data."""

from collections.abc import Sequence
from pathlib import Path

from plopkit.commands.words import as_path, parser_of


def demo(arguments: Sequence[str]) -> None:
    """Notebook 06 for fine-tuning, MiB and PLOP on the embedded data: plopkit demo --out runs/demo"""
    from plopkit.presets import PRESETS

    parser = parser_of(demo)
    parser.add_argument("--out", type=as_path, default=Path("runs/demo"), help="folder of runs, notebooks and pictures")
    parser.add_argument("--scenario", default="emoji 15-5 overlap", help="the scenario (emoji 15-5 overlap)")
    parser.add_argument("--preset", default="laptop", choices=PRESETS, help="the preset (laptop)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (0)")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the results")
    args = parser.parse_args(arguments)
    from plopkit.lessons.demo import run_demo

    run_demo(args.out, args.scenario, args.preset, args.seed, progress=not args.quiet)
