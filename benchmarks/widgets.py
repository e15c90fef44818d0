"""How long the lessons' explorers take for an answer: each control moved through its values, in a real kernel.

    .venv/bin/python benchmarks/widgets.py --out notebooks/runs

Lessons whose runs are not in --out train them first. A line per lesson: median and slowest answer in milliseconds.
"""

import argparse
from pathlib import Path

import nbformat
import papermill

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
TIMING = """
import time
import numpy as np
seconds, shown = [], [explorer.values]
for name, control in explorer.controls.items():
    if hasattr(control, "options"):
        values = [option[1] if isinstance(option, tuple) else option for option in control.options]
    elif hasattr(control, "min"):
        values = list(np.linspace(control.min, control.max, 7).astype(type(control.value)))
    else:
        continue
    for value in values[:8]:
        wanted = explorer.values | {name: value}
        if wanted in shown:
            continue  # a picture that is kept is no answer
        shown.append(wanted)
        start = time.perf_counter()
        control.value = value
        seconds.append(time.perf_counter() - start)
moved = 1000 * np.array(seconds)
print(f"EXPLORER {len(moved)} answers, median {np.median(moved):.0f} ms, slowest {moved.max():.0f} ms")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=NOTEBOOKS / "runs", help="the lessons' runs")
    parser.add_argument("--preset", default="laptop")
    parser.add_argument("--work", type=Path, default=Path("build/widgets"), help="where executed notebooks are put")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    for path in sorted(NOTEBOOKS.glob("0*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        named = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code" and "explorer =" in cell.source]
        if not named:
            continue
        notebook.cells = [*notebook.cells[: named[0] + 1], nbformat.v4.new_code_cell(TIMING)]
        timed = given.work / path.name
        nbformat.write(notebook, timed)
        parameters = {"preset": given.preset, "out": str(given.out.absolute())}
        done = papermill.execute_notebook(timed, timed, parameters, progress_bar=False, cwd=given.work)
        told = [line for output in done.cells[-1].outputs for line in output.get("text", "").splitlines()]
        print(path.stem, *(line.removeprefix("EXPLORER ") for line in told if line.startswith("EXPLORER")), flush=True)


if __name__ == "__main__":
    main()
