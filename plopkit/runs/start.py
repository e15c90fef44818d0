"""What a run begins with in place of training step 0: which files, and which labels their channels stand for.

The classes of a checkpoint are mapped to those of the data set by name, so that both may have them in another order. No
net is loaded here.
"""

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from plopkit.catalogue import DATASETS
from plopkit.datasets.lists import read_lines
from plopkit.grammar import joined
from plopkit.presets import open_scenario
from plopkit.runs.folder import RunFolder
from plopkit.scenario import Scenario, Step
from plopkit.settings import Settings
from plopkit.support import seals
from plopkit.support.bars import notice
from plopkit.support.printable import one_line, quoted
from plopkit.support.torch_files import read_metadata

Labels = tuple[int, ...]
"""The label of each channel."""


@dataclass(frozen=True)
class GivenFile:
    """A checkpoint that takes the place of a step's training."""

    path: Path
    labels: Labels


@dataclass(frozen=True)
class Found:
    """The checkpoints of the first steps of a run, which are not trained."""

    files: tuple[GivenFile, ...]

    def digest(self) -> str:
        """Sixteen hexadecimal digits that depend on the files' content and on what their channels stand for."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(f"{_digest_of(file.path)} {file.labels}\n".encode())
        return digest.hexdigest()[:16]


def with_start(settings: Settings) -> Settings:
    """The same settings with the digest of what the run begins with, and what it says of its net: the run's identity.

    Raises:
        FileNotFoundError: there is no such checkpoint, or no such list of its classes.
        ValueError: the checkpoint does not fit the scenario, or is not the one with the given digest.
    """
    start = settings.start
    if not start.is_given:
        if unused := [name for name in ("classes", "step", "digest") if getattr(start, name) not in (None, "")]:
            raise ValueError(f"start.{unused[0]} is set without start.checkpoint; add --from CHECKPOINT")
        return settings
    assert start.checkpoint is not None
    if start.digest and not start.checkpoint.exists():  # the run's folder may hold a copy
        return settings
    found = find_start(settings)
    digest = found.digest()
    if start.digest not in ("", digest):
        raise ValueError(
            f"{start.checkpoint}: its digest is {digest}, not {start.digest}: it has changed, or its classes have; "
            "leave out start.digest for another run"
        )
    model = settings.model.model_copy(update=_kept_by(found.files[0].path))
    return settings.model_copy(update={"start": start.model_copy(update={"digest": digest}), "model": model})


def find_start(settings: Settings) -> Found:
    """The files that a run begins with, checked against its scenario.

    Raises:
        FileNotFoundError, ValueError: As for `with_start`.
    """
    scenario, path = open_scenario(settings), settings.start.checkpoint
    assert path is not None
    if len(scenario.steps) == 1:
        raise ValueError(f"{scenario} has no step after step 0, which --from {path} would take the place of")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such checkpoint; --from names a run's folder or a checkpoint's file")
    names = DATASETS[scenario.dataset].class_names(settings.data.root)
    if path.is_dir():
        return Found(_of_run(settings, scenario, path, names))
    if settings.start.step is not None:
        raise ValueError(f"{path}: a file holds one step; --from-step goes with a run's folder")
    own = names_in(path) or _listed(settings.start.classes)
    if own is None:
        step = scenario.steps[0]
        if DATASETS[scenario.dataset].is_users_own:
            raise ValueError(
                f"{path}: does not name the {step.n_seen} classes that its channels should stand for; name a list with "
                "one of them on each line, the background first: --from-classes classes.txt"
            )
        notice(f"{path}: names no classes; its channels are taken for {scenario}'s, in the order learnt")
        return Found((GivenFile(path, step.seen),))
    where = path if names_in(path) else settings.start.classes
    labels = labels_of(own, names, f"{where}", scenario.steps[0])
    _check_step(scenario, scenario.steps[0], labels, names, f"{where}")
    return Found((GivenFile(path, labels),))


def labels_of(own: Sequence[str], names: Sequence[str], where: str, step: Step) -> Labels:
    """The label of each channel by the names of both, compared in one form of Unicode.

    Args:
        own: the name of each channel; where the step learns the background, the first is the background, whatever it
            is called.
        names: the name of each label.
        where: what the message names.
        step: the step that the channels should be of.

    Raises:
        ValueError: a name is repeated, or none of the data set's.
    """
    known = {_plain(name): label for label, name in enumerate(names)}
    has_background = 0 in step.seen
    labels = []
    for position, name in enumerate(map(_plain, own)):
        if position == 0 and has_background:
            if known.get(name, 0):
                raise ValueError(f"{where}: begins with {name!r}, but channel 0 is the background; name it first")
            labels.append(0)
            continue
        if name not in known:
            near = get_close_matches(name[:100], known, n=1, cutoff=0.5)
            guess = f" (did you mean {near[0]}?)" if near else ""
            raise ValueError(
                f"{where}: {quoted(name)} is no class of the data{guess}; known: {', '.join(names)}; names must be "
                "written as in the data set's list"
            )
        if known[name] in labels:
            raise ValueError(f"{where}: {quoted(name)} is there twice; every channel stands for another class")
        labels.append(known[name])
    return tuple(labels)


def names_in(path: Path) -> tuple[str, ...] | None:
    """The classes that a file of plopkit names itself; None where it names none, or is another's."""
    names = _about(path).get("names")
    return tuple(map(str, names)) if isinstance(names, list) and names else None


