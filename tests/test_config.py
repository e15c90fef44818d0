"""Settings files: `--config`, `--print-config`, and their precedence."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from plopkit.cli import main
from plopkit.config import not_replaced, read_config
from plopkit.flags import parse_run
from plopkit.presets import configure
from plopkit.settings import from_yaml, to_yaml

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "my settings.yaml"


def written(file: Path, values: Any) -> list[str]:
    """Write a settings file; returns the words that name it."""
    file.write_text(values if isinstance(values, str) else yaml.safe_dump(values), encoding="utf-8")
    return ["--config", str(file)]


@pytest.mark.parametrize(
    "words",
    [
        [],
        [
            "voc 15-1 disjoint order=b",
            "--method",
            "mib",
            "--preset",
            "paper",
            "--data.root",
            "/data/my voc",
            "--seed",
            "3",
        ],
        ["--preset", "gpu", "--log", "tensorboard", "jsonl", "--model.pool", "None", "--data.scale", "0.5", "1"],
        ["ade 100-50 overlap", "--method", "rcil", "--preset", "paper", "--recipe", "common", "--name", "mine"],
        ["--optim.lr=1e-05", "--compute.no-tf32", "--model.dilations", "1", "2", "--out", "elsewhere"],
    ],
)
def test_what_print_config_prints_means_the_same_run(words: list[str], file: Path, capsys: Captured) -> None:
    assert main(["run", *words, "--print-config"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    settings = parse_run(words)
    file.write_text(output.out, encoding="utf-8")
    assert from_yaml(file) == settings
    again = parse_run(["--config", str(file)])
    assert again == settings
    assert (again.identity(), again.folder()) == (settings.identity(), settings.folder())
    assert main(["run", "--print-config", "--config", str(file)]) == 0
    assert capsys.readouterr().out == output.out


def test_flags_override_the_file_and_the_file_the_preset(file: Path) -> None:
    values = {"scenario": "voc 15-1 overlap", "method": "mib", "preset": "paper", "seed": 4}
    flag = written(file, values | {"optim": {"lr": 0.5, "batch": 6}, "hyper": {"kd": 3.0}, "log": "jsonl,wandb"})
    settings = parse_run([*flag, "--optim.batch", "8"])
    overrides = {"seed": 4, "optim.lr": 0.5, "optim.batch": 8, "hyper.kd": 3.0, "log": ["jsonl", "wandb"]}
    assert settings == configure("voc 15-1 overlap", "mib", "paper", overrides)
    overrides |= {"seed": 5}
    settings = parse_run(["emoji 15-5 overlap", *flag, "--preset", "smoke", "--seed", "5", "--optim.batch", "8"])
    assert settings == configure("emoji 15-5 overlap", "mib", "smoke", overrides)


def test_a_file_may_be_dotted_or_empty(file: Path) -> None:
    assert parse_run(written(file, {"optim.lr": 0.5, "data": {"size": 64}})).data.size == 64
    assert parse_run(written(file, {"optim.lr": 0.5})).optim.lr == 0.5
    assert parse_run(written(file, "# nothing yet\n")) == configure()
    assert read_config(None).values == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optim: {rl: 1}", "there is no setting 'optim.rl' (did you mean optim.lr?); known: scenario, "),
        ("optm: {lr: 1}", "there is no setting 'optm.lr' (did you mean optim.lr?)"),
        ("presett: paper", "there is no setting 'presett' (did you mean preset?)"),
        ("optim: 3", "there is no setting 'optim'"),
        ("hyper: {a: {b: 1}}", "there is no setting 'hyper.a.b'"),
        ("- 1\n- 2\n", "not settings; write lines such as `seed: 1`"),
        ("seed", "not settings; write lines such as `seed: 1`"),
        ("1: 2", "not settings"),
        ("method: [plop]", "method is a word, not ['plop']"),
        ("a: [", "not settings: line"),
        ("a: &b 1", "anchors and aliases are not read"),
    ],
)
@pytest.mark.parametrize("command", [["run"], ["grid"], ["demo"], ["data", "check"], ["evaluate", "x.pth"]])
def test_what_is_wrong_in_a_file_is_named_with_the_file(
    command: list[str], text: str, message: str, file: Path, capsys: Captured
) -> None:
    assert main([*command, *written(file, text)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"plopkit: {file}: ")
    assert message in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optim: {lr: -1}", "optim.lr = -1: Input should be greater than 0"),
        ("hyper: {pods: 1}", "there is no setting 'hyper.pods' (did you mean hyper.pod"),
        ("scenario: emoji 15-4 overlap", "the task '15-4' does not fit"),
        ("preset: large", "there is no preset 'large'"),
        ("log: [wandbb]", "there is no tracker 'wandbb' (did you mean wandb?)"),
    ],
)
def test_a_value_that_is_wrong_is_explained_with_the_file(
    text: str, message: str, file: Path, capsys: Captured
) -> None:
    assert main(["run", *written(file, text)]) == 2
    error = capsys.readouterr().err
    assert message in error and f"(the settings are those of {file} and the flags)" in error


def test_a_missing_file_is_named(file: Path, capsys: Captured) -> None:
    assert main(["run", "--config", str(file)]) == 2
    assert str(file) in capsys.readouterr().err


def test_the_settings_of_a_run_s_folder_are_such_a_file(file: Path) -> None:
    settings = configure("voc 15-5 disjoint", "plop", "paper", {"seed": 3, "data.root": "/data/voc"})
    file.write_text(to_yaml(settings), encoding="utf-8")
    assert parse_run(["--config", str(file)]) == settings


# The other commands


def test_a_grid_varies_the_settings_of_a_file(file: Path, tmp_path: Path, capsys: Captured) -> None:
    values = {
        "scenario": "emoji 15-5 overlap",
        "method": "ft",
        "preset": "smoke",
        "seed": 7,
        "out": str(tmp_path / "a"),
    }
    flag = written(file, values | {"optim": {"lr": 0.5}, "data": {"scenes": 40}})
    assert main(["grid", *flag, "--set", "optim.lr=0.1,0.2", "--methods", "ft", "mib", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    for line in lines:
        assert "--seed 7" in line and "--preset smoke" in line and "--data.scenes 40" in line and "/a" in line
    assert sum("--optim.lr 0.1 " in line for line in lines) == 2 and not any("lr 0.5" in line for line in lines)
    assert main(["grid", "--methods", "ft", "--dry-run"]) == 2
    assert "name the --scenarios and the --methods" in capsys.readouterr().err


def test_a_decoder_that_a_method_does_not_take_is_refused_before_anything_starts(
    file: Path, tmp_path: Path, capsys: Captured
) -> None:
    refused = "DKD-M (dkd-m) has a decoder of its own, of the kind aspp; leave out model.decoder linear, or choose anot"
    base = ["run", "emoji 15-5 overlap", "--method", "dkd-m", "--preset", "smoke", "--print-config"]
    assert main([*base, "--model.decoder", "linear"]) == 2
    assert refused in capsys.readouterr().err
    named = written(file, {"model": {"decoder": "linear"}})
    assert main([*base, *named]) == 2
    said = capsys.readouterr().err
    assert refused in said and f"(the settings are those of {file} and the flags)" in said
    assert main([*base, *named, "--model.decoder", "aspp"]) == 0
    capsys.readouterr()
    combined = ["--scenarios", "emoji 15-5 overlap", "--methods", "mib", "dkd-m", "--preset", "smoke", "--dry-run"]
    assert main(["grid", *combined, *named, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert f"emoji 15-5 overlap, dkd-m, seed 0: {refused}" in said and f"those of {file} and the flags" in said


def test_a_grid_takes_what_print_config_prints(file: Path, tmp_path: Path, capsys: Captured) -> None:
    words = ["emoji 15-5 overlap", "--method", "mib", "--preset", "smoke", "--seed", "3", "--out", str(tmp_path)]
    assert main(["run", *words, "--print-config"]) == 0
    flag = written(file, capsys.readouterr().out)
    assert main(["grid", *flag, "--preset", "smoke", "--dry-run"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("plopkit run 'emoji 15-5 overlap' --method mib --preset smoke --seed 3 --out ")


def test_the_demo_takes_a_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr("plopkit.lessons.demo.run_demo", lambda *args, **named: calls.append((args, named)))
    values = {"scenario": "emoji 10-5 overlap", "method": "mib", "hyper": {"kd": 1.0}, "seed": 2, "out": "there"}
    flag = written(file, values | {"data": {"scenes": 50}, "name": None})
    assert main(["demo", *flag, "--preset", "smoke", "--quiet"]) == 0
    arguments = (Path("there"), "emoji 10-5 overlap", "smoke", 2)
    assert calls == [(arguments, {"progress": False, "overrides": {"data.scenes": 50}})]


def test_evaluate_takes_scenario_and_preset_from_a_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    seen: list[Any] = []

    def stop(settings: Any, paths: Any, progress: bool) -> None:
        seen.append(settings)
        raise ValueError("enough")

    monkeypatch.setattr("plopkit.runs.released.evaluate_checkpoints", stop)
    flag = written(file, {"scenario": "voc 15-5 overlap", "data": {"root": "/data"}, "seed": 2})
    assert main(["evaluate", "a.pth", "b.pth", *flag]) == 2
    assert main(["evaluate", "a.pth", "b.pth", *flag, "--preset", "laptop", "--scenario", "voc 15-1 overlap"]) == 2
    overrides = {"data.root": "/data", "seed": 2}
    assert seen[0] == configure("voc 15-5 overlap", "plop", "paper", overrides)
    assert seen[1] == configure("voc 15-1 overlap", "plop", "laptop", overrides)
    capsys.readouterr()
    assert main(["evaluate", "a.pth"]) == 2
    assert "name the scenario" in capsys.readouterr().err


def test_data_check_takes_its_data_from_a_file(file: Path, capsys: Captured) -> None:
    flag = written(file, {"scenario": "emoji 15-5 overlap", "preset": "smoke", "data": {"scenes": 21, "val_scenes": 9}})
    code = main(["data", "check", *flag])
    output = capsys.readouterr().out
    assert "emoji 15-5 overlap" in output and code in (0, 1)
    assert main(["data", "check"]) == 2
    assert "name the scenario" in capsys.readouterr().err


def test_the_demo_refuses_another_beginning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "start.yaml"
    path.write_text("start: {checkpoint: runs/first}\n", encoding="utf-8")
    assert main(["demo", "--config", str(path)]) == 2
    assert capsys.readouterr().err == f"plopkit: {path}: the demo trains step 0 itself; leave out start\n"


@pytest.mark.parametrize(
    ("flags", "kept"),
    [
        ((), {"seed", "start.checkpoint", "start.step", "start.digest"}),
        (("seed",), {"seed", "start.checkpoint", "start.step", "start.digest"}),
        (("start.step",), {"seed", "start.checkpoint", "start.step"}),
        (("start.checkpoint",), {"seed"}),
    ],
)
def test_what_flags_replace_of_a_files_checkpoint(flags: tuple[str, ...], kept: set[str]) -> None:
    values = {"seed": 1, "start.checkpoint": "runs/first", "start.step": 0, "start.digest": "0123456789abcdef"}
    assert not_replaced(values, flags) == {name: values[name] for name in kept}


def test_other_weights_replace_the_digest_of_a_files(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("model: {weights: /a.pth, digest: 0123456789abcdef}\n", encoding="utf-8")
    assert parse_run(["--config", str(file)]).model.digest == "0123456789abcdef"
    for words in (["--model.weights", "/b.pth"], ["--model.weights=none"]):
        assert parse_run(["--config", str(file), *words]).model.digest == ""


@pytest.mark.parametrize("words", [["run"], ["grid"], ["evaluate", "x.pth"], ["data", "check"], ["demo"]])
def test_an_empty_name_is_not_the_current_folder(words: list[str], capsys: Captured) -> None:
    """As of a variable of the shell that is not set."""
    assert main([*words, "--config", ""]) == 2
    error = capsys.readouterr().err
    assert "--config" in error and "empty" in error
