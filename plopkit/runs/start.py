"""What a run begins with in place of training step 0: which files, and which labels their channels stand for.

The classes of a checkpoint are mapped to those of the data set by name, so that both may have them in another order. No
net is loaded here.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from plopkit.catalogue import DATASETS
from plopkit.presets import open_scenario
from plopkit.runs.class_names import Labels, about, check_step, labels_of, names_in, names_listed
from plopkit.runs.folder import RunFolder
from plopkit.scenario import Scenario, Step
from plopkit.settings import Settings
from plopkit.support import seals


@dataclass(frozen=True)
class GivenFile:
    """A checkpoint that takes the place of a step's training."""

    path: Path
    labels: Labels


@dataclass(frozen=True)
class Found:
    """The checkpoints of the first steps of a run, which are not trained."""

    files: tuple[GivenFile, ...]
    assumed: bool = False
    """whether nothing says which classes the channels stand for, so that they are taken for the scenario's"""

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
        ValueError: the checkpoint does not fit the scenario, or it or the encoder's weights are not those with the
            given digest.
    """
    start = settings.start
    if not start.is_given:
        settings = _with_weights(settings)
        if unused := [name for name in ("classes", "step", "digest") if getattr(start, name) not in (None, "")]:
            raise ValueError(f"start.{unused[0]} is set without start.checkpoint; name one (--from CHECKPOINT)")
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
        raise ValueError(f"{scenario} has no step after step 0, which start.checkpoint {path} would take the place of")
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: no such checkpoint; start.checkpoint (--from) names a run's folder or a checkpoint's file. A run "
            "that began with one continues without it, by its own settings.yaml (--config)"
        )
    names = DATASETS[scenario.dataset].class_names(settings.data.root)
    if path.is_dir():
        return Found(_of_run(settings, scenario, path, names))
    if settings.start.step is not None:
        raise ValueError(f"{path}: a file holds one step; start.step (--from-step) goes with a run's folder")
    classes = settings.start.classes
    own = names_in(path) if classes is None else names_listed(classes, "start.classes (--from-classes)")
    if own is None:
        step = scenario.steps[0]
        if DATASETS[scenario.dataset].is_users_own:
            raise ValueError(
                f"{path}: does not name the {step.n_seen} classes that its channels should stand for; name a list with "
                "one of them on each line, the background first: start.classes (--from-classes classes.txt)"
            )
        return Found((GivenFile(path, step.seen),), assumed=True)
    where = classes or path
    labels = labels_of(own, names, f"{where}", scenario.steps[0])
    check_step(scenario, scenario.steps[0], labels, names, f"{where}")
    return Found((GivenFile(path, labels),))


def _kept_by(path: Path) -> dict[str, Any]:
    """The settings in `OF_A_CHECKPOINT` that a file keeps; none in a released one."""
    recipe: Any = about(path).get("recipe")
    try:
        encoder, decoder = recipe["encoder"], recipe["decoder"]
        kept = {"output_stride": encoder["output_stride"], "norm": encoder["norm"]}
        return kept | ({"pool": decoder["pool"]} if decoder.get("kind", "aspp") == "aspp" else {})
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
        raise ValueError(
            f"{path}: has no finished step {last}; start.step (--from-step) is at most {len(own) - 1} there"
        )
    most = min(len(own), len(scenario.steps) - 1) if not scenario.domains else 1
    ends = [last + 1] if last is not None else range(most, 0, -1)
    for end in ends:
        files = own[:end]
        if end < len(scenario.steps) and all(map(_is_of, files, scenario.steps)):
            return tuple(files)
        if _is_of(files[-1], scenario.steps[0]):
            return (files[-1],)
    chosen = own[ends[0] - 1]
    check_step(scenario, scenario.steps[0], chosen.labels, names, f"{chosen.path}")
    raise ValueError(f"{path}: holds all steps of {scenario}; name an earlier one with start.step (--from-step)")


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


def _with_weights(settings: Settings) -> Settings:
    """With the digest of the encoder's initial weights, where they are in a file."""
    model, file = settings.model, settings.model.weights_file
    if file is None:
        if model.digest:
            raise ValueError("model.digest is set without a file in model.weights; leave it out")
        return settings
    if not file.is_file():  # said when the net is built, unless the run is finished
        return settings
    digest = _digest_of(file)[:16]
    if model.digest not in ("", digest):
        raise ValueError(
            f"{file}: its digest is {digest}, not {model.digest}: it has changed; put it back, or leave out "
            "model.digest for another run"
        )
    return settings.model_copy(update={"model": model.model_copy(update={"digest": digest})})


def _digest_of(path: Path) -> str:
    sealed = seals.sealed_digests(path)
    found = path.stat()
    return sealed[0] if len(sealed) == 1 else _read_digest(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@lru_cache(16)
def _read_digest(path: Path, *state: int) -> str:
    """The digest of a file as it was in this state; a notebook asks for it again and again."""
    return seals.digest_of(path)
