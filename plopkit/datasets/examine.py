"""`plopkit data check`: all that stops a run, and what a person should know before training."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from plopkit.catalogue import DATASETS
from plopkit.datasets import findings, open_for
from plopkit.datasets.check import compare, differences, report
from plopkit.datasets.files import FileSource
from plopkit.datasets.findings import Finding, Split
from plopkit.datasets.folder import leftovers
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.datasets.source import Source
from plopkit.datasets.steps import protocol_presence
from plopkit.datasets.survey import survey
from plopkit.datasets.tables import classes_table, steps_table
from plopkit.presets import open_scenario
from plopkit.scenario import Scenario, with_domains
from plopkit.settings import Settings


class Examination(NamedTuple):
    """What `plopkit data check` prints."""

    settings: Settings
    scenario: Scenario | None = None
    """None where the classes cannot be read"""
    splits: tuple[Split, ...] = ()
    steps: pd.DataFrame | None = None
    """the `steps_table`; None where images or masks are missing"""
    classes: pd.DataFrame | None = None
    """the `classes_table`"""
    findings: tuple[Finding, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What stops a run: each text is the message with which it stops."""
        return tuple(finding for finding in self.findings if finding.is_error)

    def tables(self) -> dict[str, Any]:
        """The steps, the classes and the findings, as `--json` prints them; tables that are missing are empty."""
        steps, classes = (pd.DataFrame() if table is None else table for table in (self.steps, self.classes))
        rows = [
            {"kind": "error" if finding.is_error else "warning", "text": finding.text, "files": list(finding.files)}
            for finding in self.findings
        ]
        return {"steps": steps.reset_index() if len(steps) else steps, "classes": classes, "findings": rows}

    def files(self) -> pd.DataFrame:
        """One row per finding and file that it is about: `kind`, `text` and `file`, or "" for no file."""
        rows = [
            ("error" if finding.is_error else "warning", finding.text, file)
            for finding in self.findings
            for file in finding.files or ("",)
        ]
        return pd.DataFrame(rows, columns=["kind", "text", "file"])


def examine(settings: Settings, batch_is_chosen: bool = True, n_given: int = 0) -> Examination:
    """Look at every image and mask of a scenario.

    Args:
        settings: The settings of a run.
        batch_is_chosen: Whether a step smaller than `optim.batch` is an error; otherwise it is a warning, as another
            preset would do.
        n_given: The number of first steps that a run does not train, because it begins with a net that has learnt them.

    Raises:
        ValueError: The scenario does not fit the data set.
        FileNotFoundError: The data set's folder does not exist.
    """
    entry, root = DATASETS[settings.scenario.split()[0]], settings.data.root
    try:
        entry.class_names(root)
    except (ValueError, OSError) as problem:
        if not _exists(root):
            raise
        return Examination(settings, findings=(findings.error(str(problem)),))
    scenario = open_scenario(settings)
    sources: list[Source] = []
    problems: list[str] = []
    for split in ("train", "val"):
        try:
            sources.append(open_for(scenario, split, settings.data, settings.seed))
        except (ValueError, OSError) as problem:
            if entry.needs_root and not _exists(root):
                raise
            problems.append(str(problem))
    if problems:
        texts = tuple(findings.error(text) for text in dict.fromkeys(problems))
        return Examination(settings, scenario, findings=texts)
    train, val = sources
    splits = _split("training", train), _split("validation", val)
    return _examine(settings, scenario, (train, val), splits, batch_is_chosen, n_given)


