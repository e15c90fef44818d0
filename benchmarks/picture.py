"""The picture of where an iteration's time goes, before and after.

python -m benchmarks.picture AFTER.json --before BEFORE.json --out docs/iteration.png
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tyro
from matplotlib.figure import Figure

from benchmarks.profiling import KINDS
from plopkit.viz.colours import BLUE, GREEN, ORANGE, PURPLE, REST, SKY_BLUE
from plopkit.viz.figures import legend_below, titled
from plopkit.viz.png import save

COLOURS = dict(zip(KINDS, (BLUE, SKY_BLUE, ORANGE, PURPLE, GREEN, REST), strict=True))


def draw(profiles: Mapping[str, Mapping[str, float]], title: str) -> Figure:
    """A bar per profile (`profiling.seconds_by_kind`, by name), divided by kind of work."""
    figure = titled(title, 9, 1.2 + 0.6 * len(profiles))
    axes = figure.subplots()
    for place, seconds in enumerate(profiles.values()):
        left = 0.0
        for kind in KINDS:
            axes.barh(place, seconds[kind], left=left, color=COLOURS[kind], edgecolor="white", label=kind)
            left += seconds[kind]
        axes.text(left, place, f" {left:.2f} s", va="center", fontsize=9)
    axes.set_yticks(range(len(profiles)), list(profiles))
    axes.invert_yaxis()
    axes.set_xlabel("seconds of one iteration")
    axes.set_xlim(0, 1.1 * max(sum(seconds.values()) for seconds in profiles.values()))
    axes.spines[["top", "right"]].set_visible(False)
    legend_below(figure, axes.containers[: len(KINDS)], 3)
    return figure


def draw_files(after: Path, before: Path | None, out: Path) -> None:
    """Draw the profiles of one or two files that `python -m benchmarks` wrote."""
    named = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in _files(after, before).items()}
    environment: dict[str, Any] = named["now"]["environment"]
    title = f"One iteration of PLOP, ResNet-101, 512 pixels; {environment['device']}, {environment['threads']} threads"
    save(draw({name: result["profile"] for name, result in named.items()}, title), out)


def _files(after: Path, before: Path | None) -> dict[str, Path]:
    return {"now": after} if before is None else {"before": before, "now": after}


def main(after: tyro.conf.Positional[Path], before: Path | None = None, out: Path = Path("iteration.png")) -> None:
    """Draw where an iteration's time goes.

    Args:
        after: results of `python -m benchmarks`.
        before: earlier results, for a second bar.
        out: the picture.
    """
    draw_files(after, before, out)
    print(out)


if __name__ == "__main__":
    tyro.cli(main)
