"""The live run: started, stopped and resumed in a thread, with the same numbers as an uninterrupted run."""

import html
import io
import shutil
import threading
import time

import matplotlib.image
import nbclient
import nbformat
import numpy as np
import pandas as pd
import pytest
from small_runs import small, ticks_until

import plopkit
from plopkit import viz
from plopkit.runs.experiment import Experiment
from plopkit.runs.folder import RunFolder
from plopkit.support.appending import replace_text
from plopkit.widgets import LiveRun, SettingsForm, background_run, is_interactive
from plopkit.widgets.finished import read_finished
from plopkit.widgets.placeholder import WAITING

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(autouse=True)
def nothing_left():
    """Cancel the run that a test has left."""
    yield
    if background_run._latest is not None and background_run._latest.alive:
        background_run._latest.cancel()


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """The output folder of a small finished run, made by `plopkit.run`."""
    out = tmp_path_factory.mktemp("straight")
    plopkit.run(small(out), progress=False)
    return out


@pytest.fixture(scope="module")
def straight(ready):
    """The results of an uninterrupted run."""
    return (small(ready).folder() / "results.csv").read_bytes()


@pytest.fixture
def pause_when(monkeypatch):
    """``pause_when(condition)``: a background run pauses itself wherever ``condition(run)`` is true."""

    def install(condition):
        wait_while_paused = background_run.BackgroundRun._wait_while_paused

        def pausing(self):
            if condition(self):
                self.pause()
            wait_while_paused(self)

        monkeypatch.setattr(background_run.BackgroundRun, "_wait_while_paused", pausing)

    return install


