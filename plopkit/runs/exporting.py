"""One step's net in a file for other programs, with all that they need to know of it."""

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import plopkit
from plopkit.methods.base import Method
from plopkit.model.checkpoints import save_published
from plopkit.model.exported import ABOUT, INPUT, OUTPUT, save_onnx, save_torchscript
from plopkit.runs.loading import chosen_step, load
from plopkit.runs.predictor import Predictor
from plopkit.support.colours import IMAGENET_MEAN, IMAGENET_STD
from plopkit.support.files import write_text
from plopkit.support.places import expanded
from plopkit.support.prediction import predicted_channel

Kind = Literal["safetensors", "onnx", "torchscript"]
LARGEST = "the channel with the largest logit"
SUFFIXES: dict[Kind, str] = {"safetensors": ".safetensors", "onnx": ".onnx", "torchscript": ".pt"}


class Exported(NamedTuple):
    """The files that `export_net` has written."""

    file: Path
    about: Path
    """what the file holds about itself, again as JSON"""
    checked: bool
    """whether its logits have been compared with the net's"""
    names_known: bool
    """whether it names its classes"""


def export_net(
    path: Path | str, kind: Kind, out: Path | str, step: int | None = None, classes: Path | str | None = None
) -> Exported:
    """Write the net of a run's step, or of a checkpoint, for other programs.

    Args:
        path: a run's folder or a checkpoint, as for `plopkit.load`.
        kind: "onnx" and "torchscript" need no plopkit; "safetensors" is read by `plopkit.load`.
        out: the folder for model.onnx, model.pt or model.safetensors, and model.json.
        step: the step of the run; by default the last that has been trained.
        classes: a file with the names of its classes, as for `plopkit.load`.

    Raises:
        FileNotFoundError, ValueError: as `plopkit.load`, and where the net cannot be exported; says why.
    """
    predictor, out = load(path, step, classes=classes, device="cpu"), expanded(out)
    file = out / f"model{SUFFIXES[kind]}"
    about = {"file": file.name} | about_net(predictor) | _about_run(expanded(path), step)
    checked = True
    if kind == "onnx":
        checked = save_onnx(predictor.net, file, about)
    elif kind == "torchscript":
        save_torchscript(predictor.net, file, about)
    else:
        save_published(predictor.net, file, "plopkit", {ABOUT: json.dumps(about)})
    write_text(out / ABOUT, json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    return Exported(file, out / ABOUT, checked, predictor.names_known)


def about_net(predictor: Predictor) -> dict[str, Any]:
    """What a program needs to know of a net, as plain values; the name of a class is None where it is not known."""
    scaled = "RGB from 0 to 255, divided by 255, minus mean, divided by std"
    channels = [
        {"channel": channel, "label": label, "name": predictor.classes[label] if predictor.names_known else None}
        for channel, label in enumerate(predictor.labels)
    ]
    return {
        "input": {"name": INPUT, "shape": ["batch", 3, "height", "width"], "type": "float32", "colours": scaled},
        "mean": list(IMAGENET_MEAN),
        "std": list(IMAGENET_STD),
        "short_side": predictor.size,
        "output": {"name": OUTPUT, "shape": ["batch", len(channels), "height", "width"], "type": "float32"},
        "decoding": LARGEST if _takes_largest(predictor.decode) else _name_of(predictor.decode),
        "classes": channels,
        "n_labels": len(predictor.classes),
        "ignored": predictor.ignored,
        "plopkit": plopkit.__version__,
    }


def _about_run(path: Path, step: int | None) -> dict[str, Any]:
    chosen = chosen_step(path, step)
    if chosen is None:
        return {}
    settings = chosen.folder.settings
    return {"scenario": settings.scenario, "method": settings.method, "seed": settings.seed, "step": chosen.step}


def _takes_largest(decode: Any) -> bool:
    return decode is predicted_channel or getattr(decode, "__func__", None) is Method.predict


def _name_of(decode: Any) -> str:
    return f"{decode.__module__}.{decode.__qualname__}"
