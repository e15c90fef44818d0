"""Presets, literal, and ``configure``: a preset, then the data set's values, then the user's -> checked Settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plopkit.methods import METHODS, Method
from plopkit.settings import Settings, build, flat, nested
from plopkit.support.errors import unknown

Values = Mapping[str, Any]

# A key "plop: thresholds" is a hyper-parameter of that method; all others are settings.
PRESETS: dict[str, dict[str, Any]] = {
    # Seconds; proves that everything works, teaches nothing.
    "smoke": {
        "data.size": 64,
        "data.scenes": 80,
        "data.val_scenes": 40,
        "data.scale": (0.5, 1.0),
        "model.encoder": "efficientnet_lite0",
        "model.stages": 4,  # as in `laptop`
        "model.width": 32,
        "model.dilations": (1, 2),
        "model.pool": None,
        "optim.name": "adamw",
        "optim.lr": 2e-3,
        "optim.lr_later": 1e-3,
        "optim.epochs": 1,
        "optim.epochs_later": 1,
        "optim.batch": 4,  # a step of one class has few scenes
    },
    # `plopkit run "emoji 15-5 overlap"`: about four minutes on two cores.
    "laptop": {
        "data.size": 96,
        "data.scenes": 2000,
        "data.val_scenes": 300,
        "data.scale": (0.5, 1.0),
        "model.encoder": "efficientnet_lite0",
        "model.stages": 4,  # without the last, dilated stage: half the time
        "model.width": 128,
        "model.dilations": (1, 2, 3),  # the map has 6 x 6 pixels: the released 6, 12, 18 would see only its border
        "model.pool": None,
        "optim.name": "adamw",
        "optim.lr": 2e-3,
        "optim.lr_later": 1e-3,
        "optim.epochs": 4,
        "optim.epochs_later": 4,
        "optim.batch": 16,
        # Adam's steps do not grow with the loss, so only POD's weight against the cross-entropy counts: the released
        # 0.01, made for SGD, leaves no room to learn (benchmarks/README.md has the figures, those of `thresholds` too).
        "plop: pod": 0.001,
        "plop: pod_logits": 0.00005,
    },
    # One modern GPU: the published recipe at half the crop, in bf16.
    "gpu": {
        "data.size": 256,
        "data.scenes": 10_000,
        "data.val_scenes": 1000,
        "model.pool": 16,
        "compute.precision": "bf16",
        "compute.workers": 8,
    },
    # CVPR2021_PLOP's recipe: the defaults of Settings.
    "paper": {"compute.workers": 8},
}

# Photographs need more pixels than emoji do.
_PHOTOGRAPHS = {
    "data.size": 192,
    "data.scale": (0.5, 2.0),
    "model.dilations": (1, 3, 5),
    "optim.lr": 1e-3,
    "optim.lr_later": 3e-4,
    "optim.epochs": 5,
    "optim.epochs_later": 5,
    "plop: pod": 0.003,
    "plop: pod_logits": 0.00015,
}

# What a preset changes for one data set, or for one of its tasks.
BY_DATASET: dict[tuple[str, str], dict[str, Any]] = {
    ("laptop", "voc"): _PHOTOGRAPHS,
    ("laptop", "folder"): _PHOTOGRAPHS,
    ("gpu", "emoji"): {"data.size": 128, "data.scenes": 4000, "model.pool": None},
    ("paper", "voc 10-1"): {"optim.epochs_later": 10},
    ("paper", "ade"): {
        "optim.epochs": 60,
        "optim.epochs_later": 60,
        "plop: pod": 0.001,
        "plop: pod_logits": 0.00001,
    },
}

# What the lessons change of a preset: half the scenes show the gap between methods in two minutes.
LESSONS: dict[tuple[str, str], dict[str, Any]] = {("laptop", "emoji"): {"data.scenes": 1000, "data.val_scenes": 150}}


def configure(
    scenario: str = "emoji 15-5 overlap",
    method: str = "plop",
    preset: str = "laptop",
    overrides: Values | None = None,
    lesson: bool = False,
) -> Settings:
    """The settings of a run. ``overrides`` are dotted or nested: ``{"optim.lr": 0.01, "hyper": {"pod": 0.02}}``.

    lesson: with the fewer scenes of the lessons.

    ValueError for an unknown preset, method or setting, or a value out of bounds: it names what is known.
    """
    _among("preset", preset, PRESETS)
    kind = METHODS[_among("method", method, METHODS)]
    settings = build(Settings, {"scenario": scenario, "method": method})
    dataset, task = settings.scenario.split()[:2]
    values = PRESETS[preset] | BY_DATASET.get((preset, dataset), {}) | BY_DATASET.get((preset, f"{dataset} {task}"), {})
    values |= LESSONS.get((preset, dataset), {}) if lesson else {}
    own = f"{method}: "
    chosen = {key: value for key, value in values.items() if ": " not in key}
    chosen |= {f"hyper.{key.removeprefix(own)}": value for key, value in values.items() if key.startswith(own)}
    given = flat(overrides or {})
    if twice := {"scenario", "method"} & set(given):
        raise ValueError(f"{' and '.join(sorted(twice))}: arguments of their own, not overrides")
    return settle(build(Settings, nested(chosen | given | {"scenario": settings.scenario, "method": method})), kind)


def settle(settings: Settings, kind: type[Method] | None = None) -> Settings:
    """The same settings with every hyper-parameter of the method written out, and the root as an absolute path."""
    kind = kind or METHODS[_among("method", settings.method, METHODS)]
    hyper = build(kind, settings.hyper, "hyper.").model_dump(mode="json")
    root = settings.data.root and Path(settings.data.root).expanduser().absolute()
    data = settings.data.model_copy(update={"root": root})
    return settings.model_copy(update={"hyper": hyper, "data": data, "out": settings.out.expanduser()})


def method_of(settings: Settings) -> Method:
    """The method as a value, with these settings' hyper-parameters."""
    return build(METHODS[_among("method", settings.method, METHODS)], settings.hyper, "hyper.")


def _among(what: str, name: str, known: Mapping[str, Any]) -> str:
    if name in known:
        return name
    raise unknown(what, name, known)
