"""The table in README.md: fine-tuning, MiB and PLOP on the built-in data, seeds 0 to 2, preset laptop.

    .venv/bin/python benchmarks/three_seeds.py --csv data/measured/emoji_15-5_three_seeds.csv  # minutes on two cores
    .venv/bin/python benchmarks/three_seeds.py --scenario "emoji 15-1 overlap" --csv benchmarks/emoji_15-1.csv

Writes one row per scenario, method, seed and step to the CSV and prints the means. Finished runs are not repeated, so
that several processes with different seeds can share the work, and a last one with all seeds writes the table.

`--markdown` prints the last step as the table in benchmarks/README.md: means over the seeds, with minimum and maximum.

`seconds` are those of the step's training, without evaluation; `stored_mb` are the megabytes that the step hands on,
the network, the method's state and, with a memory, its images and masks. `--remembering mib` adds MiB with a memory of
100 images.
"""

import argparse
from pathlib import Path

import pandas as pd

import plopkit
from benchmarks.comparison import MEMORY, Entry, cell, most_stored
from plopkit.runs.costs import costs
from plopkit.support.files import write_table

MEASURES = ("old_nobg", "new", "all", "hiou", "background", "pixel_accuracy")


def markdown(table: pd.DataFrame) -> str:
    """The results after the last step by method, sorted by `all`; `seconds` are those of all steps after step 0, and
    `stored MB` the most that a step hands on."""
    last = table["step"].max()
    after = table[table["step"] == last].groupby("method")[[*MEASURES]]
    mean, low, high = after.mean().sort_values("all"), after.min(), after.max()
    trained = table[table["step"] > 0].groupby(["method", "seed"])["seconds"]
    later, stored = trained.sum(min_count=1).groupby("method").mean(), most_stored(table)
    names = [*MEASURES, "seconds", "stored MB"]
    lines = [f"| method | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for method in mean.index:
        cells = [
            f"{mean.loc[method, name]:.1f} ({low.loc[method, name]:.1f}–{high.loc[method, name]:.1f})"
            if name in ("new", "all")
            else f"{mean.loc[method, name]:.1f}"
            for name in MEASURES
        ]
        cells += [cell(later[method], 0), cell(stored[method], 1)]
        lines.append(f"| {title_of(method)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def title_of(method: str) -> str:
    """The title of a method as `plopkit.load_results` names it, such as "mib (memory.images 100)"."""
    name, _, memory = method.partition(" ")
    return Entry(name, has_memory=bool(memory)).title


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="emoji 15-5 overlap")
    parser.add_argument("--methods", nargs="+", default=["ft", "mib", "plop"], choices=plopkit.METHODS)
    parser.add_argument("--remembering", nargs="+", default=[], choices=plopkit.METHODS, help="methods with a memory")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--preset", default="laptop", choices=plopkit.PRESETS)
    parser.add_argument("--out", type=Path, default=Path("runs/seeds"), help="folder for the run folders")
    parser.add_argument("--csv", type=Path, help="output file; default: named after the scenario, in OUT")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    args = parser.parse_args()
    memory = {name: value for name, (value,) in MEMORY.items()}
    chosen = [(method, {}) for method in args.methods] + [(method, memory) for method in args.remembering]
    folders = []
    for seed in args.seeds:
        for method, changes in chosen:
            overrides = {"seed": seed, "out": args.out} | changes
            folders.append(plopkit.run(plopkit.configure(args.scenario, method, args.preset, overrides)).path)
    results = plopkit.load_results(*folders)
    csv = args.csv or args.out / f"{args.scenario.replace(' ', '_')}.csv"
    costly = costs(results).drop(columns="later_seconds")
    table = plopkit.summarise(results).merge(costly, on=["scenario", "method", "seed", "step"])
    write_table(csv, table)
    print(markdown(table) if args.markdown else plopkit.report(results))
    print(f"\nwritten to {csv}")


if __name__ == "__main__":
    main()
