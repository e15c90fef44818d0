"""Lessons 10 to 12, run by papermill."""

from lesson_runs import FOREIGN_WARNINGS, headless

pytest_plugins = ["lesson_runs"]
pytestmark = FOREIGN_WARNINGS

test_runs_headless = headless("10", "12")
