"""Files that are there whole or not at all, and the folders of runs."""

import contextlib
import errno
import os
import shutil
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import contents, small

from plopkit.runs import checkpoints as stepstore
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.folder import RunFolder, check_room, open_folder
from plopkit.settings import to_yaml
from plopkit.support.files import atomic_write, write_arrays, write_table, write_text


def no_space(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# atomic_write


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
        assert part.parent == path.parent  # os.replace is atomic on one file system only
    assert contents(tmp_path) == {"a.txt": b"new"}


def test_folders_are_made_and_nothing_written_makes_no_file(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "b" / "c" / "a.txt"):
        pass
    assert contents(tmp_path) == {}
    assert (tmp_path / "b" / "c").is_dir()


@pytest.mark.parametrize("error", [RuntimeError("ours"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_whatever_fails_the_old_file_stays_and_no_part_is_left(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic_write(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert contents(tmp_path) == {"a.txt": b"old"}


def test_a_failing_move_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", no_space)
        with pytest.raises(OSError, match=r"cannot be written .No space left") as told:
            write_text(path, "new")
    assert str(told.value).startswith(f"{path}: ")
    assert "what was finished is kept" in str(told.value)
    assert contents(tmp_path) == {}
    write_text(path, "new")
    assert path.read_text() == "new"


def test_two_processes_do_not_share_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with atomic_write(tmp_path / "a.txt") as mine:
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with atomic_write(tmp_path / "a.txt") as theirs:
            assert mine != theirs
            theirs.write_text("theirs")
        mine.write_text("mine")
    assert contents(tmp_path) == {"a.txt": b"mine"}


def test_a_place_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="a file or a folder is in the way"):
        write_text(tmp_path / "file" / "a.txt", "new")
    assert contents(tmp_path) == {"file": b"x"}


@contextlib.contextmanager
def little_space() -> Iterator[None]:
    """No file may grow beyond 60 kB: the nearest to a full disk that a test may bring about.

    Around the writing alone: pytest's own output may go to a file that is longer already.
    """
    resource = pytest.importorskip("resource", reason="no limits on the size of files here")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.npz", "step-0.training.pt", "step-0.safetensors"])
def test_a_disk_that_fills_up_leaves_no_half_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"old")
    big, store = torch.rand(50_000), StepStore(tmp_path, 0)
    writers: dict[str, Callable[[], None]] = {
        "a.txt": lambda: write_text(tmp_path / "a.txt", "x" * 100_000),
        "a.csv": lambda: write_table(tmp_path / "a.csv", pd.DataFrame({"a": big.numpy()})),
        "a.npz": lambda: write_arrays(tmp_path / "a.npz", a=big.numpy()),
        "step-0.training.pt": lambda: store.save_epoch({"a": big}, []),
        "step-0.safetensors": lambda: store.finish({"a": big}, [], {}),
    }
    with pytest.raises(OSError, match=r"cannot be written \(.*\); free disk space") as told, little_space():
        writers[name]()
    assert str(told.value).startswith(f"{tmp_path / name}: ")
    left = contents(tmp_path)
    assert left.pop("step-0.ticks.json", b"[]") == b"[]"
    assert left == {name: b"old"}


# Tables and arrays


def test_tables_are_written_with_six_digits_and_read_back(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", pd.DataFrame({"a": [1 / 3, np.nan], "b": [1, 2]}))
    assert (tmp_path / "a.csv").read_bytes() == b"a,b\n0.333333,1\n,2\n"


def test_arrays_are_read_back(tmp_path: Path) -> None:
    write_arrays(tmp_path / "examples.npz", a=np.arange(3), names=np.array(["é", "b"]))
    found = RunFolder(tmp_path).examples
    assert found["a"].tolist() == [0, 1, 2]
    assert found["names"].tolist() == ["é", "b"]


def test_class_names_that_look_like_numbers_or_nothing_stay_names(tmp_path: Path) -> None:
    names = ["NA", "null", "007", "1e3", "None"]
    write_table(tmp_path / "results.csv", pd.DataFrame({"step": 0, "name": names, "iou": [1.0, np.nan, 2, 3, 4]}))
    table = RunFolder(tmp_path).results
    assert table["name"].tolist() == names
    assert table["iou"].isna().tolist() == [False, True, False, False, False]


# The folder of a run


def test_a_folder_is_taken_up_again_with_the_same_settings(tmp_path: Path) -> None:
    settings = small(tmp_path)
    folder = open_folder(settings, "data")
    assert folder.path == settings.folder()
    assert folder.settings == settings
    before = contents(tmp_path)
    assert open_folder(settings, "data") == folder
    assert open_folder(small(tmp_path, compute__workers=3), "data") == folder
    assert contents(tmp_path) == before
    assert folder.evaluated() == 0


def test_a_name_used_for_other_settings_is_refused_with_what_differs(tmp_path: Path) -> None:
    open_folder(small(tmp_path, name="mine", optim__lr=0.5, hyper__pod=0.5), "data")
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="made with other settings") as told:
        open_folder(small(tmp_path, name="mine", optim__lr=0.25, seed=3, hyper__pod=0.25), "data")
    text = str(told.value)
    assert text.startswith(f"{tmp_path / 'mine'}: ")
    for words in ("optim.lr is 0.5 there, 0.25 asked for", "seed is 0 there, 3 asked for", "hyper.pod is 0.5 there"):
        assert words in text
    assert "optim.batch" not in text
    assert "Choose another name or out, or delete it" in text
    assert contents(tmp_path) == before


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    open_folder(small(tmp_path, name="mine"), "data")  # empty: fine
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.tex").write_text("years")
    with pytest.raises(ValueError, match="theirs: not empty, and not a run's folder"):
        open_folder(small(tmp_path, name="theirs"), "data")
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["thesis.tex"]


def test_a_folder_whose_making_was_cut_short_is_made_anew(tmp_path: Path) -> None:
    settings = small(tmp_path, name="mine")
    write_text(tmp_path / "mine" / "data.txt", "older data")
    write_text(tmp_path / "mine" / ".settings.yaml.99.part", "seed")
    assert open_folder(settings, "data").settings == settings
    assert open_folder(settings, "data").path == tmp_path / "mine"


def test_a_broken_settings_file_is_named(tmp_path: Path) -> None:
    settings = small(tmp_path, name="mine")
    write_text(tmp_path / "mine" / "settings.yaml", to_yaml(settings) + "colour: red\n")
    with pytest.raises(ValueError, match=r"settings\.yaml: not the settings of a run: there is no setting 'colour'"):
        open_folder(settings, "data")


def test_room_is_asked_for_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = small(tmp_path / "new" / "out")
    check_room(settings, 1)
    assert contents(tmp_path) == {}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=3 * 2**20))
    check_room(settings, 3 * 2**20)
    with pytest.raises(OSError, match=r"out: 3 MiB are free, this run needs about 4 MiB; make room, or .* out"):
        check_room(settings, 4 * 2**20)


def test_what_stands_in_the_folder_already_needs_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = small(tmp_path)
    write_text(settings.folder() / "checkpoints" / "step-0.safetensors", 2**20 * "x")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=3 * 2**20))
    check_room(settings, 4 * 2**20)
    with pytest.raises(OSError, match=r"3 MiB are free, this run needs about 4 MiB"):
        check_room(settings, 5 * 2**20)


