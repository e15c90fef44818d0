"""Lesson 03, local POD: everything that the notebook needs."""

from plopkit.lessons.exercises import check
from plopkit.lessons.pod.figures import drift_maps, pod_cut, pod_vector
from plopkit.lessons.pod.measures import (
    PLACES,
    clearest_channel,
    distance_courses,
    drift_by_content,
    most_drifted,
    pod_layers,
    pod_maps,
)
from plopkit.lessons.snapshots import Snapshot, outputs_of, snapshots
from plopkit.support.lazy import lazy_attributes

__all__ = [
    "PLACES",
    "Snapshot",
    "check",
    "clearest_channel",
    "distance_courses",
    "drift_by_content",
    "drift_maps",
    "most_drifted",
    "outputs_of",
    "pod_cut",
    "pod_explorer",
    "pod_layers",
    "pod_maps",
    "pod_vector",
    "snapshots",
]

__getattr__ = lazy_attributes(__name__, {"pod_explorer": "explorer"})  # only explorers need ipywidgets
