"""A run to watch: started, stopped and resumed by buttons, with its curves growing."""

import html
import threading
import time
from collections.abc import Callable
from typing import Any

import ipywidgets
import pandas as pd

from plopkit import viz
from plopkit.runs.folder import RunFolder
from plopkit.settings import Settings
from plopkit.viz.png import encoded, png
from plopkit.widgets.background_run import Worker, begin, explained
from plopkit.widgets.explorer import standing_in
from plopkit.widgets.form import SettingsForm
from plopkit.widgets.later import Later, is_interactive

LOOK = 0.3  # seconds between two looks at the worker
REDRAW = 1.0  # seconds at least between two pictures …
SHARE = 30  # … and so many times what the last one took of a core: about 3 % of one at most


class LiveRun:
    """A run of the form's settings, or of fixed ones, that leaves the kernel free.

    ``start``, ``stop`` and ``resume`` are the buttons; ``train`` waits until the run is finished. A stopped run waits
    in memory between two batches and loses nothing. If the kernel ends, the run on disk goes on from its last finished
    epoch. What the form holds is taken at ``start``; changed later, it does not touch the run that is on.
    """

    def __init__(self, source: SettingsForm | Settings):
        self._source = source
        self.worker: Worker | None = None
        self._later: list[Later] = []
        self._lock = threading.RLock()
        self._seen: tuple[Any, ...] = ()
        self._stamp: tuple[Any, ...] = ()
        self._shown: tuple[Any, ...] = ()
        self._tables = (pd.DataFrame(), pd.DataFrame(), 0)
        self._drawn, self._took = 0.0, 0.0
        buttons = {
            "run": ("Run", "play", "train with the settings in the form", self.start),
            "stop": ("Stop", "pause", "wait before the next batch; nothing is lost", self.stop),
            "resume": ("Resume", "step-forward", "go on where it stopped", self.resume),
        }
        self.buttons = {name: _button(*given[:3], self._clicked(given[3])) for name, given in buttons.items()}
        self.bar = ipywidgets.IntProgress(layout={"width": "14em"}, tooltip="of this pass over the data")
        self.told = ipywidgets.HTML()
        self.problem = ipywidgets.HTML()
        self.picture = ipywidgets.Image(format="png", layout={"max_width": "100%", "object_fit": "contain"})
        row = ipywidgets.HBox([*self.buttons.values(), self.bar, self.told], layout={"flex_flow": "row wrap"})
        self.box = ipywidgets.VBox([row, self.problem, self.picture])
        self.refresh()

    @property
    def state(self) -> str:
        """ready, running, stopped, finished or failed."""
        if self.worker is None:
            return "ready"
        if self.worker.alive:
            return "stopped" if self.worker.held else "running"
        return "finished" if self.worker.error is None else "failed"

    @property
    def settings(self) -> Settings:
        """Of the run that was started last; before, those of the form."""
        return self.worker.settings if self.worker else self._wanted()

    @property
    def folder(self) -> RunFolder:
        """Where the run lies; it may not be finished, or not even begun."""
        return RunFolder(self.settings.folder())

    @property
    def title(self) -> str:
        """For pictures: ``emoji 15-5 overlap, plop, seed 0``."""
        return f"{self.settings.scenario}, {self.settings.method}, seed {self.settings.seed}"

    def start(self) -> None:
        """Begin a run of the form's settings as they are now; what is done of it on disk is read back.

        ValueError where a run is on, or the form holds something wrong.
        """
        if self.state == "running":
            raise ValueError(f"this run is on: {self.folder.path}; stop it before another is started")
        if isinstance(self._source, SettingsForm) and self._source.error:
            raise ValueError(f"the form holds something wrong: {self._source.error}")
        before = self.worker
        self.worker = begin(self._wanted())
        if self.worker is not before:
            self._drawn = 0.0
            self._watcher = threading.Thread(target=self._watch, args=(self.worker,), name="plopkit live", daemon=True)
            self._watcher.start()
        self.refresh()

    def stop(self) -> None:
        """Wait before the next batch. ValueError where no run is on."""
        if self.worker is None or self.state != "running":
            raise ValueError(f"there is nothing to stop: the run is {self.state}")
        self.worker.hold()
        self.refresh()

    def resume(self) -> None:
        """Go on after ``stop``. ValueError where no run is stopped."""
        if self.worker is None or self.state != "stopped":
            raise ValueError(f"there is nothing to resume: the run is {self.state}")
        self.worker.release()
        self.refresh()

    def train(self) -> RunFolder:
        """Start or resume, and wait for the end; raises what went wrong. An interrupt of the kernel stops the run."""
        if self.state == "stopped":
            self.resume()
        elif self.state != "running":
            self.start()
        try:
            while self._watcher.is_alive():
                self._watcher.join(LOOK)
        except KeyboardInterrupt:
            if self.state == "running":
                self.stop()
            raise
        if self.worker is not None and self.worker.error is not None:
            raise self.worker.error
        return self.folder

    def then(self, make: Callable[[RunFolder], Any]) -> Any:
        """``make(folder)`` of the finished run; where a person sits at the kernel, a place that shows it as soon as
        there are results, and anew after every step and for every run.

        ValueError where nobody sits there and the run is not finished.
        """
        if not is_interactive():
            if self.state != "finished":
                raise ValueError(f"the run is {self.state}, not finished; live.train() trains it to the end")
            return make(self.folder)
        place = Later(make)
        with self._lock:
            self._later.append(place)
            place.refresh(self.folder)
        return place

    def refresh(self, draw: bool = True) -> None:
        """Bring buttons, progress and, unless told otherwise, the picture up to date."""
        with self._lock:
            state, worker = self.state, self.worker
            self.buttons["run"].disabled = state == "running" or (
                state == "stopped" and self._wanted() == self.settings
            )
            self.buttons["stop"].disabled = state != "running"
            self.buttons["resume"].disabled = state != "stopped"
            if worker is not None:
                self.bar.max, self.bar.value = max(1, worker.progress.of), worker.progress.done
            self.bar.bar_style = {"finished": "success", "failed": "danger", "stopped": "warning"}.get(state, "")
            self.told.value = html.escape(self._line(state))
            if worker is not None and worker.error is not None:
                self.problem.value = explained(worker.error)
            if draw:
                self._draw()

    def _line(self, state: str) -> str:
        if self.worker is None:
            return "ready: press Run"
        if state == "finished":
            return f"finished: {self.folder.path}"
        told = "stopping after this batch" if state == "stopped" and not self.worker.waiting else state
        return f"{told}: {self.worker.progress.told}"

    def _watch(self, worker: Worker) -> None:
        """Follow a worker to its end; a thread of its own, so that neither training nor kernel waits for a picture."""
        while worker.alive and self.worker is worker:
            self.refresh(draw=time.monotonic() - self._drawn > max(REDRAW, SHARE * self._took))
            time.sleep(LOOK)
        if self.worker is worker:
            with self._lock:
                self._draw()  # who reads "finished" finds the results below
                self.refresh(draw=False)
                self.bar.value = self.bar.max

    def _draw(self) -> None:
        began = time.thread_time()
        ticks, summary, done = self._read()
        live = [tick for tick in (self.worker.ticks if self.worker else ()) if tick.step >= done]
        now = (self.folder.path, len(ticks), len(live), done)
        if now != self._seen:
            rows = [
                {"step": t.step, "iteration": t.iteration} | {f"loss_{name}": v for name, v in t.losses.items()}
                for t in live
            ]
            both = pd.concat([ticks, pd.DataFrame(rows)], ignore_index=True) if rows else ticks
            steps = self.worker.steps if self.worker else done
            self.picture.value = png(viz.live_curves(both, summary, max(steps, done), self.title))
            self._seen = now
            self._took = time.thread_time() - began
        self._drawn = time.monotonic()
        if self._stamp != self._shown:
            self._shown = self._stamp
            for place in self._later:
                place.refresh(self.folder)

    def _read(self) -> tuple[pd.DataFrame, pd.DataFrame, int]:
        """The folder's ticks and summary, and how many steps have their results.

        ``results.csv`` is written last: once it is new, so is all else.
        """
        folder = self.folder
        path = folder.path / "results.csv"
        stamp = (path, path.stat().st_mtime_ns if path.is_file() else 0)
        if stamp != self._stamp:
            done = folder.evaluated()
            self._tables = (folder.ticks, folder.summary, done) if done else (pd.DataFrame(), pd.DataFrame(), 0)
            self._stamp = stamp
        return self._tables

    def _wanted(self) -> Settings:
        return self._source.settings if isinstance(self._source, SettingsForm) else self._source

    def _clicked(self, action: Callable[[], None]) -> Callable[[Any], None]:
        """A button's click: what goes wrong is told beside it."""

        def click(button: Any) -> None:
            self.problem.value = ""
            try:
                action()
            except ValueError as error:
                self.problem.value = explained(error)

        return click

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        still = {"image/png": encoded(self.picture.value), "text/plain": self._line(self.state)}
        return standing_in(self.box, still)


def _button(name: str, icon: str, told: str, click: Callable[[Any], None]) -> Any:
    button = ipywidgets.Button(description=name, icon=icon, tooltip=told, layout={"width": "8em"})
    button.on_click(click)
    return button
