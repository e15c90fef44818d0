"""Each topic's package offers what its notebook needs; only explorers need ipywidgets."""

import subprocess
import sys
from importlib import import_module

import pytest

each = pytest.mark.parametrize("topic", ["growing", "pod", "pseudo", "splits", "training"])


@each
def test_every_name_of_a_topic_is_there(topic: str) -> None:
    package = import_module(f"plopkit.lessons.{topic}")
    assert "check" in package.__all__
    assert all(getattr(package, name) is not None for name in package.__all__)


@pytest.mark.parametrize("topic", ["pod", "pseudo", "splits"])
def test_figures_need_no_ipywidgets(topic: str) -> None:
    code = f"import sys; sys.modules['ipywidgets'] = None; import plopkit.lessons.{topic}.figures"
    subprocess.run([sys.executable, "-c", code], check=True)
