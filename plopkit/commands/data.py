"""`plopkit data`: download a data set, convert one, or count what is in one."""

import argparse
from collections.abc import Sequence

from plopkit.commands.convert import add_convert, convert
from plopkit.commands.words import as_path, parser_of, say


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
    text = "images and pixels per step and class, compared with the known counts where there are any"
    check = kinds.add_parser("check", help=text, description=text)
    check.add_argument("scenario")
    check.add_argument("--data.root", type=as_path, dest="root", help="the data set's folder; emoji needs none")
    check.add_argument("--all", action="store_true", help="print every class at every step")
    check.add_argument("-o", type=as_path, dest="table", metavar="CSV", help="file for all steps and classes")
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
    from plopkit.datasets import check
    from plopkit.presets import configure, open_scenario
    from plopkit.support.files import write_table

    settings = configure(args.scenario, overrides={"data.root": args.root})
    scenario = open_scenario(settings)
    steps, classes = check.count(scenario, settings.data, settings.seed)
    say(check.report(scenario, steps, classes, args.all))
    if args.table:
        write_table(args.table, classes)
    if check.differences(scenario, steps) or check.gaps(steps):
        raise SystemExit(1)
