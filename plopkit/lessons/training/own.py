"""A method that a student writes in lesson 06: run and compared once it is written."""

from collections.abc import Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import Any

import pandas as pd
from torch import Tensor

from plopkit.lessons.attempts import Attempt, find_attempt, judge
from plopkit.lessons.exercises import Verdict
from plopkit.lessons.prose import Said, say
from plopkit.methods import Method
from plopkit.presets import configure, open_scenario, overrides_of
from plopkit.runs.experiment import run
from plopkit.runs.folder import RunFolder
from plopkit.runs.results import load_results, summarise
from plopkit.settings import Settings

COURSES = ("it rises", "it falls", "it stays level")
"""How a loss term may run through a step."""
LEVEL = 0.1
"""The change, as a share of its first value, up to which a term stays level."""

SHOWN = ["old_nobg", "new", "all", "background", "pixel_accuracy"]


def with_method(
    settings: Settings, preset: str, method: str, overrides: Mapping[str, Any] = MappingProxyType({})
) -> Settings:
    """The settings of a run with another method, whose hyper-parameters are the method's own defaults.

    Args:
        settings: those of the notebook, of any method; its hyper-parameters are left out.
        preset: the preset's name.
        method: the other method's name.
        overrides: further settings, such as hyper-parameters of the other method.
    """
    shared = {name: value for name, value in overrides_of(settings, preset).items() if not name.startswith("hyper.")}
    return configure(settings.scenario, method, preset, shared | dict(overrides))


def run_once_written(kind: type[Method], settings: Settings) -> pd.DataFrame | Verdict:
    """Run a student's method, and compare it with the other runs of the scenario in the same folder.

    Args:
        kind: the method's class; nothing is trained before its `losses` are written.
        settings: those of its run.

    Returns:
        The last step of each method, in percent, the mean over its runs; or what is missing or cannot be trained.
    """
    exercise = find_attempt("06.method")
    right, text = judge(exercise, kind.losses)
    if right is None:
        return Verdict(None, "Nothing is trained: the method is not written yet.")
    if right is False and not _gives_terms(kind, exercise):
        return Verdict(False, f"Nothing is trained: losses() has to return a dictionary of tensors. So far: {text}")
    run(settings)
    summary = summarise(load_results(settings.out))
    same = summary[summary["scenario"] == settings.scenario]
    return same[same["step"] == same["step"].max()].groupby("method", sort=False)[SHOWN].mean().round(1)


def _gives_terms(kind: type[Method], exercise: Attempt) -> bool:
    """Whether the losses are a dictionary of tensors, right or wrong, so that training can add them up.

    What fails on the exercise's inputs is not judged: it may use hyper-parameters that the exercise's method lacks.
    """
    try:
        terms = kind.losses(*deepcopy(exercise.inputs()[0]))
    except Exception:
        return True
    return isinstance(terms, dict) and bool(terms) and all(isinstance(term, Tensor) for term in terms.values())


def first_and_last(ticks: pd.DataFrame, n: int = 10) -> pd.DataFrame:
    """The mean of every loss term over the first and over the last iterations of every step.

    Args:
        ticks: rows of ``ticks.csv``.
        n: how many iterations at either end.

    Returns:
        A row per step and term that the step has; the columns ``first`` and ``last``.
    """
    terms = [name for name in ticks.columns if name.startswith("loss_")]
    rows = {
        (step, term.removeprefix("loss_")): {"first": rows[term].head(n).mean(), "last": rows[term].tail(n).mean()}
        for step, rows in ticks.groupby("step")
        for term in terms
        if rows[term].notna().any()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["step", "term"])


def course(folder: RunFolder) -> str | None:
    """How the largest protective term runs through a run's last step: which of `COURSES` is true of it.

    Returns:
        None where the run is not finished, or has no term but those that teach the new classes.
    """
    if not folder.settings_file.is_file():
        return None
    last = len(open_scenario(folder.settings).steps) - 1
    return course_of(folder.ticks, last) if folder.evaluated() > last else None


def course_of(ticks: pd.DataFrame, step: int) -> str | None:
    """How the largest protective term runs through a step; None where there is none."""
    term = _largest_term(ticks, step)
    if term is None:
        return None
    rises, falls, level = COURSES
    change = term["last"] - term["first"]
    return level if abs(change) <= LEVEL * term["first"] else rises if change > 0 else falls


def course_in_words(folder: RunFolder) -> Said:
    """Where the largest protective term of a run begins its latest step, and where it ends."""
    ticks = folder.ticks
    step = int(ticks["step"].max())
    term = _largest_term(ticks, step)
    if term is None:
        return say("In step {step} no term protects anything.", step=step)
    return say(
        "In step {step}, `{term}` has a mean of {first:.3g} over the first ten iterations and of {last:.3g} over the "
        "last ten.",
        step=step,
        term=term.name,
        first=term["first"],
        last=term["last"],
    )


def _largest_term(ticks: pd.DataFrame, step: int) -> pd.Series | None:
    """The `first_and_last` of a step's largest protective term, whose name it has; None where there is none."""
    table = first_and_last(ticks).loc[step].drop(index=["ce", "bce"], errors="ignore")
    return None if table.empty else table.loc[table.max(axis=1).idxmax()]
