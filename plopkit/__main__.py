"""``python -m plopkit`` is ``plopkit``."""

import sys

from plopkit.cli import main

sys.exit(main())
