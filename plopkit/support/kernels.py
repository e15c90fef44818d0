"""Whether a person sits at the kernel. IPython is not needed to ask."""

import sys


def is_interactive() -> bool:
    """Whether a person uses this kernel: JupyterLab lets a cell ask for input; papermill and scripts do not."""
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return False
    return bool(kernel.get_parent("shell").get("content", {}).get("allow_stdin", False))
