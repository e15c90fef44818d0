"""Pictures and reports of several finished runs: which runs a strip shows, and folders with missing files."""

import re
from pathlib import Path

import numpy as np
import pytest
from small_runs import small

from plopkit.cli import main
from plopkit.runs.report import Strips, strips_of
from plopkit.runs.results import load_results, step_rows
from plopkit.scenario import Scenario
from plopkit.settings import to_yaml
from plopkit.support.files import write_arrays, write_table, write_text

SCENARIO = "emoji 15-5 overlap"


def write_run(out: Path, method: str, seed: int = 0, **overrides: object) -> Path:
    """A run folder with the files of a finished run; as in emoji, the images depend on seed and size."""
    settings = small(out, method=method, seed=seed, **overrides)
    first = Scenario.parse(SCENARIO).steps[0]
    names = [f"name {label}" for label in range(21)]
    write_table(
        settings.folder() / "results.csv", step_rows(Scenario.parse(SCENARIO), method, seed, first, np.eye(16), names)
    )
    write_text(settings.folder() / "settings.yaml", to_yaml(settings))
    side = settings.data.size // 16
    write_arrays(
        settings.folder() / "examples.npz",
        images=np.full((1, 3, side, side), seed, np.uint8),
        masks=np.zeros((1, side, side), np.uint8),
        predictions=np.zeros((1, 1, side, side), np.uint8),
        stems=np.array(["val-00000"]),
        names=np.array(names),
        credit=np.array(""),
    )
    return settings.folder()


def strips_in(folder: Path) -> Strips:
    return strips_of(load_results(folder))[SCENARIO]


def test_strips_show_the_seed_that_most_methods_share(tmp_path: Path) -> None:
    for method, seed in (("ft", 0), ("mib", 2), ("plop", 2), ("mib", 1), ("plop", 1)):
        write_run(tmp_path, method, seed)
    strips = strips_in(tmp_path)
    assert strips.seed == 1
    assert list(strips.examples) == ["mib", "plop"]
    assert all((arrays["images"] == 1).all() for arrays in strips.examples.values())
    assert strips.left_out == ["ft: no run with seed 1"]


def test_strips_leave_out_runs_with_other_images(tmp_path: Path) -> None:
    for method, size in (("ft", 96), ("mib", 64), ("plop", 64)):
        write_run(tmp_path, method, data__size=size)
    strips = strips_in(tmp_path)
    assert list(strips.examples) == ["mib", "plop"]
    assert strips.left_out == ["ft: its images are not those of mib"]


def test_compare_and_report_name_the_methods_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "runs", "ft", 0)
    write_run(tmp_path / "runs", "plop", 1)
    note = f"{SCENARIO}: the strips leave out plop: no run with seed 0"
    assert main(["compare", str(tmp_path / "runs"), "-o", str(tmp_path / "drawn")]) == 0
    assert capsys.readouterr().out.endswith(f"{note}\n")
    assert len(list((tmp_path / "drawn").iterdir())) == 2
    assert main(["report", str(tmp_path / "runs"), "-o", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert f"<p>{note}</p>" in page and "later_seconds  stored_mb\n" in page


def test_compare_and_report_work_without_optional_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    incomplete = write_run(tmp_path / "runs", "ft")
    for name in ("settings.yaml", "examples.npz"):
        (incomplete / name).unlink()
    write_text(tmp_path / "runs" / "foreign" / "results.csv", "a,b\n1,2\n")
    note = f"the strips leave out ft: no examples.npz in {incomplete}"
    assert main(["compare", str(tmp_path / "runs"), "-o", str(tmp_path / "drawn")]) == 0
    captured = capsys.readouterr()
    assert note in captured.out
    assert captured.err.count("left out") == 1
    assert main(["report", str(tmp_path / "runs"), "-o", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert note in page and "<pre>there is no settings.yaml</pre>" in page


def test_a_file_in_place_of_the_picture_folder_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "runs", "ft")
    (tmp_path / "occupied").touch()
    assert main(["compare", str(tmp_path / "runs"), "-o", str(tmp_path / "occupied")]) == 2
    assert capsys.readouterr().err == f"plopkit: {tmp_path / 'occupied'}: a file is in the way; name a folder\n"


def test_a_page_shows_strangers_words_as_they_are(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "ft")
    table = (folder / "results.csv").read_text(encoding="utf-8")
    (folder / "results.csv").write_text(table.replace("name 3", "<b>\x1b[31m"), encoding="utf-8")
    settings = (folder / "settings.yaml").read_text(encoding="utf-8")
    (folder / "settings.yaml").write_text(f"# <script>\N{RIGHT-TO-LEFT OVERRIDE}\n{settings}", encoding="utf-8")
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "\x1b" not in page and "<b>" not in page and "<script>" not in page
    assert "# &lt;script&gt;\\u202e\n" in page


def test_the_pictures_of_a_page_say_what_they_show(tmp_path: Path) -> None:
    for method in ("ft", "plop"):
        write_run(tmp_path, method)
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    curves, strip = re.findall(r'<img alt="([^"]*)"', page)
    assert curves.startswith(f"Forgetting on {SCENARIO}: curves of mIoU in percent") and "plop 100.0" in curves
    assert strip.startswith(f"val-00000 through {SCENARIO}, seed 0: ") and "no object" in strip
    assert curves.endswith(".") and strip.endswith(".")


def test_no_page_is_written_of_damaged_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings_file = write_run(tmp_path, "ft") / "settings.yaml"
    for content, problem in ((b"\x1b\xff", "not the settings of a run: "), (b"#" * 70_000, "70,000 bytes, ")):
        settings_file.write_bytes(content)
        assert main(["report", str(tmp_path), "-o", str(tmp_path / "page.html")]) == 2
        message = capsys.readouterr().err
        assert message.startswith(f"plopkit: {settings_file}: {problem}") and "\x1b" not in message
    assert not (tmp_path / "page.html").exists()
