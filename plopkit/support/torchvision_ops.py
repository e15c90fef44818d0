"""Let torchvision be imported where its C++ operators are missing.

torchvision's PyPI wheel is built against a CUDA torch. Beside a CPU-only torch its operator library does not load, and
``import torchvision`` stops with "operator torchvision::nms does not exist", because it registers a fake kernel for an
operator nobody declared. Declaring the two schemas first is enough: transforms, data sets and models are pure Python.
Import this module before torchvision or timm.
"""

import contextlib
import importlib.util
from pathlib import Path

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def _operators_load() -> bool:
    """Does torchvision's operator library (``_C.so``, ``_C.pyd``) load with this torch?"""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # no torchvision at all: let its own import say so
    for library in sorted(Path(spec.origin).parent.glob("_C*")):
        with contextlib.suppress(OSError):
            torch.ops.load_library(str(library))
            return True
    return False


def declare_missing() -> torch.library.Library | None:
    """Declare ``torchvision::nms`` and ``::qnms`` where they are missing; the library must stay referenced."""
    if hasattr(torch.ops.torchvision, "nms") or _operators_load():
        return None
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(name + _SCHEMA)
    return library


_LIBRARY = declare_missing()
