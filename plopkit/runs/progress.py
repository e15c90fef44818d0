"""Progress of a run: a bar per step with epoch, losses and the time left of the run, and one for each other long pass.

Where stderr is not a terminal, a line per epoch and pass takes their place.
"""

from collections.abc import Callable, Iterable
from typing import Any

from tqdm.auto import tqdm

from plopkit.runs.time_left import TimeLeft
from plopkit.support.bars import log, progress_bar, redraws
from plopkit.ticks import Tick

FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}, {rate_fmt}{postfix}]"
"""A bar without the time left of its step, which is often taken for that of the run."""

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]
"""(items, description, their number) -> the same items, with a progress bar."""


def no_progress(items: Iterable[Any], description: str, total: int) -> Iterable[Any]:
    """Show nothing."""
    return items


class Bars:
    """Progress bars, one at a time."""

    def __init__(self, shown: bool):
        self.shown = shown
        self.bar: tqdm | None = None
        self.step = -1

    def wrap(self, items: Iterable[Any], description: str, total: int) -> Iterable[Any]:
        """Show the progress of a pass; a `Progress`."""
        self.close()
        return progress_bar(items, description, total, shown=self.shown, leave=False)

    def show(self, tick: Tick, steps: int, left: TimeLeft | None = None) -> None:
        """Show one more iteration of a run with `steps` steps, and how long the whole run still takes."""
        if not self.shown:
            return
        place = f"step {tick.step}/{steps - 1} epoch {tick.epoch + 1}/{tick.epochs}"
        losses = " ".join(f"{name} {value:.3g}" for name, value in tick.losses.items())
        if left is not None:
            losses += f"; {left} left"
        if not redraws():
            if tick.epoch_done:
                log(f"{place}: {losses}")
            return
        if self.bar is None or tick.step != self.step:
            self.close()
            self.bar = tqdm(total=tick.n_iterations, initial=tick.iteration, bar_format=FORMAT)
            self.step = tick.step
        self.bar.set_description(place, refresh=False)
        self.bar.set_postfix_str(losses, refresh=False)
        self.bar.update()

    def close(self) -> None:
        """Remove the bar that is shown."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
