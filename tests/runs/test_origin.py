"""What made a run is written down, and compared before the run goes on or is read back."""

import html
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import TWO_EPOCHS, contents, small, small_flags, ticks_until

from plopkit import catalogue
from plopkit.catalogue import METHODS
from plopkit.cli import main
from plopkit.runs import experiment as experiments
from plopkit.runs import origin
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.folder import RunFolder
from plopkit.runs.origin import ChangedError, Origin, read_record
from plopkit.support import seals

pytestmark = pytest.mark.usefixtures("no_pictures", "no_rehearsal")

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def copy(finished: Experiment, tmp_path: Path) -> Experiment:
    """A copy of the finished run and its shared step 0."""
    shutil.copytree(finished.settings.out, tmp_path / "copy")
    return Experiment(finished.settings.model_copy(update={"out": tmp_path / "copy"}))


def pretend(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Let this process have other circumstances."""
    before = experiments.current

    def changed(*args: Any) -> Origin:
        return before(*args).model_copy(update=changes)

    monkeypatch.setattr(experiments, "current", changed)


def pretend_code(monkeypatch: pytest.MonkeyPatch, **modules: str) -> None:
    """Let modules have another source: ``plopkit_pod="1"``."""
    before = experiments.sources_of
    other = {name.replace("_", "."): digest for name, digest in modules.items()}
    monkeypatch.setattr(experiments, "sources_of", lambda *kinds: before(*kinds) | other)


def half_done(out: Path, **overrides: Any) -> Experiment:
    """A run that was stopped in the first epoch of step 1."""
    opened = Experiment.open(small(out, **TWO_EPOCHS, compute__save_minutes=0, **overrides))
    ticks_until(opened, lambda tick: tick.step == 1)
    return opened


def again(stopped: Experiment, force: bool = False) -> list[tuple[int, int, int]]:
    return ticks_until(Experiment.open(stopped.settings, force=force))


def test_every_step_names_what_made_it(finished: Experiment) -> None:
    table = finished.folder.made_by
    assert table["step"].tolist() == [0, 1]
    assert set(table["torch"]) == {torch.__version__}
    assert set(table["device"]) == {"cpu"} and set(table["processes"]) == {1}
    assert set(table["threads"]) == {torch.get_num_threads()} and set(table["precision"]) == {"fp32"}
    assert table["date"].str.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC").all()
    assert table["source"].nunique() == 2  # step 0 is that of all methods
    assert finished.folder.first_steps(1).made_by["step"].tolist() == [0]
    (shared,) = (finished.settings.out / ".step0").iterdir()
    assert list(read_record(shared / origin.NAME).steps) == [0]
    for path in (shared / origin.NAME, finished.folder.origin_file):
        assert seals.sealed_digests(path) == (seals.digest_of(path),)


def test_a_shared_step_0_names_what_made_it_in_every_run(copy: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, threads=77)
    other = Experiment.open(small(copy.settings.out, method="ft", **TWO_EPOCHS))
    assert {step for step, *_ in ticks_until(other)} == {1}
    assert other.folder.made_by["threads"].tolist() == [torch.get_num_threads(), 77]


# Changed code


def test_a_finished_run_of_other_code_is_not_read_back(
    copy: Experiment, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    pretend_code(monkeypatch, plopkit_pod="1")
    before = contents(copy.settings.out, seals=True)
    with pytest.raises(ChangedError, match=r"the source of its method has changed \(plopkit\.pod\)") as raised:
        run(copy.settings, progress=False)
    message = str(raised.value)
    assert message.startswith(f"{copy.folder.path}: made on 20")
    assert all(words in message for words in ("another name", "delete this folder", "--force"))
    assert contents(copy.settings.out, seals=True) == before
    assert run(copy.settings, progress=False, force=True) == copy.folder
    assert "goes on with what is there, as forced" in capsys.readouterr().err
    record = read_record(copy.folder.origin_file)
    assert [forced.what for forced in record.forced] == ["the source of its method has changed (plopkit.pod)"]
    assert record.steps[1][0].source != record.last.source
    run(copy.settings, progress=False)  # it was accepted
    assert capsys.readouterr().err == ""


def test_a_half_done_run_goes_on_with_other_code_only_by_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = half_done(tmp_path)
    pretend_code(monkeypatch, plopkit_pod="1")
    with pytest.raises(ChangedError, match="has changed"):
        again(stopped)
    assert again(stopped, force=True)[0][0] == 1
    table = stopped.folder.made_by
    assert table["step"].tolist() == [0, 1, 1]
    assert table["source"].iloc[1] != table["source"].iloc[2]


def test_other_code_trains_its_own_step_0(copy: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    from plopkit.runs import step_0

    before = step_0.sources_of
    monkeypatch.setattr(step_0, "sources_of", lambda *kinds: before(*kinds) | {"plopkit.losses": "1"})
    other = Experiment.open(small(copy.settings.out, method="ft", **TWO_EPOCHS))
    assert ticks_until(other, lambda tick: True) == [(0, 0, 0)]
    assert len(list((copy.settings.out / ".step0").iterdir())) == 2


PLUGIN = '''
import plopkit
from plopkit.methods import FineTuning


class Toy(FineTuning):
    """A toy."""

    name, title, source = "toy-made-by", "toy", "a test"

    def losses(self, batch):
        return {name: 1.0 * loss for name, loss in super().losses(batch).items()}


plopkit.METHODS["toy-made-by"] = Toy
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "toy_made_by.py"
    path.write_text(PLUGIN, encoding="utf-8")
    yield path
    METHODS.pop("toy-made-by", None)


def test_a_plugin_that_was_edited_does_not_return_the_old_table(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """On the command line; a comment may change."""

    def command(*more: str) -> int:
        monkeypatch.setattr(catalogue, "_plugins", {})  # as in a new process
        words = ["run", "emoji 15-5 overlap", *small_flags(tmp_path / "runs"), "--method", "toy-made-by", "--quiet"]
        return main(["--plugin", str(plugin), *words, *more])

    assert command() == 0
    plugin.write_text(PLUGIN.replace('"""A toy."""', '"""Another text."""  # and a comment'), encoding="utf-8")
    assert command() == 0
    plugin.write_text(PLUGIN.replace("1.0", "3.0"), encoding="utf-8")
    capsys.readouterr()
    assert command() == 2
    assert "(toy_made_by)" in capsys.readouterr().err
    assert command("--force") == 0
    assert command("--name", "other") == 0
    assert command() == 0


# Other circumstances


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"processes": 2}, "processes 1, now 2"),
        ({"torch": "9.9"}, f"torch {torch.__version__}, now 9.9"),
        ({"device": "cuda"}, "device cpu, now cuda"),
    ],
)
def test_what_changes_numbers_needs_force_in_a_half_done_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], words: str, capsys: Captured
) -> None:
    stopped = half_done(tmp_path)
    pretend(monkeypatch, **changes)
    with pytest.raises(ChangedError) as raised:
        again(stopped)
    assert words in str(raised.value) and "--force" in str(raised.value)
    assert again(stopped, force=True)
    assert read_record(stopped.folder.origin_file).forced[0].what.endswith(f"({words})")
    capsys.readouterr()
    monkeypatch.undo()
    assert again(stopped) == []  # a finished run is only read, wherever it was made
    assert capsys.readouterr().err == ""


def test_what_changes_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    stopped = half_done(tmp_path)
    pretend(monkeypatch, threads=77, python="3.99", plopkit="9.9")
    capsys.readouterr()
    assert again(stopped)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "threads 1, now 77" in said and "now 3.99" in said and "now 9.9" in said
    assert stopped.folder.made_by.query("step == 1")["threads"].tolist() == [1, 77]


def test_a_step_0_that_another_run_has_begun_elsewhere_needs_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Experiment.open(small(tmp_path, **TWO_EPOCHS, compute__save_minutes=0))
    ticks_until(opened, lambda tick: True)
    pretend(monkeypatch, processes=2)
    other = small(tmp_path, method="ft", **TWO_EPOCHS)
    with pytest.raises(ChangedError, match=r"\.step0.*processes 1, now 2") as raised:
        ticks_until(Experiment.open(other))
    assert "another out " in str(raised.value) and "name or" not in str(raised.value)  # which would not help
    forced = Experiment.open(other, force=True)
    assert ticks_until(forced)[0] == (0, 0, 1)
    assert "processes 1, now 2" in read_record(forced.folder.origin_file).forced[0].what


def test_another_method_goes_on_with_a_step_0_without_a_question(tmp_path: Path) -> None:
    opened = Experiment.open(small(tmp_path, **TWO_EPOCHS, compute__save_minutes=0))
    ticks_until(opened, lambda tick: True)
    other = Experiment.open(small(tmp_path, method="ft", **TWO_EPOCHS))
    assert ticks_until(other)[0] == (0, 0, 1)
    assert other.folder.made_by["step"].tolist() == [0, 1]  # nothing has changed within step 0


# Without a record


def test_a_run_of_an_earlier_version_goes_on_and_is_watched_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    stopped = half_done(tmp_path)
    for path in (tmp_path).rglob("*origin.json*"):
        path.unlink()
    capsys.readouterr()
    assert again(stopped)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{stopped.folder.origin_file}: missing: nothing says what made the steps that are there" in said
    assert stopped.folder.made_by["step"].tolist() == [1, 1]
    assert stopped.folder.made_by["torch"].tolist() == [origin.UNKNOWN, torch.__version__]
    pretend_code(monkeypatch, plopkit_pod="1")
    with pytest.raises(ChangedError):
        again(stopped)


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"[]", b"{}", b'{"last": 1}', b"[" * 5000])
@pytest.mark.parametrize("sealed", [True, False])
def test_a_damaged_record_is_told_and_written_again(
    copy: Experiment, content: bytes, sealed: bool, capsys: Captured
) -> None:
    path = copy.folder.origin_file
    path.write_bytes(content)
    if not sealed:
        seals.seal_file(path).unlink()
    with pytest.raises(ValueError, match=r"origin\.json"):
        _ = copy.folder.made_by
    before = copy.folder.results_file.read_bytes()
    assert again(copy) == []
    assert "nothing says what made the steps" in capsys.readouterr().err
    assert again(copy) == []
    assert capsys.readouterr().err == ""
    assert copy.folder.results_file.read_bytes() == before
    assert copy.folder.made_by.empty


# Shown


def test_a_report_says_what_made_its_runs(copy: Experiment, tmp_path: Path) -> None:
    assert main(["report", str(copy.folder.path), "-o", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    table = html.unescape(page.partition("<h2>Made by</h2>")[2].partition("</pre>")[0])
    header, row = table.strip().splitlines()[-2:]
    assert {"run", "steps", "torch", "device"} <= set(header.replace("<pre>", "").split())
    assert copy.folder.path.name in row and "0-1" in row and torch.__version__ in row


def test_a_record_is_plain_json(finished: Experiment) -> None:
    record = json.loads(RunFolder(finished.folder.path).origin_file.read_text(encoding="utf-8"))
    assert set(record) == {"last", "steps", "sources", "forced"}
    assert "plopkit.methods.plop" in record["sources"][record["last"]["source"]]
