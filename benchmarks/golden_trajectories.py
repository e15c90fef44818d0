"""How far rounding alone takes the golden trajectories: training repeated from images changed in their last digit.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/golden_trajectories.py  # minutes

Every run multiplies each value of the images by 1 + 1e-7 times normal noise. Writes, per method, loss and iteration,
the released code's loss and the mean, standard deviation and range of plopkit's to the CSV, and prints them with how
many standard deviations the released loss lies from the mean (`apart`).
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
    parser.add_argument("--runs", type=int, default=24, help="of each method, at least two")
    parser.add_argument("--csv", type=Path, default=ROOT / "data/measured/golden_trajectories.csv")
    given = parser.parse_args()
    if given.runs < 2:
        parser.error(f"a standard deviation needs two runs, not {given.runs}")
    sys.path.insert(0, str(ROOT / "tests"))
    from released import TRAININGS, numbers_of, trained

    rows = []
    for file, (method, seed, terms) in TRAININGS.items():
        golden = numbers_of(file)
        found = []
        for run in tqdm(range(given.runs), desc=method.name):
            noise = torch.randn(golden["images"].shape, generator=torch.Generator().manual_seed(run))
            ticks, _, _ = trained(method, seed, golden, 1e-7 * noise)
            found.append([[tick.losses[term] for tick in ticks] for term in terms])
        for term, losses in zip(terms, np.array(found).transpose(1, 2, 0), strict=True):
            for iteration, (released, ours) in enumerate(zip(golden[term].tolist(), losses, strict=True), start=1):
                row = {"method": method.name, "loss": term, "iteration": iteration, "released": released}
                spread = {"mean": ours.mean(), "std": ours.std(ddof=1), "min": ours.min(), "max": ours.max()}
                rows.append(row | spread | {"runs": given.runs})
    table = pd.DataFrame(rows)
    write_table(given.csv, table)
    apart = (table["released"] - table["mean"]) / table["std"]
    print(table.assign(apart=apart).to_string(index=False, float_format="{:.5g}".format))
    print(f"\nwritten to {given.csv}")


if __name__ == "__main__":
    main()
