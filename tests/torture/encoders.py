"""Every method with transformers as encoders, stopped within step 1 and resumed: the same bytes as without a stop.

    python tests/torture/encoders.py

A run is emoji 15-5 from random weights, with the smoke preset and few small images. The table has a row a method and a
column a net: what is compared is every file of the run's folder. Exit code 1 where a file differs, a run fails, or a
combination is refused for another reason than those in `REASONS`.
"""

import argparse
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]
os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "MPLBACKEND": "Agg"}

import torch  # noqa: E402
from interrupted import RefusedError, resumed  # noqa: E402

from plopkit.catalogue import METHODS  # noqa: E402
from plopkit.model.encoders import timm  # noqa: E402
from plopkit.runs.sharing import STEP_0  # noqa: E402


class Net(NamedTuple):
    """A column."""

    encoder: str
    decoder: str
    frozen: bool = False

    def __str__(self) -> str:
        return f"{self.encoder} {self.decoder}{' frozen' if self.frozen else ''}"


NETS = (
    Net("vit_tiny_patch16_224", "aspp"),
    Net("swin_tiny_patch4_window7_224", "aspp"),
    Net("pvt_v2_b0", "aspp"),
    Net("vit_small_patch14_dinov2", "aspp"),
    Net("test_vit", "aspp", frozen=True),
    Net("test_vit", "linear"),
    Net("test_vit", "linear", frozen=True),
    Net("test_vit", "pyramid"),
    Net("test_vit", "pyramid", frozen=True),
)
REASONS = {
    "a": "no convolutions followed by batch norms",
    "b": "has a decoder of its own",
}
"""Why a combination may be refused: parts of the messages."""


def outcome(out: Path, method: str, net: Net) -> tuple[str, str]:
    """A cell, and a message that explains it."""
    model = {"model__encoder": net.encoder, "model__decoder": net.decoder, "model__frozen": net.frozen}
    try:
        run = resumed(out, method, **model)
    except RefusedError as error:
        reason = next((key for key, words in REASONS.items() if words in str(error)), None)
        return ("REFUSED" if reason is None else f"refused ({reason})"), str(error)
    except Exception as error:
        return "FAILED", "".join(traceback.format_exception(error))
    return ("same", "") if run.well else ("DIFFERENT", str(run))


def remove_runs(folder: Path) -> None:
    """Remove all but the steps 0, which other methods share."""
    for path in folder.iterdir():
        if path.is_dir() and path.name != STEP_0:
            shutil.rmtree(path)


def torment(methods: list[str], nets: Sequence[Net], folder: Path) -> bool:
    """Try every combination, and print the table; whether all is well."""
    cells: dict[tuple[str, Net], str] = {}
    reasons: dict[str, str] = {}
    for net in nets:
        for method in methods:
            cell, message = outcome(folder, method, net)
            print(f"{method}, {net}: {cell} {message}", file=sys.stderr, flush=True)
            cells[method, net] = cell
            if cell.startswith("refused"):
                reasons.setdefault(cell, message)
            remove_runs(folder)
        shutil.rmtree(folder / STEP_0, ignore_errors=True)  # there is none where all are refused
    print("|", " | ".join(["method", *map(str, nets)]), "|")
    print("|" + " --- |" * (1 + len(nets)))
    for method in methods:
        print("|", " | ".join([method, *(cells[method, net] for net in nets)]), "|")
    print("".join(f"\n{cell}: {message}\n" for cell, message in sorted(reasons.items())))
    return all(cell == "same" or cell in reasons for cell in cells.values())


def skip_numbers_without_memory() -> None:
    """Let timm draw no initial weights on the meta device, which takes half of the time of opening a run."""
    draw = timm.layers.weight_init._trunc_normal_
    timm.layers.weight_init._trunc_normal_ = lambda tensor, *rest: tensor if tensor.is_meta else draw(tensor, *rest)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--nets", nargs="+", type=int, default=range(len(NETS)), help="numbers of columns, from 0")
    return parser.parse_args()


if __name__ == "__main__":
    os.fsync = lambda fd: None  # no power cut is tried here
    torch.set_num_threads(1)
    skip_numbers_without_memory()
    args, place = parsed(), Path(tempfile.mkdtemp(prefix="encoders-"))
    try:
        well = torment(args.methods, [NETS[number] for number in args.nets], place)
    finally:
        shutil.rmtree(place)
    sys.exit(0 if well else 1)
