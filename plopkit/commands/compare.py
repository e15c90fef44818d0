"""`plopkit compare`: a table of finished runs."""

from collections.abc import Sequence

from plopkit.commands.words import as_path, parser_of, say


def compare(arguments: Sequence[str]) -> None:
    """A table of finished runs, methods by old, new and all: plopkit compare runs/*"""
    parser = parser_of(compare)
    parser.add_argument("paths", nargs="+", type=as_path, metavar="RUN", help="run folders, or folders that hold them")
    parser.add_argument("-o", type=as_path, dest="pictures", help="folder for curves and prediction strips")
    args = parser.parse_args(arguments)
    from plopkit.runs.results import load_results, report

    results = load_results(*args.paths)
    say(report(results))
    if args.pictures:
        from plopkit.runs.report import draw

        say("\n".join(draw(results, args.pictures)))
