"""docs/guides/plugins.md is true: a method from a file, from a notebook and from a package, and a data set."""

import importlib.util
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from small_runs import SMALL, small_flags

import plopkit
from plopkit import METHODS, catalogue, cli
from plopkit.catalogue import DATASETS

spec = importlib.util.spec_from_file_location("guides_plugins", Path(__file__).parent / "guides" / "plugins.py")
assert spec is not None and spec.loader is not None
guide = importlib.util.module_from_spec(spec)
spec.loader.exec_module(guide)


def commands() -> list[list[str]]:
    """The words of the guide's commands."""
    lines = "".join(guide.blocks("bash")).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines]


def shrunk(words: list[str]) -> list[str]:
    """The command with a smaller network, where it trains."""
    flags = []
    for name, value in SMALL.items() if words[1] == "run" else ():
        flag = "--" + name.replace("_", "-")
        if flag not in words:
            flags += [flag, *([] if value is True else map(str, value if isinstance(value, tuple) else (value,)))]
    return words[1:] + flags


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_pictures: None) -> Iterator[Path]:
    """A folder with the guide's files; what they register is removed after the test."""
    monkeypatch.setattr(catalogue, "_plugins", {})
    guide.prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    METHODS.pop("features", None)
    DATASETS.pop("shapes", None)


def environment(*paths: Path) -> dict[str, str]:
    """The environment of a process that also finds packages in these folders."""
    own = [str(Path(plopkit.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [*map(str, paths), *own]))}


def test_the_commands_with_files_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {path.name for path in folder.iterdir()} == {"my_method.py", "my_shapes.py"}
    for words in commands():
        assert words[0] == "plopkit"
        assert cli.main(shrunk(words)) == 0, shlex.join(words)
    table = plopkit.compare(plopkit.load_results(folder / "runs"))
    of_emoji = table.xs("emoji 15-5 overlap", level="scenario")
    assert set(of_emoji.index.get_level_values("method")) == {"features", "ft"}
    assert of_emoji.xs(0, level="step")["all"].nunique() == 1  # both share one training of step 0 …
    assert of_emoji.xs(1, level="step")["all"].nunique() == 2  # … and differ after step 1
    results = plopkit.load_results(folder / "runs" / "shapes*")
    assert set(results["name"]) == {"background", "disc", "square", "stripe"}
    assert "features" in capsys.readouterr().out


def test_the_other_task_of_the_shapes_works(folder: Path) -> None:
    words = ["run", "shapes 1+1+1 partitioned", *small_flags(folder / "runs"), "--method", "ft", "--quiet"]
    assert cli.main([*words, "--plugin", "my_shapes.py"]) == 0


def test_the_cell_of_a_notebook_trains_and_is_known_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cell,) = [block for block in guide.blocks("python") if not block.startswith("# ")]
    tiny = {"model.encoder": "test_efficientnet", "model.weights": "none", "compute.cpu": True}
    cell = cell.replace("few = {", f"few = {tiny} | {{")
    form = (
        'form = plopkit.widgets.SettingsForm(); form.set(method="sharper"); '
        "print(form.error, form.settings.hyper, folder.settings.hyper)"
    )
    cells = [nbformat.v4.new_code_cell(text) for text in (cell, "import plopkit.widgets\n" + form)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}})
    client.execute()
    assert notebook.cells[1].outputs[0].text.split("{")[1:] == ["'factor': 2.0} ", "'factor': 3.0}\n"]
    (path,) = (folder / "runs").glob("*/summary.csv")
    assert set(pd.read_csv(path)["method"]) == {"sharper"}
    before = path.stat().st_mtime_ns
    with client.setup_kernel():  # another one
        client.execute_cell(cells[0], 0)
        assert path.stat().st_mtime_ns == before  # the same source: read back
        cells[0].source = cells[0].source.replace("self.factor * batch", "(1 + self.factor) * batch")
        with pytest.raises(CellExecutionError, match="the source of its method has changed"):
            client.execute_cell(cells[0], 0)


def test_an_installed_package_registers_its_method(folder: Path) -> None:
    package = folder / "my-package" / "src" / "my_package"
    package.mkdir(parents=True)
    (project,) = guide.blocks("toml")
    (folder / "my-package" / "pyproject.toml").write_text(project, encoding="utf-8")
    text = (folder / "my_method.py").read_text(encoding="utf-8")
    assert text.splitlines()[-1] == 'plopkit.METHODS["features"] = FeatureDistillation'
    (package / "my_method.py").write_text(text.rpartition("\nplopkit.METHODS")[0], encoding="utf-8")
    (package / "__init__.py").touch()
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*install, "--target", "site", "./my-package"], check=True, cwd=folder)
    flags = [*small_flags(folder / "out"), "--method", "features", "--quiet"]
    command = [sys.executable, "-m", "plopkit", "run", "emoji 15-5 overlap", *flags]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(folder / "site"), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "features" in done.stdout
