"""A method and a data set from outside the package, from the command line to a picture.

They are registered by a file (`--plugin FILE`) or by a distribution (entry points of the groups `plopkit.methods` and
`plopkit.datasets`).
"""

import ast
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_runs import small_flags

import plopkit
from plopkit import catalogue
from plopkit.catalogue import DATASETS, METHODS, DataSet, Registry, load_plugin
from plopkit.cli import main
from plopkit.presets import configure, method_of
from plopkit.runs.results import step_rows, summarise
from plopkit.scenario import Scenario
from plopkit.settings import to_yaml
from plopkit.support.files import write_table, write_text

SCENARIO = "shapes 2-1 overlap"
DEFINITIONS = '''
"""A toy method and a toy data set."""

import numpy as np
import torch
from pydantic import Field

import plopkit
from plopkit.datasets.source import Pair, Source
from plopkit.losses import cross_entropy
from plopkit.methods import Method

NAMES = ("background", "square", "bar", "frame")


class Weighted(Method):
    """Cross-entropy with a weight."""

    name = "weighted"
    title = "weighted fine-tuning"
    source = "a toy"

    weight: float = Field(1.0, ge=0, le=10, description="weight of the cross-entropy")

    def losses(self, batch):
        return {"ce": self.weight * cross_entropy(batch.out.logits, batch.target).mean()}


class Shapes(Source):
    """Each image shows one or two bright shapes on a dark background."""

    def __init__(self, split, count, size, seed):
        self.classes = NAMES
        self.stems = tuple(f"{split}-{index}" for index in range(count))
        self.fingerprint = f"shapes-1-{split}-{count}-{size}-{seed}"
        self.size, self.seed = size, seed + (split == "val")

    def read(self, index):
        mask = np.zeros((self.size, self.size), np.uint8)
        half = self.size // 2
        mask[4 : half - 4, 4 : half - 4] = 1 + index % 3
        if index % 2:
            mask[half + 4 : -4, half : half + 8] = 1 + (index + 1) % 3
        rng = np.random.default_rng([self.seed, index])
        image = rng.integers(0, 60, (3, self.size, self.size), np.uint8) + 60 * mask
        return Pair(torch.from_numpy(image), torch.from_numpy(mask))

    def labels(self, index):
        return frozenset(self.read(index).mask.unique().tolist())


def open_shapes(split, data, seed):
    return Shapes(split, data.scenes if split == "train" else data.val_scenes, data.size, seed)


SHAPES = plopkit.DataSet(
    "shapes",
    opener=open_shapes,
    title="squares, bars and frames",
    names=NAMES,
    needs_root=False,
    tasks=("2-1", "joint"),
    presets={"smoke": {"data": {"val_scenes": 15}, "hyper": {"weighted": {"weight": 2.0}}}},
)
'''
REGISTRATION = """
plopkit.METHODS["weighted"] = Weighted
plopkit.DATASETS["shapes"] = SHAPES
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a plugin; what it registers is removed after the test."""
    monkeypatch.setattr(catalogue, "_plugins", {})
    modules = set(sys.modules)
    path = tmp_path / "toy_plugin.py"
    path.write_text(DEFINITIONS + REGISTRATION, encoding="utf-8")
    yield path
    for registry in (DATASETS, METHODS):
        registry.pop("shapes", None)
        registry.pop("weighted", None)
    for name in set(sys.modules) - modules:
        if "plugin" in name:
            del sys.modules[name]


def run_words(out: Path) -> list[str]:
    """A small run of the toy method on the toy data set."""
    flags = small_flags(out)
    for flag, value in (("--data.scenes", "24"), ("--data.val-scenes", "12"), ("--optim.batch", "4")):
        flags[flags.index(flag) + 1] = value
    return ["run", SCENARIO, *flags, "--method", "weighted", "--name", "toy", "--quiet"]


# Registered by a file


