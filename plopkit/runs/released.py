"""Checkpoints from elsewhere, one per step, evaluated as a run of one's own would be: the same tables and pictures."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from accelerate import PartialState

from plopkit.datasets import n_labels
from plopkit.model.checkpoints import load_published, save_published
from plopkit.presets import configure, settle
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.folder import RunFolder
from plopkit.scenario import Scenario
from plopkit.settings import Settings, digest


def evaluate_checkpoints(settings: Settings, paths: Sequence[Path], progress: bool = True) -> RunFolder:
    """Evaluate published checkpoints, the first of step 0, and give the folder of results.

    The net is the checkpoints' own; of ``settings`` count the scenario, the data, the output stride, the head's pooling
    and where results go. ValueError where a checkpoint's channels are not those of its step, or their number is not
    that of the steps.
    """
    stride, pool, norm = settings.model.output_stride, settings.model.pool, settings.model.norm
    dataset = settings.scenario.split()[0]
    scenario = Scenario.parse(settings.scenario, n_labels(dataset, settings.data))
    if len(paths) != len(scenario.steps):
        raise ValueError(
            f"{scenario} has {len(scenario.steps)} steps, but {len(paths)} checkpoints are given; give one for each, "
            "in order"
        )
    nets = [load_published(path, stride, pool, norm) for path in paths]
    for step, path, net in zip(scenario.steps, paths, nets, strict=True):
        expected = tuple(len(one.new) for one in scenario.steps[: step.index + 1])
        if net.classes != expected:
            raise ValueError(
                f"{path}: its classifiers have {net.classes} channels; step {step.index} of {scenario} has {expected}"
            )
        if (net.encoder.name, net.head.width) != (nets[0].encoder.name, nets[0].head.width):
            raise ValueError(
                f"{path}: a {net.encoder.name} with a head {net.head.width} wide, but {paths[0]} is a "
                f"{nets[0].encoder.name} with one {nets[0].head.width} wide; the steps of one run have one kind of net"
            )
    own = {"encoder": nets[0].encoder.name, "width": nets[0].head.width, "dilations": (), "slope": 0.01, "stages": None}
    model = settings.model.model_copy(update=own | {"weights": "none"})
    settings = settle(settings.model_copy(update={"model": model}))
    files = digest([hashlib.sha256(path.read_bytes()).hexdigest() for path in paths])
    named = settings.name or f"{settings.folder().name}_released_{files}"
    experiment = Experiment(settings.model_copy(update={"name": named}), checkpoints=files)
    stores = [StepStore(experiment.folder.checkpoints, step.index) for step in scenario.steps]
    missing = [(store, net) for store, net in zip(stores, nets, strict=True) if not store.checkpoint.is_file()]
    if experiment.main and missing:
        with experiment.folder.locked():
            for store, net in missing:
                store.finish(net.state_dict(), [], {"classes": json.dumps(net.classes)})
    PartialState().wait_for_everyone()
    return experiment.run(progress)


def tiny_checkpoint(folder: Path | str) -> tuple[RunFolder, list[Path]]:
    """A net in place of a released one, for who has none: ResNet-18 from random weights, trained for seconds.

    Its run in ``folder``, and a file for each of its steps in the official layout.
    """
    tiny = {"model.encoder": "resnet18", "model.weights": "none", "model.dilations": ()}
    few = {"data.scenes": 40, "data.val_scenes": 20, "out": folder}
    trained = run(configure("emoji 15-5 overlap", "ft", "smoke", tiny | few))
    return trained, export(trained.path, "official", trained.path / "exported")


def export(run: Path, layout: str, out: Path) -> list[Path]:
    """A run's checkpoints in the layout of the official code or of cssegmentation; the files written.

    FileNotFoundError where the folder is no run's, or lacks what a run leaves.
    """
    folder = RunFolder(run)
    if not folder.evaluated():
        raise FileNotFoundError(f"{run}: no finished step in it; name a run folder")
    if not (run / "settings.yaml").is_file():
        raise FileNotFoundError(f"{run}: no settings.yaml in it, which tells its net; copy the whole run folder")
    written = []
    for index in range(folder.evaluated()):
        written.append(out / f"step-{index}.pth")
        save_published(folder.net(index), written[-1], layout)
    return written
