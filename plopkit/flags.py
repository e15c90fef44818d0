"""Settings <-> the command line of `plopkit run`. tyro makes the flags from the settings models."""

import argparse
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, field, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from plopkit.catalogue import METHODS, plugins
from plopkit.config import HYPER, not_replaced, read_config
from plopkit.presets import PRESETS, draft, method_of, overrides_of, settle
from plopkit.recipes import NAMES
from plopkit.settings import Settings, build
from plopkit.support.moved import renamed
from plopkit.support.places import expanded

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


SCENARIO = "emoji 15-5 overlap"
FROM = {"start.checkpoint": "--from", "start.classes": "--from-classes", "start.step": "--from-step"}
"""Settings with a short flag, which help explains in its first words."""
DESCRIBED = ("memory",)
"""Groups of settings that help explains there as well, and does not list: most runs have none."""


def parse_run(arguments: Sequence[str], description: str = "Train a scenario.", preset: str = "laptop") -> Settings:
    """Parse the arguments of `plopkit run`: the settings file, preset and method first, then the flags.

    Args:
        arguments: The words.
        description: The first words of `--help`.
        preset: The preset where neither a flag nor a settings file names one.

    Raises:
        FileNotFoundError: There is no such settings file.
        ValueError: A setting is wrong; says what is possible.
        SystemExit: A flag is unknown or lacks its value, or help was printed; the message has been printed.
    """
    early = argparse.ArgumentParser("plopkit run", add_help=False, allow_abbrev=False)
    for flag in ("--preset", "--method", "--recipe"):
        early.add_argument(flag)
    early.add_argument("--config")
    for name, short in FROM.items():
        early.add_argument(short, f"--{name}", dest=name)
    early.add_argument("--start.digest", dest="start.digest")
    chosen, rest = early.parse_known_args(arguments)
    start = {name: value for name, value in vars(chosen).items() if name.startswith("start.") and value is not None}
    if chosen.config == "":
        raise ValueError("--config is empty; name a file with settings, or leave it out")
    config = read_config(None if chosen.config is None else expanded(chosen.config))
    method = config.word("method", chosen.method, "plop")
    preset, recipe = config.word("preset", chosen.preset, preset), config.word("recipe", chosen.recipe, "own")
    n_values = _n_values(Settings) | _n_values(METHODS[method], HYPER)
    scenario = config.word("scenario", next(_positional(rest, n_values), None), SCENARIO)
    weights = {"model.weights" for word in rest if word.partition("=")[0] == "--model.weights"}
    given = not_replaced(config.values, start.keys() | weights) | start
    with config.named_in_errors():
        base = draft(scenario, method, preset, given, recipe=recipe)  # what flags change is not yet to be refused
        values = _read_flags(base, rest, description) | {"start": base.start.model_dump()}
        return settle(build(Settings, values | {"method": method}))


def command_line(settings: Settings, preset: str, recipe: str = "own") -> str:
    """The `plopkit run` command that means these settings, quoted for a shell. It repeats the plugins of this process.

    Example:
        >>> command_line(configure("voc 15-5 overlap", "plop", "paper", {"seed": 1}), "paper")
        'plopkit run "voc 15-5 overlap" --method plop --preset paper --seed 1'
    """
    command, scenario, *words = run_words(settings, preset, recipe)
    return f'plopkit {command} "{scenario}" {shlex.join(words)}'  # no character of a scenario is special to a shell


def run_words(settings: Settings, preset: str, recipe: str = "own") -> list[str]:
    """The words after `plopkit` of the command that means these settings."""
    words = ["run", settings.scenario, "--method", settings.method, "--preset", preset]
    words += ["--recipe", recipe] if recipe != "own" else []
    for name, value in overrides_of(settings, preset, recipe).items():
        words += _flag(name, value)
    for file in plugins():
        words += ["--plugin", file]
    return words


