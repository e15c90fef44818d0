"""Finished runs side by side: their pictures, and all of it on one page that can be sent."""

import html
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from plopkit import viz
from plopkit.results import load_results, report, summarise
from plopkit.runfolder import RunFolder
from plopkit.viz.png import encoded, png, save
from plopkit.writing import write_text

STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em} "
    "pre{overflow-x:auto;font-size:13px} img{max-width:100%} h2{margin-top:2em}"
)


def pictures(results: pd.DataFrame) -> Iterator[tuple[str, Figure]]:
    """Names and figures: the curves of each scenario, and a strip per example image with the methods side by side.

    results: rows of ``load_results``.
    """
    for scenario, rows in results.groupby("scenario", sort=False):
        name = str(scenario).replace(" ", "_")
        yield f"{name}_curves", viz.forgetting_curves(summarise(rows), f"Forgetting on {scenario}")
        examples = _examples(rows)
        stems = next(iter(examples.values()))["stems"]
        comparable = all(list(other["stems"]) == list(stems) for other in examples.values())
        for index in range(len(stems) if comparable else 0):
            yield f"{name}_image{index}", viz.strips(examples, index, f"{stems[index]} through {scenario}")


def draw(paths: Sequence[str | Path], folder: Path) -> list[Path]:
    """The pictures as PNG in a folder; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, figure in pictures(load_results(*paths)):
        drawn.append(folder / f"{name}.png")
        save(figure, drawn[-1])
    return drawn


def write_page(paths: Sequence[str | Path], page: Path) -> None:
    """One HTML file with the tables, the pictures and the settings: nothing beside it is needed to read it."""
    results = load_results(*paths)
    parts = [f"<h2>Tables</h2>\n<pre>{html.escape(report(results))}</pre>", "<h2>Pictures</h2>"]
    for name, figure in pictures(results):
        picture = encoded(png(figure, dpi=110, level=6))
        parts.append(f'<p><img alt="{html.escape(name)}" src="data:image/png;base64,{picture}"></p>')
    parts.append("<h2>Runs and their settings</h2>")
    for run in dict.fromkeys(results["run"]):
        settings = (Path(run) / "settings.yaml").read_text(encoding="utf-8")
        parts.append(f"<details><summary>{html.escape(run)}</summary><pre>{html.escape(settings)}</pre></details>")
    title = html.escape(", ".join(dict.fromkeys(results["scenario"])))
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>plopkit: {title}</title><style>{STYLE}</style>'
    page.parent.mkdir(parents=True, exist_ok=True)
    write_text(page, "\n".join([head, f"<h1>{title}</h1>", *parts, "</html>\n"]))


def _examples(rows: pd.DataFrame) -> dict[str, dict]:
    """The example images of each method's first seed."""
    first_seed = rows[rows["seed"] == rows["seed"].min()]
    named = first_seed.drop_duplicates("run")  # load_results has made the methods' names differ where runs do
    return {m: RunFolder(Path(run)).examples for m, run in zip(named["method"], named["run"], strict=True)}
