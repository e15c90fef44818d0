"""What a notebook shows of an interrupted cell."""

import pytest
from IPython.core.interactiveshell import InteractiveShell

from plopkit.support.kernels import brief_interrupts, is_interactive


def test_an_interrupted_cell_shows_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    shell = InteractiveShell()
    shell.user_ns["brief"] = brief_interrupts
    result = shell.run_cell("with brief('Run the cell again.'):\n    raise KeyboardInterrupt")
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    assert capsys.readouterr().out.strip() == "Interrupted. Run the cell again."


def test_other_errors_keep_their_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    shell = InteractiveShell()
    shell.user_ns["brief"] = brief_interrupts
    shell.run_cell("with brief('Run the cell again.'):\n    raise ValueError('x')")
    assert "Traceback" in capsys.readouterr().out


def test_without_a_kernel_nobody_is_there() -> None:
    assert not is_interactive()
