"""All methods side by side: three protocols, three random class orders and three seeds, on the built-in data.

    .venv/bin/python -m benchmarks.comparison --orders 0 --seeds 0 --workers 2  # three pieces: 75 runs
    .venv/bin/python -m benchmarks.comparison --only-draw                       # the table and the picture again

A piece is a protocol, an order and a seed. It adds its rows to the file of results (`--csv`), and what the file has is
not trained again: the pieces can be done on other days and machines. An interrupted piece continues in `--out`. Then
the page is written: its table, and the picture next to it.

Rows: `scenario`, `method` (with `memory.images 100` behind those that have one by a setting), `seed`, `step`, the
measures of `summary.csv` in percent, `seconds` of the step's training, and `stored_mb`, the megabytes that the step
hands on.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import tyro
from matplotlib.figure import Figure

import plopkit
from plopkit.grids.grid import run_grid
from plopkit.grids.plan import PlannedRun, plan
from plopkit.runs.costs import costs
from plopkit.support.files import write_table, write_text
from plopkit.viz.colours import SERIES
from plopkit.viz.figures import titled
from plopkit.viz.png import save

ROOT = Path(__file__).resolve().parent.parent
CSV = ROOT / "data/measured/comparison.csv"
PAGE = ROOT / "docs/comparison.md"
TASK = "emoji 15-5"
PROTOCOLS = ("overlap", "disjoint", "partitioned")
MEMORY = {"memory.images": [100]}
"""As many images as the methods with a memory of their own keep."""
WITH_MEMORY = ("mib",)
"""Methods that are also trained with a memory: the honest baseline of the methods that have one."""
BASELINE = "mib"
KEYS = ["scenario", "method", "seed"]
_SCENARIO = re.compile(rf"{TASK} (\w+) order=random:(\d+)")


class Entry(NamedTuple):
    """A method of the comparison, with or without a memory by a setting."""

    method: str
    has_memory: bool = False

    @property
    def name(self) -> str:
        """As in the file of results."""
        return f"{self.method} (memory.images {MEMORY['memory.images'][0]})" if self.has_memory else self.method

    @property
    def title(self) -> str:
        """As in the table."""
        return plopkit.METHODS[self.method].title + (" + memory" if self.has_memory else "")


def entries() -> list[Entry]:
    """All methods in their order, those with a memory by a setting behind themselves."""
    pairs = [(Entry(name), Entry(name, has_memory=True)) for name in plopkit.METHODS]
    return [entry for plain, kept in pairs for entry in ((plain, kept) if plain.method in WITH_MEMORY else (plain,))]


def missing(
    table: pd.DataFrame,
    protocols: Sequence[str],
    orders: Sequence[int],
    seeds: Sequence[int],
    preset: str,
    out: Path,
) -> list[tuple[Entry, PlannedRun]]:
    """The runs of the pieces that the table lacks, piece by piece, the first of each step 0 first."""
    done = set(table[KEYS].itertuples(index=False, name=None))
    found = []
    for order, seed, protocol in product(orders, seeds, protocols):
        scenario = f"{TASK} {protocol} order=random:{order}"
        for entry in entries():
            if (scenario, entry.name, seed) not in done:
                (run,) = plan([scenario], [entry.method], [seed], preset, MEMORY if entry.has_memory else {}, out)
                found.append((entry, run))
    return found


def rows_of(entry: Entry, folder: plopkit.RunFolder) -> pd.DataFrame:
    """The rows of a finished run, one a step."""
    spent = costs(plopkit.load_results(folder.path)).drop(columns="later_seconds")
    return folder.summary.merge(spent, on=[*KEYS, "step"]).assign(method=entry.name)


def merged(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """All rows in a fixed order: scenarios, then methods as the package lists them, seeds and steps."""
    table = pd.concat([table for table in tables if len(table)], ignore_index=True)
    places = {entry.name: place for place, entry in enumerate(entries())}
    return table.sort_values([*KEYS, "step"], key=lambda keys: keys.map(places) if keys.name == "method" else keys)


def read(csv: Path) -> pd.DataFrame:
    """The file of results; empty where there is none."""
    return pd.read_csv(csv) if csv.is_file() else pd.DataFrame(columns=KEYS)


def final(table: pd.DataFrame) -> pd.DataFrame:
    """The rows after the last step, with columns `protocol` and `order`, and `lead`: `all` minus the baseline's in the
    same protocol, order and seed."""
    rows = table[table["step"] == table["step"].max()].copy()
    rows[["protocol", "order"]] = rows["scenario"].str.extract(_SCENARIO)
    baseline = rows[rows["method"] == BASELINE].set_index(["scenario", "seed"])["all"]
    places = pd.MultiIndex.from_frame(rows[["scenario", "seed"]])
    return rows.assign(lead=rows["all"].to_numpy() - baseline.reindex(places).to_numpy())


def markdown(table: pd.DataFrame) -> str:
    """A line per method, sorted by the mean of `all` over all runs. The spread of the lead is that within a protocol,
    `seconds` are those of the fastest run's last step, and `stored MB` is the most that a step hands on."""
    rows, stored = final(table), most_stored(table)
    titles = {entry.name: entry.title for entry in entries()}
    protocols = [f"all, {protocol}" for protocol in PROTOCOLS]
    names = ["method", "runs", *protocols, "old_nobg", "new", f"more than {titles[BASELINE]}", "better in", "seconds"]
    names.append("stored MB")
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    groups = sorted(rows.groupby("method"), key=lambda group: group[1]["all"].mean())
    for name, own in groups:
        by_protocol = [own.loc[own["protocol"] == protocol, "all"] for protocol in PROTOCOLS]
        cells = [
            titles[name],
            str(len(own)),
            *map(spread, by_protocol),
            *(f"{own[group].mean():.1f}" for group in ("old_nobg", "new")),
        ]
        if name == BASELINE:
            cells += ["–", "–"]
        else:
            leads = own["lead"].dropna()
            within = own.groupby("protocol")["lead"].var().mean() ** 0.5
            cells += [spread(leads, "+", within), f"{(leads > 0).sum()} of {len(leads)}"]
        cells += [cell(own["seconds"].min(), 0), cell(stored[name], 1)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def most_stored(table: pd.DataFrame) -> pd.Series:
    """Megabytes by method: the most that a step of a run hands on (after the last step nothing is remembered), as the
    mean over the runs."""
    return table.groupby(["method", "scenario", "seed"])["stored_mb"].max().groupby("method").mean()


def cell(value: float, digits: int) -> str:
    """A number in a table; a dash where it is missing, as the seconds are where nothing is trained."""
    return "–" if pd.isna(value) else f"{value:.{digits}f}"


def spread(values: pd.Series, sign: str = "", deviation: float | None = None) -> str:
    """Mean and standard deviation, such as "64.2 ± 0.6": that of the sample, unless another is given. A mean alone
    where there is none, and a dash where there is no value."""
    if values.empty:
        return "–"
    mean = f"{values.mean():{sign}.1f}".replace("-", "−")
    deviation = values.std() if deviation is None else deviation
    return mean if pd.isna(deviation) else f"{mean} ± {deviation:.1f}"


def draw(table: pd.DataFrame) -> Figure:
    """`all` of each run as a point, a line per method and a colour per protocol; a stroke at the mean."""
    rows = final(table)
    titles = {entry.name: entry.title for entry in entries()}
    order = rows.groupby("method")["all"].mean().sort_values().index
    figure = titled(f"All methods on {TASK}: mIoU of all classes after the last step", 9, 1.2 + 0.3 * len(order))
    axes = figure.subplots()
    for place, method in enumerate(order):
        for index, protocol in enumerate(PROTOCOLS):
            values = rows.loc[(rows["method"] == method) & (rows["protocol"] == protocol), "all"]
            colour, marker = SERIES[index]
            height = place + 0.25 * (1 - index)
            label = protocol if place == 0 else None
            axes.plot(values, [height] * len(values), marker, color=colour, alpha=0.7, markersize=4, label=label)
            axes.plot([values.mean()] * 2, [height - 0.12, height + 0.12], color=colour, linewidth=1.5)
    axes.set_yticks(range(len(order)), [titles[method] for method in order])
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_xlabel("mIoU of all classes, %")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(title="protocol", loc="lower right", frameon=False)
    return figure


def with_table(page: str, lines: str, path: Path = PAGE) -> str:
    """The page with its table of methods replaced.

    Args:
        page: the page's text.
        lines: the new table.
        path: the page's file, for the message.

    Raises:
        ValueError: it has none, or several.
    """
    new, count = re.subn(r"\| method \|.*?\n(?!\|)", lambda _: f"{lines}\n", page, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{path}: one table that begins with '| method |' is needed, there are {count}")
    return new


def main(
    orders: Sequence[int] = (0, 1, 2),
    seeds: Sequence[int] = (0, 1, 2),
    protocols: Sequence[str] = PROTOCOLS,
    preset: str = "laptop",
    workers: int = 1,
    out: Path = Path("runs/comparison"),
    csv: Path = CSV,
    page: Path = PAGE,
    only_draw: bool = False,
) -> None:
    """Train what the file of results lacks, and write the page's table and picture.

    Args:
        orders: numbers of random class orders.
        seeds: random seeds.
        protocols: what is labelled at a step.
        preset: the preset.
        workers: runs at once.
        out: folder for the run folders.
        csv: the file of results.
        page: the Markdown page whose table is replaced; the picture has its name.
        only_draw: write the page from what the file has.

    Raises:
        SystemExit: there is no page, or there are no results, or a run has failed; what has finished is kept.
    """
    if not page.is_file():  # before hours of training
        raise SystemExit(f"{page}: no such page; write one with a line '| method |' where its table is to be")
    text = page.read_text(encoding="utf-8")
    with_table(text, "", page)
    kept, failed = read(csv), []
    if not only_draw and (todo := missing(kept, protocols, orders, seeds, preset, out)):
        result = run_grid([run for _, run in todo], workers)
        finished = {folder.path for folder in result.finished}
        rows = [rows_of(entry, run.folder) for entry, run in todo if run.folder.path in finished]
        if rows:
            kept = merged([kept, *rows])
            write_table(csv, kept)
        failed = list(result.failed.values())
        for message in failed:
            print(message)
    if kept.empty:
        raise SystemExit(f"{csv}: no results to draw; train a piece, without --only-draw")
    write_text(page, with_table(text, markdown(kept), page))
    save(draw(kept), page.with_suffix(".png"))
    print(markdown(kept))
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    tyro.cli(main)
