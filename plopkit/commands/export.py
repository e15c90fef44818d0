"""`plopkit export`: a run's nets for inference."""

import argparse
import functools
import sys
from collections.abc import Sequence

from plopkit.commands.words import as_path, parser_of, say

RELEASED = ("official", "cssegmentation", "plopkit")
STANDALONE = ("safetensors", "onnx", "torchscript")


def export(arguments: Sequence[str]) -> None:
    """Nets for other programs: plopkit export runs/… --as onnx -o exported"""
    parser = parser_of(export)
    parser.formatter_class = functools.partial(argparse.RawDescriptionHelpFormatter, max_help_position=24)
    parser.usage = "plopkit export RUN --as KIND -o OUT [--step N]"
    parser.epilog = (
        "official, cssegmentation: step-0.pth, step-1.pth, … as those codes save them, of a released ResNet\n"
        "plopkit: step-0.safetensors, …, which describe their net, so that it can be any\n"
        "onnx, torchscript, safetensors: one step's net with its classes and normalisation, and model.json\n"
        "    about it; images (B, 3, H, W) -> logits (B, classes, H, W). RUN may also be a checkpoint.\n"
        "    safetensors is for plopkit alone"
    )
    parser.add_argument("run", type=as_path, metavar="RUN", help="a run's folder")
    text = "the kind of file (official)"
    kinds = (*RELEASED, *STANDALONE)
    parser.add_argument("--as", dest="kind", metavar="KIND", default="official", choices=kinds, help=text)
    parser.add_argument("-o", type=as_path, dest="out", metavar="OUT", required=True, help="folder for the files")
    text = "this step alone (all, or the last one for safetensors, onnx and torchscript)"
    parser.add_argument("--step", type=int, metavar="N", help=text)
    text = "names of a checkpoint's classes, one per line, background first"
    parser.add_argument("--classes", type=as_path, metavar="FILE", help=text)
    args = parser.parse_args(arguments)
    if args.kind in STANDALONE:
        from plopkit.runs.exporting import export_net

        written = export_net(args.run, args.kind, args.out, args.step, args.classes)
        say(f"{written.file}\n{written.about}")
        if not written.checked:
            say("not checked against the net: that needs onnxruntime (pip install onnxruntime)", sys.stderr)
        if not written.names_known:
            say("its classes have no names: --classes FILE gives them", sys.stderr)
        return
    if args.classes is not None:
        parser.error(f"--classes is for {', '.join(STANDALONE)}; a run names its classes itself")
    from plopkit.runs.folder import RunFolder
    from plopkit.runs.released import export as export_run

    for path in export_run(args.run, args.kind, args.out, args.step):
        say(path)
    if (stride := RunFolder(args.run).settings.model.output_stride) != 16 and args.kind != "plopkit":
        say(f"the files do not hold their output stride: read them with --model.output-stride {stride}")
