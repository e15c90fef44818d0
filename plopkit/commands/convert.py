"""`plopkit data convert`: data sets of other tools as plopkit reads its users' own."""

import argparse
import functools
from pathlib import Path

from plopkit.commands.words import as_path, say

FORMATS = ("auto", "coco", "coco-panoptic", "rgb", "label-studio", "cvat", "labelme", "supervisely", "huggingface")
DECISIONS = ("refuse", "ignore", "background")
LEFT_OUT = ("empty", "missing")


def add_convert(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options to those of `plopkit data`."""
    text = "a data set of another tool (COCO, Label Studio, CVAT, …) as a folder that plopkit reads"
    parser = kinds.add_parser(
        "convert",
        help=text,
        description=text,
        usage="plopkit data convert SOURCE… -o ROOT [options]",
        formatter_class=functools.partial(argparse.HelpFormatter, max_help_position=24),
    )
    add = parser.add_argument
    add("source", type=as_path, nargs="+", help=argparse.SUPPRESS)
    add("-o", type=as_path, dest="root", metavar="ROOT", required=True, help="folder to write")
    add("--format", choices=FORMATS, default="auto", metavar="NAME", help=", ".join(FORMATS))
    add("--images", type=as_path, metavar="DIR", help="folder of the images")
    add("--masks", type=as_path, metavar="DIR", help="folder of the masks, where the source has masks")
    add("--classes", type=as_path, metavar="FILE", help="names in their order; for colours name,r,g,b")
    add("--binary", default="", metavar="NAME", help="class of the white pixels in binary masks")
    add("--columns", default="image,annotation", metavar="A,B", help="columns of image and mask (huggingface)")
    add("--val", type=float, metavar="SHARE", help="share for validation (as in the source, or 0.2)")
    add("--seed", type=int, default=0, help="random seed of the choice for validation")
    add("--val-list", type=as_path, metavar="FILE", help="names of the validation pictures")
    add("--void", choices=DECISIONS[1:], default="ignore", help="what void pixels become")
    add(
        "--unknown",
        choices=DECISIONS,
        default="refuse",
        metavar="WHAT",
        help=f"unknown classes: {', '.join(DECISIONS)}",
    )
    add(
        "--leave-out",
        choices=LEFT_OUT,
        nargs="+",
        default=(),
        metavar="X",
        help=f"pictures: {', '.join(LEFT_OUT)} (no file)",
    )
    add("--link", action="store_true", help="link images instead of copying them")


def convert(args: argparse.Namespace) -> None:
    """Convert a data set, and say what was written, what was left out, and what comes next."""
    from plopkit.datasets.convert.conversion import Division
    from plopkit.datasets.convert.conversion import convert as convert_source
    from plopkit.datasets.convert.request import Request
    from plopkit.viz.colours import palette

    if args.val is not None and not 0 < args.val < 1:
        raise ValueError(f"--val {args.val:g} is no share of the pictures; it is between 0 and 1, such as 0.2")
    columns = args.columns.split(",")
    if len(columns) != 2 or not all(columns):
        raise ValueError(f"--columns {args.columns!r} must be two names with a comma, of image and mask")
    request = Request(
        tuple(args.source),
        args.images,
        args.masks,
        args.classes,
        args.binary,
        (columns[0], columns[1]),
        args.void,
        args.unknown,
        frozenset(args.leave_out),
    )
    for folder in filter(None, (args.images, args.masks)):
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder")
    root = Path(args.root)
    done = convert_source(request, root, palette, args.format, Division(args.val, args.seed, args.val_list), args.link)
    n_classes = len(done.classes) - 1
    say(f"{root}: {done.train:,} training and {done.val:,} validation pictures ({done.divided}), from {done.format}")
    shown = ", ".join(f"{label} {name}" for label, name in list(enumerate(done.classes))[:30])
    say(f"classes: {shown}{', …' if n_classes >= 30 else ''}")
    for note in done.notes:
        say(f"note: {note}")
    task = f"{n_classes - 1}-1 overlap" if n_classes > 1 else "joint"
    say(f'next: plopkit data check "folder {task}" --data.root {_shell(root)}')


def _shell(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))
