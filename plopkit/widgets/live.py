"""A run to watch: started, stopped and resumed by buttons, while its curves grow."""

import html
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets
import pandas as pd

from plopkit import viz
from plopkit.runs.folder import RunFolder
from plopkit.runs.start import with_start
from plopkit.runs.written import folder_of
from plopkit.settings import Settings
from plopkit.support.kernels import is_interactive
from plopkit.support.moved import renamed
from plopkit.widgets.background_run import BackgroundRun, error_html, start_or_resume
from plopkit.widgets.drawn import Drawn, make_picture
from plopkit.widgets.finished import FinishedSteps, read_finished, version_of
from plopkit.widgets.form import SettingsForm
from plopkit.widgets.outputs import show
from plopkit.widgets.placeholder import Placeholder

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


POLL_SECONDS = 0.3  # between two checks of the run
REDRAW_SECONDS = 1.0  # at least, between two pictures …
REDRAW_FACTOR = 30  # … and at least this many times what the last picture took: at most about 3 % of a core


class LiveRun:
    """A run with buttons and curves, which leaves the kernel free.

    ``start``, ``stop`` and ``resume`` are the buttons; ``train`` waits until the run is finished. A stopped run waits
    in memory between two batches and is saved on disk as well: if the kernel ends, the run resumes from there. The
    form's settings are read at ``start``; later changes do not affect a run that has started.

    Args:
        source: the form, or the settings of the run.
        force: go on with what is there, whatever made it; see `plopkit.run`.
    """

    def __init__(self, source: SettingsForm | Settings, force: bool = False):
        self._source, self._force = source, force
        self.background: BackgroundRun | None = None
        """The run that was started last."""
        self._placeholders: list[Placeholder] = []
        self._lock = threading.RLock()
        self._finished: FinishedSteps | None = None
        self._content: tuple[Any, ...] = ()  # what the picture shows
        self._drawn_at, self._draw_seconds = 0.0, 0.0
        self.buttons = {
            "run": self._button("Run", "play", "train with the settings in the form", self.start),
            "stop": self._button("Stop", "pause", "wait before the next batch; nothing is lost", self.stop),
            "resume": self._button("Resume", "step-forward", "continue where it stopped", self.resume),
        }
        self.bar = ipywidgets.IntProgress(layout={"width": "14em"}, tooltip="progress of this pass over the data")
        self.status = ipywidgets.HTML()
        self.problem = ipywidgets.HTML()
        self.picture, self.words, pictured = make_picture()
        row = ipywidgets.HBox([*self.buttons.values(), self.bar, self.status], layout={"flex_flow": "row wrap"})
        self.box = ipywidgets.VBox([row, self.problem, pictured])
        self.refresh()

    @property
    def state(self) -> str:
        """ready, running, stopped, finished or failed."""
        if self.background is None:
            return "ready"
        if self.background.alive:
            return "stopped" if self.background.paused else "running"
        return "finished" if self.background.error is None else "failed"

    @property
    def settings(self) -> Settings:
        """The settings of the run that was started last; before that, those of the form."""
        return self.background.settings if self.background else self._form_settings()

    @property
    def folder(self) -> RunFolder:
        """The run's folder, which may not be finished, or not exist yet."""
        return folder_of(with_start(self.settings))

    @property
    def title(self) -> str:
        """A title for pictures: ``emoji 15-5 overlap, plop, seed 0``."""
        return f"{self.settings.scenario}, {self.settings.method}, seed {self.settings.seed}"

    def start(self) -> None:
        """Start a run of the form's current settings; what is already done of it on disk is read back.

        Raises:
            ValueError: a run is training, or the form holds an invalid value.
        """
        if self.state == "running":
            raise ValueError(f"this run is training: {self.folder.path}; stop it before you start another")
        if isinstance(self._source, SettingsForm) and self._source.error:
            raise ValueError(f"the form holds an invalid value: {self._source.error}")
        before = self.background
        self.background = start_or_resume(self._form_settings(), self._force)
        if self.background is not before:
            self._drawn_at = 0.0
            self._watcher = threading.Thread(
                target=self._watch, args=(self.background,), name="plopkit live", daemon=True
            )
            self._watcher.start()
        self.refresh()

    def stop(self) -> None:
        """Save the training, and wait before the next batch.

        Raises:
            ValueError: no run is training.
        """
        if self.background is None or self.state != "running":
            raise ValueError(f"there is nothing to stop: the run is {self.state}")
        self.background.pause()
        self.refresh()

    def resume(self) -> None:
        """Continue after ``stop``.

        Raises:
            ValueError: no run is stopped.
        """
        if self.background is None or self.state != "stopped":
            raise ValueError(f"there is nothing to resume: the run is {self.state}")
        self.background.resume()
        self.refresh()

    def train(self) -> RunFolder:
        """Start or resume, and wait until the run is finished. An interrupt of the kernel stops the run.

        Returns:
            The finished run's folder.

        Raises:
            Exception: whatever went wrong in the run.
        """
        if self.state == "stopped":
            self.resume()
        elif self.state != "running":
            self.start()
        try:
            while self._watcher.is_alive():
                self._watcher.join(POLL_SECONDS)
        except KeyboardInterrupt:
            if self.state == "running":
                self.stop()
            raise
        if self.background is not None and self.background.error is not None:
            raise self.background.error
        return self.folder

    def then(self, make: Callable[[RunFolder], Any]) -> Any:
        """Show results of this run: ``make(folder)``.

        Headless, the run has to be finished. With a person at the kernel, a placeholder is shown, which is filled as
        soon as there are results and updated after every step and for every run that is started here.

        Raises:
            ValueError: headless, and the run is not finished.
        """
        if not is_interactive():
            if self.state != "finished":
                raise ValueError(f"the run is {self.state}, not finished; live.train() trains it to the end")
            return make(self.folder)
        placeholder = Placeholder(make)
        with self._lock:
            self._placeholders.append(placeholder)
            finished = self._read()
            placeholder.refresh(finished.folder, finished.version)
        return placeholder

    def refresh(self, draw: bool = True) -> None:
        """Update buttons and progress and, if ``draw``, the picture and the placeholders."""
        with self._lock:
            state, run = self.state, self.background
            unchanged = state == "stopped" and self._form_settings() == self.settings
            self.buttons["run"].disabled = state == "running" or unchanged
            self.buttons["stop"].disabled = state != "running"
            self.buttons["resume"].disabled = state != "stopped"
            if run is not None:
                self.bar.max, self.bar.value = max(1, run.status.total), run.status.done
            self.bar.bar_style = {"finished": "success", "failed": "danger", "stopped": "warning"}.get(state, "")
            # a folder's long name is broken where it must be: a phone is narrow
            self.status.value = f"<span style='overflow-wrap:anywhere'>{html.escape(self._status_line(state))}</span>"
            if run is not None and run.error is not None:
                self.problem.value = error_html(run.error)
            if draw:
                self._draw()

    def _status_line(self, state: str) -> str:
        if self.background is None:
            return "ready: press Run"
        if state == "finished":
            return f"finished: {self.folder.path}"
        stopping = state == "stopped" and not self.background.waiting
        return f"{'stopping after this batch' if stopping else state}: {self.background.status.message}"

    def _watch(self, run: BackgroundRun) -> None:
        """Follow a run to its end, in a thread: neither training nor the kernel waits for a picture."""
        while run.alive and self.background is run:
            due = self._drawn_at + max(REDRAW_SECONDS, REDRAW_FACTOR * self._draw_seconds)
            self.refresh(draw=time.monotonic() > due)
            time.sleep(POLL_SECONDS)
        if self.background is run:
            with self._lock:
                self._draw()  # first, so that the results are there when the status says "finished"
                self.refresh(draw=False)
                self.bar.value = self.bar.max

    def _draw(self) -> None:
        began = time.thread_time()
        finished, run = self._read(), self.background
        live = [tick for tick in (run.ticks if run else ()) if tick.step >= finished.n_steps]
        content = (finished.version, len(live))
        if content != self._content:
            rows = [
                {"step": tick.step, "iteration": tick.iteration}
                | {f"loss_{name}": value for name, value in tick.losses.items()}
                for tick in live
            ]
            ticks = pd.concat([finished.ticks, pd.DataFrame(rows)], ignore_index=True) if rows else finished.ticks
            n_steps = max(run.n_steps if run else 0, finished.n_steps)
            self._drawn = Drawn.of(viz.live_curves(ticks, finished.summary, n_steps, self.title))
            self._drawn.show_in(self.picture, self.words)
            self._content = content
            self._draw_seconds = time.thread_time() - began
        self._drawn_at = time.monotonic()
        for placeholder in self._placeholders:
            placeholder.refresh(finished.folder, finished.version)

    def _read(self) -> FinishedSteps:
        """The finished steps on disk; they are read again only if there are others than last time."""
        if self._finished is None or self._finished.version != version_of(self.folder):
            self._finished = read_finished(self.folder)
        return self._finished

    def _form_settings(self) -> Settings:
        return self._source.settings if isinstance(self._source, SettingsForm) else self._source

    def _button(self, name: str, icon: str, tooltip: str, action: Callable[[], None]) -> Any:
        """A button; what goes wrong after a click is shown below it."""

        def click(button: Any) -> None:
            self.problem.value = ""
            try:
                action()
            except ValueError as error:
                self.problem.value = error_html(error)

        button = ipywidgets.Button(description=name, icon=icon, tooltip=tooltip, layout={"width": "8em"})
        button.on_click(click)
        return button

    def _ipython_display_(self) -> None:
        """Buttons and curves; without a kernel, the state and the curves as they were when the cell ran."""
        show(self.box, f"<p>{html.escape(self._status_line(self.state))}</p>{self._drawn.as_html()}")