def _examine(
    settings: Settings,
    scenario: Scenario,
    sources: tuple[Source, Source],
    splits: tuple[Split, Split],
    batch_is_chosen: bool,
    n_given: int,
) -> Examination:
    train, val = sources
    counts = splits[0].survey.counts, splits[1].survey.counts
    masks = counts[0] > 0, counts[1] > 0
    presence = protocol_presence(scenario, masks[0], train.stems, settings.seed, train.domains)
    evaluated = with_domains(masks[1], val.domains, scenario.domains) if scenario.domains else masks[1]
    steps = steps_table(scenario, presence, evaluated, future=settings.future)
    classes = classes_table(scenario, train.classes, *counts, presence, evaluated, settings.future)
    found: list[Finding] = []
    for split in splits:
        found += findings.of_file_errors(split)
    of_steps = _of_steps(ScenarioData(settings, scenario, train, val, masks), batch_is_chosen, n_given)
    if found:  # what these images show is not known
        of_steps = [findings.warning(f"without the images that cannot be used: {each.text}") for each in of_steps]
    found += of_steps
    found += [
        findings.warning(line)
        for line in (*train.remarks, *val.remarks, *differences(scenario, steps, settings.future))
    ]
    if masks[0][:, 1:-1].any():
        found += findings.of_classes(classes)
    found += findings.of_copies(*splits)
    for split in splits:
        found += [*findings.of_masks(split), *findings.of_turns(split), *findings.of_sizes(split, settings.data.size)]
    if settings.data.root is not None and scenario.dataset == "folder":
        used = {*splits[0].images, *splits[0].masks, *splits[1].images, *splits[1].masks}
        for kind, files in leftovers(settings.data.root, used).items():
            found += findings.of_leftovers(kind, files)
    found.sort(key=lambda finding: not finding.is_error)
    return Examination(settings, scenario, splits, steps, classes, tuple(found))


def _of_steps(data: ScenarioData, batch_is_chosen: bool, n_given: int) -> list[Finding]:
    """The lines with which a run refuses the data: nothing but binary masks, or too few images at a step."""
    try:
        data.check_labels()
    except ValueError as problem:
        return [findings.error(str(problem))]
    found = []
    for step in data.scenario.steps[n_given:]:
        try:
            data.check_step(step)
        except ValueError as problem:
            n = int(step.trains_on(data.presence[0]).sum())
            small = 0 < n < data.settings.optim.batch
            if small and not batch_is_chosen:
                text = f"{problem} ({data.settings.optim.batch} is preset laptop's; name a preset or optim.batch here)"
                found.append(findings.warning(text))
            else:
                found.append(findings.error(str(problem)))
            if small:  # there may be no image to evaluate on, either
                try:
                    data.check_step(step, trains=False)
                except ValueError as other:
                    found.append(findings.error(str(other)))
    return found


def _split(name: str, source: Source) -> Split:
    if isinstance(source, FileSource):
        return Split(name, tuple(map(str, source.images)), tuple(map(str, source.masks)), survey(source))
    return Split(name, source.stems, source.stems, survey(source))


def _exists(root: Path | None) -> bool:
    return root is not None and root.is_dir()


def text_of(examination: Examination, every: bool = False) -> str:
    """An examination as text: the tables of `check.report`, the splits, errors, warnings, and a last line.

    Args:
        examination: What was found.
        every: As for `check.report`.
    """
    parts = []
    if examination.scenario is not None and examination.steps is not None and examination.classes is not None:
        parts.append(report(examination.scenario, examination.steps, examination.classes, every))
        compared = examination.scenario, examination.steps, examination.settings.future
        parts += [] if differences(*compared) else compare(*compared)
    elif examination.scenario is not None:
        parts.append(str(examination.scenario))
    parts.append("\n".join(map(findings.summary, examination.splits)))
    parts.append("\n".join(map(str, examination.findings)))
    n_errors = len(examination.errors)
    n_warnings = len(examination.findings) - n_errors
    warned = f"{n_warnings} warning{'s' * (n_warnings != 1)}"
    stopped = f"{n_errors} error{'s' * (n_errors != 1)}, which stop{'s' * (n_errors == 1)} a run"
    parts.append(f"{stopped}; {warned}" if n_errors else f"nothing stops a run; {warned}")
    return "\n\n".join(filter(None, parts))
