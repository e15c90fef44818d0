"""What all figures share: plain text and wrapped titles."""

import numpy as np
import pandas as pd
import pytest
from drawing import draw_examples as examples
from matplotlib.text import Text

from plopkit.lessons.forgetting import drop_bars
from plopkit.viz import strip
from plopkit.viz.figures import titled
from plopkit.viz.png import pixels
from plopkit.viz.text import wrapped

pytestmark = pytest.mark.usefixtures("no_pyplot")


@pytest.mark.parametrize("name", ["$a_{$", "cost$ of $x"])
def test_names_are_not_formulas(name: str) -> None:
    shown = examples(n=1, steps=1) | {"names": np.array([name] * 21), "stems": np.array([name])}
    lost = pd.DataFrame({"method": name, "learned_at": 0, "label": [1, 2], "name": name, "forgetting": 1.0})
    for figure in (strip(shown, name), drop_bars(lost, name)):
        pixels(figure)
        shown_words = [word for word in figure.findobj(Text) if name in word.get_text()]
        assert len(shown_words) > 3 and not any(word.get_parse_math() for word in shown_words)


def test_powers_of_ten_stay_formulas() -> None:
    figure = titled("t", 3, 2)
    axis = figure.subplots()
    axis.set(yscale="log", ylim=(1e-5, 1))
    for _ in range(2):
        pixels(figure)
        words = [label for label in axis.get_yticklabels() if label.get_text()]
        assert words and all(word.get_parse_math() for word in words)


def test_titles_are_wrapped_between_words_and_labels() -> None:
    assert wrapped("short", 10) == "short"
    lines = wrapped("folder 2-1 overlap order=" + ",".join("123456789"), 3).split("\n")
    assert len(lines) == 2
    assert lines[0].endswith(",")
