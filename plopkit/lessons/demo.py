"""The demo: notebook 06 by papermill for three methods on one scenario, then the comparison and its pictures."""

from pathlib import Path

from plopkit.catalogue import DATASETS
from plopkit.grammar import read_words
from plopkit.presets import configure
from plopkit.runs.report import draw
from plopkit.runs.results import load_results, report
from plopkit.support import resources
from plopkit.support.bars import redraws

METHODS = ("ft", "mib", "plop")


def run_demo(out: Path, scenario: str, preset: str, seed: int, progress: bool = True) -> None:
    """Execute the notebook for each method, print the table and where everything lies."""
    try:
        import papermill
    except ImportError as error:
        raise ValueError(f"the demo runs a notebook ({error}); install plopkit[notebook]") from error
    out = out.absolute()
    notebooks, runs = [], []
    for method in METHODS:
        executed = out / "notebooks" / f"06_train_scenario_{method}.ipynb"
        executed.parent.mkdir(parents=True, exist_ok=True)
        print(f"\n{method} on {scenario}, preset {preset}, seed {seed}", flush=True)
        parameters = {"scenario": scenario, "method": method, "preset": preset, "out": str(out / "runs")}
        try:
            papermill.execute_notebook(
                resources.notebook("06_train_scenario.ipynb"),
                executed,
                parameters | {"overrides": {"seed": seed}},
                cwd=out,
                progress_bar=progress and redraws(),
            )
        except papermill.PapermillExecutionError as error:
            raise ValueError(f"{executed}: {error.ename}: {error.evalue}") from error
        notebooks.append(executed)
        runs.append(configure(scenario, method, preset, {"seed": seed, "out": out / "runs"}).folder())
    results = load_results(*runs)
    print("\n" + report(results))
    print(DATASETS[read_words(scenario).dataset].credit)
    for line in (*notebooks, *draw(results, out / "pictures")):
        print(line)
