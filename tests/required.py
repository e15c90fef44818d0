"""What not every machine has: a test that needs it is skipped there, or fails where PLOPKIT_REQUIRED names it.

``PLOPKIT_REQUIRED="browser iabn"``, as .ci/run sets it, lets nothing be skipped for want of a browser or inplace-abn.
"""

import importlib
import os
import warnings
from types import ModuleType
from typing import NoReturn

import pytest


def missing(name: str, reason: str) -> NoReturn:
    """Skip the test, or fail it: ``name`` is a word of PLOPKIT_REQUIRED."""
    if name in os.environ.get("PLOPKIT_REQUIRED", "").split():
        pytest.fail(f"PLOPKIT_REQUIRED names {name}, but {reason}", pytrace=False)
    pytest.skip(reason)


def inplace_abn() -> ModuleType:
    """The real package, built by ``make iabn``; it may be there and not fit the torch that is."""
    try:
        with warnings.catch_warnings(action="ignore"):  # the package's own
            return importlib.import_module("inplace_abn")
    except ImportError as error:
        missing("iabn", f"inplace-abn cannot be imported ({error}): make iabn")
