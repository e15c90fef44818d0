"""Opens a net for predictions: of a run's step, of a checkpoint, or of a file that plopkit has exported."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import torch

from plopkit.catalogue import DATASETS
from plopkit.grammar import read_words
from plopkit.model.checkpoints import load_published
from plopkit.model.exported import ABOUT
from plopkit.model.layout import laid_out
from plopkit.presets import method_of
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.class_names import about, names_in, names_listed
from plopkit.runs.folder import RunFolder, read_arrays
from plopkit.runs.predictor import Predictor, Tile
from plopkit.scenario import WIDE_IGNORE, Scenario
from plopkit.settings import Settings
from plopkit.support import seals
from plopkit.support.places import expanded
from plopkit.support.printable import one_line
from plopkit.tiling import MULTIPLE

Size = str | int
""""auto", "native", or pixels"""
SMALLEST_SIZE = 16


class Chosen(NamedTuple):
    """A step of a run."""

    folder: RunFolder
    step: int


def load(
    path: Path | str,
    step: int | None = None,
    *,
    size: Size = "auto",
    tile: Tile = "auto",
    confidence: float = 0.0,
    classes: Path | str | None = None,
    device: torch.device | str | None = None,
) -> Predictor:
    """A trained net, to predict the labels of any picture.

    Args:
        path: a run's folder, or a checkpoint: one of a run's, of `plopkit export`, or of the released codes.
        step: the step of the run; by default the last that has been trained.
        size: the short side in pixels to which pictures are resized for the net. "native": as they are. "auto": as
            the run resizes its validation images (`data.size`, except with `evaluate full`); without a run "native".
        tile: side in pixels of tiles, a multiple of 32; "none": whole pictures; "auto": tiles where memory is short.
        confidence: pixels whose label has a smaller probability are ignored, 0 to 1.
        classes: a file with a name per line, background first, for a checkpoint that does not know its names. A run's
            checkpoint and an exported one do.
        device: where the net computes; by default the accelerator, if there is one.

    Raises:
        FileNotFoundError: where there is no such run, step or file.
        ValueError: where a file is damaged, or an argument is impossible; says what is possible.

    Example:
        >>> predictor = plopkit.load("runs/emoji_15-5_overlap_plop_seed0_1a2b3c4d", step=1)
        >>> predictor.predict(np.zeros((480, 640, 3), np.uint8)).shape
        (480, 640)
    """
    path = expanded(path)
    _check(size, tile, confidence)
    chosen = chosen_step(path, step)
    if chosen is not None and classes is not None:
        raise ValueError(f"{path}: a run knows the names of its classes; classes is for checkpoints without them")
    given = None if classes is None else expanded(classes)
    opened = _of_checkpoint(path, given) if chosen is None else _of_run(chosen)
    if device is None:
        device = (torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None) or "cpu"
    net = laid_out(opened.net).eval().requires_grad_(False).to(device)
    short_side = size if isinstance(size, int) else (opened.size if size == "auto" else None)
    return dataclasses.replace(opened, net=net, size=short_side, tile=tile, confidence=confidence)


def chosen_step(path: Path, step: int | None) -> Chosen | None:
    """The run and its step that a path means, a folder or one of a run's own checkpoints; None for another file.

    Raises:
        FileNotFoundError: where there is nothing, no run, or no such step.
        ValueError: where a step is named for a checkpoint.
    """
    if path.is_file():
        folder = RunFolder(path.absolute().parent.parent)
        number = path.stem.removeprefix("step-")
        in_run = path.absolute().parent == folder.checkpoints and folder.settings_file.is_file()
        own = Chosen(folder, int(number)) if in_run and number.isdecimal() else None
        if step is not None and (own is None or own.step != step):
            raise ValueError(f"{path}: a checkpoint is of one step; name the run's folder to choose step {step}")
        return own
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: there is no such run or checkpoint")
    folder = RunFolder(path)
    numbers = [each.stem.removeprefix("step-") for each in folder.checkpoints.glob("step-*.safetensors")]
    trained = sorted(int(number) for number in numbers if number.isdecimal())
    if not folder.settings_file.is_file() or not trained:
        lacking = "no trained step" if folder.settings_file.is_file() else "no settings.yaml"
        raise FileNotFoundError(f"{path}: {lacking} in it; name a run's folder, or a checkpoint")
    if step is not None and step not in trained:
        raise FileNotFoundError(f"{path}: step {step} has not been trained; there are {', '.join(map(str, trained))}")
    return Chosen(folder, trained[-1] if step is None else step)


def names_of_run(folder: RunFolder) -> tuple[str, ...]:
    """A name per label of the run's data set, whose own folder need not be there."""
    entry = DATASETS[read_words(folder.settings.scenario).dataset]
    if entry.names is None and folder.examples_file.is_file():
        return tuple(map(str, read_arrays(folder.examples_file)["names"]))
    return entry.class_names(folder.settings.data.root)


