"""A grid of runs whose lists of images have grown."""

import shutil
from pathlib import Path

from small_folders import NEW, OLD, add_to_list, write_folder

from plopkit.grids.plan import PlannedRun, plan
from plopkit.grids.state import Entry
from plopkit.grids.watch import Place, is_finished, place_of
from plopkit.runs.written import folder_of, grown_name, note_folder
from plopkit.settings import to_yaml
from plopkit.support.files import write_text


def planned(root: Path, out: Path) -> PlannedRun:
    (run,) = plan(["folder 2-2 overlap"], ["plop"], [0], "smoke", {"data.root": [str(root)]}, out)
    return run


def finish(run: PlannedRun, folder: Path, done: Path) -> None:
    """Let a folder hold what a run leaves with the images as they are."""
    shutil.copytree(done, folder)
    write_text(folder / "settings.yaml", to_yaml(run.settings), seal=True)
    write_text(folder / "data.txt", " ".join(source.fingerprint for source in run.splits) + "\n", seal=True)


def test_a_run_is_found_in_the_folder_where_it_goes_on(done: Path, tmp_path: Path) -> None:
    root, out = write_folder(tmp_path / "data", OLD, NEW), tmp_path / "out"
    run = planned(root, out)
    own = run.folder.path
    finish(run, own, done)
    assert is_finished(run)
    add_to_list(root / "train.txt", ["old-a"])
    run = planned(root, out)
    assert not is_finished(run)  # with other images
    entry = Entry(run)
    entry.started()
    grown = own.with_name(grown_name(own, "12345678"))
    note_folder(run.settings, grown)
    assert run.folder.path == grown and place_of(run) == Place()
    finish(run, grown, done)
    entry.ended(0)
    assert (entry.state, entry.place, is_finished(run)) == ("finished", Place(2, 2), True)
    note_folder(run.settings, own)
    assert folder_of(run.settings).path == own and not list((out / ".grown").iterdir())


def test_data_elsewhere_are_the_same_where_their_content_is(done: Path, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", OLD, NEW)
    run = planned(root, tmp_path / "out")
    finish(run, run.folder.path, done)
    shutil.copytree(root, tmp_path / "copy")
    assert is_finished(planned(tmp_path / "copy", tmp_path / "out"))


def test_a_note_that_names_no_folder_of_the_run_is_left_aside(tmp_path: Path) -> None:
    settings = planned(write_folder(tmp_path / "data", OLD, NEW), tmp_path / "out").settings
    note = tmp_path / "out" / ".grown" / f"{settings.folder().name}.txt"
    for content in (b"", b"../elsewhere", b"another", b"\xff", f"{settings.folder().name}_grown_/..".encode()):
        write_text(note, "x")
        note.write_bytes(content)
        assert folder_of(settings).path == settings.folder()
