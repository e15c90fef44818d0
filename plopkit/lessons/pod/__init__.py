"""Lesson 03, local POD: everything that the notebook needs."""

from plopkit.lessons.exercises import check
from plopkit.lessons.pod.figures import drift_maps, pod_cut, pod_vector
from plopkit.lessons.pod.measures import clearest_channel, pod_layers, pod_maps
from plopkit.lessons.snapshots import Snapshot, outputs_of, snapshots
from plopkit.support.lazy import lazy_attributes

__all__ = [
    "Snapshot",
    "check",
    "clearest_channel",
    "drift_maps",
    "outputs_of",
    "pod_cut",
    "pod_explorer",
    "pod_layers",
    "pod_maps",
    "pod_vector",
    "snapshots",
]

__getattr__ = lazy_attributes(__name__, {"pod_explorer": "explorer"})  # only explorers need ipywidgets
