"""Sentences with computed numbers, and that lessons leave what a run decides to them."""

import ast
import math
import re
from pathlib import Path

import nbformat
import pytest
import torch
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from plopkit.fusion import merge_weight
from plopkit.lessons import say, thresholds
from plopkit.presets import PRESETS, configure, method_of
from plopkit.thresholds import RELEASED_FLOOR

LESSONS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("[0-9][0-9]_*.ipynb"))
each = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)

SCORE = re.compile(r"\d+(?:\.\d+)? ?(?:%|percent\b|points?\b)|(?<![\d.])\d+\.\d+(?!\.?\d)")
NOT_PROSE = re.compile(
    r"(?m)^\|.*$"  # rows of a table: lesson 09's are compared with the benchmarks
    r"|\*\*Discuss\.\*\*(?s:.*?)(?:\n\n|\Z)|^## Exercises(?s:.*)(?=^## Try next)"  # numbers of made-up examples
    r"|`[^`]*`|\$[^$]*\$|\]\([^)]*\)|CC-BY 4\.0|[Ee]xercise \d\d\.\d"  # code, formulas, links
)
CONSTANTS = {  # by lesson, numbers in its prose that no run decides
    "00": {"100 %"},  # of an IoU
    "09": {"0.001", "0.005", "0.01"},  # of the released code: the floor, a threshold's limits
    "11": {"54.6", "74.0"},  # published, in tests/lessons/successors
}
BY_CONSTRUCTION = {  # right answers that are typed
    "06": {"as background"},  # by the protocol that the question names
    "08": {"none"},  # published values
    "09": {"all of them"},  # from the numbers of channels
    "11": {"the softmax's"},  # by formula
}


def cells(path: Path, kind: str) -> list[NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def test_a_sentence_is_plain_text_and_markdown() -> None:
    said = say("Old classes *fall* from {before:.1f} to {after:.1%}.", before=torch.tensor(71.32), after=0.5)
    assert said == str(said) == repr(said) == "Old classes *fall* from 71.3 to 50.0%."
    assert said._repr_markdown_() == said


def test_values_are_no_markup() -> None:
    said = say("{name} & **all**", name="<b>_x_</b>")
    assert said == "<b>_x_</b> & **all**"
    assert said._repr_markdown_() == r"&lt;b&gt;\_x\_&lt;/b&gt; & **all**"


def test_fields_and_values_have_to_fit() -> None:
    with pytest.raises(ValueError, match=r"no value for the field \{after\}"):
        say("{before} {after}", before=1)
    with pytest.raises(ValueError, match="no field for after"):
        say("{before}", before=1, after=2)


@each
def test_no_score_is_typed_into_a_lesson(path: Path) -> None:
    """Scores are computed where they are shown: a percentage or a number with a decimal in the prose is a constant."""
    prose = NOT_PROSE.sub("", "\n\n".join(cell.source for cell in cells(path, "markdown")))
    assert set(SCORE.findall(prose)) == CONSTANTS.get(path.name[:2], set())


def test_what_is_a_score() -> None:
    assert SCORE.findall("54.6, 54.7. 3 %, 2.5 points; 12 percent; plopkit 0.2.1, 15 classes in 2 steps.") == [
        "54.6",
        "54.7",
        "3 %",
        "2.5 points",
        "12 percent",
    ]


def test_what_is_no_prose() -> None:
    """A decimal that looks like the name of an exercise is a score."""
    assert NOT_PROSE.sub("", "see exercise 02.2, from 54.6 `0.1` to 02.2") == "see , from 54.6  to 02.2"
    assert NOT_PROSE.sub("", "1.5\n\n**Discuss.** 2.5\n2.6\n\n3.5\n## Exercises · 5 min\n4.5\n## Try next\n5.5") == (
        "1.5\n\n3.5\n## Try next\n5.5"
    )


@each
def test_a_right_answer_that_a_run_decides_is_found_in_the_run(path: Path) -> None:
    typed = set()
    for cell in cells(path, "code"):
        for node in ast.walk(ast.parse(TransformerManager().transform_cell(cell.source))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Reveal":
                (right,) = (keyword.value for keyword in node.keywords if keyword.arg == "right")
                typed |= {right.value} if isinstance(right, ast.Constant) else set()
    assert typed == BY_CONSTRUCTION.get(path.name[:2], set())


def test_constants_of_lessons_09_and_11() -> None:
    ade = thresholds.released_range(["ade 100-50 overlap", "ade 100-10 overlap", "ade 50-50 overlap"])
    assert (ade["half bin"] >= 1).all()  # every pixel is below 0.005
    floors = {preset: method_of(configure(preset=preset)).floor for preset in PRESETS}
    assert floors == dict.fromkeys(PRESETS, RELEASED_FLOOR) | {"laptop": 0.01} and RELEASED_FLOOR == 0.001
    assert f"{merge_weight(1, 17):.2f}" == "0.24"
    assert math.isclose(merge_weight(1, 17), math.sqrt(1 / 17))
