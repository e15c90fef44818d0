"""The table in README.md: fine-tuning, MiB and PLOP on the built-in data, seeds 0 to 2, preset laptop.

    .venv/bin/python benchmarks/three_seeds.py --csv data/measured/emoji_15-5_three_seeds.csv  # minutes on two cores
    .venv/bin/python benchmarks/three_seeds.py --scenario "emoji 15-1 overlap" --csv benchmarks/emoji_15-1.csv

Writes one row per scenario, method, seed and step to the CSV and prints the means. Finished runs are not repeated.
"""

import argparse
from pathlib import Path

import plopkit
from plopkit.support.files import write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="emoji 15-5 overlap")
    parser.add_argument("--methods", nargs="+", default=["ft", "mib", "plop"], choices=plopkit.METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--preset", default="laptop", choices=plopkit.PRESETS)
    parser.add_argument("--out", type=Path, default=Path("runs/seeds"), help="folder for the run folders")
    parser.add_argument("--csv", type=Path, help="output file; default: named after the scenario, in OUT")
    args = parser.parse_args()
    folders = []
    for seed in args.seeds:
        for method in args.methods:
            overrides = {"seed": seed, "out": args.out}
            folders.append(plopkit.run(plopkit.configure(args.scenario, method, args.preset, overrides)).path)
    results = plopkit.load_results(*folders)
    csv = args.csv or args.out / f"{args.scenario.replace(' ', '_')}.csv"
    write_table(csv, plopkit.summarise(results))
    print(plopkit.report(results))
    print(f"\nwritten to {csv}")


if __name__ == "__main__":
    main()