def _flag(name: str, value: Any) -> list[str]:
    """A flag as tyro reads it: `--data.scale 0.5 1.0`, `--compute.no-cpu`, `--model.pool None`."""
    *groups, last = name.replace("_", "-").split(".")
    if isinstance(value, bool):
        return ["--" + ".".join([*groups, last if value else f"no-{last}"])]
    dashed = FROM.get(name, "--" + ".".join([*groups, last]))
    if isinstance(value, list):
        return [dashed, *map(str, value)]
    return [f"{dashed}={value}"] if str(value).startswith("-") else [dashed, str(value)]


def _n_values(kind: type[BaseModel], prefix: str = "") -> dict[str, int | None]:
    """How many words follow each flag; None where any number does, up to the next flag."""
    counts: dict[str, int | None] = {}
    for name, info in kind.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            counts |= _n_values(inner, f"{prefix}{name}.")
        elif inner is bool:
            counts |= dict.fromkeys((f"--{prefix}{name}", f"--{prefix}no-{name}"), 0)
        elif get_origin(inner) is tuple:
            counts[f"--{prefix}{name}"] = None if Ellipsis in get_args(inner) else len(get_args(inner))
        else:
            counts[f"--{prefix}{name}"] = 1
    return {name.replace("_", "-"): count for name, count in counts.items()}


def _positional(arguments: Sequence[str], n_values: Mapping[str, int | None]) -> Iterator[str]:
    """The words that are neither a flag nor its value. An unknown flag is taken to have one value; tyro refuses it."""
    left: int | None = 0
    for word in arguments:
        if word.startswith("--"):
            flag, has_value, _ = word.replace("_", "-").partition("=")
            left = 0 if has_value or flag == "--help" else n_values.get(flag, 1)
        elif left is None or left > 0:
            left = left and left - 1
        elif not word.startswith("-"):
            yield word


def _read_flags(base: Settings, arguments: Sequence[str], description: str) -> dict[str, Any]:
    """tyro's reading of the flags, over these settings."""
    import tyro  # not needed to spell a command line

    hidden = ("method", "start", *(DESCRIBED if {"-h", "--help"} & set(arguments) else ()))
    made = _flags(base, {"scenario": base.scenario, "hyper": method_of(base)}, hidden)
    text = (
        f"{description}. Also: --preset {'|'.join(PRESETS)} (laptop), --method {'|'.join(METHODS)} (plop), "
        f"--recipe {'|'.join(NAMES)} (own: as the method's code trains; common: as PLOP's, for comparison), "
        "--from RUN|CHECKPOINT (in place of training step 0: a run's folder, or the checkpoint of a step or of a "
        "released net; --from-classes LIST names its classes, the background first, if it does not itself; "
        "--from-step N takes a run's steps up to this one), "
        "--memory.images N or --memory.mb N or both (images of earlier steps that are kept and trained on; "
        "--memory.choice balanced|random, --memory.labels kept|seen|new, --memory.mix beside|half), "
        "--config FILE (YAML with settings, which flags override), --print-config (prints all settings as such a file "
        "and ends), --plugin FILE (registers further methods and data sets), --quiet (no progress), --force (goes on "
        "with what is there although the method's source has changed since, or torch, device or processes of an "
        "unfinished run)."
    )
    return asdict(tyro.cli(made, args=arguments, prog="plopkit run", description=text))


def _flags(model: BaseModel, values: Mapping[str, Any], hidden: tuple[str, ...] = ()) -> type:
    """A dataclass with the fields of a settings model: types and help for tyro.

    The bounds are left to `build`, which names settings by their dotted names.
    """
    import tyro

    fields: list[Any] = []
    for name, info in type(model).model_fields.items():
        value = values.get(name, getattr(model, name))
        kind: Any = info.annotation
        if name in hidden:
            continue
        if isinstance(value, BaseModel):
            fields.append((name, inner := _flags(value, {}), field(default_factory=inner)))
        elif name == "scenario":
            option = tyro.conf.arg(help=info.description, metavar="[SCENARIO]")
            fields.append((name, Annotated[kind, tyro.conf.Positional, option], field(default=value)))
        else:
            fields.append((name, Annotated[kind, tyro.conf.arg(help=info.description)], field(default=value)))
    made = make_dataclass(type(model).__name__, fields, frozen=True)
    made.__doc__ = type(model).__doc__
    return made