def _about(path: Path) -> dict[str, Any]:
    """What a file of plopkit says of itself; nothing in others'."""
    if path.suffix != ".safetensors":
        return {}
    try:
        texts = read_metadata(path)
        kept = {name: json.loads(texts[name]) for name in ("step", "net", "names") if name in texts}
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a readable checkpoint ({one_line(error, 300)})") from error
    about = kept.pop("step", {})
    if not isinstance(about, dict):
        raise ValueError(f"{path}: not a readable checkpoint (it describes no step)")
    return {"recipe": kept.pop("net", None)} | about | kept


def _kept_by(path: Path) -> dict[str, Any]:
    """The settings in `OF_A_CHECKPOINT` that a file keeps; none in a released one."""
    recipe: Any = _about(path).get("recipe")
    try:
        encoder, decoder = recipe["encoder"], recipe["decoder"]
        return {"output_stride": encoder["output_stride"], "norm": encoder["norm"], "pool": decoder["pool"]}
    except (TypeError, KeyError):  # whoever builds the net says what is wrong with it
        return {}


def _of_run(settings: Settings, scenario: Scenario, path: Path, names: Sequence[str]) -> tuple[GivenFile, ...]:
    """The checkpoints of a run's steps that the scenario has as well; at least that of step 0."""
    last = settings.start.step
    own: list[GivenFile] = []
    while (file := _step_file(path, len(own))).is_file() and (last is None or len(own) <= last):
        of_file = names_in(file) or _named_in_results(RunFolder(path), len(own))
        if of_file is None:
            raise ValueError(f"{file}: does not name its classes, and its run has no results of this step")
        step = scenario.steps[min(len(own), len(scenario.steps) - 1)]
        try:
            own.append(GivenFile(file, labels_of(of_file, names, f"{file}", step)))
        except ValueError:
            if last is not None or not own:
                raise
            break  # a later step learnt classes that these data do not have
    if not own:
        raise FileNotFoundError(f"{path}: no finished step in it; name a run's folder, or a checkpoint's file")
    if last is not None and last >= len(own):
        raise ValueError(f"{path}: has no finished step {last}; --from-step is at most {len(own) - 1} there")
    most = min(len(own), len(scenario.steps) - 1) if not scenario.domains else 1
    ends = [last + 1] if last is not None else range(most, 0, -1)
    for end in ends:
        files = own[:end]
        if end < len(scenario.steps) and all(map(_is_of, files, scenario.steps)):
            return tuple(files)
        if _is_of(files[-1], scenario.steps[0]):
            return (files[-1],)
    chosen = own[ends[0] - 1]
    _check_step(scenario, scenario.steps[0], chosen.labels, names, f"{chosen.path}")
    raise ValueError(f"{path}: holds all steps of {scenario}; name an earlier one with --from-step")


def _step_file(run: Path, index: int) -> Path:
    return RunFolder(run).checkpoints / f"step-{index}.safetensors"


def _is_of(file: GivenFile, step: Step) -> bool:
    return set(file.labels) == set(step.seen)


def _named_in_results(folder: RunFolder, index: int) -> tuple[str, ...] | None:
    """The name of each channel after a step, from the table of results of a run whose checkpoints name no classes."""
    if not folder.results_file.is_file():
        return None
    results = folder.results
    rows = results[results["step"] == index]
    return tuple(map(str, rows["name"])) or None


def _listed(classes: Path | None) -> tuple[str, ...] | None:
    """The names in a user's list of a checkpoint's classes."""
    if classes is None:
        return None
    if not classes.is_file():
        raise FileNotFoundError(f"{classes}: no such list; --from-classes names a file with a class on each line")
    return tuple(line for line in read_lines(classes) if line)


def _check_step(scenario: Scenario, step: Step, labels: Labels, names: Sequence[str], where: str) -> None:
    """ValueError where labels are not those that a step has seen; says how the scenario would have to be."""
    if set(labels) == set(step.seen):
        return
    missing = [names[label] for label in step.seen if label not in labels]
    excess = [names[label] for label in labels if label not in step.seen]
    parts = [f"without {_few(missing)}" if missing else "", f"with {_few(excess)}" if excess else ""]
    order = (*labels, *(label for label in scenario.order if label not in labels))
    fits = len(labels) == step.n_seen and 0 in labels and not scenario.domains
    text = joined(scenario.dataset, scenario.task, scenario.protocol, ",".join(map(str, order[1:])))
    remedy = f'; the scenario "{text}" begins with them' if fits else ""
    raise ValueError(
        f"{where}: {len(labels)} classes, but step 0 of {scenario} has {step.n_seen}, the background among them; these "
        f"are {' and '.join(filter(None, parts))}{remedy}"
    )


def _few(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(one_line(name, 60) for name in names[:most]) + more


def _plain(name: str) -> str:
    """A name in one form of Unicode, without blanks around it."""
    return unicodedata.normalize("NFC", name).strip()


def _digest_of(path: Path) -> str:
    sealed = seals.sealed_digests(path)
    return sealed[0] if len(sealed) == 1 else seals.digest_of(path)
