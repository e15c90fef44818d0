"""The table of results of a run, and what is computed from it: summaries, forgetting, comparisons with the papers."""

import glob
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from plopkit.catalogue import DATASETS
from plopkit.grammar import has_domains, is_of_unknown_data_set, read_words
from plopkit.metrics import PER_STEP, forgetting
from plopkit.runs.costs import COSTS, costs
from plopkit.runs.costs import LEGEND as LEGEND_OF_COSTS
from plopkit.runs.domains import domain_report, load_domains
from plopkit.runs.history import History
from plopkit.runs.tables import KEYS, REQUIRED_COLUMNS, class_rows, read_results
from plopkit.scenario import Scenario, Step, check
from plopkit.settings import flat, from_yaml
from plopkit.support import resources, seals
from plopkit.support.bars import log
from plopkit.support.places import expanded
from plopkit.support.printable import one_line, printable

GROUPS = ["old", "new", "all", "old_nobg", "all_nobg"]
"""The groups of classes in `summary.csv`, as `plopkit.metrics.group_means` has them."""

SHOWN = [*GROUPS, "avg", "hiou", "pixel_accuracy", "background"]
"""The columns of `summary.csv` that printed tables show."""

LEGEND = (
    "old: the labels of step 0 with background; new: labels learnt since; _nobg: without background;",
    "avg: mean of `all` over the steps so far; hiou: harmonic mean of old and new;",
    "pixel_accuracy: share of pixels predicted right; background: IoU of the background.",
)
"""What the columns of printed tables mean."""


def step_rows(
    scenario: Scenario, method: str, seed: int, step: Step, counts: np.ndarray, names: Sequence[str]
) -> pd.DataFrame:
    """One row per seen class after a step.

    Args:
        scenario: The scenario.
        method: The method's name.
        seed: The run's seed.
        step: The step that has been trained.
        counts: (n_seen, n_seen), the confusion matrix; rows are targets.
        names: A name per label.

    Returns:
        The columns of `results.csv`: `iou` and `accuracy` in percent, `pixels` of the class in the validation images,
        `learned_at`, the step that learnt it.
    """
    learned_at = {label: s.index for s in scenario.steps for label in s.new}
    rows = class_rows(scenario, method, seed, step, counts, names)
    rows.insert(rows.columns.get_loc("name") + 1, "learned_at", [learned_at[label] for label in step.seen])
    return rows


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """One row per run and step: mIoU in percent of the groups, `avg`, the mean of `all` over the steps so far, and the
    measures of `plopkit.metrics.PER_STEP`."""
    rows = []
    for _, steps in results.groupby(KEYS, sort=False):
        history = History()
        for _, table in steps.groupby("step"):
            rows.append(summary_row(table, history))
            history = history.with_step(table)
    return summary_table(rows)


def summary_row(rows: pd.DataFrame, history: History) -> dict[str, Any]:
    """The row of `summarise` for one step of a run.

    Args:
        rows: The step's rows of `results.csv`.
        history: The steps before.
    """
    return {name: rows[name].iloc[0] for name in [*KEYS, "step"]} | history.measures(rows)


def summary_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of `summary_row` as a table with the columns of `summary.csv`."""
    return pd.DataFrame(rows, columns=[*KEYS, "step", *measure_names()])


def measure_names() -> list[str]:
    """The columns of `summary.csv` that are numbers of a step: means over groups of classes, then all measures."""
    return [*GROUPS, "avg", *PER_STEP]


def forgetting_table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per run and class: its best IoU so far minus the last, in points."""
    rows = []
    for keys, run in results.groupby(KEYS, sort=False):
        history = run.pivot(index="step", columns="label", values="iou")
        names = run.drop_duplicates("label").set_index("label")
        for label, lost in zip(history.columns, forgetting(history.to_numpy()), strict=True):
            about = {"label": label, "name": names["name"][label], "learned_at": names["learned_at"][label]}
            rows.append(dict(zip(KEYS, keys, strict=True)) | about | {"forgetting": lost})
    return pd.DataFrame(rows)


def most_different_example(runs: Mapping[str, Mapping[str, np.ndarray]], labels: Iterable[int]) -> int:
    """The example image on which runs differ most about some labels after their last step.

    Args:
        runs: By method, the `RunFolder.examples` of runs that show the same images.
        labels: Labels whose pixels count.

    Returns:
        The image's index: between the best and the worst run, the number of right pixels of these labels differs most;
        the first of equals.
    """
    examples = list(runs.values())
    counted = np.isin(examples[0]["masks"], list(labels))
    right = [(counted & (run["predictions"][-1] == run["masks"])).sum((1, 2)) for run in examples]
    return int(np.argmax(np.max(right, axis=0) - np.min(right, axis=0)))


