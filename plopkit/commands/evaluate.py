"""`plopkit evaluate`: released checkpoints, without training."""

import sys
from collections.abc import Sequence

from plopkit.commands.words import as_path, parser_of, print_results, say


def evaluate(arguments: Sequence[str]) -> None:
    """Released checkpoints, one per step: plopkit evaluate s0.pth s1.pth --scenario "voc 15-5 overlap" …"""
    from plopkit.flags import parse_run
    from plopkit.presets import PRESETS

    parser = parser_of(evaluate, allow_abbrev=False)
    parser.add_argument("checkpoints", nargs="+", type=as_path, metavar="CHECKPOINT", help="of step 0, 1, …")
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

    print_results(evaluate_checkpoints(settings, args.checkpoints, progress=not args.quiet))
