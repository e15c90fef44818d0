"""A notebook's kernel: whether a person uses it, and what an interrupted cell shows. IPython is not needed for that."""

import contextlib
import sys
from collections.abc import Iterator


def is_interactive() -> bool:
    """Whether a person uses this kernel: JupyterLab lets a cell ask for input; papermill and scripts do not."""
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return False
    return bool(kernel.get_parent("shell").get("content", {}).get("allow_stdin", False))


@contextlib.contextmanager
def brief_interrupts(advice: str) -> Iterator[None]:
    """Where a cell is interrupted inside the context, IPython shows one line instead of pages of traceback.

    The `KeyboardInterrupt` itself is raised as it is.

    Args:
        advice: what to do next.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        interrupt._render_traceback_ = lambda: [f"Interrupted. {advice}"]  # type: ignore[attr-defined]
        raise
