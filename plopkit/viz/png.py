"""Figures as PNG, and PNG as text."""

import base64
import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image


def png(figure: Figure, dpi: float = 100) -> bytes:
    """Packed loosely: a picture that follows a slider has to be quick, not small.

    Drawn once; ``Figure.savefig`` goes through all of it twice, to lay it out and to draw it.
    """
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).save(buffer, format="png", compress_level=1)
    return buffer.getvalue()


def encoded(picture: bytes | memoryview) -> str:
    """A PNG as pages and MIME bundles hold it; ipywidgets keeps a picture's bytes as a view of memory."""
    return base64.b64encode(picture).decode()
