"""What tests of pictures look at: is every word within the figure?"""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def inside(figure: Figure) -> bool:
    """Titles, labels, texts, the numbers beside the axes, and the legends."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = figure.get_size_inches() * figure.dpi
    words = [*figure.texts, *(word for one in figure.legends for word in (*one.get_texts(), one.get_title()))]
    for axis in figure.axes:
        words += [*axis.texts, axis.title, axis.xaxis.label, axis.yaxis.label]
        for side in (axis.xaxis, axis.yaxis) if axis.axison else ():
            low, high = sorted(side.get_view_interval())  # matplotlib keeps labels of ticks that it does not draw
            words += [tick.label1 for tick in side.get_major_ticks() if low <= tick.get_loc() <= high]
    boxes = [word.get_window_extent(canvas.get_renderer()) for word in words if word.get_text() and word.get_visible()]
    return all(box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1 for box in boxes)
