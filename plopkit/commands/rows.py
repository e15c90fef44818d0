"""`plopkit rows`: the published tables and the commands that repeat them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from plopkit.commands.words import as_path, parser_of, print_json, say

if TYPE_CHECKING:
    import pandas as pd


def rows(arguments: Sequence[str]) -> None:
    """The rows of the published tables, the command of each, and your runs' mIoU: plopkit rows runs/*"""
    from plopkit.recipes import NAMES

    parser = parser_of(rows)
    parser.add_argument("paths", nargs="*", type=as_path, metavar="RUN", help="run folders, or folders that hold them")
    parser.add_argument("-o", type=as_path, dest="table", metavar="CSV", help="file for the table")
    parser.add_argument("--recipe", default="own", choices=NAMES, help="own, or common: PLOP's for all methods")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON, and nothing else")
    args = parser.parse_args(arguments)
    from plopkit.runs.published import rows as all_rows
    from plopkit.runs.results import run_folders
    from plopkit.support.files import write_table

    table = all_rows(run_folders(args.paths) if args.paths else (), args.recipe)
    if args.json:
        print_json(table)
    else:
        _print_rows(table)
    if args.table:
        write_table(args.table, table)


def _print_rows(table: "pd.DataFrame") -> None:
    for row in table.itertuples():
        say(f"{row.method} on {row.scenario}\n    published: {row.published}")
        if row.seeds:
            say(f"    own: {row.own:.2f} with, {row.own_nobg:.2f} without background, mean of {row.seeds} seed(s)")
        say(f"    {row.command}")
    say("\nmIoU in percent over all classes after the last step")
