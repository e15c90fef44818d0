"""Local POD (lesson 03): what the notebook imports."""

from plopkit.lessons.pod.explorer import pod_explorer
from plopkit.lessons.pod.figures import pod_cut, pod_vector
from plopkit.lessons.pod.maps import drift_maps
from plopkit.lessons.pod.measures import pod_layers, pod_maps

__all__ = [
    "drift_maps",
    "pod_cut",
    "pod_explorer",
    "pod_layers",
    "pod_maps",
    "pod_vector",
]
