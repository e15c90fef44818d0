"""Which classes the channels of a checkpoint stand for, by their names."""

import json
import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from plopkit.datasets.class_names import class_names
from plopkit.grammar import joined
from plopkit.model.exported import ABOUT
from plopkit.scenario import Scenario, Step
from plopkit.support.printable import one_line, quoted
from plopkit.support.torch_files import read_metadata

Labels = tuple[int, ...]
"""The label of each channel."""


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
    """The class of each channel that a file of plopkit names itself; None where it names none, or is another's.

    Raises:
        ValueError: what it says of itself is damaged.
    """
    own = about(path)
    try:
        names = [each["name"] for each in own["exported"]["classes"]] if "exported" in own else own.get("names")
    except (TypeError, KeyError) as error:
        raise ValueError(f"{path}: its {ABOUT} does not name its classes ({one_line(error)})") from error
    return tuple(map(str, names)) if isinstance(names, list) and names and None not in names else None


def about(path: Path) -> dict[str, Any]:
    """What a file of plopkit says of itself; nothing in others'.

    The `recipe` of its net; of a run's own checkpoint what `StepStore.finish` notes, such as the `names` of its
    channels; under `exported` what `plopkit.runs.exporting.about_net` has noted.

    Raises:
        ValueError: it is damaged.
    """
    if path.suffix != ".safetensors":
        return {}
    try:
        texts = read_metadata(path)
        step, net, exported = (json.loads(texts.get(name, "null")) for name in ("step", "net", ABOUT))
        own = {} if net is None else {"recipe": net}
        own |= {} if exported is None else {"exported": exported}
        return own | (step or {})
    except (ValueError, RecursionError, TypeError) as error:
        raise ValueError(f"{path}: not a readable checkpoint ({one_line(error, 300)})") from error


def names_listed(classes: Path, named_by: str) -> tuple[str, ...]:
    """The class of each channel by a user's list, written as `classes.txt` may be.

    Args:
        classes: the list.
        named_by: what names it, for the message.

    Raises:
        FileNotFoundError: there is no such list.
        ValueError: as for `plopkit.datasets.class_names.class_names`.
    """
    if not classes.is_file():
        raise FileNotFoundError(f"{classes}: no such list; {named_by} names a file with a class on each line")
    return class_names(classes)


def check_step(scenario: Scenario, step: Step, labels: Labels, names: Sequence[str], where: str) -> None:
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
