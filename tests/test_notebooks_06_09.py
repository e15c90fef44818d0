"""Lessons 06 to 09, run by papermill and in JupyterLab."""

from lab import changes, press, shot
from lesson_runs import FOREIGN_WARNINGS, headless
from playwright.sync_api import expect

pytest_plugins = ["lesson_runs"]
pytestmark = FOREIGN_WARNINGS

test_runs_headless = headless("06", "09")


def test_06_a_run_can_be_started_stopped_and_resumed_and_its_results_appear(opened, tmp_path):
    overrides = {"data.scenes": 120, "optim.epochs": 5}  # a step 0 that is not done before Stop is pressed
    notebook = opened("06", out=str(tmp_path / "runs"), overrides=overrides)
    notebook.run_all()
    live, table = notebook.output("live = LiveRun(form)"), notebook.output("folder.summary.round(1)")
    expect(table).to_contain_text("Nothing here yet")
    notebook.output("form = SettingsForm").get_by_label("method", exact=True).select_option("ft")
    live.get_by_role("button", name="Run").click()
    expect(live).to_contain_text("running: step 0/1")
    with changes(live.get_by_role("img")):
        pass
    live.get_by_role("button", name="Stop").click()
    expect(live).to_contain_text("stopped: step 0/1")
    text = live.inner_text()
    shot(live, "06_stopped")
    notebook.page.wait_for_timeout(1500)
    assert live.inner_text() == text

    with changes(live.get_by_role("img")):
        live.get_by_role("button", name="Resume").click()
    expect(live).to_contain_text("finished")
    expect(notebook.output("lambda folder: str(folder.path)")).to_contain_text("emoji_15-5_overlap_ft_seed0")
    expect(table.get_by_role("row")).to_have_count(3)  # the header and two steps
    expect(notebook.output("viz.forgetting_curves").get_by_role("img")).to_be_visible()
    losses = notebook.output("viz.loss_curves")  # an answer that follows the run
    expect(losses.get_by_role("img")).to_have_count(0)
    losses.get_by_role("button", name="it stays level").click()
    expect(losses.get_by_role("img")).to_be_visible()
    expect(notebook.output("class Mine(Method)")).to_contain_text("Exercise 06.method: not written yet.")
    notebook.shots("06")


def test_07_images_steps_and_methods_can_be_chosen(opened):
    notebook = opened("07")
    notebook.run_all()
    explorer = notebook.output("mistakes_explorer(examples)")
    picture = explorer.get_by_role("img")
    with changes(picture):
        explorer.get_by_role("group", name="image", exact=True).get_by_role("button").nth(1).click()
    with changes(picture):
        press(explorer, "after step", "0")
    with changes(picture):
        press(explorer, "method", "plop")
    notebook.shots("07")
