"""`plopkit evaluate`: released checkpoints, without training."""

import sys
from collections.abc import Sequence

from plopkit.commands.words import as_path, parser_of, print_results, say


def evaluate(arguments: Sequence[str]) -> None:
    """Released checkpoints, one per step: plopkit evaluate s0.pth s1.pth --scenario "voc 15-5 overlap" …"""
    from plopkit.config import read_config
    from plopkit.flags import parse_run
    from plopkit.presets import PRESETS

    parser = parser_of(evaluate, allow_abbrev=False)
    parser.add_argument("checkpoints", nargs="+", type=as_path, metavar="CHECKPOINT", help="of step 0, 1, …")
    parser.add_argument("--scenario", help="the scenario that they were trained on")
    parser.add_argument("--preset", choices=PRESETS, help="preset of crop and batch (default: paper)")
    parser.add_argument("--config", type=as_path, metavar="YAML", help="file with settings, which flags override")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the results")
    parser.epilog = (
        "all other flags are those of `plopkit run`: --method (plop) names the rows, and its recipe sets the crops "
        "and what is background; --evaluate full takes whole images"
    )
    first_flag = next((i for i, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    if not first_flag and not {"-h", "--help"} & set(arguments):
        parser.error("name the checkpoints first, then the flags")
    args, flags = parser.parse_known_args(arguments)
    config = read_config(args.config)
    if args.scenario is None and "scenario" not in config.words:
        parser.error("name the scenario: --scenario, or in the file of --config")
    chosen = {"--preset": args.preset, "--config": args.config and str(args.config)}
    words = [word for flag, value in chosen.items() if value is not None for word in (flag, value)]
    settings = parse_run([*([args.scenario] if args.scenario else []), *words, *flags], preset="paper")
    if "method" not in config.words and not any(flag.partition("=")[0] == "--method" for flag in flags):
        say(
            f"the rows are named {settings.method!r}, and are evaluated by its recipe; --method gives another one",
            sys.stderr,
        )
    from plopkit.runs.released import evaluate_checkpoints

    print_results(evaluate_checkpoints(settings, args.checkpoints, progress=not args.quiet))
