"""An explorer of the released search for a threshold: which class, and how certain its teacher is."""

from collections.abc import Mapping, Sequence

from plopkit.lessons.thresholds.figures import SearchView
from plopkit.lessons.thresholds.measures import Histograms
from plopkit.widgets.controls import choice
from plopkit.widgets.explorer import MOST_FRAMES, Explorer


def search_explorer(histograms: Mapping[float, Histograms], names: Sequence[str]) -> Explorer:
    """An explorer with the controls ``channel`` and ``temperature``.

    Args:
        histograms: histograms by the temperature of the teacher's logits, from ``teacher_histograms``.
        names: class names of the teacher's channels.

    Raises:
        ValueError: there are no histograms.
    """
    if not histograms:
        raise ValueError("there are no histograms to show; pass at least one, by its temperature")
    temperatures = sorted(histograms)
    channels = [(name, channel) for channel, name in enumerate(names)]
    view = SearchView(histograms[temperatures[0]].scale)
    return Explorer(
        lambda channel, temperature: view.show(histograms[temperature], channel, names[channel]),
        {
            "channel": choice(channels, "class", "the class that the teacher predicts for the pixels"),
            "temperature": choice(
                [(f"{value:g}", value) for value in temperatures],
                "temperature",
                "divides the teacher's logits: above 1 it predicts the same classes with less certainty",
                1.0 if 1.0 in histograms else temperatures[0],
            ),
        },
        {name: {"channel": channel} for name, channel in channels[:MOST_FRAMES]},
    )
