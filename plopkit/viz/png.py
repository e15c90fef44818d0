"""Figures as pixels and as PNG, and PNG as text."""

import base64
import io
import threading
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from PIL import Image

from plopkit.support.files import atomic_write

_drawing = threading.Lock()


def save(figure: Figure, path: Path) -> None:
    """A file to keep, written beside its place and then moved there."""
    with atomic_write(path) as part:
        part.write_bytes(png(figure, dpi=130, level=6))


def png(figure: Figure, dpi: float = 100, level: int = 1) -> bytes:
    """level: how hard to compress, 1 to 9; a picture that follows a slider has to be quick, not small."""
    buffer = io.BytesIO()
    Image.fromarray(pixels(figure, dpi)[..., :3]).save(buffer, format="png", compress_level=level)
    return buffer.getvalue()


def pixels(figure: Figure, dpi: float = 100) -> UInt8[np.ndarray, "H W 4"]:
    """The figure drawn; from several threads one after the other.

    Drawn once: ``Figure.savefig`` goes through all of it twice, to lay it out and to draw it.
    """
    # Text takes most of the time, and a good part of that is hinting, which no eye misses in small smooth letters.
    with _drawing, matplotlib.rc_context({"text.hinting": "none"}):
        figure.set_dpi(dpi)
        canvas = _Canvas(figure)
        canvas.draw()
        return np.array(canvas.buffer_rgba())


class _Canvas(FigureCanvasAgg):
    """A canvas on a renderer that others of its size have used: it knows the extents of words drawn before."""

    def get_renderer(self) -> RendererAgg:
        self.renderer = _renderer(*self.get_width_height(physical=True), self.figure.dpi)
        return self.renderer


@lru_cache(maxsize=16)
def _renderer(width: int, height: int, dpi: float) -> RendererAgg:
    return RendererAgg(width, height, dpi)


def encoded(picture: bytes | memoryview) -> str:
    """A PNG as pages and MIME bundles hold it; ipywidgets keeps a picture's bytes as a view of memory."""
    return base64.b64encode(picture).decode()
