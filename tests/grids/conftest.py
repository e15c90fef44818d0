"""Runs of a grid whose processes are shell scripts, so that a test of their order takes no training."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from small_runs import leave_out_pictures, small

from plopkit.grids.plan import PlannedRun, plan
from plopkit.grids.state import Entry
from plopkit.runs.experiment import run
from plopkit.settings import to_yaml
from plopkit.support.files import write_text


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished small run, without pictures."""
    with pytest.MonkeyPatch.context() as patch:
        leave_out_pictures(patch)
        folder = run(small(tmp_path_factory.mktemp("done"), method="ft"), progress=False)
    folder.origin_file.unlink()  # of fine-tuning, and the folder passes for other methods' runs
    folder.pictures.mkdir()
    (folder.pictures / "predictions.png").touch()
    return folder.path


Planned = Callable[..., list[Entry]]


@pytest.fixture
def entries(tmp_path: Path) -> Planned:
    """``entries("ft", "plop", seeds=[0, 1])``: runs of a grid in ``tmp_path / "out"``."""

    def make(*methods: str, seeds: Sequence[int] = (0,), scenario: str = "emoji 15-5 overlap") -> list[Entry]:
        return list(map(Entry, plan([scenario], methods, seeds, "smoke", {}, tmp_path / "out")))

    return make


@pytest.fixture
def scripted(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """``scripted("…")``: the process of each run is this shell script, in the folder of the test.

    It gets the run's method as ``$1`` and its seed as ``$2``; the command ``finish`` writes the results. The file
    ``trace`` is for notes.
    """

    def use(script: str) -> None:
        def command_of(planned: PlannedRun) -> list[str]:
            folder, settings = planned.folder.path, planned.settings
            prepared = tmp_path / "prepared" / folder.name
            if not prepared.exists():
                shutil.copytree(done, prepared)
                write_text(prepared / "settings.yaml", to_yaml(settings), seal=True)
                images = " ".join(source.fingerprint for source in planned.splits)
                write_text(prepared / "data.txt", f"{images}\n", seal=True)
            finish = f"finish() {{ mkdir -p {folder.parent}; cp -r {prepared} {folder}; }}\n"
            finish += f"step_0() {{ mkdir -p {folder}/checkpoints; touch {folder}/checkpoints/step-0.safetensors; }}\n"
            words = ["sh", "-c", finish + script, "sh", settings.method, str(settings.seed)]
            return ["env", "-C", str(tmp_path), *words]

        for module in ("local", "slurm"):
            monkeypatch.setattr(f"plopkit.grids.{module}.command_of", command_of)

    return use
