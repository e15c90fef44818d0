"""How fast the lessons' explorers respond: each control is moved through its values, in a real kernel.

    .venv/bin/python benchmarks/widgets.py --out notebooks/runs

Lessons whose runs are not in --out train them first. A line per lesson: median and slowest response in milliseconds.
"""

import argparse
from pathlib import Path

import nbformat
import papermill

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
TIMING = """
import time
import numpy as np
seconds, seen = [], [explorer.values]
for name, control in explorer.controls.items():
    if hasattr(control, "options"):
        values = [option[1] if isinstance(option, tuple) else option for option in control.options]
    elif hasattr(control, "min"):
        values = list(np.linspace(control.min, control.max, 7).astype(type(control.value)))
    else:
        continue
    for value in values[:8]:
        state = explorer.values | {name: value}
        if state in seen:
            continue  # the picture is cached
        seen.append(state)
        start = time.perf_counter()
        control.value = value
        seconds.append(time.perf_counter() - start)
ms = 1000 * np.array(seconds)
print(f"EXPLORER {len(ms)} responses, median {np.median(ms):.0f} ms, slowest {ms.max():.0f} ms")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=NOTEBOOKS / "runs", help="the lessons' runs")
    parser.add_argument("--preset", default="laptop")
    parser.add_argument("--work", type=Path, default=Path("build/widgets"), help="folder for executed notebooks")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    for path in sorted(NOTEBOOKS.glob("0*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        cells = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code" and "explorer =" in cell.source]
        if not cells:
            continue
        notebook.cells = [*notebook.cells[: cells[0] + 1], nbformat.v4.new_code_cell(TIMING)]
        timed = args.work / path.name
        nbformat.write(notebook, timed)
        parameters = {"preset": args.preset, "out": str(args.out.absolute())}
        executed = papermill.execute_notebook(timed, timed, parameters, progress_bar=False, cwd=args.work)
        lines = [line for output in executed.cells[-1].outputs for line in output.get("text", "").splitlines()]
        print(path.stem, *(line.removeprefix("EXPLORER ") for line in lines if line.startswith("EXPLORER")), flush=True)


if __name__ == "__main__":
    main()
