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
    parser.add_argument("--teacher", action="store_true", help="with the teacher's guide: plans, answers, numbers")
    text = "copy the finished runs in this folder as well, which the lessons then read back in place of training"
    parser.add_argument("--runs", type=as_path, metavar="FOLDER", help=text)
    parser.add_argument("--no-open", action="store_true", help="only copy")
    parser.epilog = "words after -- are passed to JupyterLab: plopkit lessons my-lessons -- --no-browser --port 8899"
    args, unknown = parser.parse_known_args(own)
    if unknown:
        raise ValueError(
            f"lessons has no {unknown[0]}; words for JupyterLab come after two dashes: "
            f"plopkit lessons DIR -- {' '.join(unknown)}"
        )
    from plopkit.lessons import install

    say(install.summary_of(install.copy_lessons(args.folder, args.teacher), args.folder))
    if args.runs is not None:
        say(install.summary_of_runs(install.copy_runs([args.runs], args.folder), args.folder))
    if not args.no_open:
        install.open_lab(args.folder, jupyter)
