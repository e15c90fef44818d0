"""Which pictures are meant by folders, patterns and files, and how their results are named."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plopkit.runs.inputs import find_inputs, unique_names


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names(found: list) -> list[str]:
    return [each.name for each in found]


def test_a_folder_is_searched_except_what_is_hidden(tmp_path: Path) -> None:
    touch(tmp_path, "b.JPG", "a.png", "c/d/e.jpeg", "notes.txt", ".hidden.png", ".git/x.png", "__MACOSX/a.png", "c/f")
    found = find_inputs([tmp_path])
    assert names(found) == ["a", "b", "c/d/e"]
    assert [each.shown for each in found] == ["a.png", "b.JPG", "c/d/e.jpeg"]
    assert found[2].path == tmp_path / "c" / "d" / "e.jpeg"


def test_several_folders_keep_their_names(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.jpg", "b/x.jpg", "b/x.png")
    assert names(find_inputs([tmp_path / "a", tmp_path / "b"])) == ["a/x", "b/x.jpg", "b/x.png"]


def test_files_and_patterns(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.jpg", "a/y.jpg", "b/x.jpg", "b/c/z.jpg", "b/c/z.txt")
    assert names(find_inputs([tmp_path / "a" / "x.jpg"])) == ["x"]
    assert names(find_inputs([tmp_path / "a" / "*.jpg"])) == ["x", "y"]
    assert names(find_inputs([tmp_path / "**" / "*"])) == ["a/x", "a/y", "b/c/z", "b/x"]
    assert names(find_inputs([tmp_path / "b" / "x.jpg", tmp_path / "a"])) == ["b/x", "a/x", "a/y"]


def test_a_file_that_is_named_is_taken_whatever_its_name(tmp_path: Path) -> None:
    touch(tmp_path, ".hidden.png", "scan", "with [brackets].png")
    assert names(find_inputs([tmp_path / ".hidden.png", tmp_path / "scan"])) == [".hidden", "scan"]
    assert names(find_inputs([tmp_path / "with [brackets].png"])) == ["with [brackets]"]


def test_each_picture_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a/x.jpg")
    monkeypatch.chdir(tmp_path)
    assert names(find_inputs(["a", "a/x.jpg", "./a/../a/x.jpg", tmp_path / "a"])) == ["x"]


def test_results_are_no_pictures(tmp_path: Path) -> None:
    touch(tmp_path, "x.jpg", "out/masks/x.png", "outer.jpg")
    assert names(find_inputs([tmp_path], without=tmp_path / "out")) == ["outer", "x"]
    with pytest.raises(FileNotFoundError, match="no pictures in it besides those in"):
        find_inputs([tmp_path / "out"], without=tmp_path / "out")


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "real/x.jpg", "photos/y.jpg")
    (tmp_path / "photos" / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "photos" / "round").symlink_to(tmp_path / "photos")
    assert names(find_inputs([tmp_path / "photos"])) == ["linked/x", "y"]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("none", "none: there is no such file or folder"),
        ("*.jpg", r"\*\.jpg: no picture matches it"),
        ("empty", r"empty: no pictures in it \(JPEG, PNG"),
    ],
)
def test_what_is_not_there(tmp_path: Path, argument: str, message: str) -> None:
    touch(tmp_path, "empty/notes.txt", "empty/.hidden.png")
    with pytest.raises(FileNotFoundError, match=message):
        find_inputs([tmp_path / argument])


def test_no_argument() -> None:
    with pytest.raises(ValueError, match="no pictures are named"):
        find_inputs([])


def test_names_that_collide() -> None:
    assert unique_names(["x.jpg", "X.png", "y.jpg"]) == ["x.jpg", "X.png", "y"]
    assert unique_names(["x.jpg", "x.png", "x.jpg.png"]) == ["x.jpg", "x.png", "x.jpg.png"]
    first, second = unique_names(["x.jpg", "X.jpg"])
    assert first.casefold() != second.casefold()


paths = st.lists(st.sampled_from("aAb").flatmap(lambda n: st.sampled_from([n, f"{n}.jpg", f"{n}.png", f"{n}.jpg.png"])))


@given(paths.map(lambda names: list(dict.fromkeys(names))))
def test_names_are_unique_on_any_disk(found: list[str]) -> None:
    made = unique_names(found)
    assert len({name.casefold() for name in made}) == len(found)
    assert all(os.path.dirname(name) == os.path.dirname(path) for name, path in zip(made, found, strict=True))
