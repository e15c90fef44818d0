"""Local POD (lesson 03): the exercises."""

from plopkit.lessons.exercises import Exercise
from plopkit.pod import local_pod, pod_distance

EXERCISES: dict[str, Exercise] = {
    "03.1": Exercise(
        lambda head, scales: local_pod(head, scales).shape[1],
        "at scale s there are s * s regions of side W // s, and each has two strips of that length per channel",
        solution="side = {scale: head.shape[3] // scale for scale in scales}  # rounded down\n"
        "answer = sum(2 * head.shape[1] * scale**2 * side[scale] for scale in scales)\n"
        'lesson.check("03.1", answer, head=head, scales=scales)',
    ),
    "03.2": Exercise(
        lambda net, teacher, scales: pod_distance(net, teacher, scales).item(),
        "square the distances that pod_regions returns, sum over all regions and scales, and take the root",
        solution="parts = [pod_regions(of_net, of_teacher, scale) for scale in scales]\n"
        "answer = sum(part.square().sum() for part in parts).sqrt().item()\n"
        'lesson.check("03.2", answer, net=of_net, teacher=of_teacher, scales=scales)',
    ),
}
