"""Lesson 08, published results: the exercises."""

from plopkit.lessons.exercises import Exercise

EXERCISES: dict[str, Exercise] = {
    "08.1": Exercise(
        lambda results, method: results.query("method == @method and label == 0").sort_values("step")["iou"].iloc[-1],
        "old * n_old is the sum over all old classes, old_nobg * (n_old - 1) the sum without the background",
        solution='ft = lesson.last_steps(summary).set_index("method").loc["ft"]\n'
        'answer = n_old * ft["old"] - (n_old - 1) * ft["old_nobg"]\n'
        'print(f"{answer:.1f}")\n'
        'lesson.check("08.1", answer, results=results, method="ft")',
        margin=1.55,  # 16 times 0.05, and 15 times
    ),
    "08.2": Exercise(
        lambda seeds: min(
            seeds.query("method == 'mib' and seed == @s")["new"].item()
            - seeds.query("method == 'plop' and seed == @s")["new"].item()
            for s in seeds["seed"].unique()
        ),
        'seeds.pivot(index="seed", columns="method", values="new") has a row per seed; subtract, take the smallest',
        solution='new = seeds.pivot(index="seed", columns="method", values="new")\n'
        'answer = (new["mib"] - new["plop"]).min()\n'
        'print(f"{answer:.1f} points")\n'
        'lesson.check("08.2", answer, seeds=seeds)',
        margin=0.1,
    ),
}
