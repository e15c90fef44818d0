"""The hand-out of the lessons, one page of A4: python docs/handout.py writes notebooks/handout.svg and .pdf.

All words are in this file. The SVG has them in comments and the PDF a digest of them, so that a test can tell whether
both files are those of this version.
"""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon, Rectangle

from plopkit.viz.colours import BLUE, GREEN, ORANGE
from plopkit.viz.style import own_style

ROOT = Path(__file__).resolve().parent.parent
FILES = tuple(ROOT / "notebooks" / f"handout.{kind}" for kind in ("svg", "pdf"))
A4 = (8.27, 11.69)
STYLE = {"svg.hashsalt": "handout", "pdf.fonttype": 42}
LEFT, RIGHT = 0.07, 0.93

TITLE = "What a segmentation net forgets, and what prevents it"
SHIFT = (
    "The same picture at three steps. Each mask shows the classes of its own step; what was learnt before and what",
    "comes later is labelled background. So a net is taught, pixel by pixel, that the old classes are background.",
)
COLUMNS = ("the picture", "mask of step 0: disc", "mask of step 1: square", "mask of step 2: triangle")
WORDS = (
    ("label", "a class of the data set: 0 background, 1, 2, …; 255 is ignored"),
    ("channel", "an output of the net; channels are labels in the order learnt"),
    ("step", "one phase of training: old, new and future classes"),
    ("task", "15-5: 15 classes, then 5 at once; 15-1: then one at a time"),
    ("protocol", "which images a step sees and what they show: overlap, disjoint, …"),
    ("scenario", "data set, task and protocol: voc 15-5 overlap"),
    ("teacher", "the frozen net of the step before"),
    ("confident", "a pixel whose uncertainty is below its class's threshold"),
)
IDEAS = (
    (
        "MiB · the background is more than itself",
        r"cross-entropy:  $p(\mathrm{bg}) = p_{\mathrm{bg}} + \sum_{c\,\in\,\mathrm{old}} p_c$"
        r"      distillation:  $q_{\mathrm{teacher}}(\mathrm{bg})$ against $p_{\mathrm{bg}} + \sum_{c\,\in\,\mathrm{new}} p_c$",
    ),
    (
        "PLOP · keep strips of every feature map",
        r"$d(x, y) = \Vert\,\mathrm{POD}(x^2) - \mathrm{POD}(y^2)\,\Vert_2$,  POD: means of rows and of columns in 1, 4 and 16 regions",
    ),
    (
        "PLOP · let the teacher label the background",
        r"$u = -\frac{1}{\ln C}\,\sum_c q_c \ln q_c$;  if $u < \tau_c$ the label is the teacher's $c$, else the pixel is ignored",
    ),
)
READING = (
    "IoU: pixels that truth and prediction share, divided by those that either has. mIoU: its mean over classes.",
    "Old and new belong together: a net that learns nothing forgets nothing.",
    "Is the background counted? Compare rows of one convention, one scenario and one class order only.",
    "mIoU counts classes, not pixels: look at the IoU of the background and the share of right pixels as well.",
    "One seed is one sample. A gap smaller than the range over seeds is no result.",
)
COMMANDS = (
    ('plopkit run "emoji 15-5 overlap" --method plop', "train all steps; the same command continues"),
    ("plopkit compare runs -o pictures", "tables and curves of all runs"),
    ('plopkit data check "folder 10-5 overlap" --data.root mine', "your own pictures: what is wrong with them"),
    ("plopkit predict runs/… photos -o predicted", "masks of your pictures"),
)


def handout() -> Figure:
    """The page."""
    figure = Figure(figsize=A4)
    figure.text(LEFT, 0.955, TITLE, fontsize=16, weight="bold", va="top")
    y = 0.915
    y = heading(figure, y, "Background shift")
    y = lines(figure, y, SHIFT)
    width = (RIGHT - LEFT) / len(COLUMNS)
    for index, name in enumerate(COLUMNS):
        axis = figure.add_axes((LEFT + index * width + 0.01, y - 0.08, width - 0.02, 0.075))
        scene(axis, index - 1)
        figure.text(LEFT + (index + 0.5) * width, y - 0.092, name, fontsize=8, ha="center", va="center")
    y = heading(figure, y - 0.125, "Words")
    for word, meaning in WORDS:
        figure.text(LEFT, y, word, fontsize=9, weight="bold", va="top")
        figure.text(LEFT + 0.13, y, meaning, fontsize=9, va="top")
        y -= 0.0205
    y = heading(figure, y - 0.02, "Three ideas")
    for name, formula in IDEAS:
        figure.text(LEFT, y, name, fontsize=9, weight="bold", va="top")
        figure.text(LEFT + 0.02, y - 0.0215, formula, fontsize=9, va="top")
        y -= 0.057
    y = heading(figure, y - 0.012, "Reading a result")
    y = lines(figure, y, READING, dots=True)
    y = heading(figure, y - 0.02, "Commands")
    for command, meaning in COMMANDS:
        figure.text(LEFT, y, command, fontsize=8, family="monospace", va="top")
        figure.text(LEFT + 0.5, y, meaning, fontsize=8.5, va="top")
        y -= 0.0205
    return figure


def heading(figure: Figure, y: float, words: str) -> float:
    """A heading with its line; returns where the text below it begins."""
    figure.text(LEFT, y, words, fontsize=11.5, weight="bold", color=BLUE, va="top")
    figure.add_artist(Rectangle((LEFT, y - 0.021), RIGHT - LEFT, 0.0008, color=BLUE, transform=figure.transFigure))
    return y - 0.03


def lines(figure: Figure, y: float, texts: Sequence[str], dots: bool = False) -> float:
    """Lines of text; returns where the next begins."""
    for text in texts:
        figure.text(LEFT, y, f"• {text}" if dots else text, fontsize=8.7, va="top")
        y -= 0.0205
    return y


def scene(axis: Axes, step: int) -> None:
    """A disc, a square and a triangle: all of them in the picture (step -1), else that of the step."""
    shapes = (
        (Circle, ((0.6, 0.6), 0.38), GREEN),
        (Rectangle, ((1.25, 0.25), 0.7, 0.7), ORANGE),
        (Polygon, (((2.2, 0.25), (2.95, 0.25), (2.575, 0.95)),), BLUE),
    )
    axis.add_patch(Rectangle((0, 0), 3.2, 1.2, facecolor="0.93" if step < 0 else "0.35", edgecolor="0.3"))
    for index, (kind, where, colour) in enumerate(shapes):
        shown = step < 0 or step == index
        style = {"facecolor": colour} if shown else {"fill": False, "linestyle": ":", "edgecolor": "0.75"}
        axis.add_patch(kind(*where, **style))
    axis.set(xlim=(-0.05, 3.25), ylim=(-0.05, 1.25), aspect="equal")
    axis.set_axis_off()


def words_of(figure: Figure) -> list[str]:
    """All words of the page, in order."""
    return [text.get_text() for text in figure.texts]


def digest(figure: Figure) -> str:
    """Of the words; the PDF has it among its keywords."""
    return hashlib.sha256("\n".join(words_of(figure)).encode()).hexdigest()[:16]


def write(figure: Figure, path: Path) -> None:
    """Write the page as SVG or PDF, by the ending; the same words give the same bytes."""
    if path.suffix == ".svg":
        figure.savefig(path, metadata={"Date": None, "Title": TITLE})
    else:
        figure.savefig(path, metadata={"CreationDate": None, "Title": TITLE, "Keywords": digest(figure)})


def main() -> int:
    with own_style(**STYLE):
        page = handout()
        for path in FILES:
            write(page, path)
            print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
