"""Training and validation: by the source, at random, by a list."""

from pathlib import Path, PurePath

import pytest

from plopkit.datasets.convert.annotated import Notes
from plopkit.datasets.convert.splits import at_random, by_list, by_source, split_of


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("annotations/instances_val2017.json", "val"),
        ("train/_annotations.coco.json", "train"),
        ("valid/sub/a.json", "val"),
        ("Training_set/a.json", "train"),
        ("test/a.json", "test"),
        ("strain/values.json", None),
        ("train_val/a.json", None),
        ("train/val_a.json", "val"),
    ],
)
def test_splits_by_name(path: str, split: str | None) -> None:
    assert split_of(PurePath(path)) == split


def test_the_source_needs_both_splits() -> None:
    assert by_source(["train", "val", None, "test", "train"]) == {"train": [0, 4], "val": [1]}
    assert by_source(["train", None, "test"]) is None


@pytest.mark.parametrize(("n", "share", "n_val"), [(10, 0.2, 2), (2, 0.01, 1), (3, 0.99, 2), (1000, 0.25, 250)])
def test_shares_at_random(n: int, share: float, n_val: int) -> None:
    stems = [f"picture {i}" for i in range(n)]
    splits = at_random(stems, share, 0)
    assert len(splits["val"]) == n_val
    assert sorted(splits["train"] + splits["val"]) == list(range(n))
    assert at_random(stems, share, 0) == splits
    if n > 100:
        assert at_random(stems, share, 1) != splits


def test_pictures_keep_their_split_when_others_come() -> None:
    stems = [f"picture {i}" for i in range(1000)]
    before = {stems[i] for i in at_random(stems, 0.2, 0)["val"]}
    more = [*(f"new {i}" for i in range(100)), *stems]
    after = {more[i] for i in at_random(more, 0.2, 0)["val"]}
    assert len(before - after) < 20


NAMES = [["1", "a/1.jpg", "1.jpg"], ["b__1", "b/1.jpg", "1.jpg", "1"], ["größe", "größe.jpg"]]


def test_lists_by_stem_file_name_or_path(tmp_path: Path) -> None:
    path = tmp_path / "val.txt"
    path.write_bytes("\ufeffb\\1.jpg\r\ngro\u0308ße\r\n\r\ngröße.jpg\r\n".encode())
    notes = Notes()
    assert by_list(path, NAMES, notes) == {"train": [0], "val": [1, 2]}
    assert notes.lines() == ["lines of --val-list that are repeated: 1 (the first: größe.jpg)"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2\n", "2 is no picture of the source"),
        ("1.jpg\n", "may be 2 pictures: write its path"),
        ("\n", "it names 0 of 3 pictures"),
        ("a/1.jpg\nb/1.jpg\ngröße\n", "it names 3 of 3 pictures"),
    ],
)
def test_wrong_lists(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "val.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        by_list(path, NAMES, Notes())
