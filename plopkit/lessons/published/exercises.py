"""Lesson 08, published results: the exercises."""

from plopkit.lessons.exercises import Exercise

EXERCISES: dict[str, Exercise] = {
    "08.1": Exercise(
        lambda results, method: results.query("method == @method and label == 0").sort_values("step")["iou"].iloc[-1],
        "old * n_old is the sum over all old classes, old_nobg * (n_old - 1) the sum without the background",
        tolerance=2e-2,
    ),
    "08.2": Exercise(
        lambda seeds: min(
            seeds.query("method == 'mib' and seed == @s")["new"].item()
            - seeds.query("method == 'plop' and seed == @s")["new"].item()
            for s in seeds["seed"].unique()
        ),
        'seeds.pivot(index="seed", columns="method", values="new") has a row per seed; subtract, take the smallest',
        tolerance=5e-3,
    ),
}
