"""Draw the README's pictures from the demo's runs (`make pictures`); trains what `make demo` has not."""

import argparse
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

import plopkit
from plopkit import viz
from plopkit.lessons import pod, pseudo, training
from plopkit.pseudo import median_thresholds

HERE = Path(__file__).resolve().parent
SCENARIO = "emoji 15-5 overlap"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="laptop", choices=plopkit.PRESETS)
    parser.add_argument("--runs", type=Path, default=HERE.parent / "runs/demo/runs", help="folder of the runs")
    parser.add_argument("-o", type=Path, dest="pictures", default=HERE, help="folder for the PNG files")
    args = parser.parse_args()
    args.pictures.mkdir(parents=True, exist_ok=True)
    experiments = {
        method: plopkit.Experiment.open(plopkit.configure(SCENARIO, method, args.preset, {"out": args.runs}))
        for method in ("ft", "mib", "plop")
    }
    runs = {method: experiment.run() for method, experiment in experiments.items()}
    figures = {
        "forgetting": forgetting(experiments),
        "curves": viz.forgetting_curves(
            pd.concat([run.summary for run in runs.values()], ignore_index=True), f"Forgetting on {SCENARIO}"
        ),
        "drift": drift(experiments),
        "pseudo_labels": pseudo_labels(experiments["plop"]),
    }
    for name, figure in figures.items():
        figure.savefig(args.pictures / f"{name}.png", dpi=110)
        print(args.pictures / f"{name}.png")


def forgetting(experiments: dict[str, plopkit.Experiment]) -> Figure:
    """The validation image that shows best what fine-tuning has lost and PLOP has kept."""
    chosen = {method: experiments[method] for method in ("ft", "plop")}
    titles, data = [plopkit.METHODS[method].title for method in chosen], experiments["ft"].data
    example = training.telling_example(chosen)
    return training.story(example, titles, data.val.classes, f"One image after {SCENARIO}", data.val.credit)


def drift(experiments: dict[str, plopkit.Experiment]) -> Figure:
    """Where fine-tuning and PLOP have drifted from their teacher."""
    data, step = experiments["plop"].data, experiments["plop"].scenario.steps[1]
    batch = data.samples(step, 6, "val")
    teacher = pod.outputs_of(experiments["plop"].net(0), batch.images)
    heats = {}
    for method in ("ft", "plop"):
        output = pod.outputs_of(experiments[method].net(1), batch.images)
        maps = pod.pod_maps(output, teacher, step.n_old, (1, 2, 4))
        heats[plopkit.METHODS[method].title] = maps.regions["stage 3", 4][:2]
    return pod.drift_maps(
        batch.pictures[:2],
        batch.masks[:2],
        heats,
        pod.pod_layers(teacher, step.n_old)["stage 3"].shape[2:],
        step.old,
        data.val.classes,
        "Local POD: where the nets have drifted from their teacher",
        data.val.credit,
    )


def pseudo_labels(experiment: plopkit.Experiment) -> Figure:
    """Two training images, from the teacher's prediction to the new target."""
    data, step = experiment.data, experiment.scenario.steps[1]
    batch = data.samples(step, 64)
    logits = pseudo.outputs_of(experiment.net(0), batch.images).logits
    medians = median_thresholds([(logits, batch.target)], step.n_old, step.n_seen)
    images = pseudo.label_images(logits, batch.pictures, batch.target, batch.masks, step, medians)
    panels = ["image", "training mask", "teacher", "uncertainty", "confident (white)", "target"]
    title = "Pseudo-labels: where the teacher is confident"
    return pseudo.pseudo_rows(images[:2], panels, data.val.classes, title, data.val.credit)


if __name__ == "__main__":
    main()
