"""Sentences with computed numbers: what a lesson says about a run is read from the run."""

import html
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any

MARKDOWN = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]|$"})
"""The signs that would turn a value into markup."""


class Said(str):
    """A text that a notebook shows as Markdown; everywhere else it is a plain string."""

    markdown: str
    """The text with its values escaped."""

    def _repr_markdown_(self) -> str:
        return self.markdown

    def __repr__(self) -> str:
        return str(self)


def say(template: str, **values: Any) -> Said:
    """Fill computed values into Markdown.

    Args:
        template: Markdown with fields as in `str.format`, such as "{before:.1f}".
        values: one for each field; text in them is shown as it is, never as HTML or Markdown.

    Raises:
        ValueError: A field has no value, or a value has no field.

    Example:
        >>> say("Old classes fall from {before:.1f} to {after:.1f}.", before=71.32, after=0.04)
        Old classes fall from 71.3 to 0.0.
    """
    plain, escaped = _Plain(), _Escaped()
    try:
        said = Said(plain.vformat(template, (), values))
    except (KeyError, IndexError) as error:
        raise ValueError(f"no value for the field {{{error.args[0]}}} of {template!r}") from None
    said.markdown = escaped.vformat(template, (), values)
    return said


class _Plain(Formatter):
    def check_unused_args(self, used: set[int | str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        if unused := kwargs.keys() - used:
            raise ValueError(f"the text has no field for {', '.join(sorted(unused))}")


class _Escaped(Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        return html.escape(super().format_field(value, format_spec), quote=False).translate(MARKDOWN)
