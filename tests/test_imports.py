"""Imports: help, errors and tables of finished runs do not load torch, and names of earlier versions keep working."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import small_flags

import plopkit
from plopkit.cli import main

HEAVY = ("torch", "timm", "accelerate", "matplotlib")
REPORT = """
import json, sys
print("LOADED", json.dumps([name for name in sys.argv[1].split(",") if name in sys.modules]))
"""


def loaded_by(code: str, *words: str) -> set[str]:
    """The heavy packages that a new process has loaded after running the code."""
    script = f"import sys\nwords = sys.argv[2:]\n{code}\n{REPORT}"
    process = subprocess.run(
        [sys.executable, "-c", script, ",".join(HEAVY), *words], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return set(json.loads(process.stdout.split("LOADED ")[1]))


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small finished run."""
    out = tmp_path_factory.mktemp("runs")
    words = ["run", "emoji 15-5 overlap", *small_flags(out), "--method", "ft", "--name", "ft", "--quiet"]
    assert main(words) == 0
    return out / "ft"


@pytest.mark.parametrize(
    "module",
    ["plopkit", "plopkit.scenario", "plopkit.settings", "plopkit.catalogue", "plopkit.presets", "plopkit.metrics"],
)
def test_light_modules_load_no_heavy_package(module: str) -> None:
    assert loaded_by(f"import {module}") == set()


@pytest.mark.parametrize(
    "words",
    [["--help"], ["--version"], ["rum"], [], ["compare", "--help"], ["data", "get", "--help"], ["rows"]],
    ids=" ".join,
)
def test_light_commands_load_no_heavy_package(words: list[str]) -> None:
    assert loaded_by("from plopkit.cli import main; main(words)", *words) == set()


@pytest.mark.parametrize("command", ["rows", "compare"])
def test_tables_of_finished_runs_load_no_heavy_package(command: str, run_folder: Path) -> None:
    assert loaded_by("from plopkit.cli import main; assert main(words) == 0", command, str(run_folder)) == set()


def test_a_report_is_made_without_torch(run_folder: Path, tmp_path: Path) -> None:
    words = ["report", str(run_folder), "-o", str(tmp_path / "report.html")]
    assert loaded_by("from plopkit.cli import main; assert main(words) == 0", *words) <= {"matplotlib"}


def test_a_wrong_flag_is_reported_before_the_trainer_is_imported() -> None:
    assert "accelerate" not in loaded_by("from plopkit.cli import main; main(words)", "run", "--optim.lr", "-3")


def test_every_public_name_is_listed_and_can_be_imported() -> None:
    for name in plopkit.__all__:
        assert name in dir(plopkit)
        assert getattr(plopkit, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = plopkit.nonsense
    assert plopkit.METHODS is importlib.import_module("plopkit.catalogue").METHODS


def test_type_checkers_see_the_same_public_names() -> None:
    tree = ast.parse(Path(plopkit.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {
        alias.name: f"{node.module}".removeprefix("plopkit.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == plopkit._HOME
    assert set(typed) == set(plopkit.__all__)


# The imports of the ten notebooks of version 0.1.0
OLD_IMPORTS = """
from plopkit import viz, widgets
from plopkit.datacheck import hidden_table, steps_table, voc_presence
from plopkit.datasets.pixels import pixels
from plopkit.evaluation import evaluate_checkpoints, stand_in
from plopkit.exercises import check
from plopkit.medians import released_walk
from plopkit.metrics import confusion, group_means, iou
from plopkit.parameters import paths_of
from plopkit.pod import local_pod, pod_distance, pod_regions
from plopkit.presets import method_of
from plopkit.pseudo import Thresholds, median_thresholds, pseudo_label, released_thresholds
from plopkit.pseudo import released_uncertainty, uncertainty
from plopkit.results import telling_example
from plopkit.rows import rows
from plopkit.scenario import PROTOCOLS, Scenario
from plopkit.stepdata import StepData, channels_of, labels_of
from plopkit.study import limits
from plopkit.study.attribution import Situation, attribution, protects, some_iterations, whole_net
from plopkit.study.examined import examine
from plopkit.study.growing import classifier_rows, mean_probabilities
from plopkit.study.hindsight import judge, precision_at, precision_curve
from plopkit.study.moments import Moment, moments, outputs_of
from plopkit.study.podmaps import pod_layers, pod_maps
from plopkit.study.tables import beside, conventions, last_steps, measured
from plopkit.trainer import evaluate
from plopkit.widgets import LiveRun, SettingsForm, attended, mistakes_explorer
""".strip().splitlines()
OLD_ATTRIBUTES = {
    "plopkit": "Experiment METHODS compare forgetting_table from_parameters load_results published report run "
    "summarise to_yaml",
    "plopkit.viz": "JUDGED before_and_after class_bars class_matrix classifier_view convention_gaps drift_maps drops "
    "forgetting_curves gradient_map hidden_bars labelled let_through limit_by_share loss_curves pod_cut pod_vector "
    "precision_curves probability_bars pseudo_rows published_bars resolutions seed_spread shown strip strips targets "
    "term_bars threshold_reach threshold_walk trade_off uncertainty_histograms",
    "plopkit.widgets": "gradient_explorer pod_explorer pseudo_explorer splits_explorer walk_explorer",
    "plopkit.lessons": "copy_lessons open_lab",
}


@pytest.mark.filterwarnings("ignore:plopkit.* is now plopkit:DeprecationWarning")
@pytest.mark.parametrize("line", OLD_IMPORTS)
def test_imports_of_old_notebooks_work(line: str) -> None:
    exec(line, {})


@pytest.mark.filterwarnings("ignore:plopkit.* is now plopkit:DeprecationWarning")
@pytest.mark.parametrize("module", OLD_ATTRIBUTES)
def test_attributes_used_by_old_notebooks_exist(module: str) -> None:
    for name in OLD_ATTRIBUTES[module].split():
        assert getattr(importlib.import_module(module), name) is not None
