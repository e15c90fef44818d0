"""``plopkit run``'s flags, which tyro makes from the settings models."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, make_dataclass
from typing import Annotated, Any

import tyro
from pydantic import BaseModel

from plopkit.methods import METHODS
from plopkit.presets import PRESETS, configure, method_of, settle
from plopkit.settings import Settings, build

RUN = 'Train a scenario: plopkit run "voc 15-5 overlap" --method plop --preset paper --data.root data/voc'


def parse_run(arguments: Sequence[str]) -> Settings:
    """The settings that a ``run`` command line means: its preset first, then its flags."""
    early = argparse.ArgumentParser("plopkit run", add_help=False, allow_abbrev=False)
    early.add_argument("--preset", default="laptop")
    early.add_argument("--method", default="plop")
    chosen, rest = early.parse_known_args(arguments)
    scenario = rest[0] if rest and not rest[0].startswith("-") else "emoji 15-5 overlap"
    base = configure(scenario, chosen.method, chosen.preset)
    given = _read_flags(base, rest)
    if given["scenario"] not in (scenario, base.scenario):  # it stands behind flags: its data set's preset counts
        given = _read_flags(configure(given["scenario"], chosen.method, chosen.preset), rest)
    return settle(build(Settings, given | {"method": chosen.method}))


def _read_flags(base: Settings, arguments: Sequence[str]) -> dict[str, Any]:
    """tyro's reading of the flags, over these settings."""
    made = _flags(base, {"scenario": base.scenario, "hyper": method_of(base)}, hidden="method")
    description = f"{RUN}. Also: --preset {'|'.join(PRESETS)} (laptop), --method {'|'.join(METHODS)} (plop)."
    return asdict(tyro.cli(made, args=arguments, prog="plopkit run", description=description))


def _flags(model: BaseModel, values: Mapping[str, Any], hidden: str = "") -> type:
    """A dataclass with the fields of a settings model: types and help for tyro.

    The bounds stay with ``build``, which tells of them by a setting's dotted name.
    """
    fields: list[Any] = []
    for name, info in type(model).model_fields.items():
        value = values.get(name, getattr(model, name))
        kind: Any = info.annotation
        if isinstance(value, BaseModel):
            fields.append((name, inner := _flags(value, {}), field(default_factory=inner)))
        elif name == "scenario":
            told = tyro.conf.arg(help=info.description, metavar="[SCENARIO]")
            fields.append((name, Annotated[kind, tyro.conf.Positional, told], field(default=value)))
        elif name != hidden:
            fields.append((name, Annotated[kind, tyro.conf.arg(help=info.description)], field(default=value)))
    made = make_dataclass(type(model).__name__, fields, frozen=True)
    made.__doc__ = type(model).__doc__
    return made
