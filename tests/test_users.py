"""What five kinds of users do, from the first command to the last: each script of tests/users, line by line."""

from pathlib import Path

import pytest
from command_lines import own_file, run_lines

SCRIPTS = sorted((Path(__file__).resolve().parent / "users").glob("*.sh"))


@pytest.mark.parametrize("path", SCRIPTS, ids=[path.stem for path in SCRIPTS])
def test_a_users_way(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    no_pictures: None,
    own_registries: None,
) -> None:
    own = own_file(path.with_suffix(".py"))
    getattr(own, "prepare", lambda folder: None)(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    run_lines([line for line in text.splitlines() if line and not line.startswith("#")], path.name)
    own.check(tmp_path, capfd.readouterr().out)
