"""The command line: help, exit codes, and what the commands print and write."""

import base64
import io
import re
import runpy
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from subprocess import PIPE

import pytest
from packaging.version import Version
from PIL import Image
from small_runs import contents, small_flags

import plopkit
from plopkit import cli, grammar, scenario
from plopkit.cli import COMMANDS, main
from plopkit.flags import FROM
from plopkit.grammar import Words
from plopkit.methods import METHODS
from plopkit.presets import PRESETS, configure
from plopkit.runs.folder import RunFolder
from plopkit.runs.results import SHOWN
from plopkit.scenario import Scenario
from plopkit.settings import Settings, known_names
from plopkit.support.signals import Terminated

Captured = pytest.CaptureFixture[str]


def help_of(command: str, capsys: Captured, *words: str) -> str:
    """The help that a command prints."""
    assert main([command, *words, "--help"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    return output.out


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of two small runs, made by the command line."""
    out = tmp_path_factory.mktemp("runs")
    for method in ("ft", "plop"):
        assert main(["run", "emoji 15-5 overlap", *small_flags(out), "--method", method, "--name", method]) == 0
    return out


# Help


@pytest.mark.parametrize("words", [["--help"], ["-h"]])
def test_the_main_help_lists_every_command_on_one_line(words: list[str], capsys: Captured) -> None:
    assert main(words) == 0
    output = capsys.readouterr().out
    lines = [line for line in output.splitlines() if line]
    flags, codes = ["--config", "--debug", "--plugin", "--quiet", "--version"], list(cli.EXIT_CODES)
    assert len(lines) == 1 + len(COMMANDS) + len(flags) + len(codes)
    rest = lines[1 + len(COMMANDS) :]
    assert [line.split()[0] for line in rest[: len(flags)]] == flags
    for line, (code, meaning) in zip(rest[len(flags) :], cli.EXIT_CODES.items(), strict=True):
        assert " ".join(line.split()) == f"exit code {code} {meaning}"
    for line, (name, command) in zip(lines[1:], COMMANDS.items(), strict=False):
        assert line.split()[0] == name
        assert command.__doc__ is not None
        assert line.endswith(command.__doc__)
        assert f"plopkit {name} " in command.__doc__  # an example to copy
        assert "\n" not in command.__doc__
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: Captured) -> None:
    output = help_of(command, capsys)
    doc = COMMANDS[command].__doc__
    assert doc is not None
    assert doc.split(":")[0] in " ".join(output.split())
    assert f"usage: plopkit {command}" in output
    if command != "run":
        assert len(output.splitlines()) < 25


@pytest.mark.parametrize("method", METHODS)
def test_the_help_of_run_lists_every_setting_with_its_default(method: str, capsys: Captured) -> None:
    output = help_of("run", capsys, "--method", method)
    plain = " ".join(output.replace("│", " ").split())
    settings = configure(method=method)
    for name in known_names(Settings):
        if name not in ("scenario", "method", "hyper") and not name.startswith("start."):
            assert f"--{name.replace('_', '-')}" in plain
    assert all(f"{short} " in plain for short in FROM.values())
    for name, info in METHODS[method].model_fields.items():
        assert f"--hyper.{name.replace('_', '-')}" in plain
        assert info.description is not None
        assert info.description in plain
    assert f"learning rate of step 0 (default: {settings.optim.lr})" in plain
    assert "--method " + "|".join(METHODS) in plain
    assert "--preset " + "|".join(PRESETS) in plain
    assert "--method" not in plain.split("options")[1]  # listed once, not among the settings as well
    assert len(output.splitlines()) < 190


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("scenario", ["voc 15-5 overlap", "emoji 15-5 overlap"])
def test_the_help_of_run_shows_the_defaults_of_preset_and_data_set(
    preset: str, scenario: str, capsys: Captured
) -> None:
    settings = configure(scenario, preset=preset)
    plain = " ".join(help_of("run", capsys, scenario, "--preset", preset).replace("│", " ").split())
    assert f"epochs of step 0 (default: {settings.optim.epochs})" in plain
    assert f"training crops and evaluation crops (default: {settings.data.size})" in plain


# Exit codes

MORE_MEMORY = "close other programs, or use a machine with more"


def test_a_missing_or_unknown_command_is_a_usage_error(capsys: Captured) -> None:
    assert main([]) == 2
    assert "usage: plopkit COMMAND" in capsys.readouterr().out
    assert main(["rum"]) == 2
    output = capsys.readouterr()
    assert output.err == "plopkit: there is no command 'rum'; known: " + ", ".join(COMMANDS) + "\n"
    assert output.out == ""


@pytest.mark.parametrize(
    ("error", "code", "stderr"),
    [
        (ValueError("too large"), 2, "plopkit: too large\n"),
        (FileNotFoundError("a: missing"), 2, "plopkit: a: missing\n"),
        (OSError("b: full"), 2, "plopkit: b: full\n"),
        (FloatingPointError("nan"), 2, "plopkit: nan\n"),
        (ValueError(""), 2, "plopkit: ValueError\n"),
        (ValueError("a \x1b[31mname"), 2, "plopkit: a \\x1b[31mname\n"),
        (
            MemoryError(),
            2,
            "plopkit: not enough memory (MemoryError); close other programs, or use a machine with more\n",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory\nframe 0: x"),
            2,
            f"plopkit: not enough memory (DefaultCPUAllocator: can't allocate memory); {MORE_MEMORY}\n",
        ),
        (SystemExit(3), 3, ""),
        (SystemExit("a message"), 2, ""),
        (
            KeyboardInterrupt(),
            130,
            "\nplopkit: stopped; the same command continues where it was saved\n",
        ),
        (
            Terminated(signal.SIGTERM),
            143,
            "\nplopkit: ended by SIGTERM; the same command continues where it was saved\n",
        ),
    ],
)
def test_errors_become_exit_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, error: BaseException, code: int, stderr: str
) -> None:
    def fail(arguments: object) -> None:
        raise error

    monkeypatch.setitem(COMMANDS, "run", fail)
    assert main(["run"]) == code
    assert capsys.readouterr().err == stderr


@pytest.mark.parametrize("kind", [AssertionError, TypeError, RuntimeError, KeyError])
def test_an_internal_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch, kind: type[Exception]) -> None:
    def fail(arguments: object) -> None:
        raise kind("a bug")

    monkeypatch.setitem(COMMANDS, "run", fail)
    with pytest.raises(kind, match="a bug"):
        main(["run"])


@pytest.mark.parametrize("words", [["--debug", "run"], ["run", "--debug"]], ids=" ".join)
def test_debug_shows_the_traceback_of_any_error(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    seen: list[list[str]] = []

    def fail(arguments: Sequence[str]) -> None:
        seen.append(list(arguments))
        raise ValueError("too large")

    monkeypatch.setitem(COMMANDS, "run", fail)
    assert main(words) == 2
    output = capsys.readouterr().err
    assert output.startswith("Traceback (most recent call last)")
    assert "in fail" in output
    assert output.endswith("\nplopkit: too large\n")
    assert main(["run"]) == 2
    assert capsys.readouterr().err == "plopkit: too large\n"
    assert seen == [[], []]


def test_the_kinds_of_errors_are_documented() -> None:
    assert cli.__doc__ is not None
    for words in ("ValueError", "OSError", "FloatingPointError", "memory", "AssertionError", "--debug"):
        assert words in cli.__doc__


def test_python_m_plopkit_runs_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(sys, "argv", ["plopkit", "rum"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("plopkit", run_name="__main__")
    assert stop.value.code == 2
    assert "no command 'rum'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--version"], ["run", "--version"], ["rows", "--version"], ["--quiet", "--version"]]
)
def test_the_version_is_printed(words: list[str], capsys: Captured) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out == f"plopkit {plopkit.__version__}\n"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--quiet", "rows"], "rows has no --quiet; it goes with run, evaluate, predict, demo, grid"),
        (["compare", "runs", "--quiet"], "compare has no --quiet; it goes with run, evaluate, predict, demo, grid"),
        (["run", "--quiet=1"], "--quiet takes no value; '--quiet=1' has one"),
        (["--version=2"], "--version takes no value; '--version=2' has one"),
        (["--preset", "smoke", "run"], "the command comes before --preset; commands: " + ", ".join(COMMANDS)),
    ],
    ids=" ".join,
)
def test_the_error_of_a_misplaced_flag_says_where_it_goes(words: list[str], error: str, capsys: Captured) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err == f"plopkit: {error}\n"


@pytest.mark.parametrize("words", [["--quiet", "run"], ["run", "--quiet"]], ids=" ".join)
def test_quiet_may_come_before_the_command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    monkeypatch.setitem(COMMANDS, "run", lambda arguments: calls.append(list(arguments)))
    assert main([*words, "emoji 15-5 overlap"]) == 0
    assert main(["run", "emoji 15-5 overlap"]) == 0
    assert calls == [["emoji 15-5 overlap", "--quiet"], ["emoji 15-5 overlap"]]


def test_a_run_parses_its_scenario_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Scenario] = []
    from_words = Scenario.from_words

    def count(words: Words, n_labels: int | None = None) -> Scenario:
        opened.append(from_words(words, n_labels))
        return opened[-1]

    grammar._read.cache_clear()
    scenario._canonical.cache_clear()
    monkeypatch.setattr(Scenario, "from_words", count)
    assert main(["run", "emoji 15-5 overlap", *small_flags(tmp_path), "--method", "ft", "--quiet"]) == 0
    assert grammar._read.cache_info().misses == 1
    assert len(opened) == 2  # once to check the text, once for the scenario that everything else takes


# Progress


def test_progress_without_a_terminal_is_a_line_per_epoch_and_evaluation(tmp_path: Path, capsys: Captured) -> None:
    words = ["run", "emoji 15-5 overlap", *small_flags(tmp_path), "--method", "ft", "--optim.epochs", "2"]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert "\r" not in captured.err
    assert re.findall(r"^step \d/1 epoch \d/\d(?=: ce )", captured.err, re.MULTILINE) == [
        "step 0/1 epoch 1/2",
        "step 0/1 epoch 2/2",
        "step 1/1 epoch 1/1",
    ]
    assert captured.err.count("evaluation") == 2


def test_quiet_prints_only_the_results(tmp_path: Path, capsys: Captured) -> None:
    words = ["run", "--quiet", "emoji 15-5 overlap", *small_flags(tmp_path), "--method", "ft"]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.splitlines()[0].split()[0] == "method"


# The commands


def test_run_prints_the_summary_and_the_run_folder(runs: Path, capsys: Captured) -> None:
    capsys.readouterr()
    before = contents(runs)
    assert main(["run", "emoji 15-5 overlap", *small_flags(runs), "--method", "ft", "--name", "ft"]) == 0
    output = capsys.readouterr().out
    assert contents(runs) == before  # the finished run is read, not repeated
    header, *rows, credit, empty, last = output.splitlines()
    assert header.split() == ["method", "seed", "step", *SHOWN]
    assert [row.split()[:3] for row in rows] == [["ft", "0", "0"], ["ft", "0", "1"]]
    assert rows[0].split()[4] == "-"
    assert "Twemoji" in credit
    assert empty == ""
    assert last == f"results, pictures and checkpoints: {runs / 'ft'}"


def test_run_takes_flags_before_the_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Settings] = []

    def record(settings: Settings, progress: bool, force: bool) -> None:
        assert force
        calls.append(settings)
        raise ValueError("stop here")

    monkeypatch.setattr("plopkit.runs.experiment.run", record)
    for words in (["voc 15-1 overlap", "--optim.lr", "0.5"], ["--optim.lr", "0.5", "voc 15-1 overlap"]):
        assert main(["run", *words, "--force"]) == 2
    assert calls == [configure("voc 15-1 overlap", overrides={"optim.lr": 0.5})] * 2


def test_compare_prints_a_row_per_method_and_step(runs: Path, capsys: Captured) -> None:
    for words in ([str(runs)], [str(runs / "ft"), str(runs / "plop")], [str(runs / "*")]):
        assert main(["compare", *words]) == 0
        output = capsys.readouterr().out
        assert output.startswith("emoji 15-5 overlap: mIoU in percent")
        rows = [line.split()[:3] for line in output.splitlines() if line.split()[:1] in (["ft"], ["plop"])]
        assert rows == [[method, str(step), "1"] for method in ("ft", "plop") for step in (0, 1)]


def test_compare_draws_into_the_folder_of_its_option(runs: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["compare", str(runs), "-o", str(tmp_path / "pictures")]) == 0
    drawn = [line for line in capsys.readouterr().out.splitlines() if line.startswith(str(tmp_path))]
    assert drawn
    assert {Path(path).name for path in drawn} == set(contents(tmp_path / "pictures"))
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_report_is_a_single_self_contained_page(runs: Path, tmp_path: Path, capsys: Captured) -> None:
    page = tmp_path / "new folder" / "report.html"
    assert main(["report", str(runs), "-o", str(page)]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    text = page.read_text(encoding="utf-8")
    folders = [path.parent for path in runs.rglob("results.csv")]
    assert len(folders) > 1 and all(f"<summary>{folder}</summary>" in text for folder in folders)
    pictures = re.findall(r'<img alt="([^"]+)"[^>]* src="data:image/png;base64,([^"]+)"', text)
    assert pictures[0][0].startswith("Forgetting on ") and len(pictures) > 1 and text.count("<img") == len(pictures)
    for _, encoded in pictures:
        with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
            assert picture.width > 300
    assert 'src="http' not in text and "mIoU in percent" in text


def test_compare_without_results_is_an_error(tmp_path: Path, capsys: Captured) -> None:
    assert main(["compare", str(tmp_path)]) == 2
    output = capsys.readouterr()
    assert output.err == f"plopkit: no results.csv of a run in or below {tmp_path}; name run folders\n"


def test_demo_passes_on_its_flags(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(
        "plopkit.lessons.demo.run_demo", lambda *args, progress, overrides: calls.append((*args, progress, overrides))
    )
    assert main(["demo"]) == 0
    flags = ["--out", str(tmp_path), "--scenario", "emoji 10-5 overlap", "--preset", "smoke", "--seed", "3", "--quiet"]
    assert main(["demo", *flags]) == 0
    assert calls == [
        (Path("runs/demo"), "emoji 15-5 overlap", "laptop", 0, True, {}),
        (tmp_path, "emoji 10-5 overlap", "smoke", 3, False, {}),
    ]
    assert main(["demo", "--preset", "large"]) == 2


def test_the_commands_are_functions_named_like_them() -> None:
    assert {name: command.__name__ for name, command in COMMANDS.items()} == {name: name for name in COMMANDS}
    assert all(f"plopkit {name}" in str(command.__doc__) for name, command in COMMANDS.items())


@pytest.mark.parametrize("words", [["rows"], ["--help"], ["run", "--help"]], ids=" ".join)
def test_a_reader_that_stops_early_causes_no_message(words: list[str]) -> None:
    with subprocess.Popen([sys.executable, "-m", "plopkit", *words], stdout=PIPE, stderr=PIPE) as rows:
        assert rows.stdout is not None and rows.stderr is not None
        rows.stdout.close()
        assert rows.stderr.read() == b""
    assert rows.returncode == 1


# The place that it is used in


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8"])
def test_a_terminal_that_lacks_a_character_does_not_fail_a_finished_run(
    runs: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (
        ["--help"],
        ["run", "emoji 15-5 overlap", *small_flags(runs), "--method", "ft", "--name", "ft"],
        ["rows"],
    ):
        buffer = io.BytesIO()
        stdout = io.TextIOWrapper(buffer, encoding=encoding)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stdout)
            assert main(words) == 0
            stdout.flush()
        shown = buffer.getvalue().decode(encoding)
        if words[0] == "run":
            assert ("©" if encoding in ("latin-1", "utf-8") else r"\xa9") in shown


def test_the_home_directory_is_found_in_every_path(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """A shell leaves `--root=~/voc` as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to(runs)
    roots: list[Path] = []
    monkeypatch.setattr(
        "plopkit.datasets.download.prepare.download", lambda name, root, urls, any_archive: str(roots.append(root))
    )
    for words in (
        ["compare", "~/runs", "-o", "~/pictures"],
        ["report", "~/runs/*", "-o=~/page.html"],
        ["rows", "~/runs", "-o", "~/rows.csv"],
        ["lessons", "~/lessons", "--no-open"],
        ["data", "get", "voc", "--root=~/voc"],
    ):
        assert main(words) == 0, capsys.readouterr().err
    assert roots == [tmp_path / "voc"]
    made = {path.name for path in tmp_path.iterdir()}
    assert {"pictures", "page.html", "rows.csv", "lessons"} <= made
    assert "~" not in made
    settings = configure("emoji 15-5 overlap", overrides={"out": "~/out", "data.root": "~/voc"})
    assert (settings.out, settings.data.root) == (tmp_path / "out", tmp_path / "voc")
    for place in (RunFolder("~/runs/ft"), RunFolder(Path("~/runs/ft"))):
        assert place.path == tmp_path / "runs" / "ft"
    with pytest.raises(ValueError, match=r"out = .*~nobody-at-all/x: the home directory"):
        configure("emoji 15-5 overlap", overrides={"out": "~nobody-at-all/x"})
    assert main(["compare", "~nobody-at-all/x"]) == 2
    assert "argument RUN: ~nobody-at-all/x: the home directory" in capsys.readouterr().err


NO_HOME = """
import os, sys
os.environ.pop("HOME", None), os.environ.pop("PLOPKIT_CACHE", None), os.environ.pop("XDG_CACHE_HOME", None)
import pwd
def unknown(*args): raise KeyError("no entry")
pwd.getpwuid = pwd.getpwnam = unknown
from plopkit.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a user without an entry is of POSIX")
@pytest.mark.skipif(
    Version(version("matplotlib")) < Version("3.11"), reason="older matplotlib needs a home directory or MPLCONFIGDIR"
)
def test_a_user_without_a_home_directory_can_train(tmp_path: Path) -> None:
    words = ["run", "emoji 15-5 overlap", *small_flags(tmp_path / "out"), "--method", "ft", "--quiet"]
    process = subprocess.run(
        [sys.executable, "-c", NO_HOME, *words], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert process.returncode == 0, process.stderr
    assert "is not cached and will be made again (there is no home directory for it; PLOPKIT_CACHE" in process.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    process = subprocess.run(
        [sys.executable, "-c", NO_HOME, *words[:-1], "--data.root", "~/x"], capture_output=True, text=True, check=False
    )
    assert process.returncode == 2
    assert "~/x: the home directory that ~ stands for is not known here; write the path in full" in process.stderr
    assert "Traceback" not in process.stderr
