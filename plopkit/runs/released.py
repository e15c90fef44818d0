"""External checkpoints, one per step, evaluated like one of your own runs: the same tables and pictures."""

import json
from collections.abc import Sequence
from pathlib import Path

from accelerate import PartialState

from plopkit.catalogue import METHODS
from plopkit.model.checkpoints import load_published, save_published
from plopkit.model.decoder import RELEASED_DILATIONS
from plopkit.model.decoders import settings_of_decoder
from plopkit.model.exported import ABOUT
from plopkit.model.segmenter import Segmenter
from plopkit.presets import configure, open_scenario, settle
from plopkit.recipes import WITH_MEMORY
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.exporting import about_net
from plopkit.runs.folder import RunFolder
from plopkit.runs.loading import load
from plopkit.scenario import Scenario
from plopkit.settings import Settings, digest
from plopkit.support.bars import notice
from plopkit.support.places import expanded
from plopkit.support.seals import digest_of

MADE_BY = {("decomposed", "sigmoid"): "dkd", ("unknown", "heads"): "ssul", ("segmenter", "sigmoid"): "star"}
"""The method by the kinds of its net and its classifier, for those that have no softmax."""


def evaluate_checkpoints(settings: Settings, paths: Sequence[Path], progress: bool = True) -> RunFolder:
    """Evaluate published checkpoints and return the folder of results.

    Args:
        settings: scenario, data, output stride, the decoder's pooling window, and where results go; the net is the
            checkpoints' own. A notice says so where its kind is not the method's, by whose rules it is evaluated.
        paths: one checkpoint per step, the first of step 0.
        progress: show progress bars.

    Raises:
        ValueError: where the number of checkpoints is not that of the steps, a checkpoint's channels are not those of
            its step, or they are of different nets.
        FileNotFoundError: where one is missing.
    """
    if settings.start.is_given:
        raise ValueError(
            f"start.checkpoint (--from) {settings.start.checkpoint} begins a training; here every step has its own "
            "checkpoint, so leave it out"
        )
    paths = [expanded(path) for path in paths]
    stride, pool, norm = settings.model.output_stride, settings.model.pool, settings.model.norm
    scenario = open_scenario(settings)
    if len(paths) != len(scenario.steps):
        raise ValueError(
            f"{scenario} has {len(scenario.steps)} steps, but {len(paths)} checkpoints are given; give one for each, "
            "in order"
        )
    nets = [load_published(path, stride, pool, norm) for path in paths]
    _check_nets(scenario, paths, nets)
    _compare_with_method(settings, nets[0])
    encoder, decoder = nets[0].encoder, nets[0].decoder
    own = {"encoder": encoder.name, "slope": encoder.slope, "stages": encoder.stages} | settings_of_decoder(decoder)
    if own.get("dilations") == RELEASED_DILATIONS.get(encoder.output_stride):
        own["dilations"] = ()
    model = settings.model.model_copy(update=own | {"weights": "none", "digest": ""})
    settings = settle(settings.model_copy(update={"model": model}))
    files = digest([digest_of(path) for path in paths])
    name = settings.name or f"{settings.folder().name}_released_{files}"
    experiment = Experiment.open(settings.model_copy(update={"name": name}), checkpoints=files)
    stores = [StepStore(experiment.folder.checkpoints, step.index) for step in scenario.steps]
    missing = [
        (store, net)
        for store, net in zip(stores, nets, strict=True)
        if not store.checkpoint.is_file() or store.problem() is not None
    ]
    if experiment.main and missing:
        with experiment.folder.locked():
            for store, net in missing:
                if problem := store.problem():
                    notice(f"{problem[0]}: {problem[1]}; made again from the checkpoint that is given")
                names = [experiment.data.val.classes[label] for label in scenario.steps[store.index].seen]
                store.finish(net, [], {}, names=names)
    PartialState().wait_for_everyone()
    return experiment.run(progress)


def _check_nets(scenario: Scenario, paths: Sequence[Path], nets: Sequence[Segmenter]) -> None:
    first = nets[0]
    for step, path, net in zip(scenario.steps, paths, nets, strict=True):
        expected = tuple(earlier.n_new for earlier in scenario.steps[: step.index + 1] if earlier.n_new)
        if net.classes != expected:
            raise ValueError(
                f"{path}: its classifiers have {net.classes} channels; step {step.index} of {scenario} has {expected}"
            )
        if (net.encoder.name, net.decoder.width) != (first.encoder.name, first.decoder.width):
            raise ValueError(
                f"{path}: a {net.encoder.name} with a decoder {net.decoder.width} wide, but {paths[0]} is a "
                f"{first.encoder.name} with one {first.decoder.width} wide; all steps of a run have the same net"
            )


def _compare_with_method(settings: Settings, net: Segmenter) -> None:
    """A notice where the net is of another kind than the method's."""
    made_by = MADE_BY.get((net.kind, net.classifier.kind))
    named = WITH_MEMORY.get(settings.method, settings.method)
    if made_by == named or (made_by is None and named not in MADE_BY.values()):
        return
    kind = "nets with a softmax" if made_by is None else f"nets of {METHODS[made_by].title}"
    notice(
        f"the checkpoints are {kind}, evaluated as {METHODS[settings.method].title}'s are: data.size "
        f"{settings.data.size}, future {settings.future}; --method {made_by or 'plop'} sets what belongs to them"
    )


def tiny_checkpoint(folder: Path | str) -> tuple[RunFolder, list[Path]]:
    """A small stand-in for released checkpoints: ResNet-18 from random weights, trained for seconds.

    Returns:
        Its run in ``folder``, and a file for each of its steps in the official layout.
    """
    tiny = {"model.encoder": "resnet18", "model.weights": "none", "model.dilations": ()}
    few = {"data.scenes": 40, "data.val_scenes": 20, "out": folder}
    trained = run(configure("emoji 15-5 overlap", "ft", "smoke", tiny | few))
    return trained, export(trained.path, "official", trained.path / "exported")


def export(run: Path, layout: str, out: Path, step: int | None = None) -> list[Path]:
    """Write a run's nets for inference, in the layout of the official code, of cssegmentation or of plopkit.

    Args:
        run: the run folder.
        layout: "official", "cssegmentation" or "plopkit", as in `plopkit.model.checkpoints.save_published`.
        out: the folder for step-0.pth, step-1.pth, …, or with layout "plopkit" step-0.safetensors, …
        step: the step whose net is written; None for all.

    Returns:
        The files written.

    Raises:
        FileNotFoundError: where the folder is not a run's, or lacks a file.
        ValueError: where the layout cannot hold the net.
    """
    folder, out = RunFolder(run), expanded(out)
    if not folder.evaluated():
        raise FileNotFoundError(f"{run}: no finished step in it; name a run folder")
    if not folder.settings_file.is_file():
        raise FileNotFoundError(f"{run}: no settings.yaml in it; copy the whole run folder")
    steps = range(folder.evaluated())
    if step is not None and step not in steps:
        raise FileNotFoundError(f"{run}: step {step} is not finished; there are 0 to {steps[-1]}")
    written = []
    for index in steps if step is None else [step]:
        written.append(out / f"step-{index}.{'safetensors' if layout == 'plopkit' else 'pth'}")
        if layout == "plopkit":
            predictor = load(folder.path, index, device="cpu")
            save_published(predictor.net, written[-1], layout, {ABOUT: json.dumps(about_net(predictor))})
        else:
            save_published(folder.net(index), written[-1], layout)
    return written
