"""The results as a table and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import known
from benchmarks.timing import Row
from plopkit.support.files import write_text

HEADER = ("subject", "ours", "reference", "ratio", "bar", "met", "against", "reference / published", "ours / published")


def cells(row: Row, gflops: float) -> tuple[str, ...]:
    """A row as text; the last cells are relative to the published code itself."""
    bar = "–" if row.bar is None else f"≤ {row.bar:.3g}" + (f" {row.unit}" if row.absolute else "")
    met = "–" if row.met is None else "yes" if row.met else "no"
    both = (row.reference, row.ours)
    published = [
        "–" if row.published is None else f"{known.relative(time, row.published, gflops):.2f}" for time in both
    ]
    shown = (quantity(row.ours, row.unit), quantity(row.reference, row.unit), f"{row.ratio:.3g}")
    return (row.subject, *shown, bar, met, row.against, *published)


def quantity(value: float, unit: str) -> str:
    """A time in a unit that fits it, or a size."""
    if unit != "s":
        return f"{value:.2f} {unit}"
    factor, name = next((pair for pair in ((1, "s"), (1e3, "ms")) if value * pair[0] >= 1), (1e6, "µs"))
    return f"{value * factor:.3g} {name}"


def as_text(rows: Sequence[Row], environment: dict[str, Any]) -> str:
    """The table, and what it was measured on."""
    gflops = environment["gflops"]
    lines = [HEADER, *(cells(row, gflops) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    text.append("")
    text.append("  ".join(f"{name} {value}" for name, value in environment.items() if value is not None))
    text.append(
        f"… / published: a time relative to that of {known.SOURCE} on {known.MACHINE}, each "
        f"multiplied by its machine's rate of convolutions ({gflops} and {known.GFLOPS} GFLOP/s)"
    )
    if environment.get("load") and environment["load"] > 0.5 * environment["cores"]:
        text.append(f"the machine was busy (load {environment['load']}): measure again when it is idle")
    return "\n".join(text)


def as_json(rows: Sequence[Row], environment: dict[str, Any], profile: dict[str, float], quick: bool) -> str:
    """Everything that was measured."""
    listed = [asdict(row) | {"ratio": row.ratio, "met": row.met} for row in rows]
    return json.dumps({"environment": environment, "quick": quick, "rows": listed, "profile": profile}, indent=1) + "\n"


def write(path: Path, *content: Any) -> None:
    """Write `as_json`."""
    write_text(path, as_json(*content))
