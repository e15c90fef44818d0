"""Controls of settings, each made from its field with type, help and bounds, and those of the main choices."""

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import annotated_types
import ipywidgets
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from plopkit.catalogue import DATASETS, METHODS
from plopkit.grammar import PROTOCOLS
from plopkit.presets import PRESETS
from plopkit.recipes import NAMES
from plopkit.widgets.explorer import FITTING, STYLE

HELP = {
    "dataset": "; ".join(f"{entry.name}: {entry.title}" for entry in DATASETS.values()),
    "task": "15-5: fifteen classes first, then five at a time; 10+3+7: the classes of each step; joint: all at once",
    "protocol": "overlap: a step trains on the images that show a new class; disjoint: only on those without a later "
    "class; sequential: as disjoint, with labels of old classes; partitioned: each image belongs to one class's step",
    "order": "a published class order by name, random:<number>, or all labels, separated by commas; empty = natural",
    "method": "how a step is trained",
    "recipe": "own: as the method's own code trains it, in presets gpu and paper; common: as PLOP's, for comparison",
    "preset": "smoke: seconds; laptop: minutes on two cores; gpu: one GPU; paper: the published recipe",
}
"""Help of the first choices."""


@dataclass(frozen=True)
class Control:
    """A setting with its widget."""

    name: str
    """The dotted name."""
    help: str
    """The description and the bounds."""
    widget: Any
    read: Callable[[Any], Any]
    """Turns the widget's value into the setting's."""
    write: Callable[[Any], Any]
    """Turns the setting's plain value into the widget's."""

    def row(self) -> Any:
        """The widget with its help next to it."""
        text = ipywidgets.HTML(f"<span style='opacity:.75'>{html.escape(self.help)}</span>", layout={"flex": "1"})
        return ipywidgets.HBox([self.widget, text], layout={"flex_flow": "row wrap"})


def controls_of(kind: type[BaseModel], prefix: str = "") -> Iterator[Control]:
    """A control for each plain field of a settings model; models and dictionaries in it are left out."""
    for name, info in kind.model_fields.items():
        inner = info.annotation
        group = isinstance(inner, type) and issubclass(inner, BaseModel)
        if not group and get_origin(inner) is not dict:
            yield make_control(prefix + name, info)


def make_control(name: str, info: FieldInfo) -> Control:
    """The control of a setting. It accepts wrong values too, which the settings refuse with an explanation."""
    text = "; ".join(filter(None, (info.description or "", bounds(info))))
    kind: Any = info.annotation
    plain = {bool: ipywidgets.Checkbox, int: ipywidgets.IntText, float: ipywidgets.FloatText}
    read: Callable[[Any], Any] = _as_is
    write: Callable[[Any], Any] = _as_is
    options: dict[str, Any] = {
        "description": name,
        "tooltip": text,
        "style": STYLE,
        "layout": {"width": "20em", "max_width": FITTING},
    }
    if kind in plain:
        widget = plain[kind](**options, **({"indent": False} if kind is bool else {"continuous_update": False}))
    elif get_origin(kind) is Literal:
        widget = choice(get_args(kind), name, text)
    else:
        several, optional = get_origin(kind) is tuple, type(None) in get_args(kind)
        widget = ipywidgets.Text(placeholder="none" if several or optional else "", continuous_update=False, **options)
        read, write = _numbers if several else _text_or_none if optional else _text, _as_text
    return Control(name, text, widget, read, write)


def bounds(info: FieldInfo) -> str:
    """What the field allows, in words: "above 0, at most 10"."""
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
                words.append(f"at least {least} values")
    return ", ".join(words)


def _as_is(value: Any) -> Any:
    return value


def _text(value: str) -> str:
    return value.strip()


def _text_or_none(value: str) -> str | None:
    return None if value.strip().lower() in ("", "none") else value.strip()


def _numbers(value: str) -> list[str]:
    """Split a text such as "1, 2 4"; the settings read numbers out of text."""
    return [] if value.strip().lower() == "none" else value.strip("()[] ").replace(",", " ").split()


def _as_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


MOST_BUTTONS = 24  # more take more room than the picture
BUTTONS = {"max_width": "100%", "height": "auto", "margin": "2px 16px 2px 2px"}


def choice(options: Sequence[Any], description: str, tooltip: str, value: Any = None) -> Any:
    """A control of one option out of a few: a row of buttons, which shows them all and is reached by Tab and Space.

    Many options are a list that opens.

    Args:
        options: the values, or pairs of words and value.
        description: the name of the control.
        tooltip: what it chooses.
        value: the first choice; by default the first option.
    """
    named: dict[str, Any] = {"options": list(options), "description": description, "tooltip": tooltip}
    if value is not None:
        named["value"] = value
    if len(options) > MOST_BUTTONS:
        return ipywidgets.Dropdown(**named, style=STYLE)
    style = {**STYLE, "button_width": "auto"}
    return ipywidgets.ToggleButtons(**named, style=style, layout=BUTTONS)


def top_controls() -> dict[str, Any]:
    """The controls of the main choices (scenario, method, preset): the parts of the scenario, method and preset."""

    def options(name: str, description: str, width: str) -> dict[str, Any]:
        return {"description": description, "tooltip": HELP[name], "style": STYLE, "layout": {"width": width}}

    typed = {"ensure_option": False, "continuous_update": False}
    return {
        "dataset": choice(tuple(DATASETS), "data set", HELP["dataset"]),
        "task": ipywidgets.Combobox(**typed, **options("task", "task", "11em")),
        "protocol": choice(PROTOCOLS, "protocol", HELP["protocol"]),
        "order": ipywidgets.Combobox(placeholder="its own", **typed, **options("order", "class order", "14em")),
        "method": ipywidgets.Dropdown(options=tuple(METHODS), **options("method", "method", "12em")),
        "preset": choice(tuple(PRESETS), "preset", HELP["preset"]),
        "recipe": choice(NAMES, "recipe", HELP["recipe"]),
    }
