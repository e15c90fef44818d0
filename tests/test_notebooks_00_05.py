"""Lessons 00 to 05, run by papermill and in JupyterLab."""

from lab import changes, press, shot, slider
from lesson_runs import FOREIGN_WARNINGS, headless, in_the_browser
from playwright.sync_api import expect

pytest_plugins = ["lesson_runs"]
pytestmark = FOREIGN_WARNINGS

test_runs_headless = headless("00", "05")
test_runs_in_the_browser = in_the_browser("00")  # test_screens.py drives the explorers of all lessons


def test_01_another_task_gives_another_schedule_guesses_are_answered_and_solutions_unfold(opened):
    notebook = opened("01")
    notebook.run_all()
    explorer = notebook.output("lesson.splits_explorer(data)")
    picture = explorer.get_by_role("img")
    with changes(picture):
        press(explorer, "task", "15-1")
    with changes(picture):
        press(explorer, "protocol", "disjoint")
    notebook.shots("01")

    question = notebook.output("Added up over all six steps")
    question.get_by_role("button", name="overlap", exact=True).press("Enter")
    expect(question).to_contain_text("Right: overlap.")
    expect(question.get_by_role("table")).to_be_visible()
    shot(question, "01_answered")
    folded = notebook.output('solution("01.1")')
    expect(folded.locator("pre")).to_be_hidden()
    folded.locator("summary").click()
    expect(folded.locator("pre")).to_contain_text("lesson.check(")
    shot(folded, "01_solution")


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
        press(explorer, "rule", "medians")
    notebook.shots("04")
