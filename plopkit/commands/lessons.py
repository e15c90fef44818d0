"""`plopkit lessons`: copy the lessons and open JupyterLab."""

from collections.abc import Sequence
from pathlib import Path

from plopkit.commands.words import as_path, parser_of, say, split_at


def lessons(arguments: Sequence[str]) -> None:
    """Copy the lessons into a folder and open JupyterLab there: plopkit lessons my-lessons"""
    own, jupyter = split_at(arguments, "--")
    parser = parser_of(lessons)
    text = "the folder (plopkit-lessons); a file of yours that differs is left as it is"
    parser.add_argument("folder", nargs="?", type=as_path, default=Path("plopkit-lessons"), metavar="DIR", help=text)
    parser.add_argument("--no-open", action="store_true", help="only copy")
    parser.epilog = "words after -- are passed to JupyterLab: plopkit lessons my-lessons -- --no-browser --port 8899"
    args = parser.parse_args(own)
    from plopkit.lessons import install

    say(install.summary_of(install.copy_lessons(args.folder), args.folder))
    if not args.no_open:
        install.open_lab(args.folder, jupyter)
