"""Each topic's package offers what its notebook needs; only explorers need ipywidgets."""

import subprocess
import sys
from importlib import import_module

import pytest

from plopkit.lessons.exercises import TOPICS

TOPIC_NAMES = sorted(set(TOPICS.values()))


@pytest.mark.parametrize("topic", TOPIC_NAMES)
def test_every_name_of_a_topic_is_there(topic: str) -> None:
    package = import_module(f"plopkit.lessons.{topic}")
    assert "check" in package.__all__
    assert all(getattr(package, name) is not None for name in package.__all__)


def test_only_explorers_need_ipywidgets() -> None:
    modules = ", ".join(f"plopkit.lessons.{topic}.figures" for topic in TOPIC_NAMES if topic != "training")
    code = f"import sys; sys.modules['ipywidgets'] = None; import plopkit.lessons.training, {modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
