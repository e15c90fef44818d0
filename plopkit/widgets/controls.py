"""Controls of settings: each made from its field with type, help and bounds; those of a run's first choices."""

import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import annotated_types
import ipywidgets
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from plopkit.catalogue import DATASETS, METHODS
from plopkit.grammar import PROTOCOLS
from plopkit.presets import PRESETS
from plopkit.widgets.explorer import STYLE

HELP = {
    "dataset": "emoji is drawn on the spot; voc, ade and folder need data.root",
    "task": "15-5: fifteen classes first, then five at a time; joint: all at once",
    "protocol": "overlap: a step sees the images that show a new class; disjoint: and none of a later step; "
    "sequential: as disjoint, and old classes are labelled, too",
    "order": "a published class order by its name, or all labels with commas; empty = the data set's own",
    "method": "how a step is trained",
    "preset": "smoke: seconds; laptop: minutes on two cores; gpu: one GPU; paper: the published recipe",
}


@dataclass(frozen=True)
class Knob:
    """One setting: its dotted name, its help with its bounds, its widget."""

    name: str
    help: str
    widget: Any
    read: Callable[[Any], Any]
    """the widget's value as the setting's"""
    write: Callable[[Any], Any]
    """the setting's plain value as the widget's"""

    def row(self) -> Any:
        """The widget with its help beside it."""
        told = ipywidgets.HTML(f"<span style='opacity:.75'>{html.escape(self.help)}</span>", layout={"flex": "1"})
        return ipywidgets.HBox([self.widget, told], layout={"flex_flow": "row wrap"})


def knobs_of(kind: type[BaseModel], prefix: str = "") -> Iterator[Knob]:
    """A knob for each plain field of a settings model; what is a model itself, or a dictionary, is left out."""
    for name, info in kind.model_fields.items():
        inner = info.annotation
        group = isinstance(inner, type) and issubclass(inner, BaseModel)
        if not group and get_origin(inner) is not dict:
            yield make(prefix + name, info)


def make(name: str, info: FieldInfo) -> Knob:
    """The control of a setting. It holds wrong values, too: to refuse them, with words, is the settings' part."""
    told = "; ".join(filter(None, (info.description or "", bounds(info))))
    kind: Any = info.annotation
    plain = {bool: ipywidgets.Checkbox, int: ipywidgets.IntText, float: ipywidgets.FloatText}
    read: Callable[[Any], Any] = _as_is
    write: Callable[[Any], Any] = _as_is
    given: dict[str, Any] = {"description": name, "tooltip": told, "style": STYLE, "layout": {"width": "20em"}}
    if kind in plain:
        widget = plain[kind](**given, **({"indent": False} if kind is bool else {"continuous_update": False}))
    elif get_origin(kind) is Literal:
        widget = ipywidgets.Dropdown(options=get_args(kind), **given)
    else:
        many, optional = get_origin(kind) is tuple, type(None) in get_args(kind)
        widget = ipywidgets.Text(placeholder="none" if many or optional else "", continuous_update=False, **given)
        read, write = _numbers if many else _text_or_none if optional else _text, _as_text
    return Knob(name, told, widget, read, write)


def bounds(info: FieldInfo) -> str:
    """ "above 0, at most 10": what the field allows, in words."""
    words = []
    for limit in info.metadata:
        match limit:
            case annotated_types.Ge(ge=least):
                words.append(f"at least {least}")
            case annotated_types.Gt(gt=under):
                words.append(f"above {under}")
            case annotated_types.Le(le=most):
                words.append(f"at most {most}")
            case annotated_types.Lt(lt=over):
                words.append(f"below {over}")
            case annotated_types.MinLen(min_length=least):
                words.append(f"at least {least} of them")
    return ", ".join(words)


def _as_is(value: Any) -> Any:
    return value


def _text(value: str) -> str:
    return value.strip()


def _text_or_none(value: str) -> str | None:
    return None if value.strip().lower() in ("", "none") else value.strip()


def _numbers(value: str) -> list[str]:
    """ "1, 2 4" in its parts; the settings read numbers out of text."""
    return [] if value.strip().lower() == "none" else value.strip("()[] ").replace(",", " ").split()


def _as_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def top_controls() -> dict[str, Any]:
    """The controls of a run's first choices: a scenario's parts, method and preset."""

    def given(name: str, description: str, width: str) -> dict[str, Any]:
        return {"description": description, "tooltip": HELP[name], "style": STYLE, "layout": {"width": width}}

    typed = {"ensure_option": False, "continuous_update": False}
    return {
        "dataset": ipywidgets.Dropdown(options=tuple(DATASETS), **given("dataset", "data set", "11em")),
        "task": ipywidgets.Combobox(**typed, **given("task", "task", "11em")),
        "protocol": ipywidgets.Dropdown(options=PROTOCOLS, **given("protocol", "protocol", "13em")),
        "order": ipywidgets.Combobox(placeholder="its own", **typed, **given("order", "class order", "14em")),
        "method": ipywidgets.Dropdown(options=tuple(METHODS), **given("method", "method", "12em")),
        "preset": ipywidgets.Dropdown(options=tuple(PRESETS), **given("preset", "preset", "12em")),
    }
