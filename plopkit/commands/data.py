"""`plopkit data`: download a data set, or count what is in one."""

import argparse
from collections.abc import Sequence

from plopkit.commands.words import as_path, parser_of, print_json, say


def data(arguments: Sequence[str]) -> None:
    """Download a data set, or count what is in one: plopkit data get voc --root data/voc"""
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
    text = "images and pixels per step and class, compared with the known counts where there are any"
    check = kinds.add_parser("check", help=text, description=text)
    check.add_argument("scenario", nargs="?", help="the scenario, unless the settings file names it")
    check.add_argument("--config", type=as_path, metavar="YAML", help="file with settings, which flags override")
    check.add_argument("--json", action="store_true", help="print everything as JSON, and nothing else")
    check.add_argument("--data.root", type=as_path, dest="root", help="the data set's folder; emoji needs none")
    check.add_argument("--all", action="store_true", help="print every class at every step")
    check.add_argument("-o", type=as_path, dest="table", metavar="CSV", help="file for all steps and classes")
    args = parser.parse_args(arguments)
    if args.kind == "get":
        named = {word: getattr(args, f"url.{word}") for word in archives}
        urls = {word: url for word, url in named.items() if url is not None}
        say(DATASETS[args.dataset].download(args.root, urls, args.any_archive))
    else:
        _check_data(args)


def _check_data(args: argparse.Namespace) -> None:
    from plopkit.config import read_config
    from plopkit.datasets import check
    from plopkit.presets import configure, open_scenario
    from plopkit.support.files import write_table

    config = read_config(args.config)
    scenario_words = config.word("scenario", args.scenario, "")
    if not scenario_words:
        raise ValueError("name the scenario, or a file with --config that does")
    overrides = {name: config.values[name] for name in config.values if name.startswith(("data.", "seed"))}
    overrides |= {"data.root": args.root} if args.root else {}
    with config.named_in_errors():
        settings = configure(scenario_words, preset=config.word("preset", None, "laptop"), overrides=overrides)
    scenario = open_scenario(settings)
    steps, classes = check.count(scenario, settings.data, settings.seed)
    differences, gaps = check.differences(scenario, steps), check.gaps(steps)
    if args.json:
        tables = {"steps": steps.reset_index(), "classes": classes}
        print_json({"scenario": str(scenario), **tables, "differences": differences, "gaps": gaps})
    else:
        say(check.report(scenario, steps, classes, args.all))
    if args.table:
        write_table(args.table, classes)
    if differences or gaps:
        raise SystemExit(1)
