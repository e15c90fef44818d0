"""Checks of figures: is all text within the figure, and what do the cells of a grid show?"""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def inside(figure: Figure) -> bool:
    """Whether all titles, labels, texts, tick labels and legends are within the figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = figure.get_size_inches() * figure.dpi
    words = [*figure.texts, *(word for legend in figure.legends for word in (*legend.get_texts(), legend.get_title()))]
    for axis in figure.axes:
        words += [*axis.texts, axis.title, axis.xaxis.label, axis.yaxis.label]
        for side in (axis.xaxis, axis.yaxis) if axis.axison else ():
            low, high = sorted(side.get_view_interval())  # matplotlib keeps labels of ticks that it does not draw
            shown = [tick for tick in side.get_major_ticks() if low <= tick.get_loc() <= high]
            words += [label for tick in shown for label in (tick.label1, tick.label2)]
    boxes = [word.get_window_extent(canvas.get_renderer()) for word in words if word.get_text() and word.get_visible()]
    return all(box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1 for box in boxes)


def cells(figure: Figure) -> tuple[list[str], list[str], dict[tuple[int, int], np.ndarray]]:
    """The row names, the column names, and the pictures by row and column of a ``viz.masks.grid``.

    Also checks that row 0 is on top, names are centred on their rows and columns, and no picture is upside down.
    """
    (axis,) = figure.axes
    rows, columns = ([label.get_text() for label in side.get_ticklabels()] for side in (axis.yaxis, axis.xaxis))
    assert (axis.get_xlim(), axis.get_ylim()) == ((0, len(columns)), (len(rows), 0))
    for side, names in ((axis.yaxis, rows), (axis.xaxis, columns)):
        assert list(side.get_ticklocs()) == [place + 0.5 for place in range(len(names))]
    pictures = {}
    for image in axis.images:
        left, right, bottom, top = image.get_extent()
        assert left < right and top < bottom and image.origin == "upper"
        pictures[int((top + bottom) / 2), int((left + right) / 2)] = np.asarray(image.get_array())
    return rows, columns, pictures


def words(figure: Figure) -> list[str]:
    """Every word of a figure: titles, labels, ticks, texts and legends, also of legends that are kept as a picture."""
    FigureCanvasAgg(figure).draw()
    result = [text.get_text() for text in figure.texts]
    for axis in figure.axes:
        result += [part.get_text() for part in (axis.title, axis.xaxis.label, axis.yaxis.label, *axis.texts)]
        result += axis.get_label().split("; ")
    return [*result, *(text.get_text() for legend in figure.legends for text in legend.get_texts())]
