"""The lessons: a folder per topic, each with its measures, figures and exercises."""

from typing import TYPE_CHECKING

from plopkit.support.moved import renamed

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)
