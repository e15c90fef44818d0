"""`plopkit export`: a run's nets for inference."""

from collections.abc import Sequence

from plopkit.commands.words import as_path, parser_of, say


def export(arguments: Sequence[str]) -> None:
    """A run's nets for inference, as the released code saves them: plopkit export runs/… --as official -o exported"""
    parser = parser_of(export)
    parser.add_argument(
        "run", type=as_path, metavar="RUN", help="a run folder; its encoder is a released ResNet, except for plopkit"
    )
    parser.add_argument(
        "--as",
        dest="layout",
        default="official",
        choices=("official", "cssegmentation", "plopkit"),
        help="whose names the tensors have; plopkit also describes the net, so that it can be any",
    )
    parser.add_argument("-o", type=as_path, dest="out", required=True, help="folder for step-0.pth, step-1.pth, …")
    args = parser.parse_args(arguments)
    from plopkit.runs.folder import RunFolder
    from plopkit.runs.released import export as export_run

    for path in export_run(args.run, args.layout, args.out):
        say(path)
    if (stride := RunFolder(args.run).settings.model.output_stride) != 16 and args.layout != "plopkit":
        say(f"the files do not hold their output stride: read them with --model.output-stride {stride}")