def until(condition, seconds=60):
    """Wait until the condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not true after {seconds} s"
        time.sleep(0.005)


def pressable(live):
    """The names of the enabled buttons."""
    return {name for name, button in live.buttons.items() if not button.disabled}


def test_train_gives_the_same_results_and_a_picture(tmp_path, straight):
    live = LiveRun(small(tmp_path))
    assert (live.state, pressable(live)) == ("ready", {"run"})
    folder = live.train()
    assert (live.state, pressable(live)) == ("finished", {"run"})
    assert (folder.path / "results.csv").read_bytes() == straight
    assert live.folder == folder
    assert str(folder.path) in live.status.value
    assert live.bar.value == live.bar.max
    assert f">{html.escape(f'finished: {folder.path}')}<" in live.status.value
    picture = matplotlib.image.imread(io.BytesIO(live.picture.value))
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 20
    assert live.title == "emoji 15-5 overlap, plop, seed 0"


def test_start_returns_at_once_and_stop_pauses_until_resume(tmp_path, straight):
    live = LiveRun(small(tmp_path))
    live.start()
    until(lambda: live.background.ticks)
    live.stop()
    assert (live.state, pressable(live)) == ("stopped", {"resume"})
    until(lambda: ">stopped: " in live.status.value, 10)
    ticks, progress = len(live.background.ticks), live.background.status
    time.sleep(0.5)
    assert (len(live.background.ticks), live.background.status) == (ticks, progress)
    live.resume()
    live.train()  # it is training: waits for its end
    assert (live.folder.path / "results.csv").read_bytes() == straight


def test_stopped_at_every_batch_it_gives_the_same_results(tmp_path, straight, pause_when):
    paused_at = []
    pause_when(lambda run: paused_at.append(run.status.message.split(",")[0]) or True)
    live = LiveRun(small(tmp_path))
    live.start()
    while live.state in ("running", "stopped"):
        live.background.resume()
        time.sleep(0.002)
    assert (live.folder.path / "results.csv").read_bytes() == straight
    steps = ["step 0/1", "step 1/1", "step 1: a pass", "step 0: evaluation", "step 1: evaluation"]
    assert all(any(status.startswith(step) for status in paused_at) for step in steps)
    assert paused_at.count("step 0/1") + paused_at.count("step 1/1") == len(live.background.ticks)


def test_a_cancelled_run_continues_where_it_was_paused(tmp_path, pause_when):
    paused = []  # once only
    pause_when(
        lambda run: not paused and any((t.step, t.epoch) == (1, 1) for t in run.ticks) and not paused.append(run)
    )
    given = {"method": "ft", "optim__epochs_later": 3}
    live = LiveRun(small(tmp_path / "a", **given))
    live.start()
    until(lambda: live.background.waiting)
    done = [(tick.step, tick.iteration) for tick in live.background.ticks]
    shutil.copytree(tmp_path / "a", tmp_path / "c")  # what is there if the kernel is killed now
    live.background.cancel()
    again = LiveRun(small(tmp_path / "a", **given))
    again.train()
    rest = [(tick.step, tick.iteration) for tick in again.background.ticks]
    assert rest and not set(done) & set(rest) and rest[0] == (1, done[-1][1] + 1)
    killed = Experiment.open(small(tmp_path / "c", **given))
    assert ticks_until(killed)[0][::2] == rest[0]
    straight = plopkit.run(small(tmp_path / "b", **given), progress=False)
    assert (again.folder.path / "results.csv").read_bytes() == (straight.path / "results.csv").read_bytes()


def test_the_form_may_change_while_its_run_trains(tmp_path):
    form = SettingsForm(small(tmp_path, method="ft"), "smoke")
    live = LiveRun(form)
    live.start()
    started = live.settings
    until(lambda: live.background.ticks)
    form.set(method="mib", seed=3)
    assert live.settings == started
    live.train()
    assert set(live.folder.results["method"]) == {"ft"}
    assert live.folder.settings == started
    live.start()  # the next run uses it
    assert (live.settings.method, live.settings.seed) == ("mib", 3)
    live.stop()


def test_a_run_of_other_code_is_shown_as_an_error_and_can_be_forced(tmp_path, monkeypatch):
    from plopkit.runs import experiment

    settings = small(tmp_path)
    LiveRun(settings).train()
    before = experiment.sources_of
    monkeypatch.setattr(experiment, "sources_of", lambda *kinds: before(*kinds) | {"plopkit.pod": "1"})
    live = LiveRun(settings)
    with pytest.raises(ValueError, match="the source of its method has changed"):
        live.train()
    assert live.state == "failed"
    assert "the source of its method has changed (plopkit.pod)" in live.problem.value
    assert "traceback" not in live.problem.value
    forced = LiveRun(settings, force=True)
    forced.train()
    assert forced.state == "finished"


def test_a_stopped_run_is_replaced_by_another_and_a_running_one_is_not(tmp_path):
    first, second = LiveRun(small(tmp_path)), LiveRun(small(tmp_path, method="ft"))
    first.start()
    with pytest.raises(ValueError, match="another run is training in this kernel"):
        second.start()
    same = LiveRun(small(tmp_path))  # the notebook's cell was run again
    same.start()
    assert same.background is first.background
    first.stop()
    assert same.state == "stopped"
    second.start()
    assert not first.background.alive
    assert second.state == "running"
    second.stop()


def test_run_is_enabled_while_stopped_once_the_form_holds_another_run(tmp_path):
    form = SettingsForm(small(tmp_path), "smoke")
    live = LiveRun(form)
    live.start()
    live.stop()
    assert pressable(live) == {"resume"}
    form.set(seed=8)
    until(lambda: pressable(live) == {"run", "resume"}, 10)


def test_buttons_do_what_the_methods_do(tmp_path):
    live = LiveRun(small(tmp_path))
    live.buttons["run"].click()
    assert live.state == "running"
    live.buttons["stop"].click()
    assert live.state == "stopped"
    live.buttons["resume"].click()
    assert live.state == "running"
    live.buttons["run"].click()  # as if clicked just before it was disabled
    assert "this run is training" in live.problem.value


def test_impossible_actions_are_errors(tmp_path):
    live = LiveRun(small(tmp_path))
    with pytest.raises(ValueError, match="nothing to stop: the run is ready"):
        live.stop()
    with pytest.raises(ValueError, match="nothing to resume: the run is ready"):
        live.resume()
    form = SettingsForm(small(tmp_path), "smoke")
    form.set(**{"optim.lr": -1})
    with pytest.raises(ValueError, match=r"form holds an invalid value: optim\.lr"):
        LiveRun(form).start()
    assert not list(tmp_path.iterdir())


def test_errors_of_the_run_are_shown_and_raised(tmp_path):
    live = LiveRun(small(tmp_path, scenario="folder 10-5 overlap", data__root=tmp_path / "nowhere"))
    live.start()
    until(lambda: live.state == "failed" and live.problem.value)
    assert "nowhere" in live.problem.value
    assert "<details>" not in live.problem.value  # the user can correct it: no traceback
    assert pressable(live) == {"run"}
    with pytest.raises((ValueError, OSError), match="nowhere"):
        live.train()


def test_unexpected_errors_are_shown_with_their_traceback(tmp_path, monkeypatch):
    def broken(settings, force):
        raise AssertionError("ours <b>")

    monkeypatch.setattr(background_run.Experiment, "open", broken)
    live = LiveRun(small(tmp_path))
    with pytest.raises(AssertionError, match="ours"):
        live.train()
    until(lambda: "in broken" in live.problem.value)
    assert "ours &lt;b&gt;" in live.problem.value


def test_a_lack_of_memory_is_shown_as_the_command_line_says_it(tmp_path, monkeypatch):
    def too_large(settings, force):
        raise MemoryError("\x1b[31m")

    monkeypatch.setattr(background_run.Experiment, "open", too_large)
    live = LiveRun(small(tmp_path))
    with pytest.raises(MemoryError):
        live.train()
    until(lambda: "not enough memory" in live.problem.value)
    assert "\x1b" not in live.problem.value and "<details>" not in live.problem.value


def test_headless_results_need_a_finished_run(ready):
    live = LiveRun(small(ready))
    assert not is_interactive()
    with pytest.raises(ValueError, match=r"the run is ready, not finished; live\.train"):
        live.then(lambda folder: folder.summary)
    live.train()
    pd.testing.assert_frame_equal(live.then(lambda folder: folder.summary), live.folder.summary)


def test_with_a_person_results_fill_in_by_themselves(tmp_path, monkeypatch):
    monkeypatch.setattr("plopkit.widgets.live.is_interactive", lambda: True)
    live = LiveRun(small(tmp_path, method="ft"))
    seen = []
    table = live.then(lambda folder: folder.summary)
    figure = live.then(lambda folder: seen.append(len(folder.summary)) or viz.loss_curves(folder.ticks, "losses"))
    wrong = live.then(lambda folder: 1 / 0)
    assert table.data == {"text/plain": WAITING}
    live.train()
    assert seen == [1, 2] or seen == [2]  # after every step, unless both finish between two polls
    assert "old_nobg" in table.data["text/html"]
    assert table.output.outputs[0]["data"] == table.data
    assert '<img alt="losses: curves of the loss terms' in figure.data["text/html"]
    assert wrong.data == {"text/plain": "ZeroDivisionError: division by zero"}


def test_a_step_counts_once_all_its_tables_are_written(ready, monkeypatch, tmp_path):
    """A run writes summary.csv, ticks.csv and examples.npz before results.csv; between them, only older steps count."""
    folder = RunFolder(shutil.copytree(small(ready).folder(), tmp_path / "run"))
    both = folder.results
    replace_text(folder.results_file, both[both["step"] == 0].to_csv(index=False))
    assert len(folder.summary) == 2  # as in the middle of writing step 1
    finished = read_finished(folder)
    assert finished.n_steps == 1
    shown = finished.folder
    assert [len(set(table["step"])) for table in (finished.ticks, finished.summary, shown.results)] == [1, 1, 1]
    assert len(shown.examples["predictions"]) == 1

    def finish_step_1(self):
        if not (self.path / "done").exists():
            (self.path / "done").touch()
            replace_text(self.results_file, both.to_csv(index=False))
        return pd.read_csv(self.path / "ticks.csv")

    monkeypatch.setattr(RunFolder, "ticks", property(finish_step_1))
    assert read_finished(folder).n_steps == 2  # it was finished while it was read
    assert shown.evaluated() == len(shown.summary) == 1


def test_live_curves_draw_ticks_and_summary():
    ticks = pd.DataFrame(
        [{"step": 0, "iteration": i, "loss_ce": 2.0**-i} for i in range(5)]
        + [{"step": 1, "iteration": i, "loss_ce": 1.0, "loss_pod": 3.0 + i} for i in range(3)]
    )
    summary = pd.DataFrame({"step": [0, 1], "old": [60.0, 5.0], "new": [np.nan, 70.0], "all": [60.0, 20.0]})
    losses, scores = viz.live_curves(ticks, summary, 2, "a run").axes
    lines = [line for line in losses.lines if len(line.get_xdata()) > 2]
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in lines]
    assert ([0, 1, 2, 3, 4], [1.0, 0.5, 0.25, 0.125, 0.0625]) in drawn
    assert ([5, 6, 7], [3.0, 4.0, 5.0]) in drawn  # the second step follows the first
    assert losses.get_yscale() == "log"
    assert [text.get_text() for text in losses.get_legend().get_texts()] == ["ce", "pod"]
    assert [list(line.get_ydata())[-1] for line in scores.lines] == [5.0, 70.0, 20.0]
    empty = viz.live_curves(pd.DataFrame(), pd.DataFrame(), 0, "nothing yet")
    assert not empty.axes[0].lines


def test_drawing_takes_a_small_part_of_the_time(tmp_path, monkeypatch):
    """The slower a drawing, the longer the next one waits."""
    monkeypatch.setattr("plopkit.widgets.live.REDRAW_SECONDS", 0.0)
    monkeypatch.setattr("plopkit.widgets.live.POLL_SECONDS", 0.001)
    drawn = []

    def draw(live):
        drawn.append(live)
        live._draw_seconds, live._drawn_at = 0.01, time.monotonic()

    monkeypatch.setattr(LiveRun, "_draw", draw)
    live = LiveRun(small(tmp_path, method="ft"))
    began = time.monotonic()
    live.train()
    assert len(drawn) <= 4 + (time.monotonic() - began) / (30 * 0.01)


CELLS = [
    "%matplotlib inline\nimport sys, time\nsys.path.insert(0, {tests!r})\nfrom pathlib import Path\n"
    "from small_runs import small\n"
    "from plopkit import viz\nfrom plopkit.widgets import LiveRun, is_interactive",
    "live = LiveRun(small(Path({out!r})))\nlive.start()\nlive.stop()\nlive",
    "while not live.background.waiting:\n    time.sleep(0.01)\n"
    "ticks = len(live.background.ticks)\ntime.sleep(0.5)\n"
    "print(live.state, len(live.background.ticks) == ticks, is_interactive())",
    "live.resume()\nlive.train()\nlive",
    "live.then(lambda folder: viz.loss_curves(folder.ticks, live.title))",
]


@pytest.mark.filterwarnings("default")  # the kernel's start-up warns
def test_in_a_real_kernel(tmp_path, straight, request):
    paths = {"tests": str(request.path.parents[1]), "out": str(tmp_path / "runs")}
    cells = [nbformat.v4.new_code_cell(cell.format(**paths)) for cell in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    stopped, finished, figure = (cell.outputs for cell in notebook.cells[2:])
    assert "".join(output.text for output in stopped if output.output_type == "stream") == "stopped True False\n"
    assert "application/vnd.jupyter.widget-view+json" in finished[-2].data
    assert "<p>finished: " in finished[-1].data["text/html"] and "<img alt=" in finished[-1].data["text/html"]
    assert "<img alt=" in figure[-1].data["text/html"]
    (path,) = (tmp_path / "runs").glob("emoji*")
    assert (RunFolder(path).path / "results.csv").read_bytes() == straight


def test_no_thread_is_left(ready):
    LiveRun(small(ready)).train()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("plopkit")], 5)
