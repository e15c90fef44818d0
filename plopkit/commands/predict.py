"""`plopkit predict`: a trained net on any pictures."""

import argparse
import functools
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from plopkit.commands.words import as_path, parser_of, say

if TYPE_CHECKING:
    from plopkit.runs.predictor import Predictor


def predict(arguments: Sequence[str]) -> None:
    """A net's masks of your pictures: plopkit predict runs/… photos -o predicted"""
    parser = parser_of(predict, allow_abbrev=False)
    parser.formatter_class = functools.partial(argparse.HelpFormatter, max_help_position=32)
    parser.usage = "plopkit predict RUN_OR_CHECKPOINT PICTURES... -o OUT [options]"
    parser.add_argument("net", type=as_path, metavar="RUN_OR_CHECKPOINT", help="a run's folder, or a checkpoint")
    parser.add_argument("pictures", nargs="+", metavar="PICTURES", help="folders, patterns or files")
    text = "folder for masks/, overlays/, pixels.csv and classes.txt"
    parser.add_argument("-o", type=as_path, dest="out", metavar="OUT", required=True, help=text)
    parser.add_argument("--step", type=int, metavar="N", help="step of the run (the last one)")
    text = "the short side for the net: pixels, native, or auto: as the run evaluates (auto)"
    parser.add_argument("--size", type=_word_or_pixels, default="auto", metavar="N", help=text)
    text = "side of tiles: pixels, none, or auto: tiles where memory is short (auto)"
    parser.add_argument("--tile", type=_word_or_pixels, default="auto", metavar="N", help=text)
    text = "pixels whose label is less probable are 255, ignored (0)"
    parser.add_argument("--confidence", type=float, default=0.0, metavar="P", help=text)
    text = "names of a checkpoint's classes, one per line, background first"
    parser.add_argument("--classes", type=as_path, metavar="FILE", help=text)
    parser.add_argument("--no-overlays", action="store_true", help="only masks and tables")
    parser.add_argument("--cpu", action="store_true", help="use the CPU even where there is a GPU")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the results")
    args = parser.parse_args(arguments)
    from plopkit.runs.inputs import find_inputs

    pictures = find_inputs(args.pictures, without=args.out)
    from plopkit.runs.loading import load
    from plopkit.runs.predict import predict_pictures
    from plopkit.support.bars import progress_bar

    options = {"size": args.size, "tile": args.tile, "confidence": args.confidence, "classes": args.classes}
    predictor = load(args.net, args.step, **options, device="cpu" if args.cpu else None)
    if not args.quiet:
        say(_how(predictor), sys.stderr)
    bar: Any = functools.partial(progress_bar, description="predicting", shown=not args.quiet)
    result = predict_pictures(predictor, pictures, args.out, not args.no_overlays, bar)
    already = f", {result.kept} of them already there" if result.kept else ""
    say(f"{result.done} of {len(pictures)} pictures{already}: {args.out}")
    if result.skipped:
        say(f"{len(result.skipped)} could not be read: " + "\n".join(result.skipped), sys.stderr)
        raise SystemExit(1)


def _how(predictor: "Predictor") -> str:
    """What a user should know of the predictions to come, in a line."""
    size = "as they are" if predictor.size is None else f"with a short side of {predictor.size} pixels"
    named = f"{len(predictor.labels)} classes" + ("" if predictor.names_known else " without names (--classes)")
    return f"{named}; the net sees pictures {size} (--size), on {predictor.device}"


def _word_or_pixels(text: str) -> int | str:
    return int(text) if text.isdecimal() else text
