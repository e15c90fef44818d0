"""A lesson inside another notebook, for services that open a single one, such as Colab."""

import ast
from typing import Any

from plopkit.support import resources


def run_lesson(name: str, **parameters: Any) -> None:
    """Show a lesson's texts and run its cells in the notebook that calls this.

    Args:
        name: the name of its file without the ending, such as "00_start_here".
        parameters: replace those of the lesson's first cell, as papermill's do.

    Raises:
        ValueError: not in a notebook, or the lesson has no such parameter.
        FileNotFoundError: there is no such lesson.
    """
    import nbformat
    from IPython import get_ipython
    from IPython.display import Markdown, display

    shell = get_ipython()
    if shell is None:
        raise ValueError("run_lesson shows a lesson in a notebook, and there is none; papermill runs lessons elsewhere")
    cells = nbformat.read(resources.notebook(f"{name}.ipynb"), as_version=4).cells
    known = {parameter for cell in cells if has_parameters(cell) for parameter in assigned(cell)}
    if unknown := sorted(parameters.keys() - known):
        raise ValueError(f"lesson {name} has no parameter {unknown[0]!r}; it has {', '.join(sorted(known))}")
    for cell in cells:
        if cell.cell_type == "markdown":
            display(Markdown(cell.source))
            continue
        shell.run_cell(cell.source).raise_error()
        if has_parameters(cell):
            shell.user_ns.update(parameters)


def has_parameters(cell: Any) -> bool:
    """Whether this is the cell whose values papermill replaces."""
    return "parameters" in cell.metadata.get("tags", ())


def assigned(cell: Any) -> set[str]:
    """The names that a cell's lines assign."""
    targets = [line.targets[0] for line in ast.parse(cell.source).body if isinstance(line, ast.Assign)]
    return {target.id for target in targets if isinstance(target, ast.Name)}
