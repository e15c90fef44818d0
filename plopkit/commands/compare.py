"""`plopkit compare`: a table of finished runs."""

import sys
from collections.abc import Sequence

from plopkit.commands.words import as_path, parser_of, print_json, say


def compare(arguments: Sequence[str]) -> None:
    """A table of finished runs, methods by old, new and all: plopkit compare runs/*"""
    parser = parser_of(compare)
    parser.add_argument("paths", nargs="+", type=as_path, metavar="RUN", help="run folders, or folders that hold them")
    parser.add_argument("-o", type=as_path, dest="pictures", help="folder for curves and prediction strips")
    parser.add_argument("--json", action="store_true", help="print the table as JSON, and nothing else")
    args = parser.parse_args(arguments)
    from plopkit.runs import results as tables

    results = tables.load_results(*args.paths)
    if args.json:
        table = tables.compare(results).reset_index()
        papers = [tables.published(str(scenario)) for scenario in table["scenario"].unique()]
        print_json({"runs": table, "published": [row for paper in papers for row in paper.to_dict("records")]})
    else:
        say(tables.report(results))
    if args.pictures:
        from plopkit.runs.report import draw

        say("\n".join(map(str, draw(results, args.pictures))), sys.stderr if args.json else None)
