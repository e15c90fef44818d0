"""Sphinx extension: formulas as MathML, which browsers render themselves. docutils does the conversion."""

import re
from typing import Any

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

THIN = '<mspace width="0.167em"/>'


def typeset(formula: str, block: bool) -> str:
    """TeX as MathML, with TeX's thin spaces around functions such as ln, real primes, and no backslash before _."""
    mathml = tex2mathml(formula, as_block=block).replace("<mo>'</mo>", '<mo lspace="0" rspace="0">′</mo>')
    mathml = mathml.replace(r"\_", "_")
    return re.sub(r"(<mi>\w+</mi>)\s*<mo>&ApplyFunction;</mo>(?!\s*<mo[^>]*>\()", rf"{THIN}\1{THIN}", mathml)


def inline(writer: Any, node: Any) -> None:
    writer.body.append(typeset(node.astext(), block=False))
    raise SkipNode


def block(writer: Any, node: Any) -> None:
    writer.body.append(f'<div class="formula">{typeset(node.astext(), block=True)}</div>')
    raise SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
