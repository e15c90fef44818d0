"""What a run logs: JSON lines, TensorBoard, and doubles of Weights & Biases and MLflow."""

import json
import math
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from small_runs import TWO_EPOCHS, contents, small, ticks_until

from plopkit.runs import logbook, trackers
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.folder import RunFolder
from plopkit.runs.results import GROUPS
from plopkit.settings import Settings
from plopkit.support.appending import replace_text

Lines = list[dict[str, Any]]
NOT_REPEATED = ("seconds", "images_per_second", "memory_mib")

pytestmark = pytest.mark.usefixtures("no_pictures", "no_rehearsal")


def logged(folder: RunFolder) -> Lines:
    """The objects of the log, which is JSON without NaN."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    lines = folder.log_file.read_text(encoding="utf-8").splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


def repeated(lines: Lines) -> Lines:
    """The records without what depends on the machine."""
    return [{name: value for name, value in line.items() if name not in NOT_REPEATED} for line in lines[1:]]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that was logged from its beginning to its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plopkit.runs.experiment.draw_pictures", lambda folder, title: None)
        return run(small(tmp_path_factory.mktemp("runs"), log="jsonl", **TWO_EPOCHS), progress=False)


def test_the_lines_say_what_the_tables_say(straight: RunFolder) -> None:
    settings, *records = logged(straight)
    assert (settings["kind"], settings["version"]) == ("settings", 1)
    assert Settings.model_validate(settings["settings"]) == straight.settings
    assert [record["count"] for record in records] == list(range(1, len(records) + 1))
    iterations = [record for record in records if record["kind"] == "iteration"]
    ticks = straight.ticks
    for name in ("step", "epoch", "iteration", "lr"):
        np.testing.assert_allclose([record[name] for record in iterations], ticks[name], atol=1e-6)
    np.testing.assert_allclose([record["loss"]["ce"] for record in iterations], ticks["loss_ce"], atol=1e-6)
    for record in iterations:
        assert record["images_per_second"] == pytest.approx(4 / record["seconds"])
        assert record["loss"]["total"] == pytest.approx(sum(record["loss"].values()) - record["loss"]["total"])
        assert 10 < record["memory_mib"] < 100_000
    evaluations = [record for record in records if record["kind"] == "evaluation"]
    for record, (_, row) in zip(evaluations, straight.summary.iterrows(), strict=True):
        assert record["step"] == row["step"]
        for name in GROUPS:
            value = math.nan if record["miou"][name] is None else record["miou"][name]
            np.testing.assert_allclose(value, row[name], atol=1e-6)
        np.testing.assert_allclose(record["pixel_accuracy"], row["pixel_accuracy"], atol=1e-6)
        np.testing.assert_allclose(record["background"], row["background"], atol=1e-6)
        assert (straight.path / record["picture"]).read_bytes().startswith(b"\x89PNG")
    assert evaluations[0]["miou"]["new"] is None  # step 0 has no new classes


def test_a_run_is_the_same_with_a_log(straight: RunFolder, tmp_path: Path) -> None:
    settings = straight.settings.model_copy(update={"out": tmp_path, "log": ()})
    assert settings.folder().name == straight.path.name
    plain = run(settings, progress=False)
    without = {name: content for name, content in contents(straight.path).items() if "log.jsonl" not in name}
    own = contents(plain.path)
    assert set(without) - set(own) == {"pictures/step-0.png", "pictures/step-1.png"}
    for name in set(own) - {"settings.yaml", "ticks.csv"}:  # these name `out`, and seconds
        if not name.endswith("ticks.json"):
            assert own[name] == without[name], name


@pytest.mark.parametrize("stop", [(0, 1), (1, 0)])
def test_a_continued_run_continues_its_log(straight: RunFolder, tmp_path: Path, stop: tuple[int, int]) -> None:
    settings = straight.settings.model_copy(update={"out": tmp_path})
    ticks_until(Experiment.open(settings), lambda tick: (tick.step, tick.epoch) == stop)
    before = logged(RunFolder(settings.folder()))
    assert 1 < len(before) < len(logged(straight))
    folder = run(settings, progress=False)
    assert logged(folder)[: len(before)] == before
    assert repeated(logged(folder)) == repeated(logged(straight))


@pytest.mark.parametrize("kept", [0, 3, None])
def test_what_a_log_lacks_is_filled_up_from_the_run(
    straight: RunFolder, tmp_path: Path, kept: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """A killed process has not written its last lines, or the run was begun without a log."""
    settings = straight.settings.model_copy(update={"out": tmp_path})
    ticks_until(Experiment.open(settings), lambda tick: tick.step == 1)
    folder = RunFolder(settings.folder())
    if kept is None:
        folder.log_file.write_text("{}\n", encoding="utf-8")  # not what was written
    else:
        log = trackers.JsonLines(folder, settings)
        log.start()
        log.rewind(kept)
    run(settings, progress=False)
    assert repeated(logged(folder)) == repeated(logged(straight))
    assert ("log.jsonl: damaged" in capsys.readouterr().err) == (kept is None)


def test_lines_of_iterations_that_are_trained_again_are_taken_back(straight: RunFolder, tmp_path: Path) -> None:
    settings = straight.settings.model_copy(update={"out": tmp_path})
    run(settings, progress=False)
    folder = RunFolder(settings.folder())
    first, *lines = folder.log_file.read_text(encoding="utf-8").splitlines(keepends=True)
    of_step_1 = [line.replace('"ce": ', '"ce": 9') for line in lines[len(lines) - 7 :]]  # made by another source
    replace_text(folder.log_file, "".join([first, *lines[: len(lines) - 7], *of_step_1]))
    assert repeated(logged(folder)) != repeated(logged(straight))
    (folder.checkpoints / "step-1.safetensors").unlink()
    folder.results_file.unlink()
    folder.results_file.with_name(".results.csv.sha256").unlink()
    run(settings, progress=False)
    assert repeated(logged(folder)) == repeated(logged(straight))


def test_a_finished_run_is_logged_afterwards(straight: RunFolder, tmp_path: Path) -> None:
    settings = straight.settings.model_copy(update={"out": tmp_path, "log": ()})
    run(settings, progress=False)
    folder = run(settings.model_copy(update={"log": ("jsonl",)}), progress=False)
    lines = repeated(logged(folder))
    assert lines == repeated(logged(straight))
    run(settings.model_copy(update={"log": ("jsonl",)}), progress=False)
    assert repeated(logged(folder)) == lines


def test_tensorboard_has_scalars_settings_and_pictures(straight: RunFolder, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    settings = straight.settings.model_copy(update={"out": tmp_path, "log": ("tensorboard",)})
    ticks_until(Experiment.open(settings), lambda tick: (tick.step, tick.iteration) == (1, 1))
    notes = trackers.read_notes(RunFolder(settings.folder()).trackers_file)
    folder = run(settings, progress=False)
    events = accumulator.EventAccumulator(str(folder.path / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    records = logged(straight)[1:]
    losses = [(record["count"], record["loss"]["ce"]) for record in records if record["kind"] == "iteration"]
    assert 0 < notes["tensorboard"]["count"] < len(records)
    assert [event.step for event in events.Scalars("loss/ce")] == [count for count, _ in losses]
    np.testing.assert_allclose([event.value for event in events.Scalars("loss/ce")], [loss for _, loss in losses])
    evaluated = [record for record in records if record["kind"] == "evaluation"]
    found = [(event.step, event.value) for event in events.Scalars("miou/all")]
    np.testing.assert_allclose(found, [(record["count"], record["miou"]["all"]) for record in evaluated], rtol=1e-5)
    assert [event.step for event in events.Scalars("miou/new")] == [evaluated[1]["count"]]  # step 0 has none
    assert [event.step for event in events.Images("predictions")] == [record["count"] for record in evaluated]
    assert b"optim.lr: " in events.Tensors("settings/text_summary")[0].tensor_proto.string_val[0]


# Doubles of the packages


class Config(dict):
    def update(self, values: dict[str, Any], allow_val_change: bool = False) -> None:  # type: ignore[override]
        super().update(values)


def wandb_double(monkeypatch: pytest.MonkeyPatch, fail_at: int = 0) -> ModuleType:
    """A module `wandb` that keeps what it gets; it raises at a count, as without network (0: at init; -1: never)."""
    module: Any = ModuleType("wandb")
    module.config, module.inits, module.rows, module.images = Config(), [], [], []

    def log(values: dict[str, Any], step: int) -> None:
        if step == fail_at:
            raise OSError("no network")
        (module.images if "predictions" in values else module.rows).append((step, values))

    def init(**named: Any) -> Any:
        if fail_at == 0:
            raise OSError("no network\nand more")
        module.inits.append(named)
        return SimpleNamespace(log=log, finish=lambda: None)

    module.init, module.Image = init, np.asarray
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_wandb_has_config_records_and_pictures(
    straight: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = wandb_double(monkeypatch, -1)
    settings = straight.settings.model_copy(update={"out": tmp_path, "log": ("wandb",)})
    ticks_until(Experiment.open(settings), lambda tick: tick.step == 1)
    run(settings, progress=False)
    records = logged(straight)[1:]
    assert [step for step, _ in module.rows] == [record["count"] for record in records]
    assert [step for step, _ in module.images] == [r["count"] for r in records if r["kind"] == "evaluation"]
    assert module.images[0][1]["predictions"][0].shape[2] == 3
    assert module.config["optim.batch"] == 4 and module.config["scenario"] == settings.scenario
    first, second = module.inits
    assert first == second  # the same id
    assert (first["project"], first["name"], first["resume"]) == ("plopkit", straight.path.name, "allow")
    assert all(math.isfinite(value) for _, values in module.rows for value in values.values())


@pytest.mark.parametrize("fail_at", [0, 3])
def test_a_tracker_that_fails_is_left_out_and_filled_up_later(
    straight: RunFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fail_at: int,
) -> None:
    wandb_double(monkeypatch, fail_at)
    settings = straight.settings.model_copy(update={"out": tmp_path, "log": ("wandb", "jsonl")})
    folder = run(settings, progress=False)
    message = "log wandb: no network; the run goes on without it, and logs the rest when it is continued"
    assert capsys.readouterr().err.splitlines() == [message]
    assert repeated(logged(folder)) == repeated(logged(straight))
    module = wandb_double(monkeypatch, -1)
    run(settings, progress=False)
    counts = [step for step, _ in module.rows]
    assert counts == list(range(counts[0], len(logged(folder))))
    assert counts[0] <= max(fail_at, 1)


def test_mlflow_has_a_run_that_goes_on(straight: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("mlflow")
    module.metrics, module.params, module.started, module.artifacts = [], {}, [], []
    limits = SimpleNamespace(MAX_PARAM_VAL_LENGTH=500, MAX_PARAMS_TAGS_PER_BATCH=100)
    module.utils = SimpleNamespace(validation=limits)
    module.search_experiments = lambda filter_string: []
    module.create_experiment = lambda **named: named["name"]

    def start_run(**named: Any) -> Any:
        module.started.append((named["run_id"], named["run_name"], named["experiment_id"]))
        return SimpleNamespace(info=SimpleNamespace(run_id="abc"))

    module.start_run, module.end_run = start_run, lambda: None
    module.log_params = module.params.update
    module.log_metrics = lambda metrics, step: module.metrics.append((step, metrics))
    module.log_artifact = lambda local_path, artifact_path: module.artifacts.append(Path(local_path).name)
    monkeypatch.setitem(sys.modules, "mlflow", module)
    settings = straight.settings.model_copy(update={"out": tmp_path, "log": ("mlflow",)})
    ticks_until(Experiment.open(settings), lambda tick: tick.step == 1)
    run(settings, progress=False)
    name = straight.path.name
    assert module.started == [(None, name, "plopkit"), ("abc", name, "plopkit")]
    assert module.params["optim.batch"] == 4
    assert module.artifacts == ["step-0.png", "step-1.png"]
    expected = [
        record["count"]
        for record in logged(straight)[1:]
        if record["kind"] == "evaluation" or record["epoch_done"] or record["count"] % 10 == 0
    ]
    assert [step for step, _ in module.metrics] == expected


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_a_missing_package_is_named_before_anything_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "_is_installed", lambda package: False)
    with pytest.raises(ValueError, match=f"^log {name} needs the package {name}, .*pip install {name}, or leave"):
        run(small(tmp_path, log=f"jsonl,{name}"), progress=False)
    assert list(tmp_path.iterdir()) == []


def test_every_tracker_of_the_settings_has_a_class() -> None:
    from plopkit.settings import TRACKERS

    assert tuple(trackers.KINDS) == TRACKERS


def test_only_the_main_process_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = Experiment(small(tmp_path, log="jsonl"))
    experiment.main = False
    with experiment._logging() as log:
        assert log is None


def test_memory_is_this_process_s(accelerator: Any) -> None:
    import psutil

    resident = psutil.Process().memory_info().rss
    assert 0.5 < logbook.memory(accelerator.device) / resident < 2
