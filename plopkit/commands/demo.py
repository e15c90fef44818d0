"""`plopkit demo`: three methods on the embedded data."""

from collections.abc import Sequence
from pathlib import Path

from plopkit.commands.words import as_path, parser_of


def demo(arguments: Sequence[str]) -> None:
    """Notebook 06 for fine-tuning, MiB and PLOP on the embedded data: plopkit demo --out runs/demo"""
    from plopkit.config import HYPER, read_config
    from plopkit.flags import SCENARIO
    from plopkit.presets import PRESETS

    parser = parser_of(demo)
    parser.add_argument("--out", type=as_path, help="folder of runs, notebooks and pictures (runs/demo)")
    parser.add_argument("--scenario", help=f"the scenario ({SCENARIO})")
    parser.add_argument("--preset", choices=PRESETS, help="the preset (laptop)")
    parser.add_argument("--seed", type=int, help="random seed (0)")
    text = "file with settings, which flags override; its method and hyper-parameters are left out"
    parser.add_argument("--config", type=as_path, metavar="YAML", help=text)
    parser.add_argument("--quiet", action="store_true", help="no progress, only the results")
    args = parser.parse_args(arguments)
    config = read_config(args.config)
    values = {name: value for name, value in config.values.items() if not name.startswith(HYPER) and name != "name"}
    if "start.checkpoint" in values:
        raise ValueError(f"{args.config}: the demo trains step 0 itself; leave out start")
    seed, out = values.pop("seed", 0), Path(values.pop("out", "runs/demo"))
    scenario, preset = config.word("scenario", args.scenario, SCENARIO), config.word("preset", args.preset, "laptop")
    from plopkit.lessons.demo import run_demo

    with config.named_in_errors():
        seed = seed if args.seed is None else args.seed
        run_demo(args.out or out, scenario, preset, seed, progress=not args.quiet, overrides=values)