def test_two_processes_are_not_at_one_run(tmp_path: Path) -> None:
    folder = open_folder(small(tmp_path), "data")
    with folder.locked(), folder.locked():  # one process may take its own run up again
        pass
    fcntl = pytest.importorskip("fcntl")  # not on Windows
    with open(folder.path / ".lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match=f"{folder.path.name}: another process is at this run"), folder.locked():
            pass
    with folder.locked():
        pass


def test_where_nothing_can_be_locked_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    folder = open_folder(small(tmp_path), "data")
    told = f"{folder.path.name}: cannot be locked here .*; see that no other"
    with pytest.warns(UserWarning, match=told), folder.locked():
        pass


def test_what_another_writer_of_this_process_writes_is_not_swept(tmp_path: Path) -> None:
    folder = open_folder(small(tmp_path), "data")
    with folder.locked(), atomic_write(folder.path / "a.txt") as part:
        part.write_text("a")
        with folder.locked():
            assert part.is_file()
    assert (folder.path / "a.txt").read_text() == "a"


@pytest.mark.parametrize("keep", [0, 20, 700])
def test_damaged_examples_are_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "examples.npz"
    write_arrays(path, images=np.random.default_rng(0).integers(0, 255, 2000))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"examples\.npz: damaged; move it and results\.csv away, and run again"):
        _ = RunFolder(tmp_path).examples


def test_somebody_elses_table_is_named(tmp_path: Path) -> None:
    for text in ("", "a,b\n1,2\n", "step\n"):
        write_text(tmp_path / "results.csv", text or " ")
        with pytest.raises(ValueError, match=r"results\.csv: not a run's table"):
            RunFolder(tmp_path).evaluated()
    assert RunFolder(str(tmp_path)) == RunFolder(tmp_path)


