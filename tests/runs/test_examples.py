"""The example on which methods differ most."""

import numpy as np

from plopkit.runs.results import most_different_example


def test_the_most_different_example_against_a_loop() -> None:
    rng = np.random.default_rng(4)
    masks = rng.integers(0, 6, (7, 5, 5))
    runs = {name: {"masks": masks, "predictions": rng.integers(0, 6, (2, 7, 5, 5))} for name in ("a", "b", "c")}
    labels = (1, 2, 4)

    def found(run: dict, image: int) -> int:
        pairs = zip(masks[image].flat, run["predictions"][-1][image].flat, strict=True)
        return sum(int(truth == said and truth in labels) for truth, said in pairs)

    gaps = [max(found(r, i) for r in runs.values()) - min(found(r, i) for r in runs.values()) for i in range(7)]
    assert most_different_example(runs, labels) == gaps.index(max(gaps))
    assert most_different_example({"a": runs["a"]}, labels) == 0
