"""The lessons: a folder per topic, each with its measures, figures and exercises."""

from plopkit.support import moved

__getattr__ = moved.renamed(__name__)
