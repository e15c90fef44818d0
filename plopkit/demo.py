"""The demo: notebook 06 by papermill for three methods on one scenario, then the comparison and its pictures."""

from collections.abc import Sequence
from pathlib import Path

from plopkit import facts, viz
from plopkit.datasets.emoji import CREDIT
from plopkit.presets import configure
from plopkit.results import load_results, report, summarise
from plopkit.runfolder import RunFolder
from plopkit.writing import replacing

METHODS = ("ft", "mib", "plop")


def run_demo(out: Path, scenario: str, preset: str, seed: int) -> None:
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
                facts.notebook("06_train_scenario.ipynb"), executed, parameters | {"overrides": {"seed": seed}}, cwd=out
            )
        except papermill.PapermillExecutionError as error:
            raise ValueError(f"{executed}: {error.ename}: {error.evalue}") from error
        notebooks.append(executed)
        runs.append(configure(scenario, method, preset, {"seed": seed, "out": out / "runs"}).folder())
    print("\n" + report(load_results(*runs)))
    print(CREDIT if scenario.startswith("emoji") else "")
    for path in (*notebooks, *draw_comparison(runs, out / "pictures")):
        print(path)


def draw_comparison(paths: Sequence[Path], pictures: Path) -> list[Path]:
    """Curves of all runs, and one strip per example image with the methods side by side, as PNG; their paths."""
    drawn = []
    pictures.mkdir(parents=True, exist_ok=True)
    results = load_results(*paths)
    for scenario, rows in results.groupby("scenario", sort=False):
        name = str(scenario).replace(" ", "_")
        summary = summarise(rows)
        figures = {f"{name}_curves": viz.forgetting_curves(summary, f"Forgetting on {scenario}")}
        first_seed = rows[rows["seed"] == rows["seed"].min()]
        named = first_seed.drop_duplicates("run")  # load_results has made the methods' names differ where runs do
        examples = {m: RunFolder(Path(run)).examples for m, run in zip(named["method"], named["run"], strict=True)}
        stems = next(iter(examples.values()))["stems"]
        comparable = all(list(other["stems"]) == list(stems) for other in examples.values())
        for index in range(len(stems) if comparable else 0):
            figures[f"{name}_image{index}"] = viz.strips(examples, index, f"{stems[index]} through {scenario}")
        for stem, figure in figures.items():
            drawn.append(pictures / f"{stem}.png")
            with replacing(drawn[-1]) as part:
                figure.savefig(part, dpi=130, format="png")
    return drawn
