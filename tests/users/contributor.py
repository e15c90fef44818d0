"""A method of a few lines."""

from pathlib import Path

import plopkit

METHOD = '''"""Cross-entropy of logits that are multiplied first."""

import plopkit
from plopkit.losses import cross_entropy
from plopkit.methods.base import Batch, Method, Term
from pydantic import Field


class Sharper(Method):
    """Fine-tuning with sharper logits."""

    name = "sharper"
    title = "sharper logits"
    source = "a user's file"

    factor: float = Field(2.0, gt=0, description="factor of the logits")

    def losses(self, batch: Batch) -> dict[str, Term]:
        return {"ce": cross_entropy(self.factor * batch.out.logits, batch.target).mean()}


plopkit.METHODS["sharper"] = Sharper
'''


def prepare(folder: Path) -> None:
    (folder / "sharper.py").write_text(METHOD, encoding="utf-8")


def check(folder: Path, printed: str) -> None:
    """Both runs share step 0, and the method has the hyper-parameter of the command."""
    assert plopkit.RunFolder(folder / "runs" / "mine").settings.hyper == {"factor": 1.5}
    results = plopkit.load_results(folder / "runs")
    assert set(results["method"]) == {"sharper", "ft"}
    step_0 = results[results["step"] == 0].groupby("method")["iou"].sum()
    assert step_0.nunique() == 1