def evaluated_size(settings: Settings) -> int | None:
    """The short side to which a run resizes its validation images; None where it takes them as they are."""
    return None if settings.evaluate == "full" else settings.data.size


def _of_run(chosen: Chosen) -> Predictor:
    folder, settings = chosen.folder, chosen.folder.settings
    names = names_of_run(folder)
    scenario = Scenario.from_words(read_words(settings.scenario), len(names))
    store = StepStore(folder.checkpoints, chosen.step)
    net = store.net(settings.model)
    labels = scenario.steps[chosen.step].seen if chosen.step < len(scenario.steps) else ()
    if len(labels) != sum(net.classes):
        raise ValueError(
            f"{store.checkpoint}: {sum(net.classes)} channels, but step {chosen.step} of {scenario} has {len(labels)}"
        )
    decode, size = method_of(settings).predict, evaluated_size(settings)
    return Predictor(net, names, labels, decode, size, origin=store.identity())


def _of_checkpoint(path: Path, classes: Path | None) -> Predictor:
    net = load_published(path)
    origin, n_channels = seals.digest_of(path), sum(net.classes)
    if classes is None and (exported := about(path).get("exported")) is not None:
        try:
            labels = tuple(int(each["label"]) for each in exported["classes"])
            named = {int(each["label"]): each["name"] for each in exported["classes"]}
            n_labels = int(exported["n_labels"])
            if len(labels) != n_channels or not 0 <= min(labels) <= max(labels) < n_labels <= WIDE_IGNORE:
                raise ValueError(f"it names {len(labels)} labels")
            names = tuple(str(label if named.get(label) is None else named[label]) for label in range(n_labels))
            size = exported["short_side"] and int(exported["short_side"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path}: its {ABOUT} does not fit its net ({one_line(error)}); export it again") from None
        return Predictor(net, names, labels, size=size, origin=origin)
    of_channels = names_in(path) if classes is None else names_listed(classes, "classes (--classes)")
    names = of_channels or tuple(map(str, range(n_channels)))
    if len(names) < n_channels:
        raise ValueError(f"{classes or path}: {len(names)} names, but {path} has {n_channels} channels; name each")
    return Predictor(net, names, tuple(range(n_channels)), origin=origin)


def _check(size: Size, tile: Tile, confidence: float) -> None:
    if size not in ("auto", "native") and not (isinstance(size, int) and SMALLEST_SIZE <= size <= 2**13):
        raise ValueError(f"size is auto, native, or the short side in pixels from {SMALLEST_SIZE}, not {size!r}")
    fits = isinstance(tile, int) and tile >= 2 * MULTIPLE and tile % MULTIPLE == 0
    if tile not in ("auto", "none") and not fits:
        raise ValueError(f"tile is auto, none, or pixels: a multiple of {MULTIPLE} from {2 * MULTIPLE}, not {tile!r}")
    if not 0 <= confidence <= 1:
        raise ValueError(f"confidence is a probability from 0 to 1, not {confidence}")
