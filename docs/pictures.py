"""README's pictures, from the demo's runs on the embedded data: `make pictures`. Trains what `make demo` has not."""

import argparse
from pathlib import Path

import pandas as pd

import plopkit
from plopkit import viz
from plopkit.lessons import pod as pod_lesson
from plopkit.lessons import pseudo as pseudo_lesson
from plopkit.lessons.pod.measures import pod_maps
from plopkit.lessons.snapshots import outputs_of
from plopkit.pseudo import median_thresholds
from plopkit.runs.results import most_different_example

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="laptop", choices=plopkit.PRESETS)
    parser.add_argument(
        "--runs", type=Path, default=HERE.parent / "runs/demo/runs", help="where the runs are made, or lie already"
    )
    parser.add_argument("-o", type=Path, dest="pictures", default=HERE, help="the folder for the PNGs")
    given = parser.parse_args()
    given.pictures.mkdir(parents=True, exist_ok=True)
    scenario = "emoji 15-5 overlap"
    chosen = {"out": given.runs}
    settings = {m: plopkit.configure(scenario, m, given.preset, chosen) for m in ("ft", "mib", "plop")}
    experiments = {method: plopkit.Experiment(one) for method, one in settings.items()}
    runs = {method: experiment.run() for method, experiment in experiments.items()}
    data, step = experiments["plop"].data, experiments["plop"].scenario.steps[1]
    names, credit = data.val.classes, data.val.credit

    examples = {method: run.examples for method, run in runs.items()}
    index = most_different_example(examples, step.old[1:])
    summary = pd.concat([run.summary for run in runs.values()], ignore_index=True)
    batch = data.look(step, 6, "val")
    teacher = outputs_of(experiments["plop"].net(0), batch.images)
    scales = (1, 2, 4)
    drift = {}
    for method in ("ft", "plop"):
        maps = pod_maps(outputs_of(experiments[method].net(1), batch.images), teacher, step.n_old, scales)
        drift[plopkit.METHODS[method].title] = maps.regions["stage 3", 4][:2]
    shape = teacher.features[2].shape[2:]
    trained = data.look(step, 64)
    logits = outputs_of(experiments["plop"].net(0), trained.images).logits
    medians = median_thresholds([(logits, trained.target)], step.n_old, step.n_seen)
    shown = pseudo_lesson.shown(logits, trained.pictures, trained.target, trained.masks, step, medians)
    panels = ["image", "training mask", "teacher", "uncertainty", "sure (white)", "target"]
    figures = {
        "forgetting": viz.strips(examples, index, f"One image through {scenario}"),
        "curves": viz.forgetting_curves(summary, f"Forgetting on {scenario}"),
        "drift": pod_lesson.drift_maps(
            batch.pictures[:2],
            batch.masks[:2],
            drift,
            shape,
            step.old,
            names,
            "Local POD: where the nets have drifted from their teacher",
            credit,
        ),
        "pseudo_labels": pseudo_lesson.pseudo_rows(
            shown[:2], panels, names, "Pseudo-labels: where the teacher is sure", credit
        ),
    }
    for name, figure in figures.items():
        figure.savefig(given.pictures / f"{name}.png", dpi=110)
        print(given.pictures / f"{name}.png")


if __name__ == "__main__":
    main()
