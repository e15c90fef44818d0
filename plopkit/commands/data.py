"""`plopkit data`: download a data set, convert one, or count what is in one."""

import argparse
from collections.abc import Sequence

from plopkit.commands.convert import add_convert, convert
from plopkit.commands.words import as_path, parser_of, print_json, say

LOOKED_AT = ("data.", "start.", "optim.batch", "seed", "future", "evaluate")
"""The settings of a file that `data check` looks at."""


def data(arguments: Sequence[str]) -> None:
    """Download or convert a data set, or count what is in one: plopkit data get voc --root data/voc"""
    from plopkit.catalogue import DATASETS

    parser = parser_of(data)
    kinds = parser.add_subparsers(dest="kind", required=True)
    downloadable = [name for name, entry in DATASETS.items() if entry.downloader]
    text = f"make {' or '.join(downloadable)} ready: download, unpack and verify it, or say where to ask for it"
    get = kinds.add_parser("get", help=text, description=text)
    get.add_argument("dataset", choices=downloadable)
    get.add_argument("--root", type=as_path, required=True, help="folder for the data set, and for archives you have")
    archives = list(dict.fromkeys(word for name in downloadable for word in DATASETS[name].archives))
    for word in archives:
        get.add_argument(f"--url.{word}", metavar="URL", help=f"another place for the archive of {word}")
    get.add_argument("--any-archive", action="store_true", help="accept archives of another size or checksum")
    text = "images and pixels per step and class, what stops a run (exit code 1), and what may be wrong"
    check = kinds.add_parser("check", help=text, description=text)
    check.add_argument("scenario", nargs="?", help="the scenario, unless the settings file names it")
    check.add_argument("--config", type=as_path, metavar="YAML", help="file with settings, which flags override")
    check.add_argument("--json", action="store_true", help="print everything as JSON, and nothing else")
    check.add_argument("--data.root", type=as_path, dest="root", help="the data set's folder; emoji needs none")
    check.add_argument("--data.binary", action="store_true", dest="binary", help="255 in the masks is the one class")
    check.add_argument("--data.size", type=int, dest="size", metavar="SIZE", help="side of the crops, as in the run")
    check.add_argument("--optim.batch", type=int, dest="batch", metavar="BATCH", help="images per iteration of the run")
    check.add_argument(
        "--from", type=as_path, dest="start", metavar="RUN", help="what the run begins with, as in the run"
    )
    check.add_argument("--from-classes", type=as_path, metavar="LIST", help="its classes, as in the run")
    check.add_argument("--from-step", type=int, metavar="N", help="the last step taken from it, as in the run")
    check.add_argument("--preset", help="preset of the run; by default laptop, and small steps are warnings")
    check.add_argument("--method", help="method of the run (plop)")
    check.add_argument("--seed", type=int, help="seed of the run")
    check.add_argument("--all", action="store_true", help="print every class at every step")
    check.add_argument("-o", type=as_path, dest="table", metavar="CSV", help="file for all steps and classes")
    check.add_argument("--findings", type=as_path, metavar="CSV", help="file for all errors, warnings and their files")
    add_convert(kinds)
    args = parser.parse_args(arguments)
    if args.kind == "convert":
        convert(args)
    elif args.kind == "get":
        named = {word: getattr(args, f"url.{word}") for word in archives}
        urls = {word: url for word, url in named.items() if url is not None}
        say(DATASETS[args.dataset].download(args.root, urls, args.any_archive))
    else:
        _check_data(args)


def _check_data(args: argparse.Namespace) -> None:
    from plopkit.config import not_replaced, read_config
    from plopkit.datasets.examine import examine, text_of
    from plopkit.presets import configure
    from plopkit.runs.start import find_start
    from plopkit.support.files import write_table

    config = read_config(args.config)
    scenario = config.word("scenario", args.scenario, "")
    if args.scenario is None and "scenario" not in config.words:
        raise ValueError("name the scenario, or a file with --config that does")
    flags = {
        "data.root": args.root,
        "data.binary": args.binary or None,
        "data.size": args.size,
        "optim.batch": args.batch,
        "seed": args.seed,
        "start.checkpoint": args.start,
        "start.classes": args.from_classes,
        "start.step": args.from_step,
    }
    given = {name: value for name, value in flags.items() if value is not None}
    kept = not_replaced(config.values, given)
    overrides = {name: value for name, value in kept.items() if name.startswith(LOOKED_AT)} | given
    method, preset = config.word("method", args.method, "plop"), config.word("preset", args.preset, "")
    with config.named_in_errors():
        settings = configure(scenario, method, preset or "laptop", overrides, recipe=config.word("recipe", None, "own"))
    n_given = len(find_start(settings).files) if settings.start.is_given else 0
    examination = examine(settings, bool(preset) or "optim.batch" in overrides, n_given)
    if args.json:
        print_json({"scenario": settings.scenario, **examination.tables()})
    else:
        say(text_of(examination, args.all))
    if args.table and examination.classes is not None:
        write_table(args.table, examination.classes)
    if args.findings:
        write_table(args.findings, examination.files())
    if examination.errors:
        raise SystemExit(1)
