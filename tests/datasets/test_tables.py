"""Images and pixels per step and class, against plain loops."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plopkit.datasets.check import count
from plopkit.datasets.counts import pixels
from plopkit.datasets.folder import folder
from plopkit.datasets.tables import hidden_table, steps_table
from plopkit.scenario import IGNORE, N_IDS, Scenario, assign_classes
from plopkit.settings import Data

Root = Callable[..., Path]


@pytest.mark.parametrize("text", ["folder 2-1 overlap", "folder 2-1 disjoint", "folder 1-2 sequential"])
def test_the_tables_equal_plain_loops(text: str, folder_root: Root) -> None:
    root = folder_root(train=7, val=3)
    scenario = Scenario.parse(text, 4)
    steps, classes = count(scenario, Data(root=root))
    masks = {
        split: [np.array(Image.open(path)) for path in sorted((root / "masks").glob(f"{split}-*.png"))]
        for split in ("train", "val")
    }
    rows = iter(classes.to_dict("records"))
    for step in scenario.steps:
        used = [mask for mask in masks["train"] if step.uses(set(np.unique(mask)))]
        seen = [mask for mask in masks["val"] if set(np.unique(mask)) & set(step.seen) - {0}]
        assert steps.loc[step.index].tolist() == [len(set(step.new) - {0}), len(used), len(seen)]
        for label in step.seen:
            labelled = label in (step.seen if step.protocol == "sequential" else step.new)
            shown = [mask == label for mask in used if labelled and (mask == label).any()]
            tested = [mask == label for mask in seen if (mask == label).any()]
            assert next(rows) == {
                "step": step.index,
                "label": label,
                "name": "background" if label == 0 else f"class {label}",
                "learnt at": next(s.index for s in scenario.steps if label in s.new),
                "training images": len(shown),
                "training pixels": sum(int(mask.sum()) for mask in shown),
                "validation images": len(tested),
                "validation pixels": sum(int(mask.sum()) for mask in tested),
            }
    assert next(rows, None) is None


@pytest.mark.parametrize("protocol", ["overlap", "disjoint", "sequential"])
@pytest.mark.parametrize("task", ["2-2", "3-1 order=b"])
def test_what_the_background_hides_equals_plain_loops(task: str, protocol: str) -> None:
    task, _, order = task.partition(" ")
    scenario = Scenario.parse(f"folder {task} {protocol} {order.replace('b', '3,1,4,2')}".strip(), 5)
    rng = np.random.default_rng(3)
    masks = rng.choice([0, 1, 2, 3, 4, IGNORE], (40, 9)) * rng.integers(0, 2, (40, 1))
    masks[:30] = np.where(np.isin(masks[:30], [1, 3]), 0, masks[:30])
    table = np.array([[(mask == label).sum() for label in range(N_IDS)] for mask in masks])
    result = hidden_table(scenario, table)
    for step in scenario.steps:
        hidden = {"background": 0, "old": 0, "future": 0}
        for mask in (mask for mask in masks.tolist() if step.uses(set(mask))):
            for label in mask:
                if step.lookup(step.labelled)[label] == 0:
                    kind = "background" if label == 0 else "old" if label in step.old else "future"
                    hidden[kind] += 1
        expected = {kind: 100 * count / sum(hidden.values()) for kind, count in hidden.items()}
        assert result.loc[step.index].to_dict() == pytest.approx(expected)
        assert (expected["future"] > 0) == (protocol == "overlap" and bool(step.future))
        assert (expected["old"] > 0) == (protocol != "sequential" and step.index > 0)


def test_partitioned_images_are_counted_in_one_step_and_for_its_classes_only(folder_root: Root) -> None:
    root = folder_root(train=30, val=3, classes=5)
    scenario = Scenario.parse("folder 2-1 partitioned", 5)
    steps, classes = count(scenario, Data(root=root), seed=1)
    assert steps["training images"].sum() == 30
    for step in scenario.steps:
        rows = classes[classes["step"] == step.index].set_index("label")
        assert rows["training images"].max() == steps.loc[step.index, "training images"] > 0
        assert (rows.loc[list(step.old), "training images"] == 0).all()
    other, _ = count(scenario, Data(root=root), seed=2)
    assert steps["training images"].tolist() != other["training images"].tolist()
    table = pixels(folder(root, "train"))
    presence = assign_classes(table > 0, folder(root, "train").stems, 1)
    hidden = hidden_table(scenario, table, presence)
    assert (hidden["old"] > 0).tolist() == [False, True, True]
    named = steps_table(scenario, presence, pixels(folder(root, "val")), [*"0abcd"])
    assert named["new classes"].tolist() == ["a, b", "c", "d"]
    assert named["training images"].equals(steps["training images"])
