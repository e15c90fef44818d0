"""Complete runs in a second or two, with fewer scenes, pixels and weights than the smoke preset."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from plopkit.runs.experiment import Experiment
    from plopkit.ticks import Tick

Place = tuple[int, int, int]

NARROW = (64, 32, 40, 48)
"""Widths of a released ResNet's stages in tests; of the usual net, writing 45 megabytes costs more than a small run."""

SMALL: dict[str, Any] = {
    "data.size": 64,  # the minimum for PLOP's four regions per side at stride 16
    "data.scenes": 40,
    "data.val_scenes": 20,
    "model.encoder": "test_efficientnet",
    "model.weights": "none",
    "model.width": 16,
    "model.dilations": (1,),
    "optim.batch": 8,
    "compute.cpu": True,
}

TWO_EPOCHS: dict[str, Any] = {"optim__epochs": 2, "optim__epochs_later": 2, "optim__batch": 4}
"""Further arguments of `small`: two epochs in every step."""


def small(out: Path, scenario: str = "emoji 15-5 overlap", method: str = "plop", **overrides: Any):
    """Settings of a small run in ``out``; write the dot of a setting as two underscores: ``optim__lr=0.1``."""
    from plopkit.presets import configure

    overrides = {name.replace("__", "."): value for name, value in overrides.items()}
    return configure(scenario, method, "smoke", SMALL | {"out": out} | overrides)


def ticks_until(experiment: "Experiment", stop: Callable[["Tick"], bool] = lambda tick: False) -> list[Place]:
    """Train until `stop` holds for a tick, then abandon the run.

    Returns:
        (step, epoch, iteration) of every tick.
    """
    places = []
    with contextlib.closing(experiment.ticks()) as ticks:  # type: ignore[type-var]
        for tick in ticks:
            places.append((tick.step, tick.epoch, tick.iteration))
            if stop(tick):
                break
    return places


def small_flags(out: Path) -> list[str]:
    """The same settings as flags of ``plopkit run``."""
    flags = ["--preset", "smoke", "--out", str(out)]
    for name, value in SMALL.items():
        dashed = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            flags.append(dashed)
        else:
            flags += [dashed, *map(str, value if isinstance(value, tuple) else (value,))]
    return flags


def leave_out_pictures(patch: pytest.MonkeyPatch) -> None:
    """Let runs draw no pictures, which would take longer than the rest of a small run."""
    patch.setattr("plopkit.runs.experiment.draw_pictures", lambda folder, title: None)


def leave_out_rehearsal(patch: pytest.MonkeyPatch) -> None:
    """Let opened runs not pass a blank batch through all steps first: for a run that another one like it has opened.

    It writes nothing, and takes its time at every opening, which is a fifth of that of a small run.
    """
    patch.setattr("plopkit.runs.experiment.dry_run", lambda *_: None)


def narrow_resnets(patch: pytest.MonkeyPatch) -> None:
    """Give the released ResNets narrow stages: the same layers and names, and a fiftieth of the weights."""
    patch.setattr("plopkit.model.resnet.WIDTHS", NARROW)


def contents(folder: Path, seals: bool = False) -> dict[str, bytes]:
    """The bytes of every file in a folder, by relative path.

    Args:
        folder: the folder.
        seals: whether to take the seals of the files as well, and what made the run, which names dates.
    """
    left_out = () if seals else (".sha256", "origin.json")
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.endswith(left_out)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
