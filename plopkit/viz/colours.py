"""The palette: every colour of plopkit is defined here, by what it stands for.

Most colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/) and, where more are needed, Paul Tol's
(https://sronpersonalpages.nl/~pault/), which readers with colour vision deficiency can tell apart. Colours that appear
in one figure differ from each other; lines also differ by marker, for prints in grey.

This module imports no matplotlib, so widgets and messages may use it as well. "0.5" is matplotlib's notation of a grey.
"""

import colorsys
import functools
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, cycle

import numpy as np
from jaxtyping import UInt8

from plopkit.catalogue import METHODS
from plopkit.scenario import IGNORE

# Okabe and Ito's colours.
ORANGE, SKY_BLUE, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE, BLACK = "#0072B2", "#D55E00", "#CC79A7", "#000000"

# Heat maps.
HEAT = "viridis"
"""Values from 0 up: distances, gradients, IoU."""
SIGNED_HEAT = "PuOr"
"""Values of both signs, 0 in the middle: features, weights."""
UNCERTAINTY_HEAT = "cividis"

# Greys, as matplotlib writes them.
EDGE = "0.5"
"""The outline of a legend's colour swatch."""
NEUTRAL = "0.6"
"""In legends, for entries whose colour varies within the figure."""
REST = "0.9"
"""The unfilled remainder of a bar, and empty cells."""

# Classes.

CLASSES = tuple(
    (
        "#e1a500 #1e00ff #87001e #00b4ff #f00087 #c3ff00 #4b0f87 #4be1b4 #876900 #7878c3 "
        "#961eb4 #f07878 #004b5a #ffc3ff #a55aff #2d7869 #b496c3 #789600 #e1f096 #d2d200"
    ).split()
)
"""Of labels 1 to 20. They are far apart in OKLab, and far from black and white, for normal sight, protanopia and
deuteranopia."""
BACKGROUND = "#4d4d4d"
"""In legends: an overlay shows the picture in grey there."""
IGNORED = "#ffffff"


@functools.cache
def palette(ignored: int = IGNORE) -> UInt8[np.ndarray, "ids 3"]:
    """The colour of every label, 8 bits.

    Background is black, ignored pixels are white; after twenty classes the colours start again, paler each time, and
    after 13 turns from the strongest.

    Args:
        ignored: the label of ignored pixels, `ignored_id` of the data set.
    """
    base = np.array([list(bytes.fromhex(colour[1:])) for colour in CLASSES], float)
    turn, place = np.divmod(np.arange(ignored - 1), len(base))
    share = (turn % 13 / 14)[:, None]
    table = np.zeros((ignored + 1, 3), np.uint8)
    table[1:-1] = np.round(base[place] * (1 - share) + 200 * share)
    table[-1] = 255
    return table


PALETTE = palette()
"""The colours of the labels of a data set that has at most 255."""


def colour_of(label: int, ignored: int = IGNORE) -> tuple[float, float, float]:
    """A label's colour for matplotlib, each part in [0, 1]; ``ignored`` as for `palette`."""
    red, green, blue = palette(ignored)[label] / 255
    return float(red), float(green), float(blue)


def legend_colour(label: int, ignored: int = IGNORE) -> tuple[float, float, float] | str:
    """A label's colour in a legend, where background is grey and ignored pixels are white."""
    return {0: BACKGROUND, ignored: IGNORED}.get(label) or colour_of(label, ignored)


# Methods.

METHOD_STYLES = {
    "ft": (VERMILLION, "o"),
    "lwf": (ORANGE, "v"),
    "lwf-mc": ("#882255", "^"),
    "ilt": (PURPLE, "<"),
    "ewc": ("#999933", "p"),
    "rw": ("#999999", "h"),
    "pi": (BLUE, "D"),
    "mib": (SKY_BLUE, "s"),
    "plop": (GREEN, "X"),
    "ewf": ("#BB5566", "P"),
    "ewf-mib": ("#DDAA33", "d"),
    "reminder": ("#7B4FBF", ">"),
    "rcil": ("#5D4037", "H"),
    "ucd": ("#117733", "8"),
    "alife": ("#C2185B", "+"),
    "dft": ("#004488", "x"),
    "ssul": ("#D81B60", "$S$"),
    "star": ("#6A1B9A", "$T$"),
    "dkd": ("#00796B", "$D$"),
    "prototypes": ("#6B8E23", "$P$"),
    "ssul-m": ("#F06292", "$s$"),
    "star-m": ("#AB47BC", "$t$"),
    "dkd-m": ("#4DB6AC", "$d$"),
    "joint": (BLACK, "*"),
}
"""Colour and marker by the method's name."""
FURTHER_STYLES = (("#332288", "1"), (YELLOW, "2"), ("#AA4499", "3"), ("#44AA99", "4"), ("#661100", "|"))
"""Styles of methods that are not in `METHOD_STYLES`, such as those of plugins, and of further runs of a method."""