def run_folders(paths: Iterable[str | Path], strict: bool = True) -> list[Path]:
    """The folders with results among `paths` and below them.

    A `results.csv` of another program is left out, with a line on stderr.

    Args:
        paths: Folders, or patterns such as `runs/*`.
        strict: Whether a run that has lost its results is an error; otherwise it is left out like another program's.

    Raises:
        FileNotFoundError: There is none.
        DamagedError: One has lost its results.
    """
    patterns = [str(expanded(path)) for path in paths]
    named = [Path(match) for pattern in patterns for match in sorted(glob.glob(pattern)) or [pattern]]
    for seal in (seal for path in named for seal in path.rglob(".results.csv.sha256")):
        if not (lost := seal.with_name("results.csv")).exists():
            error = seals.DamagedError(lost, "missing")
            if strict:
                raise error
            log(f"{lost.parent}: left out: {error}")
    folders = [
        folder
        for path in named
        for folder in (path, *sorted(p.parent for p in path.rglob("results.csv")))
        if (folder / "results.csv").is_file()
    ]
    unique: dict[Path, Path] = {}
    for folder in folders:
        unique.setdefault(folder.resolve(), folder)
    own = []
    for folder in unique.values():
        if _is_foreign(folder / "results.csv"):
            log(f"{folder / 'results.csv'}: left out, its columns are not those of a run")
        else:
            own.append(folder)
    if not own:
        raise FileNotFoundError(
            f"no results.csv of a run in or below {', '.join(map(str, named)) or 'nothing'}; name run folders"
        )
    return own


def _is_foreign(path: Path) -> bool:
    """Whether the columns are not those of a run. Where they cannot be read, settings next to them decide."""
    if seals.sealed_digests(path):
        return False
    try:
        return not set(REQUIRED_COLUMNS) <= set(pd.read_csv(path, nrows=0, encoding_errors="replace"))
    except ValueError:  # empty, or no table
        return not (path.parent / "settings.yaml").is_file()


def load_results(*paths: str | Path) -> pd.DataFrame:
    """The rows of the `results.csv` of all runs in and below some folders.

    Runs of one method that differ in more than the seed are not repetitions of each other: their `method` also says
    what differs, e.g. `plop (optim.lr 0.01)`, or the folder where the very same run was made twice.

    Args:
        paths: Run folders, folders that hold them, or patterns such as `runs/*`.

    Returns:
        The rows, with a further column `run`, the folder.

    Raises:
        FileNotFoundError: There is no run.
        ValueError: A file is damaged.

    Example:
        >>> results = load_results("runs")
        >>> print(report(results))
    """
    tables = {path: read_results(path / "results.csv") for path in run_folders(paths)}
    keys = pd.DataFrame([table[KEYS].iloc[0] for table in tables.values()], index=list(tables))
    for _, runs in keys.groupby(["scenario", "method"], sort=False):
        for path, differing in _differences(runs["seed"].to_dict()).items():
            tables[path]["method"] += f" ({differing})" if differing else ""
    return pd.concat([table.assign(run=str(path)) for path, table in tables.items()], ignore_index=True)


def _differences(seeds: dict[Path, int]) -> dict[Path, str]:
    """How runs of one method differ apart from their seeds: as few settings as suffice, then the folder."""
    settings = _in_words({path: _decisive(path) for path in seeds})
    names = dict.fromkeys(name for values in settings.values() for name in values)
    labels: dict[Path, tuple[str, ...]] = dict.fromkeys(seeds, ())
    for name in names:
        more = {
            path: (*labels[path], f"{name} {values[name]}") if name in values else labels[path]
            for path, values in settings.items()
        }
        if len(set(more.values())) > len(set(labels.values())):
            labels = more
    alike = defaultdict(list)
    for path, seed in seeds.items():
        alike[seed, labels[path]].append(path)
    for twins in alike.values():
        if len(twins) > 1:
            short = len({path.name for path in twins}) == len(twins)
            labels |= {path: (*labels[path], path.name if short else str(path)) for path in twins}
    return {path: ", ".join(words) for path, words in labels.items()}


def _decisive(path: Path) -> dict[str, Any]:
    """The settings by which two runs of one method may differ; none where only the tables have been copied."""
    file = path / "settings.yaml"
    if not file.is_file():
        if seals.seal_file(file).is_file():
            raise seals.DamagedError(file, "missing")
        return {}
    seals.check(file)
    settings = from_yaml(file)
    values = flat(settings.identity())
    del values["data.root"]  # VOC is the same everywhere
    if _may_be_users_own(settings.scenario):
        values["data.root"] = _images_of(path / "data.txt", str(settings.data.root))
    return {name: value for name, value in values.items() if name not in KEYS}


