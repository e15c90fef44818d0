"""A widget as outputs of a cell: the widget, what stands in for it without a kernel, and names for screen readers."""

import html
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from IPython.display import display

from plopkit.support.kernels import is_interactive

RUN_ALL = "The controls need a running kernel: choose Run > Run All Cells."


def show(widget: Any, stand_in: str) -> None:
    """Display a widget and, where it is not alive, what stands in for it.

    JupyterLab shows one form of an output only: for a widget whose kernel has ended, "model not found" and nothing
    else. So what stands in is an output of its own, which a style sheet hides while the widget is there.

    Args:
        widget: any widget.
        stand_in: HTML, shown above a line that says how to get the widget back.
    """
    key = f"plopkit-{widget.model_id}"
    widget.add_class(key)
    display(with_fallback(widget, {"text/plain": RUN_ALL}), raw=True)
    note = f'<p class="plopkit-run-all"><i>{html.escape(RUN_ALL)}</i></p>'
    style = f":root:has(.{key}) .{key}-stand-in {{display: none}}"
    # In the place of a widget that is gone, JupyterLab writes words without an element.
    style += f".jp-OutputArea:has(.{key}-stand-in) .jp-OutputArea-output.jupyter-widgets:not(:has(*)) {{display: none}}"
    text = f'<div class="{key}-stand-in"><style>{style}</style>{stand_in}{note}</div>'
    display({"text/html": text, "text/plain": ""}, raw=True)
    if is_interactive():
        display({"application/javascript": _names().replace("KEY", key), "text/plain": ""}, raw=True)


def with_fallback(widget: Any, fallback: Mapping[str, Any]) -> dict[str, Any]:
    """A widget's MIME bundle together with ``fallback``, for front ends that know no widgets."""
    return widget._repr_mimebundle_() | fallback


@cache
def _names() -> str:
    return Path(__file__).with_name("names.js").read_text(encoding="utf-8")


def slides(pictures: Mapping[str, str]) -> str:
    """Pictures to choose from by a row of radio buttons: HTML that needs neither a kernel nor a script.

    Where a style sheet is not allowed, all pictures are shown, one below the other.

    Args:
        pictures: HTML of each picture, by the words next to its button.
    """
    key = f"plopkit-{uuid4().hex}"
    style = [f".{key} > figure {{display: none; margin: .5em 0}}"]
    buttons, figures = [], []
    for index, (label, picture) in enumerate(pictures.items()):
        each, words = f"{key}-{index}", html.escape(label)
        style.append(f".{key}:has(#{each}:checked) > figure.{each} {{display: block}}")
        checked = " checked" if index == 0 else ""
        button = f'<input type="radio" name="{key}" id="{each}"{checked}>'
        buttons.append(f'<label style="display:inline-block;margin-right:1em">{button} {words}</label> ')
        figures.append(f'<figure class="{each}">{picture}</figure>')
    return (
        f'<div class="plopkit-slides {key}" role="group" aria-label="key frames">'
        f"<style>{''.join(style)}</style>{''.join(buttons)}{''.join(figures)}</div>"
    )
