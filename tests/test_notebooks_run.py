"""The lessons run: all headless, one after another, as papermill runs them; then in JupyterLab, by mouse and keyboard.

Pictures of the latter lie in build/screenshots/ afterwards.
"""

import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import nbformat
import papermill
import pytest
from lab import Lab, Open, changes, chromium, jupyterlab, shot, slider
from playwright.sync_api import Browser, expect
from required import missing
from test_notebooks import NOTEBOOKS, cells, checked, read

# Of the kernel's start-up and of playwright, which are not ours.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs that all lessons share: what one has trained, the next reads back."""
    return tmp_path_factory.mktemp("lessons")


# --- headless


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_headless(path, runs, tmp_path, monkeypatch):
    monkeypatch.delenv("MPLBACKEND")  # conftest.py's: a kernel has its own
    executed = tmp_path / path.name
    given = {"preset": "smoke", "out": str(runs)}
    papermill.execute_notebook(path, executed, given, cwd=tmp_path, progress_bar=False)
    notebook = read(executed)

    outputs = [output for cell in cells(notebook, "code") for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error"] == []
    told = "".join(output.text for output in outputs if output.get("name") == "stderr")
    lines = [line for line in told.split("\n") if line.rpartition("\r")[2].strip()]  # a progress bar is overwritten
    assert len(lines) <= 3, told[-2000:]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    for cell in cells(notebook, "code", "solution"):
        (name,) = checked(cell)
        assert f"Exercise {name}: right." in str(cell.outputs)


# --- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def lab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if find_spec("jupyterlab") is None:
        missing("browser", "JupyterLab is not installed: pip install -e '.[dev]'")
    with jupyterlab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture
def opened(lab: Lab, browser: Browser, runs: Path) -> Iterator[Callable[..., Open]]:
    """``opened("06")``: the notebook of that number, preset smoke, other parameters, in a page of its own."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})

    def make(number: str, **parameters: object) -> Open:
        (path,) = (path for path in NOTEBOOKS if path.name.startswith(number))
        notebook = nbformat.read(path, as_version=4)
        (cell,) = cells(notebook, "code", "parameters")
        for name, value in ({"preset": "smoke", "out": str(runs)} | parameters).items():
            cell.source, found = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value!r}".replace("\\", r"\\"), cell.source)
            assert found == 1
        nbformat.write(notebook, lab.folder / path.name)
        return Open(lab, page, path.name)

    yield make
    page.close()
    lab.end_kernels()


OTHERS = [path.name[:2] for path in NOTEBOOKS if path.name[:2] not in ("01", "04", "06", "07")]  # these: below


@pytest.mark.parametrize("number", OTHERS)
def test_runs_in_the_browser(opened, number):
    notebook = opened(number)
    notebook.run_all()
    notebook.shots(number)


def test_01_another_task_is_another_schedule_and_solutions_open(opened):
    notebook = opened("01")
    notebook.run_all()
    explorer = notebook.output("widgets.splits_explorer(data)")
    picture = explorer.get_by_role("img")
    with changes(picture):
        explorer.get_by_label("task", exact=True).select_option("15-1")
    with changes(picture):
        explorer.get_by_label("protocol", exact=True).select_option("disjoint")
    notebook.shots("01")

    dots = notebook.panel.locator(".jp-InputPlaceholder")
    expect(dots).to_have_count(2)
    dots.first.locator(".jp-MoreHorizIcon").click()
    expect(dots).to_have_count(1)
    expect(notebook.output("# Solution").first).to_contain_text("Exercise 01.1: right.")


def test_04_another_threshold_is_other_sure_pixels(opened):
    notebook = opened("04")
    notebook.run_all()
    explorer = notebook.output("widgets.pseudo_explorer")
    threshold = slider(explorer, "threshold")
    with changes(explorer.get_by_role("img")):
        threshold.get_by_role("slider").press("End")
        threshold.get_by_role("slider").press("ArrowLeft")
    expect(threshold.locator(".widget-readout")).to_have_text("0.99")
    with changes(explorer.get_by_role("img")):
        explorer.get_by_label("thresholds", exact=True).select_option("medians")
    notebook.shots("04")


def test_06_a_run_is_started_stopped_resumed_and_its_results_appear(opened, tmp_path):
    notebook = opened("06", out=str(tmp_path / "runs"), overrides={"data.scenes": 120, "optim.epochs": 2})
    notebook.run_all()
    live, table = notebook.output("live = LiveRun(form)"), notebook.output("folder.summary.round(1)")
    expect(table).to_contain_text("Nothing here yet")
    notebook.output("form = SettingsForm").get_by_label("method", exact=True).select_option("ft")
    live.get_by_role("button", name="Run").click()
    expect(live).to_contain_text("running: step 0/1", timeout=60_000)
    with changes(live.get_by_role("img")):
        pass
    live.get_by_role("button", name="Stop").click()
    expect(live).to_contain_text("stopped: step 0/1")
    told = live.inner_text()
    shot(live, "06_stopped")
    notebook.page.wait_for_timeout(1500)
    assert live.inner_text() == told

    with changes(live.get_by_role("img")):
        live.get_by_role("button", name="Resume").click()
    expect(live).to_contain_text("finished", timeout=180_000)
    expect(notebook.output("lambda folder: folder.path")).to_contain_text("emoji_15-5_overlap_ft_seed0")
    expect(table.get_by_role("row")).to_have_count(3)  # its header, two steps
    expect(notebook.output("viz.forgetting_curves").get_by_role("img")).to_be_visible()
    notebook.shots("06")


def test_07_through_images_steps_and_methods(opened):
    notebook = opened("07")
    notebook.run_all()
    explorer = notebook.output("mistakes_explorer(examined)")
    picture = explorer.get_by_role("img")
    with changes(picture):
        slider(explorer, "image").get_by_role("slider").press("ArrowRight")
    with changes(picture):
        slider(explorer, "after step").get_by_role("slider").press("ArrowLeft")
    with changes(picture):
        explorer.get_by_label("method", exact=True).select_option("plop")
    notebook.shots("07")
