"""Lines on stderr: a stranger's words do nothing to the terminal, and stdout stays for results."""

import pytest

from plopkit.support.bars import log, notice


def test_a_line_does_nothing_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    for write in (log, notice):
        write("a\x1b[31m: damaged")
        assert capsys.readouterr() == ("", "a\\x1b[31m: damaged\n")