@pytest.mark.pictures
def test_a_plugin_file_works_from_training_to_report(
    plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flag = ["--plugin", str(plugin)]
    assert main([*flag, *run_words(tmp_path / "runs")]) == 0
    folder = plopkit.RunFolder(tmp_path / "runs" / "toy")
    assert set(folder.results["method"]) == {"weighted"}
    assert set(folder.results["name"]) == {"background", "square", "bar", "frame"}
    assert folder.settings.hyper == {"weight": 2.0}  # the preset's value for this data set and method
    assert {path.name for path in folder.pictures.glob("*.png")} == {"curves.png", "losses.png", "predictions.png"}

    capsys.readouterr()
    assert main(["compare", str(folder.path), *flag, "-o", str(tmp_path / "pictures")]) == 0
    assert "weighted" in capsys.readouterr().out
    assert (tmp_path / "pictures" / "shapes_2-1_overlap_curves.png").is_file()
    assert main(["report", str(folder.path), f"--plugin={plugin}", "-o", str(tmp_path / "report.html")]) == 0
    assert "shapes 2-1 overlap" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert main(["rows", str(folder.path), *flag]) == 0


def test_a_plugin_appears_in_form_styles_grammar_and_help(plugin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from plopkit.flags import parse_run
    from plopkit.viz.colours import method_styles
    from plopkit.widgets import SettingsForm

    load_plugin(plugin)
    load_plugin(plugin)  # the second call does nothing
    form = SettingsForm()
    assert "shapes" in form.controls["dataset"].options
    form.controls["dataset"].value = "shapes"
    assert form.controls["task"].value == "2-1"
    form.controls["method"].value = "weighted"
    form.controls["hyper.weight"].value = 0.5
    assert form.error == ""
    assert form.settings == configure("shapes 2-1 overlap", "weighted", overrides={"hyper.weight": 0.5})
    words = shlex.split(form.command_line)
    assert words[-2:] == ["--plugin", str(plugin)]
    assert parse_run(words[2:-2]) == form.settings

    styles = method_styles(["plop", "weighted"])
    assert styles["plop"] == method_styles(["plop"])["plop"] != styles["weighted"]
    assert str(Scenario.parse("shapes 1+1+1 disjoint order=3,1,2")) == "shapes 1-1 disjoint order=3,1,2"
    assert main(["run", "--help"]) == 0
    assert "weighted" in capsys.readouterr().out
    assert main(["run", "shapes 3-1 overlap"]) == 2
    assert "'shapes 2-1 overlap'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere", "the plugin fails when it is imported: ModuleNotFoundError: No module named 'nowhere'"),
        ("def (", "the plugin fails when it is imported: SyntaxError: "),
        ("import plopkit\nplopkit.METHODS['x'] = plopkit.METHODS['ft']", "registered as 'x', but its name is 'ft'"),
        ("raise SystemExit(3)", "the plugin fails when it is imported: SystemExit: 3"),
        (None, "there is no such file; name a Python file"),
    ],
)
def test_the_error_of_a_broken_plugin_names_its_file(
    text: str | None, message: str, plugin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is None:
        plugin.unlink()
    else:
        plugin.write_text(text, encoding="utf-8")
    assert main(["run", "--plugin", str(plugin), SCENARIO]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"plopkit: {plugin}: ")
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert main(["--plugin"]) == 2
    assert "--plugin needs a file" in capsys.readouterr().err


# Runs whose plugin is absent


@pytest.fixture
def left_behind(plugin: Path, tmp_path: Path) -> Path:
    """Two finished runs of the plugin's method on its data set, and one of it on the emoji; the plugin is gone."""
    load_plugin(plugin)
    for scenario, seed, weight in ((SCENARIO, 0, 1.0), (SCENARIO, 1, 2.0), ("emoji 19-1 overlap", 0, 1.0)):
        overrides = {"out": tmp_path / "runs", "seed": seed, "hyper.weight": weight}
        settings = configure(scenario, "weighted", "smoke", overrides)
        names = DATASETS[scenario.split()[0]].class_names()
        steps = Scenario.parse(scenario).steps
        rows = [
            step_rows(Scenario.parse(scenario), "weighted", seed, step, np.eye(step.n_seen), names) for step in steps
        ]
        write_text(settings.folder() / "settings.yaml", to_yaml(settings))
        write_table(settings.folder() / "results.csv", pd.concat(rows))
        write_table(settings.folder() / "summary.csv", summarise(pd.concat(rows)))
    del DATASETS["shapes"], METHODS["weighted"]
    return tmp_path / "runs"


def test_tables_and_reports_of_runs_whose_plugin_is_absent(
    left_behind: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(left_behind), "-o", str(tmp_path / "pictures")]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert f"{SCENARIO}: mIoU in percent" in captured.out and "emoji 19-1 overlap: mIoU in percent" in captured.out
    assert all(f"weighted (hyper.weight {weight})" in captured.out for weight in (1.0, 2.0))
    assert (tmp_path / "pictures" / "shapes_2-1_overlap_curves.png").is_file()
    assert main(["report", str(left_behind), "-o", str(tmp_path / "report.html")]) == 0
    assert SCENARIO in (tmp_path / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(["rows", str(left_behind)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith(f"{left_behind / 'shapes_2-1_overlap_weighted_seed'}")
        assert f"left out, the data set of {SCENARIO!r} is unknown here; what a plugin registers" in line
        assert "--plugin FILE" in line


def test_the_settings_of_a_run_are_read_without_its_plugin(left_behind: Path) -> None:
    folder = plopkit.RunFolder(next(left_behind.glob("shapes*seed1*")))
    assert folder.settings.scenario == SCENARIO
    assert folder.settings.hyper == {"weight": 2.0}
    assert len(plopkit.published(SCENARIO)) == 0
    with pytest.raises(ValueError, match=r"'shapes 2-1 overlap' is not a scenario.* after --plugin FILE, or plopkit\."):
        plopkit.open_scenario(folder.settings)
    with pytest.raises(ValueError, match=r"no method 'weighted'.* after --plugin FILE, or plopkit\.load_plugin\(FILE"):
        method_of(folder.settings)


@pytest.mark.parametrize(
    ("words", "message"),
    [([SCENARIO], f"{SCENARIO!r} is not a scenario"), (["--method", "weighted"], "there is no method 'weighted'")],
)
def test_the_error_for_what_a_plugin_registers_names_the_flag(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and "--plugin FILE" in error and "plopkit.load_plugin(FILE)" in error


# Registered by another distribution


def test_entry_points_work_from_training_to_report(tmp_path: Path) -> None:
    site = tmp_path / "site"
    info = site / "toy-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "toy_shapes.py").write_text(DEFINITIONS, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(
        "[plopkit.datasets]\nshapes = toy_shapes:SHAPES\n\n[plopkit.methods]\nweighted = toy_shapes:Weighted\n",
        encoding="utf-8",
    )
    paths = [str(site), str(Path(plopkit.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}

    code = f"""
from plopkit.cli import main
for words in ({run_words(tmp_path / "runs")!r}, ["compare", "runs"], ["report", "runs", "-o", "report.html"]):
    assert main(words) == 0
from plopkit.widgets import SettingsForm
form = SettingsForm()
form.set(scenario="shapes 2-1 overlap", method="weighted")
print(form.error, form.command_line)
"""
    command = [sys.executable, "-c", code]  # one process for all, since imports take longer than the rest
    process = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("weighted") >= 3
    last = process.stdout.splitlines()[-1].strip()
    assert last == 'plopkit run "shapes 2-1 overlap" --method weighted --preset laptop'
    assert (tmp_path / "report.html").is_file()


# The registry


def test_a_registry_imports_an_entry_on_first_access() -> None:
    registry: Registry = Registry("thing", "plopkit.no-such-group", {"path": "os:path", "wrong": "os:nothing"})
    assert list(registry) == ["path", "wrong"]
    assert "wrong" in registry and len(registry) == 2
    assert registry["path"] is os.path
    with pytest.raises(ValueError, match=r"the thing 'wrong' cannot be imported from 'os:nothing': AttributeError"):
        registry["wrong"]
    del registry["wrong"]
    registry["added"] = object
    assert dict(registry) == {"path": os.path, "added": object}
    with pytest.raises(KeyError, match=r"^there is no thing 'paht' \(did you mean path\?\); known: path, added$"):
        registry["paht"]
    assert registry.get("paht") is None


@pytest.mark.parametrize("name", list(DATASETS))
def test_the_fields_of_a_catalogue_entry_are_consistent(name: str) -> None:
    entry = DATASETS[name]
    assert isinstance(entry, DataSet)
    assert entry.name == name and entry.title
    n_labels = entry.n_labels or 16
    for task in entry.tasks:
        assert str(Scenario.parse(f"{name} {task} disjoint", n_labels)) == f"{name} {task} disjoint"
    for order in entry.class_orders().values():
        assert order[0] == 0 and sorted(order) == list(range(n_labels))
    assert set(entry.presets) | set(entry.task_presets) <= set(plopkit.PRESETS)
    for preset, _, task in (key.partition(" ") for key in entry.lesson):
        assert preset in plopkit.PRESETS and task in ("", *entry.tasks)
    assert entry.downloader or not entry.archives
    if not entry.is_users_own:
        assert len(entry.class_names()) == n_labels
    if entry.needs_root:
        with pytest.raises(ValueError, match=f"{name} needs data.root"):
            entry.open("train", configure().data)


def test_only_the_catalogue_names_the_data_sets() -> None:
    package = Path(plopkit.__file__).parent
    places = set()
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        if constants & {"voc", "emoji", "ade"}:
            places.add(path.relative_to(package).parts[0])
    assert places <= {"catalogue.py", "recipes.py", "datasets", "lessons"}  # its module names it too


def test_a_plugin_hides_no_module_of_its_name(tmp_path: Path) -> None:
    """Neither one that is imported already nor one that is imported later."""
    for name in ("timm", "json"):
        (tmp_path / f"{name}.py").write_text("LOADED = True\n", encoding="utf-8")
    code = "import sys, plopkit; [plopkit.load_plugin(f) for f in sys.argv[1:]]; import json, timm; "
    code += "print(hasattr(timm, 'LOADED'), hasattr(json, 'LOADED'), len(plopkit.catalogue.plugins()))"
    command = [sys.executable, "-c", "import plopkit.support.torchvision_ops; " + code]
    files = [str(tmp_path / f"{name}.py") for name in ("timm", "json")]
    done = subprocess.run([*command, *files], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False", "2"], done.stderr
