"""Lessons 00 to 05, run by papermill and in JupyterLab."""

from lab import changes, press, slider
from lesson_runs import FOREIGN_WARNINGS, headless, in_the_browser
from playwright.sync_api import expect

pytest_plugins = ["lesson_runs"]
pytestmark = FOREIGN_WARNINGS

test_runs_headless = headless("00", "05")
test_runs_in_the_browser = in_the_browser("00", "02", "03", "05")


def test_01_another_task_gives_another_schedule_and_solutions_open(opened):
    notebook = opened("01")
    notebook.run_all()
    explorer = notebook.output("lesson.splits_explorer(data)")
    picture = explorer.get_by_role("img")
    with changes(picture):
        press(explorer, "task", "15-1")
    with changes(picture):
        press(explorer, "protocol", "disjoint")
    notebook.shots("01")

    dots = notebook.panel.locator(".jp-InputPlaceholder")
    expect(dots).to_have_count(2)
    dots.first.locator(".jp-MoreHorizIcon").click()
    expect(dots).to_have_count(1)
    expect(notebook.output("# Solution").first).to_contain_text("Exercise 01.1: right.")


def test_04_another_threshold_makes_other_pixels_confident(opened):
    notebook = opened("04")
    notebook.run_all()
    explorer = notebook.output("lesson.pseudo_explorer")
    threshold = slider(explorer, "threshold")
    with changes(explorer.get_by_role("img")):
        threshold.get_by_role("slider").press("End")
        threshold.get_by_role("slider").press("ArrowLeft")
    expect(threshold.locator(".widget-readout")).to_have_text("0.99")
    with changes(explorer.get_by_role("img")):
        press(explorer, "thresholds", "medians")
    notebook.shots("04")