class _Images(NamedTuple):
    """A user's images: those of the same content are the same, wherever they are."""

    root: str
    content: str


def _images_of(path: Path, root: str) -> _Images:
    """The images that a run's data.txt notes; known by their place where it notes none."""
    noted = path.read_text(encoding="utf-8", errors="replace").split() if path.is_file() else []
    return _Images(root, " ".join(noted[:2]) or root)


def _in_words(settings: dict[Path, dict[str, Any]]) -> dict[Path, dict[str, Any]]:
    """Images are named by where they were first, and by their content as well where others were there."""
    places: dict[str, str] = {}
    for values in settings.values():
        if isinstance(images := values.get("data.root"), _Images) and images.content not in places:
            taken = images.root in places.values()
            places[images.content] = f"{images.root} with images {images.content[:8]}" if taken else images.root
    return {
        path: {name: places[value.content] if isinstance(value, _Images) else value for name, value in values.items()}
        for path, values in settings.items()
    }


def _may_be_users_own(scenario: str) -> bool:
    """Whether two folders may be two data sets: where the images are the user's own, or the data set is unknown."""
    return is_of_unknown_data_set(scenario) or DATASETS[read_words(scenario).dataset].is_users_own


def compare(results: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds of each method's groups at each step.

    Args:
        results: Rows of `load_results`.

    Returns:
        Index (scenario, method, step); columns `seeds`, then those of `summarise`, in percent, then `later_seconds` and
        `stored_mb` as of `plopkit.runs.costs.costs`, missing where they are for one of the seeds.
    """
    row = ["scenario", "method", "step"]
    grouped = summarise(results).groupby(row, sort=False)
    table = grouped[measure_names()].mean()
    table.insert(0, "seeds", grouped["seed"].nunique())
    paid = costs(results).groupby(row, sort=False)[COSTS]
    return table.join(paid.mean().where(paid.count().eq(paid.size(), axis=0)))


def published(scenario: str) -> pd.DataFrame:
    """The papers' rows for a scenario, mIoU in percent after the last step.

    Args:
        scenario: Data set, task and protocol; a scenario with a class order has no rows, nor has one of a data set that
            plopkit does not know, such as that of a plugin which is not loaded.

    Returns:
        The rows of `published.csv`; empty where the papers have none.

    Raises:
        ValueError: As for `Scenario.parse`.

    Example:
        >>> published("voc 15-5 overlap")[["method", "all", "source"]]
    """
    table = pd.read_csv(resources.path("published.csv"), keep_default_na=True)
    canonical = scenario if is_of_unknown_data_set(scenario) else check(scenario)
    chosen = table["dataset"] + " " + table["task"] + " " + table["protocol"] == canonical
    return table[chosen].reset_index(drop=True)


def report(results: pd.DataFrame) -> str:
    """The comparison of `load_results` as text, scenario by scenario, with the published rows where there are any."""
    parts = []
    for scenario, table in compare(results).groupby(level="scenario", sort=False):
        shown = table[["seeds", *SHOWN, *COSTS]].droplevel("scenario").reset_index()
        parts.append(f"{scenario}: mIoU in percent on the validation set, mean over seeds")
        parts.append(shown.to_string(index=False, float_format="{:.1f}".format, na_rep="-"))
        own = results[results["scenario"] == scenario]
        parts.append(domain_report(load_domains(own)) if has_domains(str(scenario)) else _most_forgotten(own))
        papers = published(str(scenario))
        if len(papers):
            columns = ["method", "old", "new", "all", "avg", "background_counted", "source"]
            parts.append("\npublished, after the last step:")
            parts.append(papers[columns].to_string(index=False, float_format="{:.1f}".format, na_rep="-"))
        parts.append("")
    parts += [*LEGEND, *LEGEND_OF_COSTS]
    return printable("\n".join(parts))


def _most_forgotten(results: pd.DataFrame, shown: int = 3) -> str:
    """A line per method: the mean forgetting of step 0's classes, and the classes that lost most, in points."""
    table = forgetting_table(results)
    table = table[(table["learned_at"] == 0) & (table["label"] > 0)]
    lines = ["forgetting of the classes of step 0, in points of IoU:"]
    for method, rows in table.groupby("method", sort=False):
        classes = rows.groupby("name", sort=False)["forgetting"].mean().sort_values(ascending=False)
        worst = ", ".join(f"{one_line(name)} {lost:.0f}" for name, lost in classes.head(shown).items())
        lines.append(f"  {one_line(method)}: mean {classes.mean():.1f}; most: {worst}")
    return "\n".join(lines)