def test_a_folder_that_cannot_be_written_is_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match=r"file/out: cannot be written .*; choose another folder with out"):
        check_room(small(tmp_path / "file" / "out"), 1)

    def read_only(self: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "touch", read_only)  # root may write everywhere, so the rights are played
    with pytest.raises(
        PermissionError, match=r"cannot be written .*Permission denied.*; choose another folder with out"
    ):
        check_room(small(tmp_path / "out"), 1)


# A step's files


def state_of(value: float) -> dict[str, Any]:
    return {"net": {"a": torch.full((2,), value)}, "optimizer": {"state": {0: {"step": 3}}}, "epoch": 4}


def test_a_steps_state_is_kept_until_it_is_done(tmp_path: Path) -> None:
    store = StepStore(tmp_path, 2)
    assert store.load_epoch() is None
    store.save_epoch(state_of(1.0), [{"loss": 1.0}])
    store.save_epoch(state_of(2.0), [{"loss": 1.0}, {"loss": 0.5}])
    kept = store.load_epoch()
    assert kept is not None
    assert kept[0]["net"]["a"].tolist() == [2.0, 2.0]
    assert (kept[0]["epoch"], kept[0]["optimizer"]) == (4, {"state": {0: {"step": 3}}})
    assert kept[1] == [{"loss": 1.0}, {"loss": 0.5}]
    weights = {"a": torch.rand(3, 4, 2, 2).to(memory_format=torch.channels_last), "b": torch.tensor(7)}
    store.finish(weights, kept[1], {"classes": "[3]"})
    assert store.load_epoch() is None
    found = store.weights()
    assert set(found) == {"a", "b"}
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    assert store.ticks() == kept[1]
    assert set(contents(tmp_path)) == {"step-2.safetensors", "step-2.ticks.json"}
    other = StepStore(tmp_path / "copy", 2)
    store.copy_to(other)
    assert contents(other.folder) == {name: data for name, data in contents(tmp_path).items() if "/" not in name}


def test_everybody_who_may_read_the_tables_may_read_the_checkpoint(tmp_path: Path) -> None:
    store = StepStore(tmp_path, 0)
    store.finish({"a": torch.rand(3)}, [], {})
    write_text(tmp_path / "a.txt", "a")
    assert store.checkpoint.stat().st_mode == (tmp_path / "a.txt").stat().st_mode


def test_the_checkpoint_comes_after_all_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = StepStore(tmp_path, 0)
    store.save_epoch(state_of(1.0), [])
    monkeypatch.setattr(stepstore, "write_text", no_space)
    with pytest.raises(OSError, match="No space"):
        store.finish({"a": torch.rand(3)}, [], {})
    assert not store.checkpoint.exists()
    assert store.load_epoch() is not None


@pytest.mark.parametrize("keep", [0, 20, 300])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, keep: int) -> None:
    store = StepStore(tmp_path, 0)
    store.save_epoch(state_of(1.0), [])
    state = tmp_path / "step-0.training.pt"
    state.write_bytes(state.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"step-0\.training\.pt: not a readable state .*delete it to train anew"):
        store.load_epoch()
    store.finish({"a": torch.rand(300)}, [], {})
    store.checkpoint.write_bytes(store.checkpoint.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"step-0\.safetensors: not a readable checkpoint .*delete it to train anew"):
        store.weights()
    (tmp_path / "step-0.ticks.json").write_text("[{")
    for read in (store.ticks, lambda: store.copy_to(StepStore(tmp_path / "other", 0))):
        with pytest.raises(ValueError, match=r"step-0\.ticks\.json: not readable .*; delete it and step-0\.safet"):
            read()
    assert not (tmp_path / "other").exists()


def test_a_state_that_holds_code_is_not_run(tmp_path: Path) -> None:
    store = StepStore(tmp_path, 0)
    torch.save({"training": Path("/"), "ticks": []}, tmp_path / "step-0.training.pt")
    with pytest.raises(ValueError, match="not a readable state"):
        store.load_epoch()


def test_a_folder_is_refused_when_the_data_changed(tmp_path: Path) -> None:
    open_folder(small(tmp_path, name="mine"), "before")
    with pytest.raises(ValueError, match=r"mine: the images or masks have changed since"):
        open_folder(small(tmp_path, name="mine"), "after")
