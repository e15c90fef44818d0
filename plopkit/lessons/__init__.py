"""The lessons: a folder per topic, each with what it measures, draws and asks."""

from plopkit.support import moved

__getattr__ = moved.renamed(__name__)
