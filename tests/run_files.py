"""The tables of a finished run, without training it."""

from pathlib import Path

import pandas as pd


def write_run(
    out: Path, preset: str, seed: int, n_steps: int = 2, iou: float | None = None, **overrides: object
) -> Path:
    """Write a folder as a run of PLOP on VOC 15-5 leaves it.

    Args:
        out: the folder for the run's folder.
        preset: of its settings.
        seed: of its settings.
        n_steps: number of finished steps.
        iou: class `label` has an IoU of iou + label; None for 10 seed + label.
        overrides: further settings by their dotted names.

    Returns:
        The run's folder.
    """
    from plopkit.presets import configure
    from plopkit.runs.results import summarise
    from plopkit.settings import to_yaml
    from plopkit.support.files import write_table, write_text

    settings = configure("voc 15-5 overlap", "plop", preset, {"out": out, "seed": seed} | overrides)
    folder = settings.folder()
    write_text(folder / "settings.yaml", to_yaml(settings))
    base = 10.0 * seed if iou is None else iou
    rows = [
        {"scenario": settings.scenario, "method": "plop", "seed": seed, "step": step, "label": label}
        | {"name": str(label), "learned_at": int(label > 15), "iou": base + label, "accuracy": 0.0, "pixels": 1}
        for step in range(n_steps)
        for label in range(21 if step else 16)
    ]
    write_table(folder / "results.csv", pd.DataFrame(rows))
    write_table(folder / "summary.csv", summarise(pd.DataFrame(rows)))
    return folder
