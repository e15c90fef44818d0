"""`plopkit report`: finished runs on one page."""

from collections.abc import Sequence
from pathlib import Path

from plopkit.commands.words import as_path, parser_of, say


def report(arguments: Sequence[str]) -> None:
    """Tables, curves, strips and settings of finished runs on one page: plopkit report runs/* -o report.html"""
    parser = parser_of(report)
    parser.add_argument("paths", nargs="+", type=as_path, metavar="RUN", help="run folders, or folders that hold them")
    parser.add_argument(
        "-o", type=as_path, dest="page", default=Path("report.html"), metavar="HTML", help="the page (report.html)"
    )
    args = parser.parse_args(arguments)
    from plopkit.runs.report import write_page
    from plopkit.runs.results import load_results

    write_page(load_results(*args.paths), args.page)
    say(args.page)
