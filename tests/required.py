"""Optional software: a test that needs it is skipped where it is missing, or fails if PLOPKIT_REQUIRED names it.

With ``PLOPKIT_REQUIRED="browser iabn"``, as in .ci/run, a missing browser or inplace-abn is a failure.
"""

import importlib
import os
import warnings
from types import ModuleType
from typing import NoReturn

import pytest


def missing(name: str, reason: str) -> NoReturn:
    """Skip the test, or fail it if PLOPKIT_REQUIRED contains the word ``name``."""
    if name in os.environ.get("PLOPKIT_REQUIRED", "").split():
        pytest.fail(f"PLOPKIT_REQUIRED names {name}, but {reason}", pytrace=False)
    pytest.skip(reason)


def inplace_abn() -> ModuleType:
    """The real package, built by ``make iabn``; it fails to import if it was built for another torch."""
    try:
        with warnings.catch_warnings(action="ignore"):  # the package's own
            return importlib.import_module("inplace_abn")
    except ImportError as error:
        missing("iabn", f"inplace-abn cannot be imported ({error}): make iabn")
