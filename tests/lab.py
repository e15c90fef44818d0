"""A JupyterLab server for the length of some tests, and a browser page that opens notebooks in it and runs them."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import nbformat
from playwright.sync_api import Browser, Error, Locator, Page, expect, sync_playwright
from required import missing

SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # every cell is in the page, seen or not
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}

# How long a browser or server may take on a busy machine before a test fails. Nothing waits that long when all is well.
PATIENCE = 180
expect.set_options(timeout=PATIENCE * 1000)

# The progress of the code cells: [number that ran, number of cells, error messages].
PROGRESS = """() => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    const cells = notebook.widgets.map(cell => cell.model).filter(model => model.type === 'code');
    const outputs = cells.flatMap(({outputs}) => Array.from({length: outputs.length}, (_, k) => outputs.get(k)));
    const errors = outputs.filter(output => output.type === 'error').map(output => output.toJSON());
    return [
        cells.filter(model => model.executionCount !== null).length,
        cells.length,
        errors.map(({ename, evalue, traceback}) => [`${ename}: ${evalue}`, ...traceback].join('\\n')),
    ];
}"""


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab."""

    address: str
    token: str
    folder: Path
    """the folder of its notebooks"""

    def url(self, path: str) -> str:
        return f"{self.address}/{path}?token={self.token}"

    def end_kernels(self) -> None:
        """Shut down all kernels; the notebooks stay open."""
        with urlopen(self.url("api/sessions"), timeout=PATIENCE) as response:
            sessions = json.load(response)
        for session in sessions:
            urlopen(Request(self.url(f"api/sessions/{session['id']}"), method="DELETE"), timeout=PATIENCE).close()


@contextmanager
def jupyterlab(folder: Path) -> Iterator[Lab]:
    """Run JupyterLab over ``folder/notebooks``, which the caller fills; settings and log go to ``folder``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lab = Lab(f"http://127.0.0.1:{port}", secrets.token_hex(16), folder / "notebooks")
    lab.folder.mkdir()
    for name, values in SETTINGS.items():
        file = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), encoding="utf-8")
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    # Lets a page open the next notebook without reloading JupyterLab.
    command += ["--expose-app-in-browser"]
    command += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={lab.token}"]
    command += [f"--ServerApp.root_dir={lab.folder}"] + (["--allow-root"] if os.name == "posix" else [])
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    environment |= {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings")}
    private = (
        "JUPYTERLAB_WORKSPACES_DIR",
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_DATA_DIR",
        "JUPYTER_RUNTIME_DIR",
        "IPYTHONDIR",
    )
    environment |= {name: str(folder / name.lower()) for name in private}
    with (folder / "lab.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=lab.folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_for(lab, server, folder / "lab.log")
        yield lab
    finally:
        server.terminate()  # shuts down its kernels too
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(lab: Lab, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        try:
            urlopen(lab.url("api/status"), timeout=30).close()
            return
        except (URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(encoding='utf-8')[-4000:]}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, or else playwright's; the test is skipped where neither is installed."""
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        try:
            browser = playwright.chromium.launch(executable_path=path, timeout=PATIENCE * 1000, args=["--no-sandbox"])
        except Error as error:
            reason = error.message.strip().splitlines()[0]
            missing("browser", f"Chromium does not start ({reason}): playwright install --with-deps chromium")
        try:
            yield browser
        finally:
            browser.close()


class Open:
    """A notebook open in JupyterLab, the only one in its page.

    The page is loaded once for all notebooks, because loading it costs more than most of them.
    """

    def __init__(self, lab: Lab, page: Page, name: str):
        self.page = page
        page.set_viewport_size({"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE * 1000)
        if not page.url.startswith(lab.address):
            page.goto(lab.url("lab") + "&reset")
            expect(page.locator("#jp-main-statusbar")).to_be_visible()
        self._do("docmanager:open", {"path": name})
        self.panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        cells = nbformat.read(lab.folder / name, as_version=4).cells
        expect(self.panel.locator(".jp-Cell")).to_have_count(len(cells))
        expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle")  # the kernel

    def _do(self, command: str, arguments: dict[str, str] | None = None) -> None:
        self.page.evaluate(
            "([name, args]) => window.jupyterapp.commands.execute(name, args)", [command, arguments or {}]
        )

    def close(self) -> None:
        self._do("docmanager:save")
        self._do("application:close-all")
        expect(self.panel).to_have_count(0)

    def run_all(self, seconds: float = 2 * PATIENCE) -> None:
        """Choose Run > Run All Cells and wait until all are done; AssertionError if a cell has an error."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_text("Run All Cells", exact=True).click()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            done, cells, errors = self.page.evaluate(PROGRESS)
            assert not errors, errors[0]
            if done == cells:
                self.page.wait_for_timeout(300)  # a widget's picture may arrive a little later
                return
            self.page.wait_for_timeout(200)
        raise AssertionError(f"{done} of {cells} cells done after {seconds} s")

    def output(self, source: str) -> Locator:
        """The output of the only code cell whose source contains this text."""
        code = self.page.locator(".cm-content", has_text=source)
        return self.panel.locator(".jp-CodeCell").filter(has=code).locator(".jp-Cell-outputArea")

    def shots(self, name: str) -> None:
        """Save pictures of the outputs that are images or widgets, for people: build/screenshots/<name>_<k>.png.

        Only where they wish for it by PLOPKIT_SCREENSHOTS: it takes a third of a test, and finds nothing.
        """
        if not os.environ.get("PLOPKIT_SCREENSHOTS"):
            return
        self.page.set_viewport_size({"width": 1280, "height": 2400})  # what does not fit is cut off
        outputs = self.panel.locator(".jp-Cell-outputArea").filter(has=self.page.locator("img, .jupyter-widgets"))
        for place, output in enumerate(outputs.all()):
            shot(output, f"{name}_{place}")


def shot(part: Locator | Page, name: str) -> None:
    """Save a picture for people: build/screenshots/<name>.png."""
    part.screenshot(path=Path(__file__).parents[1] / "build" / "screenshots" / f"{name}.png")


def press(output: Locator, control: str, option: str) -> None:
    """Click a button of the row of buttons with this name."""
    output.get_by_role("group", name=control, exact=True).get_by_role("button", name=option, exact=True).click()


def slider(output: Locator, label: str) -> Locator:
    """The slider with this label; send arrow keys to its element of role "slider"."""
    return output.locator(".widget-slider").filter(has=output.page.get_by_text(label, exact=True))


@contextmanager
def changes(picture: Locator, seconds: float = PATIENCE) -> Iterator[None]:
    """Check that what is done inside the ``with`` block changes the picture."""
    before = picture.screenshot()
    yield
    deadline = time.monotonic() + seconds
    while picture.screenshot() == before:
        assert time.monotonic() < deadline, f"the same picture after {seconds} s"
        picture.page.wait_for_timeout(100)
