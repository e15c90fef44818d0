"""Pseudo-labels (lesson 04): the exercises."""

from plopkit.lessons.exercises import Exercise

EXERCISES: dict[str, Exercise] = {
    "04.1": Exercise(
        lambda pseudo: pseudo.factor[0].item(),
        "what share of the pixels with target[0] == 0 has pseudo.sure[0]? `a & b` is true where both are true",
        solution="candidate = batch.target[0] < step.n_old  # background pixels; new channels begin at n_old\n"
        "answer = (pseudo.sure[0] & candidate).sum().item() / candidate.sum().item()\n"
        'lesson.check("04.1", answer, pseudo=pseudo)',
        tolerance=5e-3,
    ),
    "04.2": Exercise(
        lambda curve, wanted: curve.thresholds[curve.share >= wanted][0].item(),
        "curve.share increases with curve.thresholds: take the first threshold where it is at least `wanted`",
        solution='objects = curve["objects"]\n'
        "answer = objects.thresholds[objects.share >= 0.8][0].item()\n"
        'lesson.check("04.2", answer, curve=objects, wanted=0.8)',
    ),
}