def method_styles(methods: Sequence[str]) -> dict[str, dict[str, str]]:
    """Line styles by method, all of different colours.

    Every method of `plopkit.METHODS` has the same style in every picture: that of `METHOD_STYLES`, or, for methods from
    outside the package, one of the further styles. Other names, such as a second run `plop (optim.lr 0.1)`, take the
    next further styles in their order here. After the further styles, colours are generated, as many as needed.

    Example:
        >>> method_styles(["plop", "my-method"])["my-method"]
        {'color': '#332288', 'marker': '1'}
    """
    further = _further_styles()
    own = METHOD_STYLES | {name: next(further) for name in METHODS if name not in METHOD_STYLES}
    chosen: dict[str, tuple[str, str]] = {}
    for method in sorted(methods, key=lambda name: name not in own):  # plain names choose first
        style = own.get(method.split()[0])
        chosen[method] = style if style and style not in chosen.values() else next(further)
    return {method: dict(zip(("color", "marker"), chosen[method], strict=True)) for method in methods}


def _further_styles() -> Iterator[tuple[str, str]]:
    """Endless, each colour once; hues beyond the first five are spread by the golden ratio."""
    yield from FURTHER_STYLES
    seen = {colour.upper() for colour, _ in (*METHOD_STYLES.values(), *FURTHER_STYLES)}
    markers = cycle(marker for _, marker in (*FURTHER_STYLES, *METHOD_STYLES.values()))
    for number in count():
        rgb = colorsys.hls_to_rgb(number * 0.618034 % 1, (0.35, 0.6, 0.45)[number % 3], (0.9, 0.6)[number % 2])
        colour = "#" + bytes(round(255 * part) for part in rgb).hex().upper()
        if colour not in seen:
            seen.add(colour)
            yield colour, next(markers)


# Losses.

TERMS = ("#332288", "#44AA99", "#AA4499", "#661100", "#DDCC77")
"""Of loss terms. No figure shows them together with ``FURTHER_STYLES``."""


def term_colours(terms: Iterable[str]) -> dict[str, str]:
    """A colour for each loss term, in this order; they start again after five."""
    return dict(zip(terms, cycle(TERMS)))


NO_GRADIENT = "#e6e6e6"

# mIoU while a run trains, in the same figure as its loss terms.
SCORE_GROUPS = {"old": "#AA3377", "new": "#BBCC33", "all": BLACK}

# Lesson 01: what the classes of other steps become; what a target's background hides; numbers of images.
OTHER_STEPS = {"old": "#7f7f7f", "future": "#cccccc", "left out": "#f2f2f2"}
HIDDEN = {"background": "#999999", "old": ORANGE, "future": BLUE}
IMAGE_COUNTS = SKY_BLUE

# Lesson 02: features before and after the activation.
BEFORE, AFTER = BLUE, ORANGE

# Lesson 03: the two kinds of means in local POD, and outlines of true objects.
OVER_COLUMNS, OVER_ROWS = BLUE, ORANGE
OUTLINES = {"old": "white", "new": "black"}

# Lesson 04: kinds of pseudo-labels (mistakes stand out), and groups of pixels.
PSEUDO_LABELS = {
    "right": "#b9d9ee",
    "unsure": "#ffffff",
    "excluded": "#808080",
    "missed": ORANGE,
    "confused": VERMILLION,
    "invented": PURPLE,
    "future": BLUE,
}
PIXELS = {"all": BLUE, "objects": VERMILLION}

# Lesson 07: kinds of mistakes; right is pale.
MISTAKES = {"right": "#e6e6e6", "to background": VERMILLION, "to newer": SKY_BLUE, "other": PURPLE}

# Lesson 09: how thresholds are found, parts of the range of uncertainty, and series of measurements with their markers.
NO_LIMIT = "#777777"
THRESHOLDS = {"released": (PURPLE, "o"), "median": (BLUE, "D"), "no threshold": (NO_LIMIT, "|")}
REACH = {"floor": BLUE, "half bin": PURPLE, "bin 0": ORANGE, "above": REST}
SERIES = ((PURPLE, "o"), (BLUE, "s"), (ORANGE, "D"), (GREEN, "^"))

# Answers to exercises: right, wrong, not answered yet. Errors in widgets.
VERDICTS = {True: GREEN, False: VERMILLION, None: "#666666"}
ERROR = VERMILLION
