"""The runs of a grid: all combinations of scenarios, methods, seeds and settings, each checked, and none twice."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from plopkit.catalogue import DATASETS, METHODS
from plopkit.datasets import Source, open_for
from plopkit.datasets.saliency import SaliencyMaps, fingerprint_with_maps
from plopkit.flags import run_words
from plopkit.grammar import read_words
from plopkit.orders import expanded_orders
from plopkit.presets import configure, method_of, open_scenario
from plopkit.runs.folder import RunFolder
from plopkit.runs.start import with_start
from plopkit.runs.step_0 import step_0_source
from plopkit.runs.written import folder_of
from plopkit.scenario import Scenario
from plopkit.settings import Settings, known_names
from plopkit.support.errors import unknown_name

Choices = Mapping[str, Sequence[Any]]
"""The values of each dotted setting that a grid varies."""
ELSEWHERE = {"scenario": "scenarios", "method": "methods", "seed": "seeds", "out": "out"}
"""Settings with an argument, and a flag, of their own."""
HYPER = "hyper."


@dataclass(frozen=True)
class PlannedRun:
    """One run of a grid."""

    settings: Settings
    preset: str
    chosen: tuple[tuple[str, Any], ...]
    """the settings that the grid sets, those with one value for all runs left out"""
    scenario: Scenario
    step_0: str
    """equal for runs that share their step 0"""
    recipe: str = "own"
    force: bool = False
    """whether it continues with what is there, whatever made it; see `plopkit.run`"""
    splits: tuple[Source, ...] = field(default=(), compare=False, repr=False)
    """the training and the validation images"""

    @cached_property
    def image_fingerprints(self) -> list[str]:
        """The fingerprints of the images as they were when the grid was planned: for training, with the saliency maps,
        and for validation."""
        train, *val = self.splits
        folder = self.settings.data.saliency
        maps = SaliencyMaps(folder, train.stems) if folder else None
        return [fingerprint_with_maps(train.fingerprint, maps), *(source.fingerprint for source in val)]

    @property
    def folder(self) -> RunFolder:
        return folder_of(self.settings)

    @property
    def words(self) -> list[str]:
        """The words after `plopkit` of the command that does it."""
        return [*run_words(self.settings, self.preset, self.recipe), *(["--force"] if self.force else [])]

    @property
    def n_steps(self) -> int:
        return len(self.scenario.steps)

    @property
    def chosen_words(self) -> str:
        """What the grid has chosen, such as "optim.lr 0.01"."""
        return ", ".join(f"{name} {value}" for name, value in self.chosen)

    def __str__(self) -> str:
        return _in_words(self.settings.scenario, self.settings.method, self.settings.seed, self.chosen)


def plan(
    scenarios: Iterable[str],
    methods: Iterable[str],
    seeds: Iterable[int],
    preset: str,
    choices: Choices,
    out: Path | str,
    force: bool = False,
    recipe: str = "own",
) -> list[PlannedRun]:
    """All combinations, the first run of each step 0 first, so that none has to wait for another's.

    A hyper-parameter (`hyper.pod`) is chosen for the methods that have it, and the others run once. Combinations that
    mean the same run are one.

    Raises:
        ValueError: a combination is not possible, two runs would share a folder, or there is none. Says which, and
            what is possible.
        FileNotFoundError: data are missing.
    """
    scenarios = [scenario for text in scenarios for scenario in expanded_orders(text)]
    methods, seeds = list(methods), list(seeds)
    _check_names(methods, choices)
    runs: dict[Path, PlannedRun] = {}
    opened: dict[Any, tuple[Source, ...]] = {}
    for scenario, method in itertools.product(scenarios, methods):
        own = {name: values for name, values in choices.items() if _belongs(name, method)}
        for values, seed in itertools.product(itertools.product(*own.values()), seeds):
            chosen = dict(zip(own, values, strict=True))
            checked = _checked(scenario, method, preset, seed, chosen, own, out, opened, recipe)
            run = replace(checked, force=force)
            before = runs.setdefault(run.settings.folder(), run)
            if before.settings.identity() != run.settings.identity():
                raise ValueError(f"{run.settings.folder()}: {before} and {run} would share this folder; leave out name")
            roots = [each.settings.data.root for each in (before, run)]
            if roots[0] != roots[1]:  # a run's identity holds what its images are, not where
                raise ValueError(
                    f"{run.settings.folder()}: the data of {roots[0]} and {roots[1]} would share this folder; begin a "
                    "grid for each, with another out"
                )
    if not runs:
        raise ValueError("there is nothing to run: name a scenario, a method and a seed at least")
    return in_order(runs.values())


def in_order(runs: Iterable[PlannedRun]) -> list[PlannedRun]:
    """The runs with those first that begin a step 0 which no run before them begins."""
    first: list[PlannedRun] = []
    later: list[PlannedRun] = []
    begun: set[str] = set()
    for run in runs:
        (later if run.step_0 in begun else first).append(run)
        begun.add(run.step_0)
    return first + later


def values_of(word: str) -> tuple[str, list[Any]]:
    """A setting and its values from a word of the command line.

    Values are separated by commas; a list is in brackets: `data.scale=[0.5,1],[0.25,1]`. Numbers and truth values stay
    text, which the settings read, and `None` is None.

    Raises:
        ValueError: The word is no such choice.

    Example:
        >>> values_of("optim.lr=0.01,0.02")
        ('optim.lr', ['0.01', '0.02'])
    """
    name, equals, text = word.partition("=")
    if not (name and equals and text):
        raise ValueError(f'{word!r}: --set takes words like "optim.lr=0.01,0.02"')
    return name.replace("-", "_"), [_value(part, word) for part in _split(text, word)]


def _split(text: str, word: str) -> Iterator[str]:
    """The parts between the commas that are not in brackets."""
    part, depth = "", 0
    for character in text:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if depth not in (0, 1):
            break
        if character == "," and not depth:
            yield part
            part = ""
        else:
            part += character
    if depth:
        raise ValueError(f"{word!r}: its brackets do not match")
    yield part


def _value(part: str, word: str) -> Any:
    part = part.strip()
    if part.startswith("[") and part.endswith("]"):
        return [_value(item, word) for item in part[1:-1].split(",")] if part[1:-1].strip() else []
    if not part:
        raise ValueError(f"{word!r}: a value is empty")
    return None if part == "None" else part


def _check_names(methods: Sequence[str], choices: Choices) -> None:
    """ValueError for a method or a setting that is not known, and for a setting that has a flag of its own."""
    hyper = [f"{HYPER}{name}" for method in methods for name in METHODS[method].model_fields]
    known = [name for name in known_names(Settings) if name not in {*ELSEWHERE, "hyper"}] + hyper
    for name, values in choices.items():
        if name in ELSEWHERE:
            argument = ELSEWHERE[name]
            raise ValueError(f"{name} is not among the settings to choose; {argument} (--{argument}) sets it")
        if name not in known:
            raise unknown_name("setting", name, dict.fromkeys(known))
        if not len(values):
            raise ValueError(f"{name} has no value")


def _belongs(name: str, method: str) -> bool:
    return not name.startswith(HYPER) or name.removeprefix(HYPER) in METHODS[method].model_fields


def _checked(
    scenario: str,
    method: str,
    preset: str,
    seed: int,
    chosen: Mapping[str, Any],
    choices: Choices,
    out: Path | str,
    opened: dict[Any, tuple[Source, ...]],
    recipe: str,
) -> PlannedRun:
    """One run, checked as `plopkit run` does before it opens the images; `opened` holds the data sets looked at."""
    varied = tuple((name, value) for name, value in chosen.items() if len(choices[name]) > 1)
    try:
        settings = configure(scenario, method, preset, {**chosen, "seed": seed, "out": out}, recipe=recipe)
        settings = with_start(settings)
        opened_scenario = open_scenario(settings)
        value = method_of(settings)
        dataset = DATASETS[read_words(settings.scenario).dataset]
        seed_of_images = None if dataset.needs_root else seed
        domains = tuple(step.domains for step in opened_scenario.steps)
        looked_at = (dataset.name, settings.data.model_dump_json(), seed_of_images, domains)
        if looked_at not in opened:
            opened[looked_at] = tuple(
                open_for(opened_scenario, split, settings.data, settings.seed) for split in ("train", "val")
            )
    except (ValueError, FileNotFoundError) as error:
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        raise kind(f"{_in_words(scenario, method, seed, varied)}: {error}") from error
    source = step_0_source(settings, opened_scenario, value, "")
    return PlannedRun(settings, preset, varied, opened_scenario, source, recipe, splits=opened[looked_at])


def _in_words(scenario: str, method: str, seed: int, chosen: Iterable[tuple[str, Any]]) -> str:
    return ", ".join([scenario, method, f"seed {seed}", *(f"{name} {value}" for name, value in chosen)])
