"""Progress bars: one per step that tells epoch, losses and time left, and one for each other long pass."""

from collections.abc import Callable, Iterable
from typing import Any

from tqdm.auto import tqdm

from plopkit.trainer import Tick

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]
"""(items, description, their number) -> the same items, with a progress bar."""


def no_progress(items: Iterable[Any], description: str, total: int) -> Iterable[Any]:
    """No bar."""
    return items


class Bars:
    """tqdm bars, one at a time."""

    def __init__(self, shown: bool):
        self.shown = shown
        self.bar: tqdm | None = None
        self.step = -1

    def wrap(self, items: Iterable[Any], description: str, total: int) -> Iterable[Any]:
        """A `Progress` that shows a bar."""
        self.close()
        return tqdm(items, description, total, leave=False, disable=not self.shown)

    def show(self, tick: Tick, steps: int) -> None:
        """One iteration further, in a run of so many steps."""
        if self.bar is None or tick.step != self.step:
            self.close()
            self.bar = tqdm(total=tick.n_iterations, initial=tick.iteration, disable=not self.shown)
            self.step = tick.step
        self.bar.set_description(f"step {tick.step}/{steps - 1} epoch {tick.epoch + 1}/{tick.epochs}", refresh=False)
        told = " ".join(f"{name} {value:.3g}" for name, value in tick.losses.items())
        self.bar.set_postfix_str(told, refresh=False)
        self.bar.update()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
