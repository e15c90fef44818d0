"""How far rounding alone changes the golden trajectories: training on images perturbed in their last digit.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/golden_trajectories.py  # minutes

Every run multiplies each value of the images by 1 + 1e-7 times normal noise. For each method, loss and iteration, the
CSV contains the loss of the released code and the mean, standard deviation and range of plopkit's losses. The printed
table adds `deviation`, the distance of the released loss from the mean in standard deviations.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from plopkit.support.files import write_table

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=24, help="number of runs per method, at least two")
    parser.add_argument("--csv", type=Path, default=ROOT / "data/measured/golden_trajectories.csv", help="output file")
    args = parser.parse_args()
    if args.runs < 2:
        parser.error(f"a standard deviation needs at least two runs, not {args.runs}")
    sys.path.insert(0, str(ROOT / "tests"))
    from released import TRAININGS, numbers_of, trained

    rows = []
    for file, (method, seed, terms) in TRAININGS.items():
        golden = numbers_of(file)
        losses_of_runs = []
        for run in tqdm(range(args.runs), desc=method.name):
            noise = torch.randn(golden["images"].shape, generator=torch.Generator().manual_seed(run))
            ticks, _, _ = trained(method, seed, golden, 1e-7 * noise)
            losses_of_runs.append([[tick.losses[term] for tick in ticks] for term in terms])
        for term, losses in zip(terms, np.array(losses_of_runs).transpose(1, 2, 0), strict=True):
            for iteration, (released, own) in enumerate(zip(golden[term].tolist(), losses, strict=True), start=1):
                row = {"method": method.name, "loss": term, "iteration": iteration, "released": released}
                spread = {"mean": own.mean(), "std": own.std(ddof=1), "min": own.min(), "max": own.max()}
                rows.append(row | spread | {"runs": args.runs})
    table = pd.DataFrame(rows)
    write_table(args.csv, table)
    deviation = (table["released"] - table["mean"]) / table["std"]
    print(table.assign(deviation=deviation).to_string(index=False, float_format="{:.5g}".format))
    print(f"\nwritten to {args.csv}")


if __name__ == "__main__":
    main()
