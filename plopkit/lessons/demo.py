"""The demo: notebook 06 under papermill for three methods on one scenario, then the comparison and its pictures."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from plopkit.catalogue import DATASETS
from plopkit.grammar import read_words
from plopkit.presets import configure
from plopkit.runs.report import draw
from plopkit.runs.results import load_results, report
from plopkit.runs.written import folder_of
from plopkit.support import resources
from plopkit.support.bars import redraws
from plopkit.support.places import expanded
from plopkit.support.printable import printable

METHODS = ("ft", "mib", "plop")


def run_demo(
    out: Path,
    scenario: str,
    preset: str,
    seed: int,
    progress: bool = True,
    overrides: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Execute notebook 06 for each method, then print the table of results and the files that were made.

    Args:
        out: The folder for notebooks, runs and pictures.
        scenario: The scenario, such as "emoji 15-5 overlap".
        preset: The preset's name.
        seed: The runs' random seed.
        progress: Whether to show progress bars.
        overrides: Further settings of all runs, by dotted name.

    Raises:
        ValueError: Papermill is not installed, or a cell of a notebook failed.
    """
    out = expanded(out).absolute()
    notebooks, runs = [], []
    for method in METHODS:
        print(f"\n{method} on {scenario}, preset {preset}, seed {seed}", flush=True)
        notebook = out / "notebooks" / f"06_train_scenario_{method}.ipynb"
        parameters = {"scenario": scenario, "method": method, "preset": preset, "out": str(out / "runs")}
        execute(notebook, parameters | {"overrides": {**overrides, "seed": seed}}, progress)
        notebooks.append(notebook)
        settings = configure(scenario, method, preset, {**overrides, "seed": seed, "out": out / "runs"})
        runs.append(folder_of(settings).path)
    results = load_results(*runs)
    print("\n" + report(results))
    print(DATASETS[read_words(scenario).dataset].credit)
    for path in (*notebooks, *draw(results, out / "pictures")):
        print(printable(str(path)))


def execute(notebook: Path, parameters: dict[str, object], progress: bool) -> None:
    """Execute notebook 06 with these parameters, and save it with its outputs as `notebook`."""
    try:
        import papermill
    except ImportError as error:
        raise ValueError(
            f"the demo runs a notebook ({error}); install what it needs: "
            "python -m pip install ipykernel ipywidgets papermill"
        ) from error
    notebook.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            resources.notebook("06_train_scenario.ipynb"),
            notebook,
            parameters,
            cwd=notebook.parents[1],
            progress_bar=progress and redraws(),
        )
    except papermill.PapermillExecutionError as error:
        raise ValueError(f"{notebook}: {error.ename}: {error.evalue}") from error
