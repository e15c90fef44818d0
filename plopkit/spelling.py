"""Settings told in other words: what differs from their preset, as a command line and as papermill's parameters."""

import shlex
from typing import Any

import yaml

from plopkit.presets import configure
from plopkit.settings import Settings, flat


def overrides_of(settings: Settings, preset: str) -> dict[str, Any]:
    """The dotted settings, as plain values, that differ from those of the preset for this scenario and method.

    ``configure(settings.scenario, settings.method, preset, overrides_of(settings, preset))`` gives the same settings.
    """
    usual = flat(configure(settings.scenario, settings.method, preset).model_dump(mode="json"))
    own = flat(settings.model_dump(mode="json"))
    return {name: value for name, value in own.items() if value != usual[name]}


def command_line(settings: Settings, preset: str) -> str:
    """The ``plopkit run`` command that means these settings, quoted for a shell."""
    words = ["--method", settings.method, "--preset", preset]
    for name, value in overrides_of(settings, preset).items():
        words += _flag(name, value)
    return f'plopkit run "{settings.scenario}" {shlex.join(words)}'  # a scenario has no sign that a shell would take


def parameters(settings: Settings, preset: str) -> dict[str, Any]:
    """The parameters cell of a notebook that means these settings."""
    overrides = overrides_of(settings, preset)
    return {
        "scenario": settings.scenario,
        "method": settings.method,
        "preset": preset,
        "data_root": overrides.pop("data.root", None),
        "out": overrides.pop("out", str(configure().out)),
        "overrides": overrides,
    }


def parameters_yaml(settings: Settings, preset: str) -> str:
    """The same as the file that ``papermill -f`` takes."""
    return yaml.safe_dump(parameters(settings, preset), sort_keys=False)


def _flag(name: str, value: Any) -> list[str]:
    """A flag as tyro reads it: ``--data.scale 0.5 1.0``, ``--compute.no-cpu``, ``--model.pool None``."""
    *groups, last = name.replace("_", "-").split(".")
    if isinstance(value, bool):
        return ["--" + ".".join([*groups, last if value else f"no-{last}"])]
    dashed = "--" + ".".join([*groups, last])
    if isinstance(value, list):
        return [dashed, *map(str, value)]
    return [f"{dashed}={value}"] if str(value).startswith("-") else [dashed, str(value)]
