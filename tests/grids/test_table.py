"""How a grid is shown: a table in a terminal, lines elsewhere."""

import io
import sys
from pathlib import Path

import pytest

from plopkit.grids.plan import plan
from plopkit.grids.state import Entry
from plopkit.grids.table import Live, table
from plopkit.grids.watch import Place, Scores


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    runs = plan(["emoji 15-1 overlap"], ["ft", "plop"], [0], "smoke", {}, tmp_path)
    runs += plan(["emoji 15-1 overlap"], ["mib"], [0], "smoke", {"optim.epochs_later": ["3", "5"]}, tmp_path)
    ft, plop, mib, other = map(Entry, runs)
    ft.state, ft.place, ft.scores = "finished", Place(6, 6), Scores(65.84, 58.8, 64.2)
    plop.state, plop.place = "running", Place(0, 0, 0, 3)
    mib.state, mib.place, mib.scores = "running", Place(1, 1, 2, 1), Scores(67.7, None, 67.7)
    other.state, other.place, other.message = "waiting", Place(1, 2), ""
    return [ft, plop, mib, other]


ROWS = [
    "scenario            method  seed  set                   state                             old   new   all",
    "emoji 15-1 overlap  ft      0                           finished                         65.8  58.8  64.2",
    "emoji 15-1 overlap  plop    0                           step 0/5, epoch 1/1                 -     -     -",
    "emoji 15-1 overlap  mib     0     optim.epochs_later 3  step 1/5, epoch 3/3              67.7     -  67.7",
    "emoji 15-1 overlap  mib     0     optim.epochs_later 5  waiting at step 1/5, evaluation     -     -     -",
]


def test_a_line_per_run(entries: list[Entry]) -> None:
    assert table(entries) == ROWS


def test_a_column_without_words_is_left_out(entries: list[Entry]) -> None:
    assert table(entries[:1])[0] == "scenario            method  seed  state      old   new   all"


def test_where_the_terminal_is_low_those_that_go_on_come_first(entries: list[Entry]) -> None:
    lines = table(entries, 4)
    assert len(lines) == 4
    assert ["ft", "plop", "mib"].index(lines[1].split()[3]) == 1
    assert lines[2].split()[3] == "mib"
    assert lines[3] == "and 1 waiting, 1 finished"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_drawn_over(entries: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setenv("LINES", "24")
    live = Live(entries, True, interval=0)
    live()
    assert terminal.getvalue() == "\n".join(ROWS) + "\n"
    entries[2].place = Place(1, 2)
    live()
    back, drawn = terminal.getvalue()[len("\n".join(ROWS)) + 1 :].split("J", 1)
    assert back == "\x1b[5F\x1b["
    assert "step 1/5, evaluation" in drawn.splitlines()[3]


def test_elsewhere_a_line_for_what_has_changed(entries: list[Entry], capsys: pytest.CaptureFixture[str]) -> None:
    live = Live(entries, True)
    live()
    live()
    assert capsys.readouterr().err.splitlines() == [
        "emoji 15-1 overlap, ft, seed 0: finished; old 65.8, new 58.8, all 64.2",
        "emoji 15-1 overlap, plop, seed 0: step 0/5, epoch 1/1",
        "emoji 15-1 overlap, mib, seed 0, optim.epochs_later 3: step 1/5, epoch 3/3; old 67.7, all 67.7",
        "emoji 15-1 overlap, mib, seed 0, optim.epochs_later 5: waiting at step 1/5, evaluation",
    ]
    entries[1].state = "failed"
    live()
    assert capsys.readouterr().err == "emoji 15-1 overlap, plop, seed 0: failed\n"


def test_quiet_shows_nothing(entries: list[Entry], capsys: pytest.CaptureFixture[str]) -> None:
    Live(entries, False)()
    assert capsys.readouterr().err == ""
