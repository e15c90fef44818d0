"""Local POD (lesson 03): the exercises."""

from plopkit.lessons.exercises import Exercise
from plopkit.pod import local_pod, pod_distance

EXERCISES: dict[str, Exercise] = {
    "03.1": Exercise(
        lambda head, scales: local_pod(head, scales).shape[1],
        "at scale s there are s * s regions of side W // s, and each has two strips of that length per channel",
    ),
    "03.2": Exercise(
        lambda net, teacher, scales: pod_distance(net, teacher, scales).item(),
        "square the distances that pod_regions returns, sum over all regions and scales, and take the root",
    ),
}
