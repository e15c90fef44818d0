"""Every command in README.md is one that plopkit takes: those that are quick run, the others as far as is quick.

A line that trains is read, with `--print-config`, or planned, with `--dry-run`. What is not a command of plopkit is in
`ELSEWHERE`, with who tests it.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from blocks import blocks
from command_lines import words_of
from small_runs import leave_out_pictures, small

import plopkit
from plopkit import cli
from plopkit.catalogue import DATASETS
from plopkit.lessons import install
from plopkit.runs.folder import RunFolder
from plopkit.scenario import Scenario

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
ELSEWHERE = {
    "make": "tests/test_packaging.py",
    ".venv/bin/papermill": "tests/test_notebooks.py",
    "torchrun": "tests/test_launcher.py",
}
"""Lines that other tests execute, by their first word."""
AS_QUICK = {"--as onnx": "--as safetensors", "runs/… --as official": "runs/* --as plopkit"}
"""What is replaced by something that takes less time: tests/runs/test_export.py writes these kinds."""
ENDS_OTHERWISE = {'plopkit data check "voc 15-1 overlap" --data.root data/voc': 1}
"""Exit codes other than 0: the small VOC of the test lacks images."""


def lines() -> Iterator[str]:
    """The commands, in the order of the text: those of blocks between fences, and those that are indented."""
    for block in blocks(README, "sh"):
        yield from block.lines()
    yield from (match[1].strip() for match in re.finditer(r"^    (plopkit [^\n]*)", README, flags=re.M))


COMMANDS = [line.partition(" #")[0].strip() for line in lines()]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run, without pictures."""
    with pytest.MonkeyPatch.context() as patch:
        leave_out_pictures(patch)
        return plopkit.run(small(tmp_path_factory.mktemp("trained"), method="ft"), progress=False).path


@pytest.fixture
def place(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    voc_root: Callable[..., Path],
    folder_root: Callable[..., Path],
) -> Path:
    """A current folder with the files that README speaks of; what would download, wait or draw for long is noted."""
    (tmp_path / "data").mkdir()
    voc_root().joinpath("VOCdevkit").rename(tmp_path / "data" / "VOCdevkit")
    (tmp_path / "data" / "voc").symlink_to(".")
    mine = folder_root(classes=14, train=26, val=13, name="mine")
    shutil.copytree(trained, tmp_path / "runs" / "folder_10-3_overlap_plop_seed0_1a2b3c4d")
    shutil.copytree(
        mine / "images", tmp_path / "photos", ignore=lambda _, names: [n for n in names if "val-00" not in n]
    )
    (tmp_path / "my_method.py").write_text(
        "import plopkit\nfrom plopkit.methods.baselines import FineTuning\n\n\n"
        'class Mine(FineTuning):\n    """Fine-tuning by another name."""\n\n    name = "mine"\n\n\n'
        'plopkit.METHODS["mine"] = Mine\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(type(DATASETS["voc"]), "download", lambda *_: "ready")
    monkeypatch.setattr(install, "open_lab", lambda *_: None)
    monkeypatch.setattr("plopkit.runs.report.draw", lambda *_: [])
    monkeypatch.setattr("plopkit.runs.released.evaluate_checkpoints", evaluated := Evaluated(trained))
    return evaluated and tmp_path


class Evaluated:
    """In place of an evaluation: notes for what it was asked."""

    def __init__(self, run: Path):
        self.run = run

    def __call__(self, settings: Any, paths: list[Path], progress: bool = True) -> RunFolder:
        assert len(Scenario.parse(settings.scenario).steps) == len(paths)
        return RunFolder(self.run)


def test_commands_are_ones_that_plopkit_takes(
    place: Path, capsys: pytest.CaptureFixture[str], own_registries: None
) -> None:
    for line in dict.fromkeys(COMMANDS):
        if line.split()[0] not in ELSEWHERE:
            check(line, place, capsys)


def check(line: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = line
    for long, short in AS_QUICK.items():
        quick = quick.replace(long, short)
    words = words_of(quick)
    ends = {"run": ["--print-config"], "grid": ["--dry-run"]}.get(words[0], [])
    code = cli.main([*words, *ends])
    output = capsys.readouterr()
    assert code == ENDS_OTHERWISE.get(line, 0), f"{line}\n{output.err}"
    if words[0] == "run":
        named = yaml.safe_load(output.out)
        method = words[words.index("--method") + 1] if "--method" in words else "plop"
        assert (named["scenario"], named["method"]) == (words[1], method), line
    if words[0] == "predict":
        assert len(list((place / "predicted" / "masks").iterdir())) == 1


def test_the_lines_of_python_run(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[Any] = []
    monkeypatch.setattr(plopkit, "run", lambda settings: runs.append(settings) or RunFolder(trained), raising=False)
    for block in blocks(README, "python"):
        exec(compile(block.text, "README.md", "exec"), {})
    assert [(each.scenario, each.method, each.hyper["pod"]) for each in runs] == [("emoji 15-5 overlap", "plop", 0.002)]


def test_a_run_that_the_text_names_is_one_of_its_runs() -> None:
    """A pattern such as `runs/folder_10-3_overlap_plop_seed0_*` fits the folder of the command above it."""
    (pattern,) = {word for line in COMMANDS for word in line.split() if word.startswith("runs/folder_")}
    scenario = pattern.removeprefix("runs/").partition("_plop")[0].replace("_", " ")
    assert any(f'plopkit run "{scenario}"' in line for line in COMMANDS)
