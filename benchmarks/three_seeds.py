"""The README's table: fine-tuning, MiB and PLOP on the embedded data, seeds 0 to 2, preset laptop.

    .venv/bin/python benchmarks/three_seeds.py                     # about 15 minutes on two cores
    .venv/bin/python benchmarks/three_seeds.py --scenario "emoji 15-1 overlap" --csv benchmarks/emoji_15-1.csv

Writes one row per scenario, method, seed and step to the CSV, and prints the means. Finished runs are read back.
"""

import argparse
from pathlib import Path

import plopkit
from plopkit.runfolder import write_table

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="emoji 15-5 overlap")
    parser.add_argument("--methods", nargs="+", default=["ft", "mib", "plop"], choices=plopkit.METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--preset", default="laptop", choices=plopkit.PRESETS)
    parser.add_argument("--out", type=Path, default=Path("runs/seeds"))
    parser.add_argument("--csv", type=Path, default=HERE / "emoji_15-5_three_seeds.csv")
    given = parser.parse_args()
    folders = []
    for seed in given.seeds:
        for method in given.methods:
            overrides = {"seed": seed, "out": given.out}
            folders.append(plopkit.run(plopkit.configure(given.scenario, method, given.preset, overrides)).path)
    results = plopkit.load_results(*folders)
    write_table(given.csv, plopkit.summarise(results).drop(columns=["run"], errors="ignore"))
    print(plopkit.report(results))
    print(f"\nwritten to {given.csv}")


if __name__ == "__main__":
    main()
