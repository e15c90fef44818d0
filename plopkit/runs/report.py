"""Finished runs side by side: their pictures, and a page with tables, pictures and settings in one file."""

import html
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from plopkit import viz
from plopkit.grammar import has_domains
from plopkit.runs.domains import domain_means, load_domains
from plopkit.runs.folder import RunFolder
from plopkit.runs.results import report, summarise
from plopkit.support.files import make_folder, write_text
from plopkit.support.places import expanded, read_limited
from plopkit.support.plain_yaml import LARGEST
from plopkit.support.printable import printable
from plopkit.viz.figures import mime_bundle
from plopkit.viz.png import save

STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em} "
    "pre,.picture{overflow-x:auto} pre{font-size:13px} h2{margin-top:2em}"
)


class Strips(NamedTuple):
    """What the prediction strips of a scenario show."""

    seed: int
    examples: dict[str, dict[str, np.ndarray]]
    """By method, examples of the same images."""
    left_out: list[str]
    """Methods left out of the strips, each with the reason."""


def strips_of(results: pd.DataFrame) -> dict[str, Strips]:
    """By scenario, the runs of the seed that most methods share, where these show the same images.

    Emoji scenes of another seed are other images, though their names are the same.

    Args:
        results: Rows of `load_results`.
    """
    return {str(scenario): _strips(rows) for scenario, rows in results.groupby("scenario", sort=False)}


def pictures(results: pd.DataFrame, strips: Mapping[str, Strips]) -> Iterator[tuple[str, Figure]]:
    """Yield names and figures: the curves of each scenario, and a strip of all methods per example image.

    Args:
        results: Rows of `load_results`.
        strips: What `strips_of` gives for them.
    """
    for scenario, rows in results.groupby("scenario", sort=False):
        name = str(scenario).replace(" ", "_")
        yield f"{name}_curves", viz.forgetting_curves(summarise(rows), f"Forgetting on {scenario}")
        if has_domains(str(scenario)):
            yield f"{name}_domains", viz.domain_curves(domain_means(load_domains(rows)), f"Domains of {scenario}")
        seed, examples, _ = strips[str(scenario)]
        for index, stem in enumerate(next(iter(examples.values()))["stems"] if examples else ()):
            yield f"{name}_image{index}", viz.strips(examples, index, f"{stem} through {scenario}, seed {seed}")


def draw(results: pd.DataFrame, folder: Path) -> list[str]:
    """Write the pictures as PNG files.

    Returns:
        A line for the path of each, and one for each method that the strips leave out.

    Raises:
        ValueError: The folder is a file.
    """
    folder = expanded(folder)
    make_folder(folder)
    strips = strips_of(results)
    drawn = []
    for name, figure in pictures(results, strips):
        drawn.append(str(folder / f"{name}.png"))
        save(figure, folder / f"{name}.png")
    return drawn + _left_out(strips)


def write_page(results: pd.DataFrame, page: Path) -> None:
    """Write one HTML file with the tables, the pictures and the settings, which needs no other file.

    Args:
        results: Rows of `load_results`.
        page: The file.
    """
    strips = strips_of(results)
    parts = [f"<h2>Tables</h2>\n<pre>{html.escape(report(results))}</pre>", "<h2>Pictures</h2>"]
    parts += [f"<p>{_escaped(line)}</p>" for line in _left_out(strips)]
    for _, figure in pictures(results, strips):
        parts.append(f'<div class="picture">{mime_bundle(figure)["text/html"]}</div>')
    parts.append("<h2>Runs and their settings</h2>")
    for run in dict.fromkeys(results["run"]):
        path = Path(run) / "settings.yaml"
        settings = _shown_settings(path) if path.is_file() else "there is no settings.yaml"
        parts.append(f"<details><summary>{_escaped(run)}</summary><pre>{_escaped(settings)}</pre></details>")
    parts += ["<h2>Made by</h2>", f"<pre>{_escaped(made_by(dict.fromkeys(results['run'])))}</pre>"]
    title = _escaped(", ".join(dict.fromkeys(results["scenario"])))
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>plopkit: {title}</title><style>{STYLE}</style>'
    write_text(expanded(page), "\n".join([head, f"<h1>{title}</h1>", *parts, "</html>\n"]))


def made_by(runs: Iterable[str]) -> str:
    """A table of what made each run: a row for all its steps that were made alike."""
    lines, tables = [], []
    for run in runs:
        try:
            table = RunFolder(run).made_by
        except (ValueError, OSError) as error:
            lines.append(str(error))
            continue
        if table.empty:
            lines.append(f"{run}: nothing says what made it")
            continue
        alike = table.assign(date=table["date"].str[:10])
        names = [name for name in alike.columns if name not in ("run", "step", "date", "source")]
        grouped = alike.groupby(names, sort=False, as_index=False)
        rows = grouped.agg(steps=("step", _span), date=("date", "max"), source=("source", _sources))
        tables.append(rows.assign(run=Path(run).name)[["run", "steps", *names, "date", "source"]])
    table = pd.concat(tables).to_string(index=False) if tables else ""
    return "\n".join(filter(None, [table, *lines]))


def _span(steps: pd.Series) -> str:
    """Steps in short: 0-5."""
    first, last = int(steps.min()), int(steps.max())
    if first == last or steps.nunique() == last - first + 1:
        return str(first) if first == last else f"{first}-{last}"
    return ",".join(str(step) for step in sorted(set(steps)))


def _sources(digests: pd.Series) -> str:
    return " ".join(dict.fromkeys(digests))


def _shown_settings(path: Path) -> str:
    """The text of a run's settings, or why it is not shown."""
    try:
        return read_limited(path, LARGEST, "a file with the settings of a run").decode("utf-8", "replace")
    except (ValueError, OSError) as error:
        return str(error)


def _escaped(text: str) -> str:
    return html.escape(printable(text))


def _strips(rows: pd.DataFrame) -> Strips:
    runs = rows.drop_duplicates("run")  # load_results gives runs that differ in more than the seed different names
    seed = int(runs.groupby("seed")["method"].nunique().idxmax())  # the smallest of several
    shared = runs[runs["seed"] == seed]
    missing = dict.fromkeys(method for method in runs["method"] if method not in set(shared["method"]))
    left_out = [f"{method}: no run with seed {seed}" for method in missing]
    examples, alike = {}, defaultdict(list)
    for method, run in zip(shared["method"], shared["run"], strict=True):
        folder = RunFolder(run)
        if not (folder.path / "examples.npz").is_file():
            left_out.append(f"{method}: no examples.npz in {run}")
            continue
        examples[method] = folder.examples
        alike[examples[method]["images"].tobytes(), examples[method]["masks"].tobytes()].append(method)
    shown = max(alike.values(), key=len, default=[])
    left_out += [f"{method}: its images are not those of {shown[0]}" for method in examples if method not in shown]
    return Strips(seed, {method: examples[method] for method in shown}, left_out)


def _left_out(strips: Mapping[str, Strips]) -> list[str]:
    return [f"{scenario}: the strips leave out {line}" for scenario, strip in strips.items() for line in strip.left_out]
