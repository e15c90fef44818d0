"""Figures as pixels and as PNG, and PNG as text."""

import base64
import html
import io
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from plopkit.support.files import write_bytes
from plopkit.viz.style import own_style

SHARP = 200
"""Pixels per inch of pictures in a notebook, which shows them at 100 per inch."""

LEGIBLE = 640
"""The width in pixels below which a picture is not shrunk, since its words would be too small to read: it scrolls."""


def save(figure: Figure, path: Path, seal: bool = False) -> None:
    """Write the figure as a PNG file to keep: well compressed, and never half written."""
    write_bytes(path, png(figure, dpi=130, level=6), seal)


def png(figure: Figure, dpi: float = 100, level: int = 1) -> bytes:
    """The figure as PNG, with its alt text, if it has one, as the description.

    Args:
        dpi: pixels per inch.
        level: compression level, 1 to 9. By default low: a picture that follows a slider has to be fast, not small.
    """
    buffer, texts = io.BytesIO(), PngInfo()
    if alt := getattr(figure, "alt", ""):
        texts.add_itxt("Description", alt)
    Image.fromarray(pixels(figure, dpi)[..., :3]).save(buffer, format="png", compress_level=level, pnginfo=texts)
    return buffer.getvalue()


def pixels(figure: Figure, dpi: float = 100) -> UInt8[np.ndarray, "H W 4"]:
    """The figure as RGBA pixels. Safe to call from several threads, which take turns.

    `Figure.savefig` would draw everything twice, once for the layout.
    """
    # Text takes most of the time. Hinting is a good part of that, and makes no visible difference to smooth text.
    with own_style(**{"text.hinting": "none"}):
        figure.set_dpi(dpi)
        canvas = _Canvas(figure)
        canvas.draw()
        return np.array(canvas.buffer_rgba())


class _Canvas(FigureCanvasAgg):
    """A canvas that reuses renderers: a renderer remembers the sizes of words that it has drawn before."""

    def get_renderer(self) -> RendererAgg:
        self.renderer = _renderer(*self.get_width_height(physical=True), self.figure.dpi)
        return self.renderer


@lru_cache(maxsize=16)
def _renderer(width: int, height: int, dpi: float) -> RendererAgg:
    return RendererAgg(width, height, dpi)


def picture_html(picture: bytes | memoryview, alt: str, width: int) -> str:
    """A PNG as an <img>, ``width`` pixels wide where there is room; on a narrow screen it shrinks, then scrolls."""
    style = f"width:{width}px;max-width:max(100%,{min(width, LEGIBLE)}px);height:auto"
    source = f"data:image/png;base64,{encoded(picture)}"
    return f'<img alt="{html.escape(alt)}" width="{width}" style="{style}" src="{source}">'


def encoded(picture: bytes | memoryview) -> str:
    """A PNG as base64 text, for HTML and MIME bundles. ipywidgets holds a picture's bytes as a memoryview."""
    return base64.b64encode(picture).decode()
